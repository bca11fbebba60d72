"""Every job: its name, when it is due (UTC), and what it does."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from apscheduler.triggers.cron import CronTrigger

from app.claims.service import EXPIRING_JOB
from app.draws.due import draw_due, due_draws, finish_draw, unfinished_draws
from app.settings import SettingsError, settings
from tasks.claims import OverdueClaims
from tasks.draws import DueDraws
from tasks.events import Forgetting
from tasks.mails import DueMails, DueReminders
from tasks.people import (
    ERASE_DELETED,
    FORGET_PEOPLE,
    REDACT_AUDIT,
    Erasing,
    ForgettingRooms,
    RedactingAudit,
)
from tasks.steps import Deletion, Step, Vacuum

NEVER = "never"
STALE_SESSION_AGE = timedelta(days=90)
TASK_RUN_AGE = timedelta(days=90)
IDLE_RUN_AGE = timedelta(days=7)
"""Of runs that found nothing to do: there is one a minute that looks for unfinished draws."""
CODES_AGE = timedelta(days=1)
"""Until then they are counted."""
IDLE = "rows = 0 AND outcome = 'SUCCEEDED'"
NOT_THE_LAST_SUCCESS = """
    outcome <> 'SUCCEEDED' OR slot IS NULL OR EXISTS (
      SELECT FROM task_runs later
      WHERE later.job = task_runs.job AND later.slot > task_runs.slot
        AND later.outcome = 'SUCCEEDED'
    )
"""
"""That one stays, however long ago it was: without it, its slot would be due again."""

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOKBACKS = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=366))


class Job(NamedTuple):
    """Something that is done again and again."""

    name: str
    cron: str
    """Minute, hour, day of the month, month, day of the week, in UTC; or `never`."""
    steps: tuple[Step, ...]
    needs: str | None = None
    """A setting without which it is never due."""

    def next_slot(self, now: datetime) -> datetime | None:
        """Return when it is due after `now`."""
        return next(self._slots_from(now + timedelta(microseconds=1)), None)

    def latest_slot(self, now: datetime) -> datetime | None:
        """Return when it was due last, `now` included; within a year."""
        for lookback in LOOKBACKS:
            latest = None
            for slot in self._slots_from(now - lookback):
                if slot > now:
                    break
                latest = slot
            if latest is not None:
                return latest
        return None

    def _slots_from(self, start: datetime) -> Iterator[datetime]:
        if self.cron == NEVER:
            return
        trigger = cron_trigger(self.cron)
        slot = trigger.get_next_fire_time(None, start)
        while slot is not None:
            yield slot
            slot = trigger.get_next_fire_time(slot, slot)


JOBS = (
    Job(
        "cleanup-tokens",
        "0 2 * * *",
        (
            Deletion("token_blacklist", "expiresAt"),
            Deletion("sessions", "expiresAt"),
            Deletion("event_tickets", "expiresAt"),
            Deletion("sign_in_codes", "askedSince", CODES_AGE, '"expiresAt" <= now()'),
        ),
    ),
    Job(
        "cleanup-stale-sessions",
        "0 3 * * 0",
        (Deletion("sessions", "lastUsedAt", STALE_SESSION_AGE),),
    ),
    Job(
        "cleanup-task-runs",
        "20 2 * * *",
        (
            Deletion(
                "task_runs",
                "finishedAt",
                IDLE_RUN_AGE,
                f"{IDLE} AND ({NOT_THE_LAST_SUCCESS})",
            ),
            Deletion(
                "task_runs",
                "finishedAt",
                TASK_RUN_AGE,
                f"NOT ({IDLE}) AND ({NOT_THE_LAST_SUCCESS})",
            ),
        ),
    ),
    Job(
        "cleanup-idempotency-keys",
        "40 2 * * *",
        (Deletion("idempotency_keys", "expiresAt"),),
    ),
    Job("cleanup-events", "50 2 * * *", (Forgetting(),)),
    Job(
        "cleanup-deliveries",
        "52 2 * * *",
        (
            Deletion(
                "webhook_deliveries", "createdAt", only="status <> 'PENDING'", days="EVENT_DAYS"
            ),
        ),
    ),
    Job("cleanup-mails", "55 2 * * *", (Deletion("mails", "createdAt", days="MAIL_DAYS"),)),
    Job(ERASE_DELETED, "10 3 * * *", (Erasing(),)),
    Job(FORGET_PEOPLE, "20 3 * * *", (ForgettingRooms(),)),
    Job(REDACT_AUDIT, "30 3 * * *", (RedactingAudit(),)),
    Job("remind-winners", "*/5 * * * *", (DueReminders(),)),
    Job("send-mails", "* * * * *", (DueMails(),), needs="MAIL_URL"),
    Job("draw-due-rounds", "* * * * *", (DueDraws(due_draws, draw_due),), needs="DRAND_URL"),
    Job("finish-draws", "* * * * *", (DueDraws(unfinished_draws, finish_draw),)),
    Job(EXPIRING_JOB, "* * * * *", (OverdueClaims(),)),
    Job(
        "vacuum-analyze",
        "0 4 * * 0",
        tuple(
            Vacuum(table)
            for table in ("token_blacklist", "sessions", "idempotency_keys", "task_runs")
        ),
    ),
)


def cron_trigger(cron: str) -> CronTrigger:
    """Read a cron line, in UTC. Days of the week count from Sunday, which APScheduler's don't.

    Raises:
        ValueError: It is not one.
    """
    *fields, weekdays = cron.split(" ")
    named = re.sub(r"(?<!/)[0-7]", lambda day: WEEKDAYS[int(day[0])], weekdays)
    return CronTrigger.from_crontab(" ".join([*fields, named]), timezone=UTC)


def jobs(schedules: str) -> tuple[Job, ...]:
    """Return all jobs, with the times that the setting SCHEDULES gives some of them.

    Args:
        schedules: `name: cron line` or `name: never`, separated by semicolons.

    Raises:
        SettingsError: A name or a cron line is not one.
    """
    changed = dict(_entry(entry) for entry in schedules.split(";") if entry.strip())
    if unknown := changed.keys() - {job.name for job in JOBS}:
        raise SettingsError(f"SCHEDULES: there is no job {', '.join(sorted(unknown))}.")
    return tuple(job._replace(cron=changed.get(job.name, _own_cron(job))) for job in JOBS)


def _own_cron(job: Job) -> str:
    lacks_setting = job.needs is not None and getattr(settings(), job.needs) is None
    return NEVER if lacks_setting else job.cron


def _entry(entry: str) -> tuple[str, str]:
    name, _, cron = (part.strip() for part in entry.partition(":"))
    if cron != NEVER:
        try:
            cron_trigger(cron)
        except ValueError as error:
            raise SettingsError(f"SCHEDULES: {name}: {cron!r} is no cron line: {error}.") from error
    return name, cron
