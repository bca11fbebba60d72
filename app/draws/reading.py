"""Reading draws, as anybody may who sees the room."""

from collections.abc import AsyncIterator, Sequence

import asyncpg

from app.database.engine import fetchrow, fetchval
from app.database.listing import Listing, PageRequest
from app.database.versions import VERSION
from app.errors import NotFound
from app.participants.service import Membership

PARTS_PER_READ = 500

# What anybody may know, for every reader: the secret leaves the table only when the draw is over.
SHOWN = f"""
    x.id, x."roomId", x.number, x.status, x.commitment, x.prizes, x."onePrizeEach", x."weightKey",
    x.exclusions, x.entropy, x.replaces, x.immediate, x.plan, x."planDigest", x.public,
    x.signature, x.seed, x.undrawn, x.reason,
    x."announcedAt", x."closedAt", x."drawnAt", x."cancelledAt",
    CASE WHEN x.status IN ('DRAWN', 'CANCELLED') THEN x.secret END AS secret,
    x.{VERSION}
"""


async def list_draws(member: Membership, page: PageRequest) -> tuple[Sequence[asyncpg.Record], int]:
    """List a room's draws, newest first; one more than asked for when more follow."""
    listing = Listing(
        found=['FROM draws x WHERE x."roomId" = $1'],
        shown=SHOWN,
        joined="JOIN draws x ON x.id = page.id",
        order_column='"announcedAt"',
        newest_first=True,
    )
    return await listing.fetch(page, member.room_id)


async def find_draw(member: Membership, number: int) -> asyncpg.Record:
    """Read a draw with its winners.

    Raises:
        NotFound: The room has no such draw.
    """
    row = await fetchrow(
        f'SELECT {SHOWN}, x.winners FROM draws x WHERE x."roomId" = $1 AND x.number = $2',
        member.room_id,
        number,
    )
    if row is None:
        raise NotFound("There is no such draw in this room.")
    return row


async def require_draw(member: Membership, number: int) -> None:
    """Make sure that a draw is there, without reading it.

    Raises:
        NotFound: The room has no such draw.
    """
    if not await fetchval(
        'SELECT 1 FROM draws WHERE "roomId" = $1 AND number = $2', member.room_id, number
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
