"""The answers to POSTs that came with an `Idempotency-Key`, for who asks again within a day.

Backwards, they are lost: who asks again is served again.
"""

from piccolo.columns import JSONB, ForeignKey, Integer, Text
from piccolo.table import Table

from app.database.columns import REQUIRED, Moment
from app.database.sql_migration import SqlMigration

ID = "2026-11-22T15:40:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "idempotency_keys"

UP = """
CREATE TABLE "idempotency_keys" (
  "id" TEXT NOT NULL PRIMARY KEY,
  "userId" TEXT NOT NULL REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE,
  "request" TEXT NOT NULL,
  "status" INTEGER NOT NULL,
  "headers" JSONB NOT NULL,
  "body" TEXT,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "expiresAt" TIMESTAMPTZ(3) NOT NULL
);
CREATE INDEX "idempotency_keys_userId_idx" ON "idempotency_keys"("userId");
CREATE INDEX "idempotency_keys_expiresAt_idx" ON "idempotency_keys"("expiresAt");
"""

DOWN = """
DROP TABLE "idempotency_keys";
"""


class User(Table, tablename="users"):
    """What the foreign key refers to."""

    id = Text(primary_key=True)


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_table(
        "IdempotencyKey",
        "idempotency_keys",
        id=Text(primary_key=True, default=REQUIRED),
        userId=ForeignKey(User, null=False),
        request=Text(default=REQUIRED),
        status=Integer(default=REQUIRED),
        headers=JSONB(default=REQUIRED),
        body=Text(null=True, default=None),
        createdAt=Moment(),
        expiresAt=Moment(default=REQUIRED),
    )
    return migration
