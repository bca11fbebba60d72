"""Reading draws: whose they are to see, and what of them.

A draw that there was while its room was public stays everybody's, though the room be deleted or
made private: else whoever may do that could hide how it went.
"""

from collections.abc import AsyncIterator, Sequence

import asyncpg
import msgspec

from app.database.columns import rfc3339
from app.database.engine import fetch, fetchrow, fetchval
from app.database.listing import Listing, PageRequest
from app.database.versions import VERSION
from app.errors import NotFound
from app.participants.service import Membership, attendee, joined_as, membership

PARTS_PER_READ = 500
MOST_NAMED = 1_000
"""Of a draw's wins."""

# What anybody may know, for every reader: the secret leaves the table only when the draw is over.
_SHOWN = f"""
    x.id, x."roomId", x.number, x.status, x.commitment, x.prizes, x.alternates,
    x."onePrizeEach", x."weightKey",
    x.entropy, x.replaces, x."allowRevoked", x.immediate, x.plan, x."planDigest",
    x.public, x.signature, x.seed, x.undrawn, x.reason, x.guests,
    x."announcedAt", x."closedAt", x."readyAt", x."drawnAt", x."cancelledAt",
    CASE WHEN x.status IN ('DRAWN', 'CANCELLED') THEN x.secret END AS secret,
    x.{VERSION}
"""
_CLAIMS = f"""(
    SELECT jsonb_agg(jsonb_build_object(
        'prizeId', c."prizeId", 'participantId', c."participantId", 'status', c.status,
        'settledBy', c."settledBy", 'at', {rfc3339("c.at")}, 'passed', c.passed, 'next', c.next
    ) ORDER BY c.number) FROM draw_claims c WHERE c."drawId" = x.id
)"""
_SHOWN_ALONE = f"""
    {_SHOWN}, x.exclusions, x.winners, x."leftOut", x.passed, x.unawarded, x."nextInLine",
    {_CLAIMS} AS claims
"""
"""With what may be long."""


_WAS_SEEN = """(x."wasPublic" OR x."announcedAt" <= (
    SELECT r."publicUntil" FROM rooms r WHERE r.id = x."roomId"))"""
"""Whether a draw could be seen by everybody, at its announcement or later."""


class Readable(msgspec.Struct, frozen=True):
    """The draws of a room that somebody may see."""

    room_id: str
    public_only: bool = False
    """Only those that there were while the room was public."""

    @property
    def condition(self) -> str:
        """What holds for a row x of draws, $1 being the room."""
        return 'x."roomId" = $1' + (f" AND {_WAS_SEEN}" if self.public_only else "")


async def readable(user_id: str | None, room_id: str) -> Readable:
    """Find out which draws of a room somebody may see; None for anonymous visitors.

    Raises:
        NotFound: None, whether there is such a room or not.
    """
    try:
        await membership(user_id, room_id)
    except NotFound:
        return await _left_of(user_id, room_id)
    return Readable(room_id)


async def _left_of(user_id: str | None, room_id: str) -> Readable:
    """Find what a room that is deleted or private shows to somebody who is not let in.

    Who was in a room when it was deleted still sees all of its draws, also who was brought in by an
    address and has an account only since.
    """
    row = await fetchrow(
        f"""
        SELECT num_nonnulls(p.id, i.id) > 0 OR COALESCE(u."isAdmin", false) AS "wasIn",
            EXISTS (SELECT FROM draws x WHERE x."roomId" = r.id AND {_WAS_SEEN}) AS "wasPublic"
        FROM rooms r {joined_as("r")} WHERE r.id = $1
        """,
        room_id,
        user_id,
    )
    if row is None or not (row["wasIn"] or row["wasPublic"]):
        raise NotFound("There is no such room.")
    return Readable(room_id, public_only=not row["wasIn"])


async def list_draws(these: Readable, page: PageRequest) -> tuple[Sequence[asyncpg.Record], int]:
    """List a room's draws, newest first; one more than asked for when more follow."""
    listing = Listing(
        found=[f"FROM draws x WHERE {these.condition}"],
        shown=_SHOWN,
        joined="JOIN draws x ON x.id = page.id",
        order_column='"announcedAt"',
        newest_first=True,
    )
    return await listing.fetch(page, these.room_id)


async def find_draw(these: Readable, number: int) -> asyncpg.Record:
    """Read a draw with its winners.

    Raises:
        NotFound: The room has no such draw.
    """
    row = await fetchrow(
        f"SELECT {_SHOWN_ALONE} FROM draws x WHERE {these.condition} AND x.number = $2",
        these.room_id,
        number,
    )
    if row is None:
        raise NotFound("There is no such draw in this room.")
    return row


async def shown_to_all(ids: Sequence[str]) -> Sequence[asyncpg.Record]:
    """Read draws as lists show them."""
    return await fetch(f"SELECT {_SHOWN} FROM draws x WHERE x.id = ANY($1)", ids)


async def require_draw(these: Readable, number: int) -> None:
    """Make sure that a draw is there, without reading it.

    Raises:
        NotFound: The room has no such draw.
    """
    if not await fetchval(
        f"SELECT 1 FROM draws x WHERE {these.condition} AND x.number = $2", these.room_id, number
    ):
        raise NotFound("There is no such draw in this room.")


# A win is known by its ticket, which nobody could write into an award before it was drawn: what was
# awarded by hand later on, and says the same, is not the oldest. OFFSET keeps PostgreSQL to the few
# who are named; it would go through all tables.
_NAMED = """
    WITH draw AS (
        SELECT * FROM draws x WHERE x."roomId" = $1 AND x.number = $2
    ), win AS (
        SELECT 0 AS turn, w."participantId" AS participant, w."prizeId" AS prize, w.id AS winner,
            w.metadata ->> 'ticket' AS ticket, NULL AS instead
        FROM draw JOIN winners w ON w.id = draw.replaces AND w."roomId" = draw."roomId"
        UNION ALL
        SELECT turn, each ->> 'participantId', each ->> 'prizeId', NULL, each ->> 'ticket', NULL
        FROM draw, jsonb_array_elements(
            jsonb_path_query_array(draw.winners, '$[0 to $last_named]',
                jsonb_build_object('last_named', $3::int - 1))
        ) WITH ORDINALITY AS listed (each, turn)
        UNION ALL
        SELECT jsonb_array_length(draw.winners)
                + row_number() OVER (ORDER BY c.at, c."prizeId", c.number),
            c.next, c."prizeId", NULL, NULL, c."participantId"
        FROM draw JOIN draw_claims c ON c."drawId" = draw.id AND c.next IS NOT NULL
    )
    SELECT win.turn, win.participant AS "participantId", win.prize AS "prizeId",
        z.name AS "prizeName", win.instead AS "takesOverFrom", award.id AS "winnerId",
        CASE WHEN NOT award."isEnded" THEN award."deletedAt" END AS "revokedAt",
        award."claimStatus", award."claimBy", award."claimSettledAt", award."claimSettledBy",
        origin.number AS "drawnIn", again.number AS "redrawnIn", {attendee}
    FROM draw
    LEFT JOIN win ON true
    LEFT JOIN LATERAL (SELECT * FROM participants WHERE id = win.participant OFFSET 0) p ON true
    LEFT JOIN LATERAL (SELECT * FROM users WHERE id = p."userId" OFFSET 0) u ON true
    LEFT JOIN LATERAL (SELECT * FROM prizes WHERE id = win.prize OFFSET 0) z ON true
    LEFT JOIN LATERAL (
        SELECT w.*, COALESCE(w."claimStatus" IN ('DECLINED', 'EXPIRED'), false) AS "isEnded"
        FROM winners w
        WHERE w."participantId" = win.participant AND w."prizeId" = win.prize
          AND (w.id = win.winner OR win.winner IS NULL
            AND (w.metadata ->> 'ticket' = win.ticket OR w."drawId" = draw.id))
        ORDER BY w."createdAt", w.id LIMIT 1
    ) award ON true
    LEFT JOIN LATERAL (
        SELECT d.number FROM draws d
        WHERE d."roomId" = $1 AND (win.turn > 0 AND d.number = $2 OR win.turn = 0
          AND (d.id = award."drawId" OR d.winners @> jsonb_build_array(jsonb_build_object(
            'prizeId', win.prize, 'participantId', win.participant, 'ticket', win.ticket))))
        ORDER BY d.number LIMIT 1
    ) origin ON true
    LEFT JOIN LATERAL (
        SELECT number FROM draws WHERE replaces = award.id AND status <> 'CANCELLED' OFFSET 0
    ) again ON true
    WHERE win.turn IS NULL OR win.turn <= $3 + COALESCE(jsonb_array_length(draw.winners), 0)
    ORDER BY win.turn
"""
_TO_OTHERS = _NAMED.format(attendee=attendee("p", to_moderator=False))
_TO_MODERATORS = _NAMED.format(attendee=attendee("p", to_moderator=True))


async def name_wins(member: Membership, number: int) -> Sequence[asyncpg.Record]:
    """Read whom a draw's wins went to, as the room's lists call them, and what became of each.

    The win that the draw replaces has the turn 0, those of the draw have theirs from 1, and after
    them who took over what was not claimed; where there is none of them, one row has none.

    Raises:
        NotFound: The room has no such draw.
    """
    rows = await fetch(
        _TO_MODERATORS if member.moderates else _TO_OTHERS, member.room_id, number, MOST_NAMED
    )
    if not rows:
        raise NotFound("There is no such draw in this room.")
    return rows


async def read_entrants(draw_id: str) -> AsyncIterator[bytes]:
    """Read `entrants.txt` piece by piece, holding nothing between two pieces."""
    part = 0
    while True:
        lines = await fetchval(
            "SELECT string_agg(lines, '' ORDER BY part) FROM draw_entrants "
            'WHERE "drawId" = $1 AND part >= $2 AND part < $2 + $3',
            draw_id,
            part,
            PARTS_PER_READ,
        )
        if lines is None:
            return
        yield lines.encode()
        part += PARTS_PER_READ
