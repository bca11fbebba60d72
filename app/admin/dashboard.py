"""What is going on, at a glance: drawn on the server, in three statements that stay cheap.

Nothing here counts a whole large table: a count stops at LARGEST_COUNT, which reads as "more".
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from starlette.requests import Request
from starlette.responses import HTMLResponse

from app.admin.pages import templates
from app.database.engine import fetch
from app.settings import settings
from app.tables import TABLES, RoomStatus
from tasks.schedule import jobs

LARGEST_COUNT = 10_000
RUNS_SHOWN = 12
LARGEST_TABLES = 8
KILO = 1_000


def _count(name: str, rows: str) -> str:
    counted = f"SELECT FROM {rows} LIMIT {LARGEST_COUNT + 1}"
    return f'(SELECT count(*) FROM ({counted}) counted) AS "{name}"'


_COUNTS = {
    "people": 'users WHERE "deletedAt" IS NULL',
    "sessions_live": 'sessions WHERE "expiresAt" > now()',
    "sessions_recent": "sessions WHERE \"lastUsedAt\" > now() - interval '7 days'",
    "sessions_expired": 'sessions WHERE "expiresAt" <= now()',
    "blacklist_live": 'token_blacklist WHERE "expiresAt" > now()',
    "blacklist_expired": 'token_blacklist WHERE "expiresAt" <= now()',
    **{
        f"rooms_{status}": f"rooms WHERE status = '{status}' AND \"deletedAt\" IS NULL"
        for status in RoomStatus
    },
}
COUNTS = f"SELECT {', '.join(_count(*each) for each in _COUNTS.items())}"
RUNS = """
    SELECT * FROM (
        SELECT job, outcome, "startedAt", "finishedAt", rows, error,
               row_number() OVER (PARTITION BY job ORDER BY "startedAt" DESC) AS age
        FROM task_runs
    ) numbered WHERE age <= $1 ORDER BY job, age DESC
"""
SIZES = """
    SELECT relname AS name, pg_total_relation_size(oid) AS bytes, reltuples::bigint AS rows
    FROM pg_class WHERE relname = ANY($1) AND relnamespace = 'public'::regnamespace
    ORDER BY bytes DESC LIMIT $2
"""


async def dashboard(request: Request) -> HTMLResponse:  # noqa: ARG001 - Starlette's signature
    """Show the page."""
    counts = dict((await fetch(COUNTS))[0])
    runs = await fetch(RUNS, RUNS_SHOWN)
    names = [table._meta.tablename for table in TABLES]  # noqa: SLF001 - Piccolo has no other way
    sizes = await fetch(SIZES, names, LARGEST_TABLES)
    content = templates.get_template("dashboard.html").render(
        counts=counts,
        statuses=_shares({status: counts[f"rooms_{status}"] for status in RoomStatus}),
        sizes=[{**size, "share": size["bytes"] / sizes[0]["bytes"]} for size in sizes],
        jobs=_jobs(runs, datetime.now(UTC)),
    )
    return HTMLResponse(content)


def _shares(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return each count with its place on a bar that is 100 wide."""
    whole = sum(counts.values()) or 1
    shares, left = [], 0.0
    for name, count in counts.items():
        width = 100 * count / whole
        shares.append({"name": name, "count": count, "left": left, "width": width})
        left += width
    return shares


def _jobs(runs: Sequence[asyncpg.Record], now: datetime) -> list[dict[str, Any]]:
    """Return every job with its last runs, oldest first, and when it is due."""
    return [
        {
            "name": job.name,
            "runs": [run for run in runs if run["job"] == job.name],
            "next": job.next_slot(now),
        }
        for job in jobs(settings().SCHEDULES)
    ]


def count(value: int) -> str:
    """Write a count, of which we know no more than that it is larger than the largest."""
    return f"{LARGEST_COUNT:,}+" if value > LARGEST_COUNT else f"{value:,}"


def size(value: float) -> str:
    """Write bytes in the unit in which they are read."""
    units = iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    while value >= KILO and (larger := next(units, None)):
        value, unit = value / KILO, larger
    return f"{value:,.0f} {unit}"


def duration(run: Mapping[str, Any]) -> str:
    """Write how long a run took."""
    if run["finishedAt"] is None:
        return "running"
    took: timedelta = run["finishedAt"] - run["startedAt"]
    return f"{took.total_seconds():,.1f} s"


templates.filters.update(count=count, size=size, duration=duration)
