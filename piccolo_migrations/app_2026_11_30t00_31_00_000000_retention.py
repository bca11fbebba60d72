"""A room forgets its people a while after it has ended, and the audit log its old details.

Of draws' records nothing is blanked: they hold ids, and whoever checks a draw reads them.
"""

from piccolo.columns import Text

from app.database.columns import Moment
from app.database.sql_migration import SqlMigration

ID = "2026-11-30T00:31:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "retention"

_KEEP_RECORD = """
CREATE OR REPLACE FUNCTION keep_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.before IS NOT NULL OR NEW.after IS NOT NULL
        OR to_jsonb(NEW) - '{{before,after}}'::text[] <> to_jsonb(OLD) - '{{before,after}}'::text[]
        OR NOT ({may_be_blank})
    THEN
        RAISE EXCEPTION 'of audit_log only the details of {whom} are blanked'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
"""
_NOW = _KEEP_RECORD.format(
    may_be_blank="is_of_the_erased(OLD) OR is_old(OLD)", whom="the erased, and old ones,"
)
_BEFORE = _KEEP_RECORD.format(may_be_blank="is_of_the_erased(OLD)", whom="the erased")
OVER = """(NEW."status" IN ('COMPLETED', 'CANCELLED') OR NEW."deletedAt" IS NOT NULL)"""
LEAST_DAYS = 30
"""For which the audit log keeps its details, whatever a setting says."""

UP = f"""
ALTER TABLE "rooms" ADD COLUMN "forgetAfter" TEXT, ADD COLUMN "endedAt" TIMESTAMPTZ(3),
    ADD COLUMN "forgottenAt" TIMESTAMPTZ(3);
ALTER TABLE "rooms" ADD CONSTRAINT "rooms_forgetAfter_check"
    CHECK ("forgetAfter" ~ '^P[1-9][0-9]{{0,3}}D$');
UPDATE "rooms" SET "endedAt" = COALESCE("deletedAt", "updatedAt")
    WHERE "status" IN ('COMPLETED', 'CANCELLED') OR "deletedAt" IS NOT NULL;
CREATE INDEX "rooms_to_forget_idx" ON "rooms" ("endedAt")
    WHERE "forgetAfter" IS NOT NULL AND "forgottenAt" IS NULL;

CREATE FUNCTION note_end_of_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT {OVER} THEN
        NEW."endedAt" := NULL;
        NEW."forgottenAt" := NULL;
    ELSIF NEW."endedAt" IS NULL THEN
        NEW."endedAt" := now();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER "rooms_ended" BEFORE INSERT OR UPDATE OF "status", "deletedAt" ON "rooms"
FOR EACH ROW EXECUTE FUNCTION note_end_of_room();

-- Its arguments are the members that may have changed.
CREATE FUNCTION tell_of_members() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed JSONB := (SELECT jsonb_agg(name ORDER BY name) FROM unnest(TG_ARGV) AS name
        WHERE to_jsonb(OLD) -> name IS DISTINCT FROM to_jsonb(NEW) -> name);
BEGIN
    IF changed IS NOT NULL AND OLD."deletedAt" IS NULL AND NEW."deletedAt" IS NULL THEN
        PERFORM tell('room.updated', NEW.id, NEW.id, jsonb_build_object('changed', changed));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER "rooms_forgetting_told" AFTER UPDATE OF "forgetAfter" ON "rooms"
FOR EACH ROW EXECUTE FUNCTION tell_of_members('forgetAfter');

CREATE INDEX "audit_log_details_idx" ON "audit_log" ("createdAt") WHERE
    num_nonnulls("before", "after") > 0 AND "tableName" NOT IN ('audit_log', 'draws');

CREATE FUNCTION is_old(record audit_log) RETURNS BOOLEAN LANGUAGE sql STABLE AS $$
    SELECT record."createdAt" <= now() - interval '{LEAST_DAYS} days'
        AND record."tableName" NOT IN ('audit_log', 'draws')
        AND NOT EXISTS (SELECT FROM draws WHERE id = record."rowId")
$$;
{_NOW}
"""

DOWN = f"""
{_BEFORE}
DROP FUNCTION is_old(audit_log);
DROP INDEX "audit_log_details_idx";
DROP TRIGGER "rooms_forgetting_told" ON "rooms";
DROP FUNCTION tell_of_members();
DROP TRIGGER "rooms_ended" ON "rooms";
DROP FUNCTION note_end_of_room();
ALTER TABLE "rooms" DROP COLUMN "forgottenAt", DROP COLUMN "endedAt", DROP COLUMN "forgetAfter";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of functions."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns(
        "Room",
        "rooms",
        forgetAfter=Text(null=True, default=None),
        endedAt=Moment(null=True, default=None),
        forgottenAt=Moment(null=True, default=None),
    )
    return migration
