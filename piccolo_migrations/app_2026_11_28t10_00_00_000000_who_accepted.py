"""Whom a room knows by which address, and who agreed to be in it.

A moderator sees the address of who joined by themselves (`acceptedAt`), and otherwise only the one
that they were brought in by (`email`). Who is brought in by an address belongs to no account until
they join, whether or not there is one; `name` is what was given with the address.

Of who is in a room already nobody has written down how they came. They count as brought in by the
address that they have now: organizers go on seeing what they see today, and nothing that changes
from here on. Who opened a room has certainly agreed to be in it.

A row that was given up for another one of the same person's in the room has neither an account nor
an address; it stays for the prizes that it won.

Every participant is written anew: 210,000 take 20 seconds on a busy machine of two cores.

What is recorded of administrators' changes (`audit_log`, which nobody can erase) has neither the
address nor the name.

Backwards gives an account to everybody who has none, which becomes theirs when they sign in. Where
the address is a person's who is in the room beside, it can't be theirs: it gets an address that is
nobody's.
"""

from piccolo.columns import ForeignKey, Text

from app.database.columns import Moment
from app.database.sql_migration import SqlMigration

ID = "2026-11-28T10:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "who_accepted"

_AUDIT = """
DROP TRIGGER "participants_audit" ON "participants";
CREATE TRIGGER "participants_audit" AFTER INSERT OR UPDATE OR DELETE ON "participants"
FOR EACH ROW WHEN (current_setting('audit.actor', true) <> '')
EXECUTE FUNCTION record_change({secrets});
"""

UP = f"""
ALTER TABLE "participants" ALTER COLUMN "userId" DROP NOT NULL,
  ADD COLUMN "email" TEXT,
  ADD COLUMN "name" TEXT,
  ADD COLUMN "acceptedAt" TIMESTAMPTZ(3);

UPDATE "participants" p SET "email" = u."email",
  "acceptedAt" = CASE WHEN r."createdBy" = u."id" THEN p."joinedAt" END
FROM "users" u, "rooms" r
WHERE u."id" = p."userId" AND u."deletedAt" IS NULL AND r."id" = p."roomId";

ALTER TABLE "participants" ADD CONSTRAINT "participants_person_check"
  CHECK ("userId" IS NOT NULL OR "email" IS NOT NULL OR "deletedAt" IS NOT NULL);
CREATE UNIQUE INDEX "participants_email_roomId_key" ON "participants" ("email", "roomId")
  WHERE "email" IS NOT NULL;
{_AUDIT.format(secrets="'email', 'name'")}
"""

_LINK = """
UPDATE "participants" p SET "userId" = u."id" FROM "users" u
WHERE p."userId" IS NULL AND u."email" = p."email" AND NOT EXISTS (
  SELECT FROM "participants" o WHERE o."roomId" = p."roomId" AND o."userId" = u."id"
);
"""

DOWN = f"""
{_LINK}
INSERT INTO "users" ("id", "email", "name", "updatedAt")
SELECT DISTINCT ON (p."email") p."id", p."email", p."name", now() FROM "participants" p
WHERE p."userId" IS NULL AND NOT EXISTS (SELECT FROM "users" u WHERE u."email" = p."email")
  AND p."email" IS NOT NULL
ORDER BY p."email", p."joinedAt", p."id";
{_LINK}
INSERT INTO "users" ("id", "email", "name", "updatedAt")
SELECT "id", "id" || '@invited.invalid', "name", now() FROM "participants" WHERE "userId" IS NULL;
UPDATE "participants" SET "userId" = "id" WHERE "userId" IS NULL;

DROP INDEX "participants_email_roomId_key";
ALTER TABLE "participants" DROP CONSTRAINT "participants_person_check",
  DROP COLUMN "email", DROP COLUMN "name", DROP COLUMN "acceptedAt",
  ALTER COLUMN "userId" SET NOT NULL;
{_AUDIT.format(secrets="")}
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns(
        "Participant",
        "participants",
        email=Text(null=True, default=None),
        name=Text(null=True, default=None),
        acceptedAt=Moment(null=True, default=None),
    )
    migration.alter_column(
        table_class_name="Participant",
        tablename="participants",
        column_name="userId",
        db_column_name="userId",
        params={"null": True},
        old_params={"null": False},
        column_class=ForeignKey,
        old_column_class=ForeignKey,
    )
    return migration
