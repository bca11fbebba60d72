"""The scheduler inside each worker of each server; together they run every slot once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger
from structlog.contextvars import bound_contextvars

from app.database.ids import new_id
from app.database.listener import CONNECTION_FAULTS
from app.metrics import JOB_ROWS, JOB_RUNS, JOB_SECONDS
from app.tables import TaskOutcome
from tasks import runs
from tasks.runs import Clock
from tasks.schedule import NEVER, Job, cron_trigger

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 20
"""How often to look for what is due but not done: missed, failed, or left by one that died."""
STOP_SECONDS = 5.0
"""How long a job may take to end its batch when the server stops; then it is cancelled."""


def utc_now() -> datetime:
    """Return the time by this server's clock."""
    return datetime.now(UTC)


@asynccontextmanager
async def scheduled(jobs: Sequence[Job]) -> AsyncIterator["Scheduler"]:
    """Attend to the jobs meanwhile."""
    scheduler = Scheduler(jobs)
    scheduler.start()
    try:
        yield scheduler
    finally:
        await scheduler.stop()


class Scheduler:
    """Attends to jobs: at their times, and in between to what is left to do."""

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        clock: Clock = utc_now,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        """Take what to run. Nothing happens before `start`."""
        self._jobs = [job for job in jobs if job.cron != NEVER]
        self._clock = clock
        self._sweep_seconds = sweep_seconds
        self._settled: dict[str, datetime] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._timer = AsyncIOScheduler(timezone=UTC)

    async def check(self) -> str | None:
        """Say what is wrong, if it does not attend to jobs."""
        return None if self._timer.running else "stopped"

    def start(self) -> None:
        """Begin to attend to jobs on the running event loop."""
        common = {"coalesce": True, "misfire_grace_time": None}
        every = IntervalTrigger(seconds=self._sweep_seconds, timezone=UTC)
        self._timer.add_job(self.sweep, every, next_run_time=datetime.now(UTC), **common)
        for job in self._jobs:
            due = cron_trigger(job.cron)
            self._timer.add_job(self.sweep, due, id=job.name, **common)
        self._timer.start()

    async def stop(self) -> None:
        """Stop attending; a running job ends after its batch, and another server goes on."""
        if self._timer.running:
            self._timer.shutdown(wait=False)
            await asyncio.sleep(0)  # it only asks the event loop to do so
        self._stopping.set()
        running = list(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def sweep(self) -> None:
        """Begin what is due and not done yet, without waiting for it; close what died."""
        now = self._clock()
        for job in self._jobs:
            slot = job.latest_slot(now)
            if slot is not None and self._settled.get(job.name) != slot:
                self._begin(job, slot)
        with suppress(*CONNECTION_FAULTS):  # then the next one does
            await runs.close_abandoned(now)

    def _begin(self, job: Job, slot: datetime) -> None:
        if job.name not in self._running and not self._stopping.is_set():
            task = asyncio.create_task(self._attend(job, slot), name=job.name)
            self._running[job.name] = task
            task.add_done_callback(lambda done: self._running.pop(done.get_name()))

    async def finish_running(self) -> None:
        """Wait for the jobs that this worker runs now."""
        await asyncio.gather(*self._running.values())

    async def _attend(self, job: Job, slot: datetime) -> None:
        """Run the job if it has to be; whatever goes wrong, the others and the server go on."""
        run_id, runner = new_id(), runs.this_process()
        # On every line that is logged meanwhile.
        with bound_contextvars(job=job.name, slot=slot.isoformat(), run=run_id, runner=runner):
            try:
                await self._run_if_due(job, slot, run_id)
            except runs.JobFailed:
                JOB_RUNS.labels(job.name, TaskOutcome.FAILED).inc()
                logger.exception("job %s failed", job.name)
            except CONNECTION_FAULTS as error:
                logger.warning("job %s has to wait for the database: %r", job.name, error)
            except Exception:
                logger.exception("job %s could not be attended to", job.name)

    async def _run_if_due(self, job: Job, slot: datetime, run_id: str) -> None:
        """Run the job unless it is done, running elsewhere, or to be retried later."""
        async with runs.exclusive(job) as connection:
            if connection is None:
                return
            if not await runs.is_settled(connection, job, slot):
                retry_at = await runs.retry_at(connection, job, slot)
                if retry_at is not None and retry_at > self._clock():
                    return
                with JOB_SECONDS.labels(job.name).time():
                    ended = await runs.run(
                        connection,
                        job,
                        slot,
                        run_id=run_id,
                        clock=self._clock,
                        stopping=self._stopping,
                    )
                JOB_RUNS.labels(job.name, ended.outcome).inc()
                JOB_ROWS.labels(job.name).inc(ended.rows)
                logger.info("job %s %s, %s rows", job.name, ended.outcome.lower(), ended.rows)
                if ended.outcome is not TaskOutcome.SUCCEEDED:
                    return
            self._settled[job.name] = slot
