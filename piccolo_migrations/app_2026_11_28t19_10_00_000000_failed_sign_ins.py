"""Failed sign-ins of administrators count by where they come from, no longer by name alone.

Who knew a name could keep its owner out, with ten wrong passwords every quarter of an hour. In both
directions what was counted is forgotten, which concerns the last quarter of an hour.
"""

from app.database.sql_migration import SqlMigration

ID = "2026-11-28T19:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "failed_sign_ins"

UP = """
CREATE TABLE "admin"."known_browsers" (
    "token" TEXT NOT NULL,
    "administrator" INTEGER NOT NULL,
    "seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    CONSTRAINT "known_browsers_pkey" PRIMARY KEY ("token", "administrator"),
    CONSTRAINT "known_browsers_administrator_fkey" FOREIGN KEY ("administrator")
        REFERENCES "admin"."administrators" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE TABLE "admin"."failed_sign_ins" (
    "administrator" INTEGER NOT NULL,
    "step" TEXT NOT NULL,
    "place" TEXT NOT NULL,
    "failures" INTEGER NOT NULL DEFAULT 1,
    "since" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
    CONSTRAINT "failed_sign_ins_pkey" PRIMARY KEY ("administrator", "step", "place"),
    CONSTRAINT "failed_sign_ins_administrator_fkey" FOREIGN KEY ("administrator")
        REFERENCES "admin"."administrators" ("id") ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX "failed_sign_ins_since_idx" ON "admin"."failed_sign_ins" ("since");

ALTER TABLE "admin"."administrators" DROP COLUMN "failed_sign_ins", DROP COLUMN "failed_at";
ALTER TABLE "admin"."authenticators" DROP COLUMN "failed_codes", DROP COLUMN "failed_at";
"""

DOWN = """
ALTER TABLE "admin"."authenticators"
    ADD COLUMN "failed_codes" INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN "failed_at" TIMESTAMPTZ(3);
ALTER TABLE "admin"."administrators"
    ADD COLUMN "failed_sign_ins" INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN "failed_at" TIMESTAMPTZ(3);
DROP TABLE "admin"."failed_sign_ins", "admin"."known_browsers";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of these tables."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
