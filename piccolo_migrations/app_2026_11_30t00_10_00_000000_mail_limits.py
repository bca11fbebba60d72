"""Mails count against a limit of who organizes the room, and of whom they go to.

What counts is found by two indexes; what is pending counts against who organizes the room by now.
"""

from piccolo.columns import Text

from app.database.columns import Moment
from app.database.sql_migration import SqlMigration

ID = "2026-11-30T00:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "mail_limits"

UP = """
ALTER TABLE "mails" ADD COLUMN "chargedTo" TEXT, ADD COLUMN "countedAt" TIMESTAMPTZ(3);
UPDATE "mails" m SET "chargedTo" = r."createdBy" FROM "rooms" r
WHERE r."id" = m."roomId" AND m."status" IN ('KEPT', 'PENDING');
CREATE INDEX "mails_chargedTo_countedAt_idx" ON "mails" ("chargedTo", "countedAt")
    WHERE "countedAt" IS NOT NULL;
CREATE INDEX "mails_recipient_countedAt_idx" ON "mails" ("recipient", "countedAt")
    WHERE "countedAt" IS NOT NULL;
"""

DOWN = """
ALTER TABLE "mails" DROP COLUMN "chargedTo", DROP COLUMN "countedAt";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns(
        "Mail",
        "mails",
        chargedTo=Text(null=True, default=None),
        countedAt=Moment(null=True, default=None),
    )
    return migration
