"""Some users administrate the platform. Backwards forgets who."""

from piccolo.columns import Boolean

from app.database.sql_migration import SqlMigration

ID = "2025-12-29T09:30:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "platform_administrators"

UP = """
ALTER TABLE "users" ADD COLUMN "isAdmin" BOOLEAN NOT NULL DEFAULT false;
"""

DOWN = """
ALTER TABLE "users" DROP COLUMN "isAdmin";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns("User", "users", isAdmin=Boolean(default=False))
    return migration
