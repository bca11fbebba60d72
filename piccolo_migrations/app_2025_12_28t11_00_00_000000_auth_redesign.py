"""Access tokens are JWTs, refresh tokens are kept as hashes, and revoked tokens have a table.

A refresh token becomes its SHA-256 in hex, so that who is signed in stays signed in. A session's
`lastUsedAt` starts as its `updatedAt`, the last that is known of it.

Backwards, three things can't come back, because nobody knows them:
- A refresh token can't be un-hashed. It becomes `sha256:` and the hash, a form that no token ever
  had; forwards again takes the prefix off instead of hashing twice, and the session goes on.
- A session has no access token. It gets a random one that nobody has been given.
- The older schema has no place for device, address, last use and revoked tokens.
"""

from piccolo.columns import Text

from app.database.columns import REQUIRED, Moment
from app.database.ids import new_id
from app.database.sql_migration import SqlMigration

ID = "2025-12-28T11:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "auth_redesign"

UP = """
CREATE TABLE "token_blacklist" (
  "id" TEXT NOT NULL PRIMARY KEY,
  "tokenHash" TEXT NOT NULL UNIQUE,
  "expiresAt" TIMESTAMPTZ(3) NOT NULL,
  "userId" TEXT NOT NULL,
  "reason" TEXT,
  "revokedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "revokedBy" TEXT
);

CREATE INDEX "token_blacklist_tokenHash_idx" ON "token_blacklist"("tokenHash");
CREATE INDEX "token_blacklist_expiresAt_idx" ON "token_blacklist"("expiresAt");
CREATE INDEX "token_blacklist_userId_idx" ON "token_blacklist"("userId");

ALTER TABLE "sessions" DROP COLUMN "accessToken";
ALTER TABLE "sessions" ADD COLUMN "deviceInfo" TEXT;
ALTER TABLE "sessions" ADD COLUMN "ipAddress" TEXT;
ALTER TABLE "sessions" ADD COLUMN "lastUsedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP;

UPDATE "sessions" SET
  "lastUsedAt" = "updatedAt",
  "refreshToken" = CASE
    WHEN "refreshToken" ~ '^sha256:[0-9a-f]{64}$' THEN substr("refreshToken", 8)
    ELSE encode(sha256(convert_to("refreshToken", 'UTF8')), 'hex')
  END;

CREATE INDEX "sessions_lastUsedAt_idx" ON "sessions"("lastUsedAt");
"""

DOWN = """
ALTER TABLE "sessions"
  DROP COLUMN "deviceInfo", DROP COLUMN "ipAddress", DROP COLUMN "lastUsedAt";
ALTER TABLE "sessions" ADD COLUMN "accessToken" TEXT;
UPDATE "sessions" SET
  "refreshToken" = 'sha256:' || "refreshToken",
  "accessToken" = 'none:' || gen_random_uuid() || gen_random_uuid();
ALTER TABLE "sessions" ALTER COLUMN "accessToken" SET NOT NULL, ADD UNIQUE ("accessToken");
CREATE INDEX "sessions_accessToken_idx" ON "sessions"("accessToken");

DROP TABLE "token_blacklist";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_table(
        "TokenBlacklist",
        "token_blacklist",
        id=Text(primary_key=True, default=new_id),
        tokenHash=Text(default=REQUIRED, unique=True, secret=True),
        expiresAt=Moment(default=REQUIRED),
        userId=Text(default=REQUIRED),
        reason=Text(null=True, default=None),
        revokedAt=Moment(),
        revokedBy=Text(null=True, default=None),
    )
    migration.drop_column("Session", "sessions", "accessToken")
    migration.new_columns(
        "Session",
        "sessions",
        deviceInfo=Text(null=True, default=None),
        ipAddress=Text(null=True, default=None),
        lastUsedAt=Moment(),
    )
    return migration
