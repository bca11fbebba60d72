"""Codes that are sent by mail to sign in with: one of each address, the last.

A mail that tells one is of no room.
"""

from piccolo.columns import ForeignKey, Integer, Text

from app.database.columns import REQUIRED, Moment
from app.database.sql_migration import SqlMigration

ID = "2026-11-30T00:40:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "sign_in_codes"

UP = """
CREATE TABLE "sign_in_codes" (
    "email" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "kid" TEXT NOT NULL,
    "expiresAt" TIMESTAMPTZ(3) NOT NULL,
    "usedAt" TIMESTAMPTZ(3),
    "tries" INTEGER NOT NULL DEFAULT 0,
    "asked" INTEGER NOT NULL DEFAULT 1,
    "askedSince" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "sign_in_codes_pkey" PRIMARY KEY ("email"),
    CONSTRAINT "sign_in_codes_id_key" UNIQUE ("id"),
    CONSTRAINT "sign_in_codes_tries_check" CHECK ("tries" BETWEEN 0 AND 5),
    CONSTRAINT "sign_in_codes_asked_check" CHECK ("asked" BETWEEN 1 AND 10)
);
CREATE INDEX "sign_in_codes_askedSince_idx" ON "sign_in_codes" ("askedSince");

ALTER TABLE "mails"
    ALTER COLUMN "roomId" DROP NOT NULL,
    DROP CONSTRAINT "mails_kind_check",
    ADD CONSTRAINT "mails_kind_check" CHECK ("kind" IN ('code', 'you-won')),
    ADD CONSTRAINT "mails_roomId_check" CHECK (("kind" = 'code') = ("roomId" IS NULL));
CREATE INDEX "mails_codes_due_idx" ON "mails" ("nextAttemptAt")
    WHERE "status" = 'PENDING' AND "kind" = 'code';
"""

DOWN = """
DELETE FROM "mails" WHERE "kind" = 'code';
DROP INDEX "mails_codes_due_idx";
ALTER TABLE "mails"
    ALTER COLUMN "roomId" SET NOT NULL,
    DROP CONSTRAINT "mails_roomId_check",
    DROP CONSTRAINT "mails_kind_check",
    ADD CONSTRAINT "mails_kind_check" CHECK ("kind" IN ('you-won'));
DROP TABLE "sign_in_codes";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_table(
        "SignInCode",
        "sign_in_codes",
        email=Text(primary_key=True, default=REQUIRED),
        id=Text(default=REQUIRED, unique=True),
        kid=Text(default=REQUIRED),
        expiresAt=Moment(default=REQUIRED),
        usedAt=Moment(null=True, default=None),
        tries=Integer(default=0),
        asked=Integer(default=1),
        askedSince=Moment(),
    )
    migration.alter_column(
        table_class_name="Mail",
        tablename="mails",
        column_name="roomId",
        db_column_name="roomId",
        params={"null": True},
        old_params={"null": False},
        column_class=ForeignKey,
        old_column_class=ForeignKey,
    )
    return migration
