"""One worker of a server, as a process of its own, whose clock its parent winds.

It attends to the real schedule, but each job only notes in the table `effects` that it ran. It
reads times from its input, one a line, sweeps at each of them and answers when all is quiet.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from app.database.engine import DB
from tasks import runs
from tasks.schedule import Job, jobs
from tasks.scheduler import Scheduler
from tasks.steps import Connection


@dataclass(frozen=True)
class Note:
    """Writes that the job ran, as often as there are batches."""

    job: str
    batches_to_do: int = 1
    pause_seconds: float = 0.0

    async def count(self, connection: Connection, now: datetime) -> int:
        return self.batches_to_do

    async def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:
        for _ in range(self.batches_to_do):
            await connection.execute("INSERT INTO effects (job) VALUES ($1)", self.job)
            await asyncio.sleep(self.pause_seconds)
            yield 1


@asynccontextmanager
async def unguarded(job: Job) -> AsyncIterator["Connection | None"]:  # noqa: ARG001 - as the real one
    """Stand in for `runs.exclusive`, without its lock."""
    connection = await DB.get_new_connection()
    yield connection
    await connection.close()


async def main(dsn: str, guard: str) -> None:
    DB.connect_to(dsn)
    pause_seconds = 0.0
    if guard == "unguarded":
        runs.exclusive = unguarded
        pause_seconds = 0.2  # so that the others come meanwhile
    now = datetime.min.replace(tzinfo=UTC)
    scheduler = Scheduler(
        [job._replace(steps=(Note(job.name, 1, pause_seconds),)) for job in jobs("")],
        clock=lambda: now,
    )
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        now = datetime.fromisoformat(line.strip())
        await scheduler.sweep()
        await scheduler.finish_running()
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
