"""Draws: who saw one may look at it later, and the record misses nobody who was there.

A draw that could be seen by everybody at any time after its announcement stays everybody's, also if
the room was private when it was announced: `publicUntil` tells when a room was public last. Kept
with the room, it takes no lock of a draw.

When somebody ceases to be a PARTICIPANT is told by the clock, also of who is taken out: `deletedAt`
is when that was begun, which may be before the announcement that it had to wait for.

A clock that is set back, or another server's, makes no step come before the one before it. A
prize's picture is recorded like its name.
"""

from pathlib import Path
from runpy import run_path

from app.database.columns import Moment
from app.database.sql_migration import SqlMigration

ID = "2026-11-29T11:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "draws_seen"

before = run_path(
    str(Path(__file__).with_name("app_2026_11_29t00_30_00_000000_who_between_steps.py")),
)

NO_PARTICIPANT = "NEW.\"role\" <> 'PARTICIPANT'"
LEAVES = f"""OLD."deletedAt" IS NULL
    AND ({NO_PARTICIPANT} OR NEW."deletedAt" IS NOT NULL)"""
NOW = "date_trunc('milliseconds', clock_timestamp())"


def _note_ends(columns: str, ends: str) -> str:
    return f"""
DROP TRIGGER "participants_until" ON "participants";
CREATE TRIGGER "participants_until" BEFORE UPDATE OF {columns} ON "participants" FOR EACH ROW
WHEN (OLD."role" = 'PARTICIPANT' AND {ends})
EXECUTE FUNCTION note_end_of_participation();
"""


def _cancel_draws(moment: str) -> str:
    return f"""
CREATE OR REPLACE FUNCTION cancel_draws_of_deleted_room() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    acts BOOLEAN := COALESCE(current_setting('audit.actor', true), '') = '';
BEGIN
    PERFORM FROM draws WHERE "roomId" = NEW.id AND status IN ('ANNOUNCED', 'CLOSED')
    FOR NO KEY UPDATE NOWAIT;
    IF acts THEN
        PERFORM set_config('audit.actor', 'deletion of the room', true),
            set_config('audit.action', 'cancel draw', true);
    END IF;
    UPDATE draws SET status = 'CANCELLED', reason = 'The room was deleted.',
        "cancelledAt" = {moment}
    WHERE "roomId" = NEW.id AND status IN ('ANNOUNCED', 'CLOSED');
    IF acts THEN
        PERFORM set_config('audit.actor', '', true), set_config('audit.action', '', true);
    END IF;
    RETURN NULL;
END $$;
"""


def _prizes(*, picture: bool) -> str:
    """Write the functions that record what changes of prizes."""
    written: str = before["_watch"]("prizes") + before["_watch_truncate"]("prizes")
    functions = written.split("\nCREATE FUNCTION ")[1:]
    bodies = "".join(f"\nCREATE OR REPLACE FUNCTION {f.split('$$;')[0]}$$;\n" for f in functions)
    told = "'description', r.description,"
    return bodies.replace(told, f"{told} 'imageUrl', r.\"imageUrl\",") if picture else bodies


UP = f"""
ALTER TABLE "rooms" ADD "publicUntil" TIMESTAMPTZ(3);

CREATE FUNCTION note_end_of_publicity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW."publicUntil" := {NOW};
    RETURN NEW;
END $$;
CREATE TRIGGER "rooms_public_until" BEFORE UPDATE OF "isPublic", "deletedAt" ON "rooms"
FOR EACH ROW WHEN (OLD."isPublic" AND OLD."deletedAt" IS NULL
    AND (NOT NEW."isPublic" OR NEW."deletedAt" IS NOT NULL))
EXECUTE FUNCTION note_end_of_publicity();
{_note_ends('"role", "deletedAt"', LEAVES)}
{_cancel_draws(f'GREATEST({NOW}, "announcedAt", "closedAt")')}
{_prizes(picture=True)}
"""

DOWN = f"""
{_prizes(picture=False)}
{_cancel_draws(NOW)}
{_note_ends('"role"', NO_PARTICIPANT)}
DROP TRIGGER "rooms_public_until" ON "rooms";
DROP FUNCTION note_end_of_publicity();
ALTER TABLE "rooms" DROP COLUMN "publicUntil";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns("Room", "rooms", publicUntil=Moment(null=True, default=None))
    return migration
