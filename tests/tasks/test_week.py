"""A week of two servers with two workers each, under a clock that the test winds."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.settings import PROJECT_ROOT

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
WORKERS = 4


def on(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def moments_of(day: int) -> list[datetime]:
    """Every hour of a day of the week, and when a job is due between two."""
    midnight = MONDAY + timedelta(days=day)
    minutes = sorted({*range(0, 24 * 60, 60), 2 * 60 + 20, 2 * 60 + 40})
    return [midnight + timedelta(minutes=minute) for minute in minutes]


# By hand, from the plan. The first of each was missed before the servers ever ran.
EXPECTED = {
    # Every minute, of which the workers look at these.
    "finish-draws": [moment for day in range(7) for moment in moments_of(day)],
    "expire-claims": [moment for day in range(7) for moment in moments_of(day)],
    "remind-winners": [moment for day in range(7) for moment in moments_of(day)],
    "cleanup-tokens": [on(day, 2) for day in range(15, 23)],
    "cleanup-task-runs": [on(day, 2, 20) for day in range(15, 23)],
    "cleanup-idempotency-keys": [on(day, 2, 40) for day in range(15, 23)],
    "cleanup-events": [on(day, 2, 50) for day in range(15, 23)],
    "cleanup-deliveries": [on(day, 2, 52) for day in range(15, 23)],
    "cleanup-mails": [on(day, 2, 55) for day in range(15, 23)],
    "erase-deleted-people": [on(day, 3, 10) for day in range(15, 23)],
    "forget-people": [on(day, 3, 20) for day in range(15, 23)],
    "redact-audit-log": [on(day, 3, 30) for day in range(15, 23)],
    "cleanup-stale-sessions": [on(15, 3), on(22, 3)],
    "vacuum-analyze": [on(15, 4), on(22, 4)],
}


@asynccontextmanager
async def workers(dsn: str, guard: str) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    started = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.tasks.worker", dsn, guard),
            cwd=PROJECT_ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(WORKERS)
    ]
    try:
        yield started
    finally:
        for worker in started:
            assert worker.stdin is not None
            worker.stdin.close()
            await worker.wait()


async def sweep(worker: asyncio.subprocess.Process, now: datetime) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{now.isoformat()}\n".encode())
    assert await asyncio.wait_for(worker.stdout.readline(), 60) == b"done\n"


async def live_through(dsn: str, guard: str, days: int) -> None:
    """Let all workers look at the same moments at once, the slots' own among them."""
    async with workers(dsn, guard) as running:
        for now in (moment for day in range(days) for moment in moments_of(day)):
            await asyncio.gather(*(sweep(worker, now) for worker in running))
            running.append(running.pop(0))  # by turns each is told first


@pytest.fixture
async def effects(migrated_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(migrated_database)
    await connection.execute("CREATE TABLE effects (job TEXT NOT NULL)")
    yield connection
    await connection.close()


async def test_no_slot_of_a_week_is_doubled_or_missed(
    migrated_database: str, effects: asyncpg.Connection
) -> None:
    await live_through(migrated_database, "guarded", days=7)

    rows = await effects.fetch("SELECT job, slot, runner, outcome FROM task_runs ORDER BY slot")
    slots = {job: [row["slot"] for row in rows if row["job"] == job] for job in EXPECTED}
    assert slots == EXPECTED
    assert {row["outcome"] for row in rows} == {"SUCCEEDED"}
    done = Counter(row["job"] for row in await effects.fetch("SELECT job FROM effects"))
    assert done == {job: len(expected) for job, expected in EXPECTED.items()}
    # It was a race: not always the same worker was first.
    assert len({row["runner"] for row in rows}) > 1


async def test_without_the_lock_the_same_slots_are_doubled(
    migrated_database: str, effects: asyncpg.Connection
) -> None:
    await effects.execute("DROP INDEX task_runs_job_key; DROP INDEX task_runs_job_slot_key")

    await live_through(migrated_database, "unguarded", days=1)

    done = await effects.fetchval("SELECT count(*) FROM effects WHERE job = 'finish-draws'")
    assert done > len(moments_of(0))
