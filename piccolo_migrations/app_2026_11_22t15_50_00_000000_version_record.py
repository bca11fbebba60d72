"""An app knows when its present version was published, and whether that is deprecated, and why.

Earlier versions say so in `manifestHistory`. Of apps that are there already, the present version
counts as published when the app was made, or, where it has earlier ones, when it last changed.
Backwards, what the columns say of present versions is lost.
"""

from piccolo.columns import Text

from app.database.columns import Moment
from app.database.sql_migration import SqlMigration

ID = "2026-11-22T15:50:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "version_record"

UP = """
ALTER TABLE "apps"
  ADD COLUMN "manifestPublishedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  ADD COLUMN "manifestDeprecatedAt" TIMESTAMPTZ(3),
  ADD COLUMN "manifestDeprecationReason" TEXT;
UPDATE "apps" SET "manifestPublishedAt" =
  CASE WHEN "manifestHistory" = '[]' THEN "createdAt" ELSE "updatedAt" END;
"""

DOWN = """
ALTER TABLE "apps"
  DROP COLUMN "manifestDeprecationReason",
  DROP COLUMN "manifestDeprecatedAt",
  DROP COLUMN "manifestPublishedAt";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns(
        "App",
        "apps",
        manifestPublishedAt=Moment(),
        manifestDeprecatedAt=Moment(null=True, default=None),
        manifestDeprecationReason=Text(null=True, default=None),
    )
    return migration
