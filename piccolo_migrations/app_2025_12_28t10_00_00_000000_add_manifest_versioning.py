"""Apps have a manifest version and its history; rooms are locked to the version they run on.

The backfill takes each app's version from `manifest.meta.version`, or 1.0.0 where there is none,
and locks every room to its app's version. `updatedAt` stays: nobody changed the rows.

Backwards loses versions, history and locks, which the older schema can't hold. Forwards again
starts from the manifests as they are then.
"""

from piccolo.columns import JSONB, Text

from app.database.sql_migration import SqlMigration

ID = "2025-12-28T10:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "add_manifest_versioning"

UP = """
ALTER TABLE "apps" ADD COLUMN "manifestVersion" TEXT NOT NULL DEFAULT '1.0.0';
ALTER TABLE "apps" ADD COLUMN "manifestHistory" JSONB NOT NULL DEFAULT '[]';
ALTER TABLE "rooms" ADD COLUMN "appManifestVersion" TEXT NOT NULL DEFAULT '1.0.0';

UPDATE "apps" SET "manifestVersion" = "manifest" #>> '{meta,version}'
WHERE "manifest" #>> '{meta,version}' <> '';
UPDATE "rooms" SET "appManifestVersion" = "apps"."manifestVersion"
FROM "apps" WHERE "apps"."appId" = "rooms"."appId";

CREATE INDEX "apps_manifestVersion_idx" ON "apps"("manifestVersion");
CREATE INDEX "rooms_appManifestVersion_idx" ON "rooms"("appManifestVersion");
CREATE INDEX "rooms_appId_appManifestVersion_idx" ON "rooms"("appId", "appManifestVersion");
"""

DOWN = """
ALTER TABLE "rooms" DROP COLUMN "appManifestVersion";
ALTER TABLE "apps" DROP COLUMN "manifestHistory", DROP COLUMN "manifestVersion";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns(
        "App",
        "apps",
        manifestVersion=Text(default="1.0.0"),
        manifestHistory=JSONB(default="[]"),
    )
    migration.new_columns("Room", "rooms", appManifestVersion=Text(default="1.0.0"))
    return migration
