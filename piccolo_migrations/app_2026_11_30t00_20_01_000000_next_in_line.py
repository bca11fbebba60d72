"""Draws `draw/2`: what a winner does not claim goes to the next in the same order.

An announcement fixes how many `alternates` each prize has that has to be claimed; null is a draw/1,
whose record stays as it was. Drawn, it has them in `nextInLine`.

`draw_claims` has each unit that somebody did not take, with who has it next: of a prize one after
the other, nobody twice, written once and kept for ever like the draw. A win knows by
`drawId` in whose line it stands, which no metadata could forge.
"""

import re
from pathlib import Path
from runpy import run_path

from piccolo.columns import JSONB, Integer, Text

from app.database.columns import REQUIRED, Moment
from app.database.sql_migration import SqlMigration

ID = "2026-11-30T00:20:01:000000"
VERSION = "1.38.0"
DESCRIPTION = "next_in_line"

HERE = Path(__file__)
ready = run_path(str(HERE.with_name("app_2026_11_28t20_10_00_000000_draws_ready.py")))
who = run_path(str(HERE.with_name("app_2026_11_29t00_30_00_000000_who_between_steps.py")))


def _written(function: str, script: str) -> str:
    [found] = re.findall(rf"CREATE (FUNCTION {function}\(\).*?\nEND \$\$;\n)", script, re.DOTALL)
    return f"CREATE OR REPLACE {found}"


_KEEP = _written("keep_draw", ready["UP"])
_FIXED = "ARRAY['weightKey',"
_BY_HAND = _written("record_draw_by_hand", who["NEW"])
_LONG = "'{secret,winners}'"


def _audit(*left_out: str) -> str:
    columns = ", ".join(f"'{name}'" for name in left_out)
    return f"""
DROP TRIGGER "draws_audit" ON "draws";
CREATE TRIGGER "draws_audit" AFTER INSERT OR UPDATE OR DELETE ON "draws" FOR EACH ROW
WHEN (current_setting('audit.actor', true) <> '')
EXECUTE FUNCTION record_change({columns});
"""


UP = f"""
ALTER TABLE "draws" ADD COLUMN "alternates" INTEGER, ADD COLUMN "nextInLine" JSONB;
-- Tickets are random: to try and compress them takes a tenth of a second of a large draw.
ALTER TABLE "draws" ALTER COLUMN "nextInLine" SET STORAGE EXTERNAL;
ALTER TABLE "draws"
    ADD CONSTRAINT "draws_alternates_check" CHECK ("alternates" >= 0),
    ADD CONSTRAINT "draws_nextInLine_check"
        CHECK (("nextInLine" IS NOT NULL) = ("status" = 'DRAWN' AND "alternates" IS NOT NULL));
{_KEEP.replace(_FIXED, f"{_FIXED} 'alternates',")}
{_BY_HAND.replace(_LONG, "'{secret,winners,nextInLine}'")}
{_audit("secret", "winners", "nextInLine")}

CREATE TABLE "draw_claims" (
    "drawId" TEXT NOT NULL,
    "prizeId" TEXT NOT NULL,
    "number" INTEGER NOT NULL,
    "participantId" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "settledBy" TEXT,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "passed" JSONB NOT NULL DEFAULT '[]',
    "next" TEXT,
    CONSTRAINT "draw_claims_pkey" PRIMARY KEY ("drawId", "prizeId", "number"),
    CONSTRAINT "draw_claims_drawId_fkey" FOREIGN KEY ("drawId") REFERENCES "draws" ("id")
        ON DELETE RESTRICT ON UPDATE CASCADE,
    CONSTRAINT "draw_claims_participantId_key" UNIQUE ("drawId", "prizeId", "participantId"),
    CONSTRAINT "draw_claims_next_key" UNIQUE ("drawId", "prizeId", "next"),
    CONSTRAINT "draw_claims_number_check" CHECK ("number" >= 1),
    CONSTRAINT "draw_claims_status_check" CHECK ("status" IN ('DECLINED', 'EXPIRED')),
    CONSTRAINT "draw_claims_settledBy_check" CHECK (("status" = 'EXPIRED') = ("settledBy" IS NULL)
        AND "settledBy" IN ('WINNER', 'STAFF'))
);
CREATE TRIGGER "draw_claims_kept" BEFORE UPDATE OR DELETE ON "draw_claims" FOR EACH ROW
EXECUTE FUNCTION refuse_change_of_draw();
CREATE TRIGGER "draw_claims_not_emptied" BEFORE TRUNCATE ON "draw_claims"
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_draw();

ALTER TABLE "winners" ADD COLUMN "drawId" TEXT;
ALTER TABLE "winners"
    ADD CONSTRAINT "winners_drawId_fkey" FOREIGN KEY ("drawId") REFERENCES "draws" ("id")
        ON DELETE RESTRICT ON UPDATE CASCADE,
    ADD CONSTRAINT "winners_drawId_check" CHECK ("drawId" IS NULL OR "claimStatus" IS NOT NULL);
CREATE TRIGGER "winners_draw_kept" BEFORE UPDATE OF "drawId" ON "winners" FOR EACH ROW
WHEN (OLD."drawId" IS DISTINCT FROM NEW."drawId") EXECUTE FUNCTION refuse_change_of_claim();
"""

DOWN = f"""
DO $$ BEGIN
    IF EXISTS (SELECT FROM draws WHERE alternates IS NOT NULL) THEN
        RAISE EXCEPTION 'there are draws with claims, which the version before can''t tell of';
    END IF;
END $$;
DROP TRIGGER "winners_draw_kept" ON "winners";
ALTER TABLE "winners" DROP COLUMN "drawId";
DROP TABLE "draw_claims";
{_audit("secret", "winners")}
{_BY_HAND}
{_KEEP}
ALTER TABLE "draws" DROP COLUMN "nextInLine", DROP COLUMN "alternates";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of functions."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns(
        "Draw",
        "draws",
        alternates=Integer(null=True, default=None),
        nextInLine=JSONB(null=True, default=None),
    )
    migration.new_columns("Winner", "winners", drawId=Text(null=True, default=None))
    migration.new_table(
        "DrawClaim",
        "draw_claims",
        drawId=Text(primary_key=True, default=REQUIRED),
        prizeId=Text(default=REQUIRED),
        number=Integer(default=REQUIRED),
        participantId=Text(default=REQUIRED),
        status=Text(default=REQUIRED),
        settledBy=Text(null=True, default=None),
        at=Moment(default=REQUIRED),
        passed=JSONB(default="[]"),
        next=Text(null=True, default=None),
    )
    return migration
