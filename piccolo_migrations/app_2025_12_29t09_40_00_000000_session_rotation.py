"""A session knows the hash of the refresh token before its present one, and when it was replaced.

It is unique, because two sessions never come from one token; the index also finds the session of
a token that is used again. Backwards, such a token is only unknown.
"""

from piccolo.columns import Text

from app.database.columns import Moment
from app.database.sql_migration import SqlMigration

ID = "2025-12-29T09:40:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "session_rotation"

UP = """
ALTER TABLE "sessions"
  ADD COLUMN "previousRefreshToken" TEXT UNIQUE,
  ADD COLUMN "rotatedAt" TIMESTAMPTZ(3);
"""

DOWN = """
ALTER TABLE "sessions" DROP COLUMN "rotatedAt", DROP COLUMN "previousRefreshToken";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns(
        "Session",
        "sessions",
        previousRefreshToken=Text(null=True, default=None, unique=True, secret=True),
        rotatedAt=Moment(null=True, default=None),
    )
    return migration
