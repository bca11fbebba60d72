"""Draws that wait for nobody: the server goes on with them by itself."""

from datetime import datetime

import asyncpg
import msgspec

from app.database.engine import fetch
from app.draws.drand import CHAINS, time_of
from app.draws.drawing import draw, finish
from app.draws.ranking import DrandEntropy
from app.draws.steps import clock
from app.participants.service import staff_membership
from app.tables import Room


class DueDraw(msgspec.Struct, frozen=True):
    """A draw that can go on."""

    room_id: str
    number: int


async def due_draws() -> list[DueDraw]:
    """Find the draws of ACTIVE rooms whose drand round is due, the longest closed first."""
    now = await clock()
    rows = await fetch(
        f'SELECT x."roomId", x.number, x.entropy FROM draws x JOIN {Room.alive()} r '
        "ON r.id = x.\"roomId\" AND r.status = 'ACTIVE' "
        "WHERE x.status = 'CLOSED' AND x.entropy ->> 'kind' = 'drand' ORDER BY x.\"closedAt\", x.id"
    )
    return [DueDraw(row["roomId"], row["number"]) for row in rows if _is_due(row, now)]


def _is_due(row: asyncpg.Record, now: datetime) -> bool:
    entropy = msgspec.json.decode(row["entropy"], type=DrandEntropy)
    due = time_of(entropy.chain, entropy.round) if entropy.chain in CHAINS else None
    return due is not None and due <= now


async def draw_due(due: DueDraw) -> None:
    """Draw with the round that DRAND_URL is asked for.

    Raises:
        AppError: As `draw` does; the draw stays CLOSED and can be tried again.
    """
    member = await staff_membership(due.room_id)
    await draw(member, due.number, text=None, signature=None)


async def unfinished_draws() -> list[DueDraw]:
    """Find the READY draws, the longest READY first, whatever became of their rooms."""
    rows = await fetch(
        'SELECT "roomId", number FROM draws WHERE status = \'READY\' ORDER BY "readyAt", id'
    )
    return [DueDraw(row["roomId"], row["number"]) for row in rows]


async def finish_draw(due: DueDraw) -> None:
    """Draw with the input that is fixed.

    Raises:
        Conflict: Somebody is about it.
    """
    await finish(due.room_id, due.number)
