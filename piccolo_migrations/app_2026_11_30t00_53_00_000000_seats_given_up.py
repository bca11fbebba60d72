"""Whose a seat was that was given up for another one: what it says of them is erased with them."""

from piccolo.columns import Text

from app.database.sql_migration import SqlMigration

ID = "2026-11-30T00:53:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "seats_given_up"

UP = """
ALTER TABLE "participants" ADD COLUMN "wasOf" TEXT;
CREATE INDEX "participants_wasOf_idx" ON "participants" ("wasOf") WHERE "wasOf" IS NOT NULL;
"""

DOWN = """
ALTER TABLE "participants" DROP COLUMN "wasOf";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns("Participant", "participants", wasOf=Text(null=True, default=None))
    return migration
