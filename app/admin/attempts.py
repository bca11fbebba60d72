"""How often a password or a code is tried: too often to guess is refused, nobody is locked out.

A browser in which an administrator has signed in before is known by the cookie that the page gives
to each; it has attempts of its own, whatever others do, from the same address or in the same name.
All other attempts count by address, and together.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from app.auth.tokens import token_hash
from app.database.engine import fetch, fetchval

WITHIN = timedelta(minutes=15)
"""What is older does not count."""
KNOWN_FOR = timedelta(days=90)
"""Since somebody last signed in there."""
_FORGOTTEN_AT_ONCE = 10
"""More than an attempt adds, so that a siege leaves nothing behind."""


class Step(StrEnum):
    """What is tried."""

    PASSWORD = "password"  # noqa: S105 - the step's name
    CODE = "code"


class Visitor(NamedTuple):
    """Where an attempt comes from."""

    address: str
    browser: str | None = None
    """The hash of its cookie."""


class Tally(NamedTuple):
    """Attempts that have failed so far, the one that is under way included."""

    here: int
    """In this browser if it is known, else from this address."""
    elsewhere: int = 0
    """From anywhere; 0 for a browser that is known."""


_NOBODY = Visitor("nowhere")
_visitor: ContextVar[Visitor] = ContextVar("visitor", default=_NOBODY)


def visitor_at(address: str, cookie: str | None) -> Visitor:
    """Describe who carries a cookie, or none."""
    return Visitor(address, None if cookie is None else token_hash(cookie))


@contextmanager
def visited_by(visitor: Visitor) -> Iterator[None]:
    """Let attempts within the block be those of a visitor."""
    before = _visitor.set(visitor)
    try:
        yield
    finally:
        _visitor.reset(before)


async def is_known(browser: str | None) -> bool:
    """Tell whether any administrator has signed in there."""
    found = await fetchval("SELECT 1 FROM admin.known_browsers WHERE token = $1 LIMIT 1", browser)
    return found is not None


async def remember_browser(administrator: int) -> None:
    """Know the visitor's browser from now on; forget those that were not used for long."""
    await fetch("DELETE FROM admin.known_browsers WHERE seen_at < now() - $1::interval", KNOWN_FOR)
    if (browser := _visitor.get().browser) is not None:
        await fetch(
            "INSERT INTO admin.known_browsers (administrator, token) VALUES ($1, $2) "
            "ON CONFLICT (token, administrator) DO UPDATE SET seen_at = now()",
            administrator,
            browser,
        )


async def count_attempt(administrator: int | None, step: Step) -> Tally:
    """Count an attempt as failed before it is tried, so that many at once count too.

    Args:
        administrator: Whom it is about; None, for whom there is not, costs as much.
        step: What is tried.
    """
    visitor = _visitor.get()
    await _forget_old()
    rows = await fetch(
        """
        WITH places AS (
            SELECT 'browser ' || token AS place FROM admin.known_browsers
            WHERE administrator = $1 AND token = $4
        ), all_places AS (
            TABLE places UNION ALL
            SELECT unnest(ARRAY['address ' || $3, 'elsewhere']) WHERE NOT EXISTS (TABLE places)
        )
        INSERT INTO admin.failed_sign_ins AS f (administrator, step, place)
        SELECT id, $2, place FROM admin.administrators, all_places WHERE id = $1 ORDER BY place
        ON CONFLICT (administrator, step, place) DO UPDATE SET
            failures = CASE WHEN f.since > now() - $5::interval THEN f.failures + 1 ELSE 1 END,
            since = CASE WHEN f.since > now() - $5::interval THEN f.since ELSE now() END
        RETURNING place, failures
        """,
        administrator,
        step,
        visitor.address,
        visitor.browser,
        WITHIN,
    )
    failures = {row["place"]: row["failures"] for row in rows}
    elsewhere = failures.pop("elsewhere", 0)
    return Tally(max(failures.values(), default=0), elsewhere)


async def forgive(administrator: int, step: Step) -> None:
    """Take back what was counted here: the attempt was right."""
    visitor = _visitor.get()
    await fetch(
        """
        WITH forgiven AS (
            DELETE FROM admin.failed_sign_ins WHERE administrator = $1 AND step = $2
                AND place IN ('browser ' || $4::text, 'address ' || $3) RETURNING place
        )
        UPDATE admin.failed_sign_ins SET failures = failures - 1
        WHERE administrator = $1 AND step = $2 AND place = 'elsewhere' AND failures > 0
            AND EXISTS (SELECT FROM forgiven WHERE place LIKE 'address %')
        """,
        administrator,
        step,
        visitor.address,
        visitor.browser,
    )


async def _forget_old() -> None:
    await fetch(
        """
        DELETE FROM admin.failed_sign_ins WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM admin.failed_sign_ins WHERE since < now() - $1::interval
            ORDER BY since LIMIT $2 FOR UPDATE SKIP LOCKED
        ))
        """,
        WITHIN,
        _FORGOTTEN_AT_ONCE,
    )
