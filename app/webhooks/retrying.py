"""When something that was not delivered is sent again. Pure."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
LONGEST_PAUSE = timedelta(hours=24)
JITTER = 0.2
"""Of a pause, that comes on top at most: what failed together does not come back together."""


def pause_after(attempts: int, asked: timedelta | None, chance: float) -> timedelta | None:
    """Return how long to wait after so many attempts; None: there is no further one.

    Args:
        attempts: How many there were, from 1.
        asked: How long the endpoint wants to be left alone, if it said so.
        chance: At random, from 0 to 1.
    """
    if attempts > len(PAUSES):
        return None
    pause = PAUSES[attempts - 1] * (1 + JITTER * chance)
    return pause if asked is None else max(pause, min(asked, LONGEST_PAUSE))


def asked_pause(retry_after: str | None, now: datetime) -> timedelta | None:
    """Read `Retry-After`: seconds or a date (RFC 9110); None where it is neither."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return timedelta(seconds=min(int(retry_after[:9]), LONGEST_PAUSE.total_seconds()))
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(until.replace(tzinfo=until.tzinfo or UTC) - now, timedelta())
