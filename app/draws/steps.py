"""What every step of a draw does: it locks, it is dated, it is attributed, it is measured.

A step is a transaction of its own, or two, and never part of a longer one: what it has fixed stays
fixed, whatever becomes of the request. Locks are taken in the order draw, participants, room,
prizes, winners. Nothing else locks draws but the deletion of their room, which does not wait for
them; so the long parts, freezing the entrants and ranking them, hold up nobody else. Of two calls
for the same draw at once, the second is refused and does not wait.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg

from app.database.columns import CLOCK
from app.database.engine import fetch, fetchrow, fetchval, in_transaction
from app.database.versions import VERSION
from app.draws.ranking import Spec
from app.errors import AppError, Conflict, NotFound, RoomNotActive, ServiceUnavailable
from app.metrics import DRAW_SECONDS, DRAW_STEPS
from app.participants.service import Membership
from app.tables import Room, RoomStatus

CHANGES_LOCK = 570_441_291
CHANGES_BUCKETS = 256
"""The locks of the triggers that record what changes in a room while a draw of it is open."""
DUE_JOB = "draw-due-rounds"
"""Who draws when a drand round is due, in `audit_log`."""


@asynccontextmanager
async def step(name: str) -> AsyncIterator[None]:
    """Measure a step, to the end of its transactions."""
    if in_transaction():
        raise AssertionError("a step of a draw is committed by itself")
    outcome, started = "failed", time.perf_counter()
    try:
        yield
        outcome = "done"
    except AppError as error:
        if error.status < ServiceUnavailable.status:
            outcome = "refused"
        raise
    finally:
        DRAW_STEPS.labels(name, outcome).inc()
        DRAW_SECONDS.labels(name).observe(time.perf_counter() - started)


def actor_of(member: Membership) -> str:
    """Return who acts, for `audit_log`."""
    return member.user_id or DUE_JOB


async def lock_draw(room_id: str, number: int, *, patiently: bool = False) -> asyncpg.Record:
    """Lock a draw for a step of it.

    Args:
        room_id: The draw's.
        number: The draw's.
        patiently: Whether to wait for who is about it, rather than to be refused.

    Raises:
        NotFound: The room has no such draw.
        Conflict: Another step of it is under way.
    """
    try:
        row = await fetchrow(
            f"SELECT *, {VERSION} FROM draws "
            'WHERE "roomId" = $1 AND number = $2 FOR NO KEY UPDATE'
            f"{'' if patiently else ' NOWAIT'}",
            room_id,
            number,
        )
    except asyncpg.LockNotAvailableError as error:
        raise Conflict("Another step of this draw is under way.") from error
    if row is None:
        raise NotFound("There is no such draw in this room.")
    return row


def spec_of(row: asyncpg.Record) -> Spec:
    """Return by which computation a draw is drawn, which its announcement fixed."""
    return "draw/1" if row["alternates"] is None else "draw/2"


async def lock_active_room(member: Membership) -> asyncpg.Record:
    """Keep the room ACTIVE until the step is committed.

    Raises:
        RoomNotActive: It is not.
    """
    row = await fetchrow(
        f'SELECT status, "appId", "appManifestVersion" FROM {Room.alive()} r '
        "WHERE id = $1 FOR SHARE",
        member.room_id,
    )
    if row is None or row["status"] != RoomStatus.ACTIVE:
        raise RoomNotActive
    return row


async def let_changes_end(room_id: str) -> None:
    """Wait for the changes of a room that began before, and keep others out for this transaction.

    So none that is committed after an announcement has missed it. The triggers take it, shared,
    at the end of a statement: after its lock of the room, if any. So it is taken after the room is
    locked; else the announcement and who changes somebody's role would wait for each other.
    """
    await fetch(
        "SELECT pg_advisory_xact_lock($1, hashtext($2) & $3)",
        CHANGES_LOCK,
        room_id,
        CHANGES_BUCKETS - 1,
    )


async def clock(*, after: datetime | None = None) -> datetime:
    """Return the time by the database's clock, which all servers share.

    Args:
        after: When the step before was taken. The clock may have been set back since, or be
            another one, behind it; a record in which steps go backwards would not check out.
    """
    moment: datetime = await fetchval(f"SELECT greatest({CLOCK}, $1::timestamptz)", after)
    return moment
