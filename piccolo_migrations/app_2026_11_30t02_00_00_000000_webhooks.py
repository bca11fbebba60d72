"""Endpoints to which apps are told what happens in their rooms, and what is sent to them.

Deliveries are rows that are claimed for a few seconds by who sends them. The log is read for them
from a cursor: what writes events knows nothing of endpoints.
"""

from piccolo.columns import JSONB, Array, BigInt, ForeignKey, Integer, Text

from app.database.columns import REQUIRED, Moment
from app.database.ids import new_id
from app.database.sql_migration import SqlMigration
from app.tables import App, Webhook

ID = "2026-11-30T02:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "webhooks"

UP = """
CREATE TABLE "webhooks" (
    "id" TEXT NOT NULL,
    "appId" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "types" TEXT[] NOT NULL DEFAULT '{}',
    "secret" TEXT NOT NULL,
    "formerSecret" TEXT,
    "formerUntil" TIMESTAMPTZ(3),
    "failingSince" TIMESTAMPTZ(3),
    "disabledAt" TIMESTAMPTZ(3),
    "disabledReason" TEXT,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "webhooks_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "webhooks_appId_fkey" FOREIGN KEY ("appId") REFERENCES "apps" ("appId")
        ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "webhooks_formerSecret_check"
        CHECK (("formerSecret" IS NULL) = ("formerUntil" IS NULL)),
    CONSTRAINT "webhooks_disabledReason_check"
        CHECK ("disabledReason" IN ('ASKED', 'GONE', 'FAILING'))
);
CREATE INDEX "webhooks_appId_createdAt_id_idx" ON "webhooks" ("appId", "createdAt", "id");
CREATE TRIGGER "webhooks_audit" AFTER INSERT OR UPDATE OR DELETE ON "webhooks" FOR EACH ROW
WHEN (current_setting('audit.actor', true) <> '')
EXECUTE FUNCTION record_change('secret', 'formerSecret');

CREATE TABLE "webhook_deliveries" (
    "id" TEXT NOT NULL,
    "webhookId" TEXT NOT NULL,
    "eventId" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "occurredAt" TIMESTAMPTZ(3) NOT NULL,
    "data" JSONB NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'PENDING',
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "nextAttemptAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "claimedUntil" TIMESTAMPTZ(3),
    "lastStatus" INTEGER,
    "lastError" TEXT,
    "deliveredAt" TIMESTAMPTZ(3),
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "webhook_deliveries_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "webhook_deliveries_webhookId_eventId_key" UNIQUE ("webhookId", "eventId"),
    CONSTRAINT "webhook_deliveries_webhookId_fkey" FOREIGN KEY ("webhookId")
        REFERENCES "webhooks" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "webhook_deliveries_status_check"
        CHECK ("status" IN ('PENDING', 'DELIVERED', 'FAILED')),
    CONSTRAINT "webhook_deliveries_attempts_check" CHECK ("attempts" >= 0)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX "webhook_deliveries_webhookId_createdAt_id_idx"
    ON "webhook_deliveries" ("webhookId", "createdAt", "id");
CREATE INDEX "webhook_deliveries_webhookId_status_createdAt_id_idx"
    ON "webhook_deliveries" ("webhookId", "status", "createdAt", "id");
CREATE INDEX "webhook_deliveries_createdAt_idx" ON "webhook_deliveries" ("createdAt");
CREATE INDEX "webhook_deliveries_webhookId_nextAttemptAt_idx"
    ON "webhook_deliveries" ("webhookId", "nextAttemptAt") WHERE "status" = 'PENDING';
CREATE INDEX "webhook_deliveries_claimed_idx"
    ON "webhook_deliveries" ("webhookId") WHERE "claimedUntil" IS NOT NULL;

CREATE TABLE "webhook_cursor" (
    "id" INTEGER NOT NULL,
    "position" BIGINT NOT NULL,
    CONSTRAINT "webhook_cursor_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "webhook_cursor_id_check" CHECK ("id" = 1)
);
INSERT INTO "webhook_cursor" ("id", "position")
SELECT 1, COALESCE(max("position"), 0) FROM "events";
"""

DOWN = """
DROP TABLE "webhook_cursor";
DROP TABLE "webhook_deliveries";
DROP TABLE "webhooks";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_table(
        "Webhook",
        "webhooks",
        id=Text(primary_key=True, default=new_id),
        appId=ForeignKey(App, target_column="appId", null=False),
        url=Text(default=REQUIRED),
        types=Array(Text(), default=list),
        secret=Text(default=REQUIRED, secret=True),
        formerSecret=Text(null=True, default=None, secret=True),
        formerUntil=Moment(null=True, default=None),
        failingSince=Moment(null=True, default=None),
        disabledAt=Moment(null=True, default=None),
        disabledReason=Text(null=True, default=None),
        createdAt=Moment(),
    )
    migration.new_table(
        "WebhookDelivery",
        "webhook_deliveries",
        id=Text(primary_key=True, default=REQUIRED),
        webhookId=ForeignKey(Webhook, null=False),
        eventId=Text(default=REQUIRED),
        type=Text(default=REQUIRED),
        occurredAt=Moment(default=REQUIRED),
        data=JSONB(default=REQUIRED),
        status=Text(default=REQUIRED),
        attempts=Integer(default=0),
        nextAttemptAt=Moment(),
        claimedUntil=Moment(null=True, default=None),
        lastStatus=Integer(null=True, default=None),
        lastError=Text(null=True, default=None),
        deliveredAt=Moment(null=True, default=None),
        createdAt=Moment(),
    )
    migration.new_table(
        "WebhookCursor",
        "webhook_cursor",
        id=Integer(primary_key=True, default=REQUIRED),
        position=BigInt(default=REQUIRED),
    )
    return migration
