"""Runs of jobs: each slot once, whoever tries, and a row in `task_runs` for every attempt.

Who runs a job holds its advisory lock, on the very connection that does the work: a process that
dies, or loses the database, loses both, and another goes on. The lock alone would let servers whose
clocks differ run a slot twice, one after the other; the rows tell that it was done.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from app.database.engine import DB, fetch
from app.database.ids import new_id
from app.tables import TaskOutcome
from tasks.schedule import Job
from tasks.steps import Connection

LOCK = 570_441_290
"""The first half of the advisory locks' keys: any number that nobody else uses."""
FIRST_RETRY = timedelta(seconds=10)
LONGEST_RETRY = timedelta(hours=1)
TELL_SECONDS = 1.0
"""How late a run's row may tell how much was done; told after every batch, others would wait."""

ABANDON = """
    UPDATE task_runs SET outcome = 'ABANDONED', "finishedAt" = $1,
      error = 'the process that ran it is gone'
    WHERE outcome = 'RUNNING'
"""
LOCK_OF_JOB = """
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = $2
    AND objid::bigint = hashtext(job)::bit(32)::bigint
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

Clock = Callable[[], datetime]
Report = Callable[[int], None]


class JobFailed(Exception):
    """A job ended with an error, which its row tells too."""


class Ended(NamedTuple):
    """How a run ended."""

    outcome: TaskOutcome
    rows: int


def this_process() -> str:
    """Name the process that runs a job."""
    return f"{socket.gethostname()}:{os.getpid()}"


@asynccontextmanager
async def exclusive(job: Job) -> AsyncIterator["Connection | None"]:
    """Give out a connection that holds the job's lock; None if somebody else runs it."""
    connection = await DB.get_new_connection()
    try:
        locked = await connection.fetchval(
            "SELECT pg_try_advisory_lock($1, hashtext($2)) "
            "FROM set_config('audit.caller', $2, false)",
            LOCK,
            job.name,
        )
        yield connection if locked else None
    finally:
        await asyncio.shield(connection.close())


async def is_settled(connection: Connection, job: Job, slot: datetime) -> bool:
    """Tell whether the job has done its work for this slot."""
    settled: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM task_runs"
        " WHERE job = $1 AND slot = $2 AND outcome = 'SUCCEEDED')",
        job.name,
        slot,
    )
    return settled


async def retry_at(connection: Connection, job: Job, slot: datetime) -> datetime | None:
    """Return when to try again after failures: each time twice as long after the last one."""
    row = await connection.fetchrow(
        """
        SELECT count(*) AS failures,
          max(CASE outcome WHEN 'FAILED' THEN "finishedAt" ELSE "startedAt" END) AS last
        FROM task_runs WHERE job = $1 AND slot = $2 AND outcome IN ('FAILED', 'ABANDONED')
        """,
        job.name,
        slot,
    )
    if row is None or row["last"] is None:
        return None
    last: datetime = row["last"]
    failures: int = row["failures"]
    return last + min(FIRST_RETRY * (1 << min(failures - 1, 20)), LONGEST_RETRY)


async def run(
    connection: Connection,
    job: Job,
    slot: datetime | None,
    *,
    run_id: str | None = None,
    clock: Clock,
    stopping: asyncio.Event,
    report: Report = lambda _: None,
) -> Ended:
    """Run a job to its end, or until `stopping` is set and a batch is done, and record it.

    Args:
        connection: One of `exclusive`, which holds the job's lock.
        job: What to run.
        slot: None for a run that somebody asked for.
        run_id: Of its row in `task_runs`; None for a new one.
        clock: This server's.
        stopping: Set when the server stops.
        report: Told after each batch how much it did.

    Raises:
        JobFailed: It did not succeed; the cause says why.
    """
    await _close_former(connection, job, clock())
    tally = _Tally(connection, run_id or new_id(), report)
    await _begin(connection, tally.run_id, job, slot, clock())
    try:
        outcome = await _work(connection, job, tally, clock(), stopping)
    except asyncio.CancelledError:
        await asyncio.shield(_finish(connection, tally, TaskOutcome.INTERRUPTED, clock()))
        raise
    except Exception as error:
        # Without its connection it can't say so; whoever goes on finds the row and closes it.
        with suppress(asyncpg.InterfaceError, asyncpg.PostgresError, OSError):
            await _finish(connection, tally, TaskOutcome.FAILED, clock(), repr(error))
        raise JobFailed(f"{job.name}: {error!r}") from error
    await _finish(connection, tally, outcome, clock())
    return Ended(outcome, tally.rows)


class _Tally:
    """How much a run has done."""

    def __init__(self, connection: Connection, run_id: str, report: Report) -> None:
        self.run_id = run_id
        self.rows = 0
        self._connection = connection
        self._report = report
        self._told_at = time.monotonic()

    async def add(self, done: int) -> None:
        """Count a batch, and let the run's row tell of it unless it just told of another."""
        self.rows += done
        self._report(done)
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            await self._connection.execute(
                "UPDATE task_runs SET rows = $2 WHERE id = $1", self.run_id, self.rows
            )
            self._told_at = time.monotonic()


async def _work(
    connection: Connection, job: Job, tally: _Tally, now: datetime, stopping: asyncio.Event
) -> TaskOutcome:
    for step in job.steps:
        async with aclosing(step.batches(connection, now)) as batches:
            async for done in batches:
                await tally.add(done)
                if stopping.is_set():
                    return TaskOutcome.INTERRUPTED
    return TaskOutcome.SUCCEEDED


async def _close_former(connection: Connection, job: Job, now: datetime) -> None:
    """Close the run of a process that died: we have the lock that it held."""
    await connection.execute(f"{ABANDON} AND job = $2", now, job.name)


async def close_abandoned(now: datetime) -> None:
    """Close every run whose process died: nobody holds its job's lock."""
    await fetch(f"{ABANDON} AND NOT EXISTS ({LOCK_OF_JOB})", now, LOCK)


async def _begin(
    connection: Connection, id_: str, job: Job, slot: datetime | None, now: datetime
) -> None:
    await connection.execute(
        'INSERT INTO task_runs (id, job, slot, runner, "startedAt") VALUES ($1, $2, $3, $4, $5)',
        id_,
        job.name,
        slot,
        this_process(),
        now,
    )


async def _finish(
    connection: Connection,
    tally: _Tally,
    outcome: TaskOutcome,
    now: datetime,
    error: str | None = None,
) -> None:
    await connection.execute(
        'UPDATE task_runs SET outcome = $2, "finishedAt" = $3, error = $4, rows = $5 WHERE id = $1',
        tally.run_id,
        outcome,
        now,
        error,
        tally.rows,
    )


async def count(connection: Connection, job: Job, now: datetime) -> int:
    """Return how much the job would do."""
    return sum([await step.count(connection, now) for step in job.steps])


async def last_runs() -> dict[str, asyncpg.Record]:
    """Return the last run of each job by the job's name."""
    rows = await fetch(
        'SELECT DISTINCT ON (job) * FROM task_runs ORDER BY job, "startedAt" DESC, id DESC'
    )
    return {row["job"]: row for row in rows}
