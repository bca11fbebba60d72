"""Guests: people without an account, who are in one room alone and never more than PARTICIPANT.

Whose guest somebody is never changes, so what a trigger reads of it stays true.
"""

from pathlib import Path
from runpy import run_path

from piccolo.columns import Boolean, Text

from app.database.sql_migration import SqlMigration

ID = "2026-11-30T00:41:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "guests"

mails = run_path(str(Path(__file__).with_name("app_2026_11_29t11_30_00_000000_mails.py")))
_BEFORE = mails["_AFTER"]
_AFTER = {**_BEFORE, "guests": ("guests",)}
_telling_of = mails["_telling_of"]

UP = f"""
ALTER TABLE "rooms" ADD COLUMN "guests" BOOLEAN NOT NULL DEFAULT false;
{_telling_of(_AFTER)}
ALTER TABLE "users" ADD COLUMN "guestOf" TEXT,
    ADD CONSTRAINT "users_guestOf_fkey" FOREIGN KEY ("guestOf") REFERENCES "rooms" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE,
    ADD CONSTRAINT "users_guest_check" CHECK ("guestOf" IS NULL OR (
        NOT "isAdmin" AND num_nonnulls("emailVerified", "providerId", "avatar") = 0
    ));
CREATE INDEX "users_guestOf_idx" ON "users" ("guestOf") WHERE "guestOf" IS NOT NULL;

CREATE FUNCTION keep_guest_in_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM users WHERE id = NEW."userId" AND "guestOf" IS NOT NULL
            AND ("guestOf" <> NEW."roomId" OR NEW.role NOT IN ('PARTICIPANT', 'VIEWER'))
    ) THEN
        RAISE EXCEPTION 'a guest is in one room alone, as PARTICIPANT or VIEWER'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'participants_guest_check';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER "participants_guest" BEFORE INSERT OR UPDATE OF "userId", "roomId", "role"
ON "participants" FOR EACH ROW WHEN (NEW."userId" IS NOT NULL)
EXECUTE FUNCTION keep_guest_in_place();
"""

DOWN = f"""
DROP TRIGGER "participants_guest" ON "participants";
DROP FUNCTION keep_guest_in_place();
{_telling_of(_BEFORE)}
ALTER TABLE "users" DROP CONSTRAINT "users_guest_check", DROP COLUMN "guestOf";
ALTER TABLE "rooms" DROP COLUMN "guests";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of functions."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns("Room", "rooms", guests=Boolean(default=False))
    migration.new_columns("User", "users", guestOf=Text(null=True, default=None))
    return migration
