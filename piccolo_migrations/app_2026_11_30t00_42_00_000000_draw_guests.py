"""A draw tells how many of its entrants were guests: nobody knows how many people these are.

Whether somebody is a guest is looked up by their id alone: by the index of guests, which is empty
when a plan is made, each row would read all of them.
"""

from pathlib import Path
from runpy import run_path

from piccolo.columns import Integer

from app.database.sql_migration import SqlMigration

ID = "2026-11-30T00:42:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "draw_guests"

guests = run_path(str(Path(__file__).with_name("app_2026_11_30t00_41_00_000000_guests.py")))
_BEFORE = guests["UP"][
    guests["UP"].index("FUNCTION keep_guest_in_place") : guests["UP"].index(
        'CREATE TRIGGER "participants_guest"'
    )
]

UP = """
CREATE OR REPLACE FUNCTION keep_guest_in_place() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    only_room TEXT;
BEGIN
    SELECT "guestOf" INTO only_room FROM users WHERE id = NEW."userId";
    IF only_room <> NEW."roomId"
        OR only_room IS NOT NULL AND NEW.role NOT IN ('PARTICIPANT', 'VIEWER')
    THEN
        RAISE EXCEPTION 'a guest is in one room alone, as PARTICIPANT or VIEWER'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'participants_guest_check';
    END IF;
    RETURN NEW;
END $$;
ALTER TABLE "draws" ADD COLUMN "guests" INTEGER,
    ADD CONSTRAINT "draws_guests_check"
        CHECK ("guests" IS NULL OR ("guests" >= 0 AND "closedAt" IS NOT NULL));
"""

DOWN = f"""
CREATE OR REPLACE {_BEFORE}ALTER TABLE "draws" DROP COLUMN "guests";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns("Draw", "draws", guests=Integer(null=True, default=None))
    return migration
