"""Draws that wait for nothing but their drand round, which the server draws by itself."""

from datetime import datetime

import asyncpg
import msgspec

from app.database.engine import fetch
from app.draws.drand import CHAINS, time_of
from app.draws.drawing import draw
from app.draws.ranking import DrandEntropy
from app.draws.steps import clock
from app.participants.service import staff_membership
from app.tables import Room


class DueDraw(msgspec.Struct, frozen=True):
    """A CLOSED draw that waits for nothing but its drand round, which is published."""

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
