"""How people are called before who does not moderate: as they choose, else as the room has it.

Rooms that there are go on showing names in full. Of new ones null means initials while they are
public, and full names while they are private.
"""

from piccolo.columns import Text

from app.database.sql_migration import SqlMigration

ID = "2026-11-30T00:32:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "names"

KINDS = "('FULL', 'INITIALS', 'NONE')"

UP = f"""
ALTER TABLE "rooms" ADD COLUMN "showName" TEXT;
UPDATE "rooms" SET "showName" = 'FULL';
ALTER TABLE "rooms" ADD CONSTRAINT "rooms_showName_check" CHECK ("showName" IN {KINDS});
ALTER TABLE "participants" ADD COLUMN "showName" TEXT,
    ADD CONSTRAINT "participants_showName_check" CHECK ("showName" IN {KINDS});

-- "Anna Maria Jones" is A. J.: the first letters of the first and of the last word.
CREATE FUNCTION shown_name(name TEXT, how TEXT) RETURNS TEXT
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE how
        WHEN 'FULL' THEN name
        WHEN 'INITIALS' THEN upper(substring(name FROM '^[[:space:][:punct:]]*(.)')) || '.'
            || COALESCE(' ' || upper(substring(name FROM
                '[[:space:]][[:punct:]]*([^[:space:]])[^[:space:]]*[[:space:]]*$')) || '.', '')
    END
$$;

CREATE FUNCTION tell_of_shown_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell('participant.updated', NEW."roomId", NEW.id,
        jsonb_build_object('changed', '["showName", "user"]'::jsonb));
    RETURN NULL;
END $$;
CREATE TRIGGER "participants_name_told" AFTER UPDATE OF "showName" ON "participants" FOR EACH ROW
WHEN (OLD."showName" IS DISTINCT FROM NEW."showName"
    AND OLD."deletedAt" IS NULL AND NEW."deletedAt" IS NULL)
EXECUTE FUNCTION tell_of_shown_name();
CREATE TRIGGER "rooms_names_told" AFTER UPDATE OF "showName" ON "rooms"
FOR EACH ROW EXECUTE FUNCTION tell_of_members('showName');
"""

DOWN = """
DROP TRIGGER "rooms_names_told" ON "rooms";
DROP TRIGGER "participants_name_told" ON "participants";
DROP FUNCTION tell_of_shown_name();
DROP FUNCTION shown_name(TEXT, TEXT);
ALTER TABLE "participants" DROP COLUMN "showName";
ALTER TABLE "rooms" DROP COLUMN "showName";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of functions."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns("Room", "rooms", showName=Text(null=True, default=None))
    migration.new_columns("Participant", "participants", showName=Text(null=True, default=None))
    return migration
