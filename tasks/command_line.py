"""The commands of `litestar tasks`."""

import asyncio
import signal
from contextlib import suppress
from datetime import UTC, datetime

import asyncpg
import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.database.engine import DB
from app.database.terminal import console, fail, with_database
from app.settings import COMMAND, settings
from tasks import runs
from tasks.schedule import Job, jobs


@click.group(help="The maintenance jobs: when they run, how they went, and one run by hand.")
def tasks() -> None:
    """Group what follows."""


@tasks.command("list", short_help="Show each job with its next and last run.")
def list_jobs() -> None:
    """Show each job with its next and its last run. Times are UTC.

    Example: litestar tasks list
    """
    now = datetime.now(UTC)
    last_runs = with_database(runs.last_runs)
    table = Table("job", "schedule", "next", "last run", "took", "rows", "outcome", "runner")
    for job in jobs(settings().SCHEDULES):
        table.add_row(
            job.name, job.cron, _time(job.next_slot(now)), *_told(last_runs.get(job.name))
        )
    console().print(table)


def _told(run: asyncpg.Record | None) -> list[str]:
    if run is None:
        return ["never", "", "", "", ""]
    took = run["finishedAt"] - run["startedAt"] if run["finishedAt"] else None
    outcome = run["outcome"].lower() + (f": {run['error']}" if run["error"] else "")
    seconds = "" if took is None else f"{took.total_seconds():.1f} s"
    return [_time(run["startedAt"]), seconds, f"{run['rows']:,}", outcome, run["runner"]]


def _time(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


@tasks.command("run", short_help="Run one job now.")
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only count what it would do.")
def run_job(name: str, *, dry_run: bool) -> None:
    """Run the job NAME now, beside its schedule. Interrupted, it loses nothing it did.

    Exit status 1 if it fails, is interrupted, or is running already.

    Example: litestar tasks run cleanup-tokens --dry-run
    """
    known = {job.name: job for job in jobs(settings().SCHEDULES)}
    if name not in known:
        fail(f"There is no job {name!r}. There are: {', '.join(known)}.")
    if dry_run:
        click.echo(f"{name} would do {with_database(lambda: _count(known[name])):,}.")
    else:
        with suppress(ValueError):  # not in a process's main thread: no signal comes there
            # As Ctrl-C: what it did is recorded, and that it was interrupted.
            signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
        click.echo(f"{name} did {with_database(lambda: _run_now(known[name]), runs.JobFailed):,}.")


async def _count(job: Job) -> int:
    connection = await DB.get_new_connection()
    try:
        return await runs.count(connection, job, datetime.now(UTC))
    finally:
        await connection.close()


async def _run_now(job: Job) -> int:
    columns = (TextColumn(job.name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    screen = Console(stderr=True)
    async with runs.exclusive(job) as connection:
        if connection is None:
            fail(f"{job.name} is running already: see `{COMMAND} tasks list`.")
        with Progress(*columns, console=screen, disable=not screen.is_terminal) as progress:
            total = await runs.count(connection, job, datetime.now(UTC))
            bar = progress.add_task(job.name, total=total)
            ended = await runs.run(
                connection,
                job,
                None,
                clock=lambda: datetime.now(UTC),
                stopping=asyncio.Event(),
                report=lambda done: progress.advance(bar, done),
            )
    return ended.rows
