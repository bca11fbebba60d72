"""Shows the metrics, right also with several workers, and samples what nobody counts.

prometheus-client keeps each worker's numbers in files of PROMETHEUS_MULTIPROC_DIR, which
`litestar run` makes, and whichever worker is asked adds all of them up.
"""

import asyncio
import hmac
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from app.database.engine import DB, fetchrow
from app.http.errors import PASSING_FAULTS
from app.metrics import BLACKLIST_ENTRIES, POOL_CONNECTIONS, SESSIONS, TABLE_BYTES
from app.ops.launch import METRICS_DIRECTORY
from app.settings import settings

POOL_SAMPLE_SECONDS = 5
TABLE_SAMPLE_SECONDS = 60

# The plan's two queries, with sizes as numbers.
TABLES = """
    SELECT
      (SELECT COUNT(*) FROM token_blacklist WHERE "expiresAt" > NOW()) AS blacklist_active,
      (SELECT COUNT(*) FROM token_blacklist WHERE "expiresAt" <= NOW()) AS blacklist_expired,
      (SELECT COUNT(*) FROM sessions WHERE "expiresAt" > NOW()) AS sessions_active,
      (SELECT COUNT(*) FROM sessions WHERE "expiresAt" <= NOW()) AS sessions_expired,
      (SELECT COUNT(*) FROM sessions WHERE "lastUsedAt" > NOW() - INTERVAL '7 days')
        AS sessions_recent,
      pg_total_relation_size('token_blacklist') AS blacklist_bytes,
      pg_total_relation_size('sessions') AS sessions_bytes
"""


@get("/metrics", include_in_schema=False)
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Show all metrics to who has METRICS_TOKEN; in development to everybody."""
    _require_token(request.headers.get("authorization", ""))
    registry: CollectorRegistry = REGISTRY
    if os.environ.get(METRICS_DIRECTORY):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})


def _require_token(authorization: str) -> None:
    token = settings().METRICS_TOKEN
    if token is None and not settings().in_production:
        return
    expected = f"Bearer {token}"
    if token is None or not hmac.compare_digest(authorization.encode(), expected.encode()):
        raise NotFoundException


@asynccontextmanager
async def sampled() -> AsyncIterator[None]:
    """Take samples meanwhile."""
    _forget_dead_workers()
    tasks = [asyncio.create_task(_sample_pool()), asyncio.create_task(_sample_tables())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _forget_dead_workers() -> None:
    for file in Path(os.environ.get(METRICS_DIRECTORY, os.devnull)).glob("gauge_live*_*.db"):
        pid = int(file.stem.rsplit("_", 1)[1])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]


async def _sample_pool() -> None:
    while True:
        if DB.pool is not None:
            size, idle = DB.pool.get_size(), DB.pool.get_idle_size()
            POOL_CONNECTIONS.labels("idle").set(idle)
            POOL_CONNECTIONS.labels("in_use").set(size - idle)
        await asyncio.sleep(POOL_SAMPLE_SECONDS)


async def _sample_tables() -> None:
    while True:
        # Whatever is wrong with the database, others say it.
        with suppress(*PASSING_FAULTS, asyncpg.PostgresError):
            row = await fetchrow(TABLES)
            if row is not None:
                record_tables(dict(row))
        await asyncio.sleep(TABLE_SAMPLE_SECONDS)


def record_tables(row: Mapping[str, int]) -> None:
    """Keep what the plan's queries told."""
    for state in ("active", "expired"):
        BLACKLIST_ENTRIES.labels(state).set(row[f"blacklist_{state}"])
    for state in ("active", "expired", "recent"):
        SESSIONS.labels(state).set(row[f"sessions_{state}"])
    TABLE_BYTES.labels("token_blacklist").set(row["blacklist_bytes"])
    TABLE_BYTES.labels("sessions").set(row["sessions_bytes"])
