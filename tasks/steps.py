"""What jobs are made of: steps that do their work in batches, each batch committed by itself."""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeAlias

import asyncpg

from app.settings import settings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

BATCH_ROWS = 200
"""About a millisecond of work, which is what others wait for at most."""
PAUSE_SHARE = 1.0
"""Of the time that a batch took: the busier the database, the longer the pause."""
LONGEST_PAUSE_SECONDS = 0.2
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)


class Step(Protocol):
    """A part of a job, which can be left after any batch and begun again later."""

    async def count(self, connection: Connection, now: datetime) -> int:
        """Return how much there is to do, without doing it."""
        ...

    def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:
        """Do it, and yield how much each batch did, after its commit."""
        ...


async def in_batches(
    connection: Connection, delete: str, now: datetime, age: timedelta, first: object
) -> AsyncGenerator[int, None]:
    """Delete what is old, and yield how much each batch did; others get their turn after it.

    Args:
        connection: Whose job it is.
        delete: Deletes at most BATCH_ROWS that are as old by `$1` as `$2` says, from `$3` on.
            Returns how many, and where the next batch begins.
        now: The time.
        age: How long ago theirs has to be.
        first: Where the first batch begins.
    """
    deleted, last = BATCH_ROWS, first
    while deleted == BATCH_ROWS:
        started = time.perf_counter()
        [(deleted, last, _)] = await connection.fetch(delete, now, age, last)
        took = time.perf_counter() - started
        yield deleted
        await asyncio.sleep(min(took * PAUSE_SHARE, LONGEST_PAUSE_SECONDS))


@dataclass(frozen=True)
class Deletion:
    """Deletes the rows whose time has come, the oldest first.

    A time has come when both the database's clock and this server's say so: the one decides about
    sessions, the other about access tokens, and what either of them still honours must stay. The
    moment itself counts as come, as it does for both.
    """

    table: str
    column: str
    """The time that counts; indexed."""
    age: timedelta = timedelta()
    """How long ago it has to be."""
    only: str = "true"
    """Which of them, in SQL."""
    days: str | None = None
    """A setting that says how long ago, instead."""

    async def count(self, connection: Connection, now: datetime) -> int:
        """Return how many rows would go."""
        count: int = await connection.fetchval(
            f'SELECT count(*) FROM "{self.table}" WHERE {self._due}', now, self._age
        )
        return count

    async def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:
        """Delete them, pausing after each batch so that others get their turn.

        Rows that somebody holds locked are left for the next time.
        """
        # The index has the order, also where the statistics are out of date.
        await connection.execute("SET enable_sort = off")
        async for deleted in in_batches(connection, self._delete, now, self._age, EARLIEST):
            yield deleted

    @property
    def _age(self) -> timedelta:
        return self.age if self.days is None else timedelta(days=getattr(settings(), self.days))

    @property
    def _due(self) -> str:
        return f'"{self.column}" <= least(now(), $1::timestamptz) - $2::interval AND ({self.only})'

    @property
    def _delete(self) -> str:
        """By physical address: 2.6 s for a million rows, where `id IN (…)` takes 32 s.

        Each batch begins where the last one ended: what is dead already is not walked through. Its
        commit waits for no disk: what a crash brings back is deleted again.
        """
        return f"""
            WITH gone AS (
                DELETE FROM "{self.table}" WHERE ctid = ANY(ARRAY(
                    SELECT ctid FROM "{self.table}" WHERE {self._due} AND "{self.column}" >= $3
                    ORDER BY "{self.column}" LIMIT {BATCH_ROWS} FOR UPDATE SKIP LOCKED
                )) RETURNING "{self.column}"
            )
            SELECT count(*), max("{self.column}"), set_config('synchronous_commit', 'off', true)
            FROM gone
        """


@dataclass(frozen=True)
class Vacuum:
    """Gives back the space of deleted rows and renews the planner's statistics of a table."""

    table: str

    async def count(self, connection: Connection, now: datetime) -> int:  # noqa: ARG002 - as every step
        """Return that there is one table to do."""
        return 1

    async def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:  # noqa: ARG002 - as every step
        """Vacuum it; others read and write meanwhile."""
        await connection.execute(f'VACUUM (ANALYZE) "{self.table}"')
        yield 1
