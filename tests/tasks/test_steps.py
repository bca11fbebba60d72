"""What the jobs delete, to the moment, and what they leave."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.database.engine import fetchval
from tasks import steps
from tasks.schedule import JOBS, STALE_SESSION_AGE, Job
from tasks.steps import Connection, Deletion

AHEAD = timedelta(days=3)
"""This server's clock is ahead, so that the database's decides."""
BEHIND = -AHEAD


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def add_revoked(connection: Connection, name: str, expires_at: datetime) -> None:
    await connection.execute(
        'INSERT INTO token_blacklist (id, "tokenHash", "expiresAt", "userId")'
        " VALUES ($1, $1, $2, 'u')",
        name,
        expires_at,
    )


async def add_sessions(connection: Connection, number: int, *, age: timedelta) -> None:
    await connection.execute(
        "INSERT INTO users (id, email, \"updatedAt\") VALUES ('u', 'u@example.com', now())"
        " ON CONFLICT DO NOTHING"
    )
    await connection.execute(
        """
        INSERT INTO sessions
          (id, "userId", "refreshToken", "expiresAt", "lastUsedAt", "updatedAt")
        SELECT md5(n || $2::interval::text), 'u', md5(n || $2::interval::text),
          now() - $2::interval, now() - $2::interval, now()
        FROM generate_series(1, $1) n
        """,
        number,
        age,
    )


async def delete(connection: Connection, deletion: Deletion, now: datetime) -> list[int]:
    return [deleted async for deleted in deletion.batches(connection, now)]


async def remaining(connection: Connection, table: str) -> set[str]:
    return {row["id"] for row in await connection.fetch(f"SELECT id FROM {table}")}


async def test_what_expires_at_this_moment_of_the_database_goes_and_the_next_stays(
    connection: Connection,
) -> None:
    # In one transaction now() stands still; a column keeps milliseconds.
    async with connection.transaction():
        now = await connection.fetchval("SELECT date_trunc('milliseconds', now())")
        await add_revoked(connection, "now", now)
        await add_revoked(connection, "later", now + timedelta(milliseconds=1))

        expired = Deletion("token_blacklist", "expiresAt")
        await delete(connection, expired, datetime.now(UTC) + AHEAD)

        assert await remaining(connection, "token_blacklist") == {"later"}


async def test_a_server_whose_clock_is_behind_keeps_what_it_still_honours(
    connection: Connection,
) -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC) + BEHIND
    await add_revoked(connection, "now", now)
    await add_revoked(connection, "later", now + timedelta(milliseconds=1))

    await delete(connection, Deletion("token_blacklist", "expiresAt"), now)

    assert await remaining(connection, "token_blacklist") == {"later"}


async def test_everything_goes_in_batches_each_committed(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "BATCH_ROWS", 40)
    await add_sessions(connection, 100, age=timedelta(days=1))
    await add_sessions(connection, 7, age=-timedelta(days=1))

    expired = Deletion("sessions", "expiresAt")
    seen_by_others = [
        await fetchval("SELECT count(*) FROM sessions")
        async for _ in expired.batches(connection, datetime.now(UTC))
    ]

    assert seen_by_others == [67, 27, 7]


async def test_a_row_that_is_in_use_is_passed_over(database: str, connection: Connection) -> None:
    await add_sessions(connection, 3, age=timedelta(days=1))
    other = await asyncpg.connect(database)
    async with other.transaction():
        kept = await other.fetchval("SELECT id FROM sessions LIMIT 1 FOR UPDATE")
        expired = Deletion("sessions", "expiresAt")
        await asyncio.wait_for(delete(connection, expired, datetime.now(UTC)), 60)
        assert await remaining(connection, "sessions") == {kept}
    await other.close()


async def test_sessions_are_stale_after_90_days_without_use(connection: Connection) -> None:
    await add_sessions(connection, 1, age=STALE_SESSION_AGE + timedelta(minutes=1))
    await add_sessions(connection, 1, age=STALE_SESSION_AGE - timedelta(minutes=1))
    job = next(job for job in JOBS if job.name == "cleanup-stale-sessions")

    [step] = job.steps
    assert await step.count(connection, datetime.now(UTC)) == 1
    assert [n async for n in step.batches(connection, datetime.now(UTC))] == [1]
    assert len(await remaining(connection, "sessions")) == 1


async def add_run(
    connection: Connection,
    name: str,
    age: timedelta,
    *,
    rows: int = 0,
    outcome: str = "SUCCEEDED",
    by_hand: bool = False,
) -> None:
    at = datetime.now(UTC) - age
    await connection.execute(
        'INSERT INTO task_runs (id, job, slot, runner, outcome, rows, "finishedAt")'
        " VALUES ($1, 'minutely', $2, 'x', $3, $4, $5)",
        name,
        None if by_hand else at,
        outcome,
        rows,
        at,
    )


async def clean_runs(connection: Connection) -> set[str]:
    [job] = [job for job in JOBS if job.name == "cleanup-task-runs"]
    now = datetime.now(UTC)
    foretold = sum([await step.count(connection, now) for step in job.steps])
    gone = 0
    for step in job.steps:
        async for deleted in step.batches(connection, now):
            gone += deleted
    assert foretold == gone
    return await remaining(connection, "task_runs")


async def test_runs_are_kept_for_90_days_and_those_that_found_nothing_for_7(
    connection: Connection,
) -> None:
    day, moment = timedelta(days=1), timedelta(minutes=1)
    await add_run(connection, "idle, stays", 7 * day - moment)
    await add_run(connection, "idle, goes", 7 * day + moment)
    await add_run(connection, "idle and by hand, goes", 8 * day, by_hand=True)
    await add_run(connection, "idle and failed, stays", 8 * day, outcome="FAILED")
    await add_run(connection, "idle for long, goes", 91 * day)
    await add_run(connection, "stays", 90 * day - moment, rows=1)
    await add_run(connection, "goes", 90 * day + moment, rows=1)
    await add_run(connection, "failed, goes", 91 * day, outcome="FAILED")

    assert await clean_runs(connection) == {"idle, stays", "idle and failed, stays", "stays"}


async def test_the_last_slot_that_was_done_stays_done(connection: Connection) -> None:
    year = timedelta(days=365)
    await add_run(connection, "last", year)
    await add_run(connection, "one before", 2 * year)
    await add_run(connection, "failed since", year / 2, outcome="FAILED")
    await add_run(connection, "by hand since", year / 2, by_hand=True)

    assert await clean_runs(connection) == {"last"}


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
async def test_every_job_runs_on_the_migrated_schema(job: Job, connection: Connection) -> None:
    for step in job.steps:
        await step.count(connection, datetime.now(UTC))
        assert sum([n async for n in step.batches(connection, datetime.now(UTC))]) >= 0


async def test_vacuum_really_runs(connection: Connection) -> None:
    [job] = [job for job in JOBS if job.name == "vacuum-analyze"]
    before = await connection.fetchval("SELECT now()")
    for step in job.steps:
        assert [n async for n in step.batches(connection, before)] == [1]
    await connection.execute("SELECT pg_stat_force_next_flush()")
    vacuumed = await connection.fetch(
        "SELECT relname FROM pg_stat_user_tables WHERE last_vacuum >= $1 AND last_analyze >= $1",
        before,
    )
    assert {row["relname"] for row in vacuumed} == {
        "idempotency_keys",
        "sessions",
        "task_runs",
        "token_blacklist",
    }
