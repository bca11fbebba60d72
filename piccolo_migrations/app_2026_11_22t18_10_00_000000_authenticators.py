"""What an administrator's authenticator app knows, encrypted; of recovery codes only the hashes.

Backwards forgets them: who signs in with a code signs in without.
"""

from app.database.sql_migration import SqlMigration

ID = "2026-11-22T18:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "authenticators"

UP = """
CREATE TABLE "admin"."authenticators" (
    "administrator" INTEGER NOT NULL,
    "secret" TEXT NOT NULL,
    "confirmed_at" TIMESTAMPTZ(3),
    "last_step" BIGINT NOT NULL DEFAULT 0,
    "recovery_codes" TEXT[] NOT NULL DEFAULT '{}',
    "failed_codes" INTEGER NOT NULL DEFAULT 0,
    "failed_at" TIMESTAMPTZ(3),
    CONSTRAINT "authenticators_pkey" PRIMARY KEY ("administrator"),
    CONSTRAINT "authenticators_administrator_fkey" FOREIGN KEY ("administrator")
        REFERENCES "admin"."administrators" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
"""

DOWN = """
DROP TABLE "admin"."authenticators";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of this table."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
