"""Waiting for something that becomes true, and failing when it does not in time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg

from app.database.engine import fetchval

PAUSE_SECONDS = 0.02


async def eventually(condition: Callable[[], Awaitable[object]], seconds: float = 30) -> None:
    """Return as soon as the condition holds.

    Raises:
        AssertionError: It did not, for that long.
    """
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s")
        await asyncio.sleep(PAUSE_SECONDS)


async def until_ended(tasks: Sequence[asyncio.Task[Any]], count: int) -> None:
    """Return when so many of the tasks have ended, however they did."""

    async def have_ended() -> bool:
        return sum(task.done() for task in tasks) == count

    await eventually(have_ended)


async def somebody_waits() -> bool:
    """Tell whether a statement on the database of this test waits for a lock."""
    return bool(
        await fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()"
        )
    )


async def is_waited_for(connection: asyncpg.Connection, table: str) -> bool:
    """Tell whether a statement on the connection's database waits for the lock of a table."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = $1::regclass AND NOT granted)",
            table,
        )
    )


async def is_held_up(task: asyncio.Task[Any]) -> bool:
    """Return whether the task, alone at work, has to wait for a lock, or else has ended."""

    async def is_decided() -> bool:
        return task.done() or await somebody_waits()

    await eventually(is_decided)
    return not task.done()
