"""Passing on what a winner of a draw did not take: to the next in the line that the draw fixed.

Nobody chooses. Of each prize who was before in the line is written down, with who has the unit next
and who could not have it: `draw_claims`, part of the public record, from which everybody finds the
same.
"""

from collections.abc import Iterator, Sequence

import asyncpg
import msgspec

from app.database.engine import fetch, fetchrow, jsonb
from app.database.ids import new_id
from app.draws.ranking import Win
from app.draws.record import Skipped
from app.metrics import AWARDS
from app.tables import Winner
from app.winners.service import waiting

_LINE = """
    SELECT x.number, (
            SELECT each -> 'claim' FROM jsonb_array_elements(x.prizes) each WHERE each ->> 'id' = $2
        ) AS claim,
        jsonb_path_query_array(x."nextInLine", '$[*] ? (@.prizeId == $prize)',
            jsonb_build_object('prize', $2::text)) AS line,
        done.count, done.turns
    FROM draws x, LATERAL (
        SELECT count(*)::int AS count,
            COALESCE(sum(jsonb_array_length(passed) + num_nonnulls(next)), 0)::int AS turns
        FROM draw_claims c WHERE c."drawId" = x.id AND c."prizeId" = $2
    ) done
    WHERE x.id = $1
"""
_ABLE = f"""
    SELECT p.id, EXISTS (
        SELECT FROM {Winner.alive()} w WHERE w."participantId" = p.id AND w."prizeId" = $2
    ) AS holds
    FROM participants p LEFT JOIN users u ON u.id = p."userId"
    WHERE p.id = ANY($1) AND u."deletedAt" IS NULL AND num_nonnulls(p."userId", p.email) > 0
    ORDER BY p.id FOR KEY SHARE OF p
"""


async def pass_on(draw_id: str, prize_id: str, ended: Sequence[asyncpg.Record]) -> int:
    """Give the units of a locked prize that were not taken to the next in its line.

    Args:
        draw_id: The draw's in whose line they stood.
        prize_id: The prize's.
        ended: The wins that ended, in their order.

    Returns:
        How many have somebody again.
    """
    found = await fetchrow(_LINE, draw_id, prize_id)
    if found is None:
        raise AssertionError("a draw is kept for ever")
    line = msgspec.json.decode(found["line"], type=list[Win])[found["turns"] :]
    able = {
        row["id"]: row["holds"]
        for row in await fetch(_ABLE, [each.participantId for each in line], prize_id)
    }
    standing = iter(line)
    turns = [_next(standing, able) for _ in ended]
    await _write_down(draw_id, prize_id, found["count"], ended, turns)
    taken = [
        (heir, before["claimSettledAt"])
        for before, (_, heir) in zip(ended, turns, strict=True)
        if heir is not None
    ]
    await fetch(
        'INSERT INTO winners (id, "roomId", "participantId", "prizeId", metadata, "createdAt", '
        f'"claimStatus", "claimBy", "drawId") SELECT a.id, z."roomId", a.participant, z.id, '
        f"a.metadata, a.at, {waiting('$6::jsonb', 'a.at')}, $1 "
        "FROM unnest($3::text[], $4::text[], $5::jsonb[], $7::timestamptz[]) "
        "AS a (id, participant, metadata, at), prizes z WHERE z.id = $2",
        draw_id,
        prize_id,
        [new_id() for _ in taken],
        [heir.participantId for heir, _ in taken],
        [
            jsonb({"draw": found["number"], "place": heir.place, "ticket": heir.ticket})
            for heir, _ in taken
        ],
        found["claim"],
        [at for _, at in taken],
    )
    AWARDS.inc(len(taken))
    return len(taken)


def _next(line: Iterator[Win], able: dict[str, bool]) -> tuple[list[Skipped], Win | None]:
    """Take from a line who is next, with those who can't have it.

    Args:
        line: Who stands there.
        able: Those who are somebody's still, and whether they hold the prize already.
    """
    passed = []
    for each in line:
        if each.participantId not in able:
            passed.append(Skipped(each.participantId, "GONE"))
        elif able[each.participantId]:
            passed.append(Skipped(each.participantId, "HOLDS_PRIZE"))
        else:
            return passed, each
    return passed, None


async def _write_down(
    draw_id: str,
    prize_id: str,
    count: int,
    ended: Sequence[asyncpg.Record],
    turns: Sequence[tuple[list[Skipped], Win | None]],
) -> None:
    """Add to the public record who did not take it, and who is next."""
    await fetch(
        'INSERT INTO draw_claims ("drawId", "prizeId", number, "participantId", status, '
        '"settledBy", at, passed, next) '
        "SELECT $1, $2, $3 + place, participant, status, settler, at, passed, heir "
        "FROM unnest($4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::jsonb[], "
        "$9::text[]) WITH ORDINALITY "
        "AS a (participant, status, settler, at, passed, heir, place)",
        draw_id,
        prize_id,
        count,
        [row["participantId"] for row in ended],
        [row["claimStatus"] for row in ended],
        [row["claimSettledBy"] for row in ended],
        [row["claimSettledAt"] for row in ended],
        [jsonb(passed) for passed, _ in turns],
        [heir and heir.participantId for _, heir in turns],
    )
