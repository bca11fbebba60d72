"""A prize may ask to be claimed: a win of it waits for its winner, and ends when nobody comes.

A win that was declined, or whose time is over, is deleted as a revoked one is: who holds what, how
much is left and how many won stay one thing. `claimStatus` tells the three apart, and events do.
What a claim has come to is final, and nobody moves the time by which it has to be claimed; before
that time no win expires, whoever says so.

A prize's `claim` is told and recorded as its other members are. Of what was awarded before nothing
is asked.
"""

import re
from pathlib import Path
from runpy import run_path

from piccolo.columns import JSONB, Text

from app.database.columns import Moment
from app.database.sql_migration import SqlMigration

ID = "2026-11-30T00:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "claims"

HERE = Path(__file__)
events = run_path(str(HERE.with_name("app_2026_11_29t01_00_00_000000_events.py")))
seen = run_path(str(HERE.with_name("app_2026_11_29t11_10_00_000000_draws_seen.py")))


def _written(function: str) -> str:
    [found] = re.findall(
        rf"CREATE (FUNCTION {function}\(\).*?\nEND \$\$;\n)", events["FUNCTIONS"], re.DOTALL
    )
    return f"CREATE OR REPLACE {found}"


_BEFORE = events["PRIZE_MEMBERS"]
_AFTER = {**_BEFORE, "claim": ("claim",)}


def _telling_of_prizes(members: dict[str, tuple[str, ...]]) -> str:
    before, after = (events["_changed"](each, "OLD", "NEW") for each in (_BEFORE, members))
    trigger = events["_by_row"]("prizes", "tell_of_prize", members, "roomId")
    return f"""
{_written("tell_of_prize").replace(before, after)}
DROP TRIGGER "prizes_told" ON "prizes";
{trigger}
"""


_RECORDED = "'description', r.description,"
_RECORDING: str = seen["_prizes"](picture=True)
_TELLING = _written("tell_of_winners")
_ENDED = "CASE WHEN b.alive THEN 'winner.awarded' ELSE 'winner.revoked' END"
_ENDED_BY_CLAIM = """CASE
        WHEN b.alive AND a.alive THEN 'winner.claimed'
        WHEN b.alive THEN 'winner.awarded'
        WHEN a."claimStatus" = 'PENDING' AND b."claimStatus" IN ('DECLINED', 'EXPIRED')
          THEN 'winner.' || lower(b."claimStatus")
        ELSE 'winner.revoked' END"""
_DIFFERS = "COALESCE(a.alive, false) <> COALESCE(b.alive, false)"
_DIFFERS_BY_CLAIM = f"""({_DIFFERS}
        OR b.alive AND b."claimStatus" = 'CONFIRMED' AND a."claimStatus" <> 'CONFIRMED')"""

UP = f"""
ALTER TABLE "prizes" ADD COLUMN "claim" JSONB;
ALTER TABLE "prizes" ADD CONSTRAINT "prizes_claim_check" CHECK ("claim" IS NULL
    OR COALESCE("claim" ->> 'within' ~ '^P([0-9]{{1,3}}D)?(T([0-9]{{1,4}}H)?([0-9]{{1,6}}M)?)?$'
        AND "claim" ->> 'within' ~ '[0-9]', false));

ALTER TABLE "winners" ADD COLUMN "claimStatus" TEXT, ADD COLUMN "claimBy" TIMESTAMPTZ(3),
    ADD COLUMN "claimSettledAt" TIMESTAMPTZ(3), ADD COLUMN "claimSettledBy" TEXT;
ALTER TABLE "winners"
    ADD CONSTRAINT "winners_claimStatus_check"
        CHECK ("claimStatus" IN ('PENDING', 'CONFIRMED', 'DECLINED', 'EXPIRED')),
    ADD CONSTRAINT "winners_claimSettledBy_check" CHECK ("claimSettledBy" IN ('WINNER', 'STAFF')),
    ADD CONSTRAINT "winners_claim_check" CHECK (
        ("claimStatus" IS NULL) = ("claimBy" IS NULL)
        AND ("claimStatus" IS NULL OR "claimStatus" = 'PENDING') = ("claimSettledAt" IS NULL)
        AND COALESCE("claimStatus" IN ('CONFIRMED', 'DECLINED'), false)
            = ("claimSettledBy" IS NOT NULL)
        AND ("deletedAt" IS NOT NULL
            OR COALESCE("claimStatus" NOT IN ('DECLINED', 'EXPIRED'), true)));
CREATE INDEX "winners_claimBy_idx" ON "winners" ("claimBy")
    WHERE "claimStatus" = 'PENDING' AND "deletedAt" IS NULL;
CREATE INDEX "winners_roomId_claimStatus_createdAt_id_idx"
    ON "winners" ("roomId", "claimStatus", "createdAt" DESC, "id" DESC)
    WHERE "claimStatus" IS NOT NULL;

CREATE FUNCTION refuse_change_of_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a claim is settled once, and its time is fixed'
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER "winners_claim_kept"
BEFORE UPDATE OF "claimStatus", "claimBy", "claimSettledAt", "claimSettledBy" ON "winners"
FOR EACH ROW WHEN (
    (OLD."claimStatus", OLD."claimBy", OLD."claimSettledAt", OLD."claimSettledBy")
        IS DISTINCT FROM
        (NEW."claimStatus", NEW."claimBy", NEW."claimSettledAt", NEW."claimSettledBy")
    AND NOT COALESCE(OLD."claimStatus" = 'PENDING' AND OLD."deletedAt" IS NULL
        AND NEW."claimStatus" <> 'PENDING' AND NEW."claimBy" = OLD."claimBy"
        AND (NEW."claimStatus" <> 'EXPIRED' OR OLD."claimBy" <= clock_timestamp()), false))
EXECUTE FUNCTION refuse_change_of_claim();

{_telling_of_prizes(_AFTER)}
{_RECORDING.replace(_RECORDED, f"{_RECORDED} 'claimWithin', r.claim ->> 'within',")}
{_TELLING.replace(_ENDED, _ENDED_BY_CLAIM).replace(_DIFFERS, _DIFFERS_BY_CLAIM)}
"""

DOWN = f"""
{_TELLING}
{_RECORDING}
{_telling_of_prizes(_BEFORE)}
DROP TRIGGER "winners_claim_kept" ON "winners";
DROP FUNCTION refuse_change_of_claim();
DROP INDEX "winners_roomId_claimStatus_createdAt_id_idx", "winners_claimBy_idx";
ALTER TABLE "winners" DROP COLUMN "claimStatus", DROP COLUMN "claimBy",
    DROP COLUMN "claimSettledAt", DROP COLUMN "claimSettledBy";
ALTER TABLE "prizes" DROP COLUMN "claim";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of functions."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns("Prize", "prizes", claim=JSONB(null=True, default=None))
    migration.new_columns(
        "Winner",
        "winners",
        claimStatus=Text(null=True, default=None),
        claimBy=Moment(null=True, default=None),
        claimSettledAt=Moment(null=True, default=None),
        claimSettledBy=Text(null=True, default=None),
    )
    return migration
