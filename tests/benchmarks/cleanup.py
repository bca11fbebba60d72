"""What people notice of expired rows going: ``python -m tests.benchmarks.cleanup`` (three minutes).

An embedded PostgreSQL of its own, as durable as production's. Sign-ins and refreshes come at a
steady rate, and each round measures them three times on the same tables: alone, alone again, and
beside a job in the same process, as in a worker. Rounds are short, because only ratios hold from
machine to machine, and from one moment to the next; what alone differs from alone is the machine's.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from app.auth.sessions import Device, open_session, refresh
from app.database.engine import DB, fetch
from tasks import runs
from tasks.schedule import JOBS
from tests.benchmarks.databases import connected_to_its_own

ROWS = 250_000
ROUNDS = 12
PAIRS_PER_SECOND = 100
ALONE_SECONDS = 2.5
"""About as long as the job takes."""
WARM_UP_PAIRS = 10
MOST_TIMES = 1.5
DEVICE = Device("benchmark", "127.0.0.1")

Latencies = dict[str, list[float]]
"""Milliseconds of each sign-in and of each refresh."""

EXPIRED = {
    "token_blacklist": """
        INSERT INTO token_blacklist (id, "tokenHash", "expiresAt", "userId", "revokedAt")
        SELECT md5(n::text), sha256(n::text::bytea)::text, now() - n * interval '1 second', 'u',
          now() - interval '1 day'
        FROM generate_series(1, $1) n
    """,
    "sessions": """
        INSERT INTO sessions (id, "userId", "refreshToken", "expiresAt", "updatedAt")
        SELECT md5('s' || n), 'u', sha256(n::text::bytea)::text, now() - n * interval '1 second',
          now()
        FROM generate_series(1, $1) n
    """,
}


async def main() -> None:
    """Print the latencies of both kinds, and what the job took."""
    alone, again, beside = nobody(), nobody(), nobody()
    took: list[float] = []
    for _ in range(ROUNDS):
        await fill()
        await measure(alone, lambda: asyncio.sleep(ALONE_SECONDS))
        await measure(again, lambda: asyncio.sleep(ALONE_SECONDS))
        await measure(beside, lambda: clean_up(took))
        await vacuum()
    for kind in alone:
        show(f"{kind} alone", alone[kind])
        show(f"{kind} alone again", again[kind])
        show(f"{kind} beside the cleanup", beside[kind])
        machine, cleanup = (
            quantile(measured[kind], 0.99) / quantile(alone[kind], 0.99)
            for measured in (again, beside)
        )
        sys.stdout.write(
            f"{kind}: p99 {cleanup:.2f} times, of {MOST_TIMES} at most; alone {machine:.2f}\n"
        )
    sys.stdout.write(f"{ROWS * ROUNDS:,} rows in {sum(took):.1f} s\n")


async def fill() -> None:
    """Let the rows expire as those of a real table do: vacuumed, written and cold.

    No page of them was touched since the checkpoint, so the job pays for each with a full image in
    the write-ahead log, as at night. People pay the same alone; their connections are open.
    """
    for sql in EXPIRED.values():
        await fetch(sql, ROWS // len(EXPIRED))
    await vacuum()
    await fetch("CHECKPOINT")
    await asyncio.gather(*(sign_in_and_refresh(nobody()) for _ in range(WARM_UP_PAIRS)))


def nobody() -> Latencies:
    """Begin to note latencies."""
    return {"sign-in": [], "refresh": []}


async def measure(latencies: Latencies, work: Callable[[], Awaitable[None]]) -> None:
    """Let people sign in and refresh while the work goes on."""
    working = asyncio.ensure_future(work())
    started: list[asyncio.Task[None]] = []
    while not working.done():
        started.append(asyncio.create_task(sign_in_and_refresh(latencies)))
        await asyncio.sleep(1 / PAIRS_PER_SECOND)
    await working
    await asyncio.gather(*started)


async def sign_in_and_refresh(latencies: Latencies) -> None:
    """Do the one, then the other, and note how long each took."""
    started = time.perf_counter()
    tokens = await open_session("u", "u@example.com", DEVICE, datetime.now(UTC))
    signed_in = time.perf_counter()
    await refresh(tokens.refreshToken, DEVICE, datetime.now(UTC))
    latencies["sign-in"].append((signed_in - started) * 1e3)
    latencies["refresh"].append((time.perf_counter() - signed_in) * 1e3)


async def clean_up(took: list[float]) -> None:
    """Run the daily job, and note the seconds."""
    job = next(job for job in JOBS if job.name == "cleanup-tokens")
    started = time.perf_counter()
    async with runs.exclusive(job) as connection:
        assert connection is not None, "nobody else cleans up"
        ended = await runs.run(
            connection,
            job,
            None,
            clock=lambda: datetime.now(UTC),
            stopping=asyncio.Event(),
        )
    took.append(time.perf_counter() - started)
    assert ended.rows == ROWS, ended


async def vacuum() -> None:
    """Give back what went, and let the planner know what came."""
    connection = await DB.get_new_connection()
    await connection.execute("VACUUM (ANALYZE) token_blacklist, sessions")
    await connection.close()


def show(name: str, milliseconds: list[float]) -> None:
    """Print how long they took."""
    half, most = statistics.median(milliseconds), quantile(milliseconds, 0.99)
    line = f"{name:<27}{len(milliseconds):6,}, p50 {half:5.1f} ms, p99 {most:5.1f} ms\n"
    sys.stdout.write(line)


def quantile(values: list[float], share: float) -> float:
    """Return the value that this share of all is below."""
    return sorted(values)[int(share * len(values))]


async def on_a_server_of_its_own() -> None:
    """Run everything on a new PostgreSQL, which is gone afterwards."""
    async with connected_to_its_own():
        await fetch(
            "INSERT INTO users (id, email, \"updatedAt\") VALUES ('u', 'u@example.com', now())"
        )
        await main()


if __name__ == "__main__":
    asyncio.run(on_a_server_of_its_own())
