"""Draws: READY, where the public input is fixed before anything is computed from it.

Whoever drew could try one text after another, as long as something made each attempt fail. Now the
input is committed in a transaction of its own, and this is what keeps it there: a draw is written
once. Whatever a column of it holds stays, its status goes forwards only, and no draw is deleted,
nor the list of its entrants, nor the room that they belong to.

`wasPublic` keeps a draw readable for everybody when its room is deleted or turns private. A room
that is deleted cancels the draw that is open in it, visibly, whatever deletes the room.

`leftOut` tells who did not take part and why. For that it must be seen who was a PARTICIPANT and is
none any more: `participantUntil`, kept by a trigger.

Draws from before have no value in `allowRevoked`, `leftOut`, `readyAt`, `passed` and `unawarded`,
so their records stay what they were, byte for byte. Backwards these values are forgotten; as long
as a draw is READY there is no way back, since the version before would let another input in.
"""

from enum import StrEnum

from piccolo.columns import JSONB, Boolean, OnDelete, Text

from app.database.columns import Moment
from app.database.sql_migration import SqlMigration

ID = "2026-11-28T20:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "draws_ready"


def _statuses(*names: str, is_open: str) -> str:
    """Write how the type of `status` becomes another; what depends on it is made anew."""
    values = ", ".join(f"'{name}'" for name in names)
    return f"""
DROP INDEX "draws_roomId_open_key", "draws_replaces_key";
ALTER TABLE "draws"
  DROP CONSTRAINT "draws_closed_check",
  DROP CONSTRAINT "draws_drawn_check",
  DROP CONSTRAINT "draws_cancelled_check",
  ALTER "status" DROP DEFAULT;
ALTER TYPE "DrawStatus" RENAME TO "DrawStatus_before";
CREATE TYPE "DrawStatus" AS ENUM ({values});
ALTER TABLE "draws" ALTER "status" TYPE "DrawStatus" USING "status"::text::"DrawStatus";
DROP TYPE "DrawStatus_before";
ALTER TABLE "draws"
  ALTER "status" SET DEFAULT 'ANNOUNCED',
  ADD CONSTRAINT "draws_cancelled_check" CHECK (
    num_nonnulls("cancelledAt", "reason") = CASE "status" WHEN 'CANCELLED' THEN 2 ELSE 0 END
  );
CREATE UNIQUE INDEX "draws_roomId_open_key" ON "draws"("roomId") WHERE "status" IN ({is_open});
CREATE UNIQUE INDEX "draws_replaces_key" ON "draws"("replaces") WHERE "status" <> 'CANCELLED';
"""


_FORWARDS = _statuses(
    *("ANNOUNCED", "CLOSED", "READY", "DRAWN", "CANCELLED"),
    is_open="'ANNOUNCED', 'CLOSED', 'READY'",
)
_BACKWARDS = _statuses(
    *("ANNOUNCED", "CLOSED", "DRAWN", "CANCELLED"), is_open="'ANNOUNCED', 'CLOSED'"
)

UP = f"""
{_FORWARDS}
ALTER TABLE "draws"
  ADD "wasPublic" BOOLEAN NOT NULL DEFAULT false,
  ADD "allowRevoked" BOOLEAN,
  ADD "leftOut" JSONB,
  ADD "readyAt" TIMESTAMPTZ(3),
  ADD "passed" JSONB,
  ADD "unawarded" JSONB,
  ADD "idempotencyKey" TEXT UNIQUE,
  ADD CONSTRAINT "draws_closed_check" CHECK (
    num_nonnulls("closedAt", "plan", "planDigest") IN (0, 3)
    AND CASE "status" WHEN 'ANNOUNCED' THEN "closedAt" IS NULL
                      WHEN 'CANCELLED' THEN true
                      ELSE "closedAt" IS NOT NULL END
    AND CASE WHEN "closedAt" IS NULL THEN "leftOut" IS NULL
             ELSE "leftOut" IS NOT NULL OR "allowRevoked" IS NULL END
  ),
  ADD CONSTRAINT "draws_ready_check" CHECK (
    ("public" IS NOT NULL) = ("status" IN ('READY', 'DRAWN'))
    AND CASE "status" WHEN 'READY' THEN "readyAt" IS NOT NULL
                      WHEN 'DRAWN' THEN "readyAt" IS NOT NULL OR "allowRevoked" IS NULL
                      ELSE num_nonnulls("readyAt", "signature") = 0 END
  ),
  ADD CONSTRAINT "draws_drawn_check" CHECK (
    num_nonnulls("drawnAt", "seed", "winners", "undrawn")
      = CASE "status" WHEN 'DRAWN' THEN 4 ELSE 0 END
    AND num_nonnulls("passed", "unawarded")
      = CASE WHEN "status" = 'DRAWN' AND "readyAt" IS NOT NULL THEN 2 ELSE 0 END
  ),
  DROP CONSTRAINT "draws_roomId_fkey",
  ADD CONSTRAINT "draws_roomId_fkey" FOREIGN KEY ("roomId") REFERENCES "rooms"("id")
    ON DELETE RESTRICT ON UPDATE CASCADE;
UPDATE "draws" x SET "wasPublic" = r."isPublic" FROM "rooms" r WHERE r."id" = x."roomId";

CREATE FUNCTION keep_draw() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was JSONB := to_jsonb(OLD);
    is_now JSONB := to_jsonb(NEW);
    changed TEXT[] := ARRAY(
        SELECT name FROM jsonb_object_keys(was) name
        WHERE was -> name IS DISTINCT FROM is_now -> name
    );
BEGIN
    IF (OLD.status IN ('DRAWN', 'CANCELLED') AND changed <> '{{}}')
        OR changed && ARRAY['weightKey', 'replaces', 'allowRevoked', 'idempotencyKey']
        OR ('leftOut' = ANY (changed) AND NOT 'closedAt' = ANY (changed))
        OR ('signature' = ANY (changed) AND NOT 'public' = ANY (changed))
        OR EXISTS (
            SELECT FROM unnest(changed) name WHERE name <> 'status' AND was -> name <> 'null'
        )
        OR (OLD.status <> NEW.status AND (OLD.status::text, NEW.status::text) NOT IN (
            ('ANNOUNCED', 'CLOSED'), ('CLOSED', 'READY'), ('READY', 'DRAWN'),
            ('ANNOUNCED', 'CANCELLED'), ('CLOSED', 'CANCELLED')
        ))
    THEN
        RAISE EXCEPTION 'a draw is written once: % of one that is % do not change so',
            changed, OLD.status USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER "draws_written_once" AFTER UPDATE ON "draws" FOR EACH ROW
EXECUTE FUNCTION keep_draw();

CREATE FUNCTION refuse_change_of_draw() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'draws and their entrants are kept for ever'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER "draws_kept" BEFORE DELETE ON "draws" FOR EACH ROW
EXECUTE FUNCTION refuse_change_of_draw();
CREATE TRIGGER "draw_entrants_kept" BEFORE UPDATE OR DELETE ON "draw_entrants" FOR EACH ROW
EXECUTE FUNCTION refuse_change_of_draw();

-- Steps of a draw lock the draw before the room. So this does not wait for a step under way, with
-- which it would wait for ever.
CREATE FUNCTION cancel_draws_of_deleted_room() RETURNS trigger LANGUAGE plpgsql AS $$
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
        "cancelledAt" = date_trunc('milliseconds', clock_timestamp())
    WHERE "roomId" = NEW.id AND status IN ('ANNOUNCED', 'CLOSED');
    IF acts THEN
        PERFORM set_config('audit.actor', '', true), set_config('audit.action', '', true);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER "rooms_cancel_draws" AFTER UPDATE OF "deletedAt" ON "rooms" FOR EACH ROW
WHEN (OLD."deletedAt" IS NULL AND NEW."deletedAt" IS NOT NULL)
EXECUTE FUNCTION cancel_draws_of_deleted_room();

ALTER TABLE "participants" ADD "participantUntil" TIMESTAMPTZ(3);

CREATE FUNCTION note_end_of_participation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW."participantUntil" := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER "participants_until" BEFORE UPDATE OF "role" ON "participants" FOR EACH ROW
WHEN (OLD."role" = 'PARTICIPANT' AND NEW."role" <> 'PARTICIPANT')
EXECUTE FUNCTION note_end_of_participation();
"""

DOWN = f"""
DO $$ BEGIN
    IF EXISTS (SELECT FROM draws WHERE status = 'READY') THEN
        RAISE EXCEPTION 'a draw is READY: let a running server finish it first (finish-draws)';
    END IF;
END $$;
DROP TRIGGER "participants_until" ON "participants";
DROP FUNCTION note_end_of_participation();
ALTER TABLE "participants" DROP COLUMN "participantUntil";
DROP TRIGGER "rooms_cancel_draws" ON "rooms";
DROP FUNCTION cancel_draws_of_deleted_room();
DROP TRIGGER "draw_entrants_kept" ON "draw_entrants";
DROP TRIGGER "draws_kept" ON "draws";
DROP FUNCTION refuse_change_of_draw();
DROP TRIGGER "draws_written_once" ON "draws";
DROP FUNCTION keep_draw();
ALTER TABLE "draws" DROP CONSTRAINT "draws_ready_check";
{_BACKWARDS}
ALTER TABLE "draws"
  DROP COLUMN "wasPublic",
  DROP COLUMN "allowRevoked",
  DROP COLUMN "leftOut",
  DROP COLUMN "readyAt",
  DROP COLUMN "passed",
  DROP COLUMN "unawarded",
  DROP COLUMN "idempotencyKey",
  ADD CONSTRAINT "draws_closed_check" CHECK (
    num_nonnulls("closedAt", "plan", "planDigest") IN (0, 3)
    AND CASE "status" WHEN 'ANNOUNCED' THEN "closedAt" IS NULL
                      WHEN 'CANCELLED' THEN true
                      ELSE "closedAt" IS NOT NULL END
  ),
  ADD CONSTRAINT "draws_drawn_check" CHECK (
    num_nonnulls("drawnAt", "public", "seed", "winners", "undrawn")
      = CASE "status" WHEN 'DRAWN' THEN 5 ELSE 0 END
  ),
  DROP CONSTRAINT "draws_roomId_fkey",
  ADD CONSTRAINT "draws_roomId_fkey" FOREIGN KEY ("roomId") REFERENCES "rooms"("id")
    ON DELETE CASCADE ON UPDATE CASCADE;
"""


class DrawStatus(StrEnum):
    """As it is from here on."""

    ANNOUNCED = "ANNOUNCED"
    CLOSED = "CLOSED"
    READY = "READY"
    DRAWN = "DRAWN"
    CANCELLED = "CANCELLED"


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns(
        "Draw",
        "draws",
        wasPublic=Boolean(default=False),
        allowRevoked=Boolean(null=True, default=None),
        leftOut=JSONB(null=True, default=None),
        readyAt=Moment(null=True, default=None),
        passed=JSONB(null=True, default=None),
        unawarded=JSONB(null=True, default=None),
        idempotencyKey=Text(null=True, default=None, unique=True),
    )
    migration.alter_column("Draw", "draws", "status", params={"choices": DrawStatus})
    migration.alter_column("Draw", "draws", "roomId", params={"on_delete": OnDelete.restrict})
    migration.new_columns(
        "Participant", "participants", participantUntil=Moment(null=True, default=None)
    )
    return migration
