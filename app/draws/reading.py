"""Reading draws: whose they are to see, and what of them.

A draw that was announced in a public room stays everybody's, though the room be deleted or made
private: else whoever may do that could hide how it went.
"""

from collections.abc import AsyncIterator, Sequence

import asyncpg
import msgspec

from app.database.engine import fetchrow, fetchval
from app.database.listing import Listing, PageRequest
from app.database.versions import VERSION
from app.errors import NotFound
from app.participants.service import membership
from app.tables import Participant, User

PARTS_PER_READ = 500

# What anybody may know, for every reader: the secret leaves the table only when the draw is over.
_SHOWN = f"""
    x.id, x."roomId", x.number, x.status, x.commitment, x.prizes, x."onePrizeEach", x."weightKey",
    x.exclusions, x.entropy, x.replaces, x."allowRevoked", x.immediate, x.plan, x."planDigest",
    x.public, x.signature, x.seed, x.undrawn, x.reason,
    x."announcedAt", x."closedAt", x."readyAt", x."drawnAt", x."cancelledAt",
    CASE WHEN x.status IN ('DRAWN', 'CANCELLED') THEN x.secret END AS secret,
    x.{VERSION}
"""
_SHOWN_ALONE = f'{_SHOWN}, x.winners, x."leftOut", x.passed, x.unawarded'
"""With what may be long."""


class Readable(msgspec.Struct, frozen=True):
    """The draws of a room that somebody may see."""

    room_id: str
    public_only: bool = False
    """Only those that were announced while the room was public."""

    @property
    def condition(self) -> str:
        """What holds for a row x of draws, $1 being the room."""
        return 'x."roomId" = $1' + (' AND x."wasPublic"' if self.public_only else "")


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

    Who was in a room when it was deleted still sees all of its draws.
    """
    row = await fetchrow(
        f"""
        SELECT p.id IS NOT NULL OR COALESCE(u."isAdmin", false) AS was_in
        FROM rooms r
        LEFT JOIN {Participant.alive()} p ON p."roomId" = r.id AND p."userId" = $2
        LEFT JOIN {User.alive()} u ON u.id = $2
        WHERE r.id = $1 AND (p.id IS NOT NULL OR u."isAdmin" OR EXISTS (
            SELECT FROM draws WHERE "roomId" = r.id AND "wasPublic"
        ))
        """,
        room_id,
        user_id,
    )
    if row is None:
        raise NotFound("There is no such room.")
    return Readable(room_id, public_only=not row["was_in"])


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


async def require_draw(these: Readable, number: int) -> None:
    """Make sure that a draw is there, without reading it.

    Raises:
        NotFound: The room has no such draw.
    """
    if not await fetchval(
        f"SELECT 1 FROM draws x WHERE {these.condition} AND x.number = $2", these.room_id, number
    ):
        raise NotFound("There is no such draw in this room.")


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
