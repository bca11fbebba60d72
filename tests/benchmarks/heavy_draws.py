"""What ten of the heaviest draws at once cost others: ``python -m tests.benchmarks.heavy_draws``.

Each has weights of 1,000, 200 prizes, an order for each, and so many entrants as a draw may have
then. The real server, with an embedded PostgreSQL as durable as production's. Somebody else reads a
room at a steady rate: twice alone, which tells how far two such measurements differ, then beside.
"""

import asyncio
import sys
import time

import asyncpg
import httpx

from app.draws.closing import MOST_HASHES
from app.draws.ranking import HEAVIEST
from tests.benchmarks.databases import database_of_its_own
from tests.benchmarks.draws import WARM_SECONDS, quantile, reading, show, tell
from tests.server import serving

DRAWS = 10
PRIZES = 200
ENTRANTS = MOST_HASHES // HEAVIEST // PRIZES
ALONE_SECONDS = 15.0
BESIDE_SECONDS = 60.0
"""Of what the draws take, so long is measured at most."""
MOST_TIMES = 2.0
ROOMS = """
    INSERT INTO rooms (id, name, "appId", "appSettings", "appManifestVersion", status, "createdBy",
            "updatedAt")
        SELECT 'heavy' || n, 'Heavy', r."appId", '{{}}', r."appManifestVersion", 'ACTIVE', u.id,
            now()
        FROM generate_series(1, {draws}) n,
            (SELECT * FROM rooms ORDER BY id LIMIT 1) r,
            (SELECT * FROM users WHERE email = 'alice@example.com') u;
    INSERT INTO participants (id, "userId", "roomId", role, "updatedAt")
        SELECT 'o' || id, "createdBy", id, 'ORGANIZER', now() FROM rooms WHERE id LIKE 'heavy%';
    INSERT INTO participants (id, email, "roomId", metadata, "updatedAt")
        SELECT r.id || 'p' || n, n || '@example.org', r.id, '{{"tickets": {weight}}}', now()
        FROM rooms r, generate_series(1, {entrants}) n WHERE r.id LIKE 'heavy%';
    INSERT INTO prizes (id, "roomId", name, "updatedAt")
        SELECT r.id || 'z' || n, r.id, 'Prize', now()
        FROM rooms r, generate_series(1, {prizes}) n WHERE r.id LIKE 'heavy%';
    VACUUM ANALYZE
"""


async def main() -> None:
    """Print how long others wait alone and beside, and how long the draws take."""
    with database_of_its_own() as dsn, serving(DATABASE_URL=dsn) as server:
        await fill(dsn)
        await measure(server.url)


async def fill(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    sizes = {"draws": DRAWS, "prizes": PRIZES, "entrants": ENTRANTS, "weight": HEAVIEST}
    for statement in ROOMS.format(**sizes).split(";"):
        await connection.execute(statement)
    await connection.close()


async def measure(url: str) -> None:
    alone: list[list[float]] = [[], []]
    beside: list[float] = []
    async with reading(url, []):
        await asyncio.sleep(WARM_SECONDS)
    for latencies in alone:
        async with reading(url, latencies):
            await asyncio.sleep(ALONE_SECONDS)
        show("reads alone", latencies)
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=300) as client:
        login = {"email": "alice@example.com", "password": "password123"}
        tokens = (await client.post("/auth/login", json=login)).json()["data"]
        client.headers["authorization"] = f"Bearer {tokens['accessToken']}"
        for room in range(1, DRAWS + 1):
            await prepare(client, f"/rooms/heavy{room}/draws")
        started = time.perf_counter()
        async with reading(url, beside):
            drawing = [
                asyncio.create_task(draw(client, f"/rooms/heavy{room}/draws"))
                for room in range(1, DRAWS + 1)
            ]
            ended, going_on = await asyncio.wait(drawing, timeout=BESIDE_SECONDS)
            took = time.perf_counter() - started
        for task in going_on:
            task.cancel()
        for task in ended:
            task.result()
    show("reads beside", beside)
    first, second = (quantile(each, 0.99) for each in alone)
    ratio = quantile(beside, 0.99) / max(first, second)
    tell(f"{len(ended)} of {DRAWS} draws were done in {took:.1f} s")
    tell(f"p99 alone differs by {second / first:.2f} times")
    tell(f"p99 beside is {ratio:.2f} times that alone; wanted at most {MOST_TIMES:.0f}")


async def prepare(client: httpx.AsyncClient, draws: str) -> None:
    body = {"weightKey": "tickets", "onePrizeEach": False}
    (await client.post(draws, json=body)).raise_for_status()
    (await client.post(f"{draws}/1/close")).raise_for_status()


async def draw(client: httpx.AsyncClient, draws: str) -> None:
    """Draw as who gives up waits for the job that finishes it."""
    answer = await client.post(f"{draws}/1/draw")
    while answer.json().get("data", {}).get("status") != "DRAWN":
        await asyncio.sleep(1)
        answer = await client.get(f"{draws}/1")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
