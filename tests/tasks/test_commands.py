"""`litestar tasks …`: what each command does, says and leaves as its exit status."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import pytest
from click.testing import CliRunner, Result
from litestar.cli.main import litestar_group

from app.database.engine import DB
from app.settings import PROJECT_ROOT
from tasks import runs
from tasks.schedule import JOBS, NEVER, jobs
from tests.server import environment
from tests.waiting import eventually, is_waited_for

Invoke = Callable[..., Awaitable[Result]]
TOKENS = JOBS[0]


@pytest.fixture
def litestar(migrated_database: str, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Return a function that runs `litestar tasks` with the real app, on a migrated database."""
    monkeypatch.setitem(DB.config, "dsn", migrated_database)
    monkeypatch.setattr(DB, "pool", None)
    monkeypatch.setenv("LITESTAR_APP", "app.asgi:create_app")

    async def invoke(*arguments: str) -> Result:
        # A command runs its own event loop.
        return await asyncio.to_thread(CliRunner().invoke, litestar_group, ["tasks", *arguments])

    return invoke


@pytest.fixture
async def connection(migrated_database: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(migrated_database)
    await opened.execute(
        """
        INSERT INTO token_blacklist (id, "tokenHash", "expiresAt", "userId")
        SELECT n::text, n::text, now() + n * interval '1 hour', 'u'
        FROM generate_series(-2, 2) n WHERE n <> 0
        """
    )
    yield opened
    await opened.close()


async def revoked(connection: asyncpg.Connection) -> int:
    number: int = await connection.fetchval("SELECT count(*) FROM token_blacklist")
    return number


async def test_list_shows_every_job_before_and_after_its_first_run(litestar: Invoke) -> None:
    before = await litestar("list")
    assert before.exit_code == 0, before.output
    for job in jobs(""):
        assert job.name in before.output
        assert job.cron in before.output
    # The last run of each; and times and next run of what needs a setting.
    never = len(JOBS) + 2 * len([job for job in jobs("") if job.cron == NEVER])
    assert before.output.count("never") == never

    assert (await litestar("run", "cleanup-tokens")).exit_code == 0
    after = await litestar("list")
    assert after.output.count("never") == never - 1
    assert "succeeded" in after.output


async def test_run_does_the_job_and_records_it(
    litestar: Invoke, connection: asyncpg.Connection
) -> None:
    result = await litestar("run", "cleanup-tokens")

    assert (result.exit_code, result.stdout) == (0, "cleanup-tokens did 2.\n")
    assert await revoked(connection) == 2
    [row] = await connection.fetch("SELECT * FROM task_runs")
    assert (row["job"], row["slot"], row["rows"], row["outcome"]) == (
        ("cleanup-tokens", None, 2, "SUCCEEDED")
    )
    assert row["runner"] == runs.this_process()


async def test_a_dry_run_only_counts(litestar: Invoke, connection: asyncpg.Connection) -> None:
    result = await litestar("run", "cleanup-tokens", "--dry-run")

    assert (result.exit_code, result.stdout) == (0, "cleanup-tokens would do 2.\n")
    assert await revoked(connection) == 4
    assert await connection.fetchval("SELECT count(*) FROM task_runs") == 0


async def test_a_job_that_runs_already_is_not_run_twice(
    litestar: Invoke, connection: asyncpg.Connection
) -> None:
    async with runs.exclusive(TOKENS):
        result = await litestar("run", "cleanup-tokens")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: cleanup-tokens is running already")
    assert await revoked(connection) == 4


async def test_a_failure_is_one_line_and_a_row(
    litestar: Invoke, connection: asyncpg.Connection
) -> None:
    await connection.execute("DROP TABLE sessions")

    result = await litestar("run", "vacuum-analyze")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: vacuum-analyze: UndefinedTableError")
    assert result.stderr.count("\n") == 1
    [row] = await connection.fetch("SELECT * FROM task_runs")
    assert (row["outcome"], row["rows"]) == ("FAILED", 1)


@pytest.mark.parametrize("interruption", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_run_says_so(
    interruption: signal.Signals, connection: asyncpg.Connection, migrated_database: str
) -> None:
    async with connection.transaction():
        await connection.execute("LOCK TABLE token_blacklist IN SHARE MODE")
        command = await asyncio.create_subprocess_exec(
            *("uv", "run", "litestar", "tasks", "run", "cleanup-tokens"),
            cwd=PROJECT_ROOT,
            env=environment(DATABASE_URL=migrated_database),
            stderr=asyncio.subprocess.PIPE,
        )
        await eventually(lambda: is_waited_for(connection, "token_blacklist"), 60)
        command.send_signal(interruption)
        _, told = await command.communicate()
    assert (command.returncode, told.split()) == (1, [b"Aborted."])
    [row] = await connection.fetch("SELECT * FROM task_runs")
    assert (row["outcome"], row["rows"]) == ("INTERRUPTED", 0)


async def test_an_unknown_job_is_refused_with_the_known_ones(litestar: Invoke) -> None:
    result = await litestar("run", "cleanup")
    assert result.exit_code == 1
    assert "no job 'cleanup'" in result.stderr
    assert "cleanup-stale-sessions" in result.stderr


async def test_an_unmigrated_database_is_told(
    litestar: Invoke, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DB.config, "dsn", empty_database)
    for command in (["list"], ["run", "cleanup-tokens"], ["run", "cleanup-tokens", "--dry-run"]):
        result = await litestar(*command)
        assert result.exit_code == 1
        assert "Run: litestar database upgrade" in result.stderr


def test_the_server_does_not_import_what_it_seldom_needs() -> None:
    """The commands, and what traces are made of where nobody wants them."""
    seldom = {"tasks.command_line", "app.ops.tracing", "opentelemetry.sdk"}
    names = f"import app.asgi, sys; app.asgi.create_app(); print({seldom} & {{*sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", names], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


async def test_the_next_run_is_in_the_future(litestar: Invoke) -> None:
    before = datetime.now(UTC)
    result = await litestar("list")
    after = datetime.now(UTC)
    for job in jobs(""):
        [line] = [line for line in result.output.splitlines() if f" {job.name} " in line]
        # A slot may begin meanwhile.
        upcoming = {job.next_slot(before), job.next_slot(after)}
        told = {"never" if slot is None else f"{slot:%Y-%m-%d %H:%M:%S}" for slot in upcoming}
        assert any(f" {each} " in line for each in told), line
