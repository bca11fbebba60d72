"""1,000 winners from a million entrants: ``python -m tests.benchmarks.draws [ENTRANTS]``.

The real server, with an embedded PostgreSQL as durable as production's. Each round draws once more
while somebody else reads a room at a steady rate, which is also measured alone just before.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil

from app.database.embedded.server import EmbeddedServer
from app.database.engine import DB, fetchval, transaction
from app.database.seed import NEW_YEAR as ROOM
from app.draws.tickets import first_ranked
from tests.server import serving

READ = "read"
ENTRANTS = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1] != READ else 1_000_000
WINNERS = 1_000
ROUNDS = 5
READS_PER_SECOND = 100
WARM_SECONDS = 3.0
ALONE_SECONDS = 4.0

CROWD = """
    INSERT INTO users (id, email, "updatedAt")
        SELECT 'c' || substr(md5(n::text), 1, 24), n || '@example.org', now()
        FROM generate_series(1, {entrants}) n;
    INSERT INTO participants (id, "userId", "roomId", metadata, "updatedAt")
        SELECT 'c' || substr(md5('p' || n), 1, 24), 'c' || substr(md5(n::text), 1, 24),
            'cdemo00000000000newyear25', jsonb_build_object('tickets', 1 + n % 3), now()
        FROM generate_series(1, {entrants}) n;
    VACUUM ANALYZE
"""
STOCK = """
    UPDATE winners SET "deletedAt" = now();
    UPDATE prizes SET quantity = {winners}, "quantityRemaining" = {winners} WHERE name = 'Phone';
    UPDATE prizes SET "quantityRemaining" = 0 WHERE name <> 'Phone'
"""


async def main() -> None:
    """Print what each step takes, what it costs others, and what the server grows by."""
    with tempfile.TemporaryDirectory() as folder:
        database = EmbeddedServer(Path(folder) / "postgres")
        database.join()
        dsn = database.dsn("postgres")
        with serving(DATABASE_URL=dsn) as server:
            connection = await asyncpg.connect(dsn)
            for statement in CROWD.format(entrants=ENTRANTS).split(";"):
                await connection.execute(statement)
            await measure(server.url, server.tree, connection)
            await connection.close()
        await rank_directly(dsn)
        database.leave()


async def measure(
    url: str, processes: list[psutil.Process], connection: asyncpg.Connection
) -> None:
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=60) as client:
        login = {"email": "alice@example.com", "password": "password123"}
        tokens = (await client.post("/auth/login", json=login)).json()["data"]
        client.headers["authorization"] = f"Bearer {tokens['accessToken']}"
        async with reading(url, []):
            await asyncio.sleep(WARM_SECONDS)
        for weight_key in (None, "tickets"):
            alone: list[float] = []
            beside: list[float] = []
            idle, peak = memory(processes), asyncio.create_task(peak_memory(processes))
            for _ in range(ROUNDS):
                for statement in STOCK.format(winners=WINNERS).split(";"):
                    await connection.execute(statement)
                await connection.execute("CHECKPOINT")
                async with reading(url, alone):
                    await asyncio.sleep(ALONE_SECONDS)
                body = {"weightKey": weight_key, "onePrizeEach": weight_key is None}
                number = (await post(client, "", body))["number"]
                async with reading(url, beside):
                    await steps(client, number)
                await download(client, number)
            peak.cancel()
            show(f"reads alone, weights: {weight_key}", alone)
            show(f"reads beside, weights: {weight_key}", beside)
            ratio = quantile(beside, 0.99) / quantile(alone, 0.99)
            grown = (await peak - idle) / 1e6
            tell(f"p99 beside is {ratio:.1f} times that alone; server at most {grown:+.1f} MB")


async def steps(client: httpx.AsyncClient, number: int) -> None:
    for step in ("close", "draw"):
        started = time.perf_counter()
        drawn = await post(client, f"/{number}/{step}", None)
        tell(f"{step:<6} {time.perf_counter() - started:6.2f} s")
    assert len(drawn["winners"]) == WINNERS
    assert drawn["entrantCount"] >= ENTRANTS


async def download(client: httpx.AsyncClient, number: int) -> None:
    size = 0
    started = time.perf_counter()
    async with client.stream("GET", f"/rooms/{ROOM}/draws/{number}/entrants.txt") as response:
        async for piece in response.aiter_bytes():
            size += len(piece)
    tell(f"entrants.txt, {size / 1e6:.0f} MB: {time.perf_counter() - started:.2f} s")


async def post(client: httpx.AsyncClient, path: str, body: Any) -> dict[str, Any]:
    answer = await client.post(f"/rooms/{ROOM}/draws{path}", json=body)
    assert answer.is_success, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


@asynccontextmanager
async def reading(url: str, latencies: list[float]) -> AsyncIterator[None]:
    """Let a process of its own read meanwhile: this one has other things to do."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.draws", READ, url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()
    yield
    process.stdin.close()
    latencies += json.loads(await process.stdout.read())
    await process.wait()


async def read(url: str) -> None:
    """Read at a steady rate until the input ends; then print how long each reading took."""
    latencies: list[float] = []
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=60) as client:

        async def once() -> None:
            started = time.perf_counter()
            (await client.get(f"/rooms/{ROOM}/prizes")).raise_for_status()
            latencies.append(time.perf_counter() - started)

        await asyncio.gather(*(once() for _ in range(10)))
        latencies.clear()
        tell("ready")
        sys.stdout.flush()
        reads = []
        while not ended.done():
            reads.append(asyncio.create_task(once()))
            await asyncio.sleep(1 / READS_PER_SECOND)
        await asyncio.gather(*reads)
    tell(json.dumps(latencies))


def memory(processes: list[psutil.Process]) -> float:
    """The resident memory of the server's own processes, without PostgreSQL's."""
    return float(sum(process.memory_info().rss for process in processes if process.is_running()))


async def peak_memory(processes: list[psutil.Process]) -> float:
    peak = memory(processes)
    try:
        while True:
            await asyncio.sleep(0.02)
            peak = max(peak, memory(processes))
    except asyncio.CancelledError:
        return peak


async def rank_directly(dsn: str) -> None:
    DB.connect_to(dsn)
    await DB.start_connection_pool()
    draw_id = await fetchval("SELECT id FROM draws ORDER BY number LIMIT 1")
    took = []
    for turn in range(5):
        started = time.perf_counter()
        async with transaction():
            await first_ranked(draw_id, bytes([turn] * 32), WINNERS, weighted=False)
        took.append(time.perf_counter() - started)
    tell(f"ranking alone: {', '.join(f'{each:.2f}' for each in sorted(took))} s")
    await DB.close_connection_pool()


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def show(what: str, latencies: list[float]) -> None:
    middle, last = statistics.median(latencies) * 1e3, quantile(latencies, 0.99) * 1e3
    tell(f"{what}: {len(latencies)} requests, median {middle:.1f} ms, p99 {last:.1f} ms")


def quantile(latencies: list[float], which: float) -> float:
    return sorted(latencies)[int(len(latencies) * which)]


if __name__ == "__main__":
    asyncio.run(read(sys.argv[2]) if sys.argv[1:2] == [READ] else main())
