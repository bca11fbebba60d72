"""When something is sent again."""

from datetime import UTC, datetime, timedelta

import pytest

from app.webhooks.retrying import asked_pause, pause_after

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def test_pauses_grow_to_a_day_and_end() -> None:
    pauses = [pause_after(attempts, None, 0) for attempts in range(1, 11)]
    seconds = [None if pause is None else pause.total_seconds() for pause in pauses]
    hours = [3600 * each for each in (2, 5, 10, 14, 20, 24)]
    assert seconds == [5, 300, 1800, *hours, None]


def test_what_failed_together_does_not_come_back_together() -> None:
    assert pause_after(2, None, 0.5) == timedelta(seconds=330)
    assert pause_after(2, None, 1) == timedelta(seconds=360)


def test_who_asks_is_left_alone_for_longer_but_not_for_ever() -> None:
    assert pause_after(1, timedelta(minutes=1), 0) == timedelta(minutes=1)
    assert pause_after(2, timedelta(minutes=1), 0) == timedelta(minutes=5)
    assert pause_after(1, timedelta(days=365), 0) == timedelta(days=1)
    assert pause_after(10, timedelta(minutes=1), 0) is None


@pytest.mark.parametrize(
    ("said", "pause"),
    [
        (None, None),
        ("120", timedelta(minutes=2)),
        ("9" * 400, timedelta(days=1)),
        ("Sun, 29 Nov 2026 12:01:00 GMT", timedelta(minutes=1)),
        ("Sun, 29 Nov 2026 12:01:00 -0000", timedelta(minutes=1)),
        ("Sun, 29 Nov 2026 11:00:00 GMT", timedelta()),
        *((said, None) for said in ("", "soon", "-1", "1.5", "²", "Sun, 99 Nov 2026")),
    ],
)
def test_retry_after_is_seconds_or_a_date(said: str | None, pause: timedelta | None) -> None:
    assert asked_pause(said, NOW) == pause
