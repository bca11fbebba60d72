"""The page of jobs, and the setting that changes their times."""

from datetime import UTC, datetime

import pytest

from app.settings import Settings, SettingsError
from tasks import schedule
from tasks.schedule import JOBS, NEVER, Job, jobs

WEDNESDAY = datetime(2026, 11, 18, 12, 30, tzinfo=UTC)


def at(day: int, hour: int, minute: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "latest", "following"),
    [
        ("* * * * *", at(18, 12, 30), at(18, 12, 31)),
        ("0 2 * * *", at(18, 2), at(19, 2)),
        ("30 12 * * *", at(18, 12, 30), at(19, 12, 30)),
        ("0 3 * * 0", at(15, 3), at(22, 3)),
        ("0 3 * * 7", at(15, 3), at(22, 3)),
        ("0 3 * * sun", at(15, 3), at(22, 3)),
        ("0 3 * * 1-5", at(18, 3), at(19, 3)),
        ("0 0 1 * *", at(1, 0), at(1, 0, month=12)),
        ("15 */6 * * *", at(18, 12, 15), at(18, 18, 15)),
    ],
)
def test_slots_around_a_moment(cron: str, latest: datetime, following: datetime) -> None:
    job = Job("some", cron, ())
    assert job.latest_slot(WEDNESDAY) == latest
    assert job.next_slot(WEDNESDAY) == following


def test_the_page_has_the_plans_times() -> None:
    times = {job.name: job.cron for job in JOBS}
    assert times["cleanup-tokens"] == "0 2 * * *"
    assert times["cleanup-stale-sessions"] == "0 3 * * 0"
    assert times["vacuum-analyze"] == "0 4 * * 0"


def test_the_setting_changes_some_times() -> None:
    changed = {
        job.name: job.cron for job in jobs("vacuum-analyze: never; cleanup-tokens:5 1 * * *")
    }
    assert changed["vacuum-analyze"] == NEVER
    assert changed["cleanup-tokens"] == "5 1 * * *"
    assert changed["cleanup-task-runs"] == "20 2 * * *"


def test_a_job_that_needs_a_setting_is_due_when_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cron() -> str:
        return next(job.cron for job in jobs("") if job.name == "draw-due-rounds")

    assert cron() == NEVER
    both = Settings(DRAND_URL="http://relay", MAIL_URL="smtp://relay")
    monkeypatch.setattr(schedule, "settings", lambda: both)
    assert cron() == "* * * * *"
    assert jobs("") == JOBS


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("cleanup: never", "no job cleanup"),
        ("cleanup-tokens: soon", "'soon' is no cron line"),
        ("cleanup-tokens: 0 25 * * *", "is no cron line"),
        ("cleanup-tokens", "'' is no cron line"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        jobs(setting)
