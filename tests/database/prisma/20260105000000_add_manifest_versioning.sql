-- AlterTable
ALTER TABLE "apps" ADD COLUMN "manifestVersion" TEXT NOT NULL DEFAULT '1.0.0';
ALTER TABLE "apps" ADD COLUMN "manifestHistory" JSONB NOT NULL DEFAULT '[]';

-- AlterTable
ALTER TABLE "rooms" ADD COLUMN "appManifestVersion" TEXT NOT NULL DEFAULT '1.0.0';

-- CreateIndex
CREATE INDEX "apps_manifestVersion_idx" ON "apps"("manifestVersion");

-- CreateIndex
CREATE INDEX "rooms_appManifestVersion_idx" ON "rooms"("appManifestVersion");

-- CreateIndex
CREATE INDEX "rooms_appId_appManifestVersion_idx" ON "rooms"("appId", "appManifestVersion");
