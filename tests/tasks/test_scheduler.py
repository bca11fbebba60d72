"""One slot after another: missed, failed, interrupted, abandoned."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from prometheus_client import REGISTRY

from app.database.engine import DB, fetch
from app.ops.logs import JsonLines
from app.settings import PROJECT_ROOT
from app.tables import TaskOutcome
from tasks import runs
from tasks.schedule import NEVER, Job
from tasks.scheduler import SWEEP_SECONDS, Scheduler
from tasks.steps import Connection
from tests.waiting import eventually

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass
class Script:
    """A step that does what the test says, batch by batch."""

    batches_to_do: list[int | Exception]
    pause_seconds: float = 0.0
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def count(self, connection: Connection, now: datetime) -> int:
        return len(self.batches_to_do)

    async def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:
        while self.batches_to_do:
            self.begun.set()
            await asyncio.sleep(self.pause_seconds)
            batch = self.batches_to_do.pop(0)
            if isinstance(batch, Exception):
                raise batch
            yield batch


class WoundClock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def wind(self, **by: float) -> None:
        self.now += timedelta(**by)


def daily(*steps: Script, name: str = "daily") -> Job:
    return Job(name, "0 12 * * *", steps)


async def attend(scheduler: Scheduler) -> None:
    await scheduler.sweep()
    await scheduler.finish_running()


async def history() -> list[tuple[str, datetime | None, int]]:
    rows = await fetch('SELECT * FROM task_runs ORDER BY "startedAt", id')
    return [(row["outcome"], row["slot"], row["rows"]) for row in rows]


pytestmark = pytest.mark.usefixtures("database")


async def test_slots_missed_while_down_are_made_up_for_once() -> None:
    clock = WoundClock(NOON)
    step = Script([1, 2, 3])
    await attend(Scheduler([daily(step)], clock=clock))
    clock.wind(days=5, hours=3)

    started_again = Scheduler([daily(Script([7]))], clock=clock)
    await attend(started_again)
    await attend(started_again)

    assert await history() == [
        ("SUCCEEDED", NOON, 6),
        ("SUCCEEDED", NOON + timedelta(days=5), 7),
    ]


async def test_a_slot_is_not_due_before_its_time() -> None:
    clock = WoundClock(NOON)
    scheduler = Scheduler([daily(Script([1, 1]))], clock=clock)
    await attend(scheduler)
    clock.wind(days=1, microseconds=-1)
    await attend(scheduler)
    assert len(await history()) == 1
    clock.wind(microseconds=1)
    await attend(scheduler)
    assert len(await history()) == 2


def failures(job: str) -> float:
    counted = {"job": job, "outcome": "FAILED"}
    return REGISTRY.get_sample_value("event_platform_job_runs_total", counted) or 0


async def test_a_failing_job_is_retried_with_growing_pauses_and_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = WoundClock(NOON)
    failing = Script([RuntimeError("broken"), RuntimeError("still"), 5])
    scheduler = Scheduler(
        [daily(failing, name="a-failing"), daily(Script([1]), name="b-sound")], clock=clock
    )
    tried_at, counted = [], failures("a-failing")
    for _ in range(60):
        before = len(failing.batches_to_do)
        await attend(scheduler)
        if len(failing.batches_to_do) < before:
            tried_at.append((clock.now - NOON).total_seconds())
        clock.wind(seconds=1)

    assert tried_at == [0, 10, 30]
    rows = await fetch('SELECT * FROM task_runs ORDER BY job, "startedAt"')
    assert [(row["outcome"], row["error"], row["rows"]) for row in rows] == [
        ("FAILED", "RuntimeError('broken')", 0),
        ("FAILED", "RuntimeError('still')", 0),
        ("SUCCEEDED", None, 5),
        ("SUCCEEDED", None, 1),
    ]
    assert "job a-failing failed" in caplog.text
    assert failures("a-failing") == counted + 2


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[io.StringIO]:
    """Return what the scheduler logs, as production writes it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("tasks.scheduler")
    logger.addHandler(handler)
    with caplog.at_level(logging.INFO, logger.name):
        yield written
    logger.removeHandler(handler)


async def test_each_line_about_a_run_says_which_and_by_whom(lines: io.StringIO) -> None:
    step = Script([RuntimeError("broken"), 5])
    clock = WoundClock(NOON)
    scheduler = Scheduler([daily(step)], clock=clock)
    await attend(scheduler)
    clock.wind(minutes=1)
    await attend(scheduler)

    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    rows = await fetch('SELECT * FROM task_runs ORDER BY "startedAt"')
    assert [(line["job"], line["slot"], line["run"], line["runner"]) for line in told] == [
        ("daily", NOON.isoformat(), row["id"], row["runner"]) for row in rows
    ]
    assert "RuntimeError: broken" in told[0]["exception"]
    assert told[1]["event"] == "job daily succeeded, 5 rows"


async def test_a_database_that_is_away_is_no_failure_of_a_job(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = failures("daily")
    monkeypatch.setitem(DB.config, "dsn", "postgresql://nobody@127.0.0.1:1/nothing")

    await attend(Scheduler([daily(Script([1]))], clock=WoundClock(NOON)))

    [told] = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert (told["level"], told["job"]) == ("warning", "daily")
    assert failures("daily") == before


async def test_pauses_between_retries_end_at_an_hour(database: str) -> None:
    connection = await asyncpg.connect(database)
    for n in range(40):
        await connection.execute(
            'INSERT INTO task_runs (id, job, slot, runner, "startedAt", "finishedAt", outcome)'
            " VALUES ($1, 'daily', $2, 'x', $2, $2, 'FAILED')",
            f"run{n}",
            NOON,
        )
    assert await runs.retry_at(connection, daily(), NOON) == NOON + timedelta(hours=1)
    await connection.close()


async def test_stopping_waits_for_the_batch_and_another_server_goes_on() -> None:
    clock = WoundClock(NOON)
    step = Script([1] * 10, pause_seconds=0.05)
    first = Scheduler([daily(step)], clock=clock)
    await first.sweep()
    await step.begun.wait()

    await first.stop()
    assert len(step.batches_to_do) == 9
    await first.sweep()
    await first.finish_running()
    assert len(step.batches_to_do) == 9

    await attend(Scheduler([daily(step)], clock=clock))
    assert await history() == [("INTERRUPTED", NOON, 1), ("SUCCEEDED", NOON, 9)]


async def test_a_batch_that_does_not_end_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.scheduler.STOP_SECONDS", 0.05)
    step = Script([1], pause_seconds=60)
    scheduler = Scheduler([daily(step)], clock=WoundClock(NOON))
    await scheduler.sweep()
    await step.begun.wait()

    await scheduler.stop()

    assert await history() == [("INTERRUPTED", NOON, 0)]


async def test_a_job_that_runs_elsewhere_is_left_alone() -> None:
    job = daily(Script([1]))
    scheduler = Scheduler([job], clock=WoundClock(NOON))
    async with runs.exclusive(job) as connection:
        assert connection is not None
        await attend(scheduler)
    assert await history() == []

    await attend(scheduler)
    assert await history() == [("SUCCEEDED", NOON, 1)]


async def test_a_job_that_is_due_never_does_not_run() -> None:
    job = Job("never", NEVER, (Script([1]),))
    scheduler = Scheduler([job], clock=WoundClock(NOON))
    await attend(scheduler)
    assert await history() == []
    assert job.next_slot(NOON) is None


async def test_the_scheduler_runs_by_itself_from_its_start() -> None:
    step = Script([3])
    scheduler = Scheduler([daily(step)], clock=WoundClock(NOON), sweep_seconds=0.05)
    scheduler.start()
    assert await scheduler.check() is None
    await asyncio.wait_for(step.begun.wait(), 60)
    await scheduler.finish_running()
    await scheduler.stop()
    assert await scheduler.check() == "stopped"
    [(outcome, _, rows)] = await history()
    assert (outcome, rows) == ("SUCCEEDED", 3)


KILLED_RUNNER = """
import asyncio, sys
from datetime import datetime
from app.database.engine import DB
from tasks.schedule import Job
from tasks.scheduler import Scheduler
from tests.tasks.worker import Note

async def main():
    DB.connect_to(sys.argv[1])
    noon = datetime.fromisoformat(sys.argv[2])
    jobs = [Job("daily", "0 12 * * *", (Note("daily", 10_000, 0.01),))]
    scheduler = Scheduler(jobs, clock=lambda: noon)
    await scheduler.sweep()
    await scheduler.finish_running()

asyncio.run(main())
"""


async def test_when_the_runner_is_killed_another_takes_its_slot(
    migrated_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DB.config, "dsn", migrated_database)
    monkeypatch.setattr(runs, "FIRST_RETRY", timedelta(seconds=0.2))
    connection = await asyncpg.connect(migrated_database)
    await connection.execute("CREATE TABLE effects (job TEXT NOT NULL)")
    runner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED_RUNNER, migrated_database, NOON.isoformat()),
        cwd=PROJECT_ROOT,
    )
    await eventually(lambda: connection.fetchval("SELECT rows > 0 FROM task_runs"), 60)
    runner.kill()
    await runner.wait()

    step = Script([2])
    later = WoundClock(NOON + timedelta(seconds=1))
    other = Scheduler([daily(step)], clock=later, sweep_seconds=0.1)
    other.start()
    await asyncio.wait_for(step.begun.wait(), 60)
    await other.finish_running()
    await other.stop()

    rows = await connection.fetch('SELECT * FROM task_runs ORDER BY "startedAt"')
    await connection.close()
    assert [row["outcome"] for row in rows] == ["ABANDONED", "SUCCEEDED"]
    assert rows[0]["slot"] == rows[1]["slot"]
    assert rows[0]["rows"] > 0, "the batches of the killed runner are lost"


async def test_a_run_by_hand_whose_process_died_is_closed_by_the_next_sweep(database: str) -> None:
    connection = await asyncpg.connect(database)
    insert = "INSERT INTO task_runs (id, job, runner) VALUES ($1, $1, 'x')"
    await connection.execute(insert, "dead")
    await connection.execute(insert, "daily")
    await connection.close()
    async with runs.exclusive(daily()):
        await Scheduler([], clock=WoundClock(NOON)).sweep()
        rows = await fetch("SELECT * FROM task_runs ORDER BY job")
    assert [(row["job"], row["outcome"], row["finishedAt"]) for row in rows] == [
        ("daily", "RUNNING", None),
        ("dead", "ABANDONED", NOON),
    ]


def test_a_dead_runner_is_replaced_within_a_minute() -> None:
    assert runs.FIRST_RETRY.total_seconds() + 2 * SWEEP_SECONDS < 60


async def test_the_schema_itself_forbids_a_second_success(database: str) -> None:
    connection = await asyncpg.connect(database)
    insert = (
        'INSERT INTO task_runs (id, job, slot, runner, outcome, "finishedAt")'
        " VALUES ($1, 'daily', $2, 'x', $3, $4)"
    )
    await connection.execute(insert, "one", NOON, TaskOutcome.SUCCEEDED, NOON)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(insert, "two", NOON, TaskOutcome.SUCCEEDED, NOON)
    await connection.execute(insert, "three", NOON, TaskOutcome.RUNNING, None)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(insert, "four", None, TaskOutcome.RUNNING, None)
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute(insert, "five", None, TaskOutcome.FAILED, None)
    await connection.close()
