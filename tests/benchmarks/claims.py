"""A draw of 1,000 prizes with 10 in line for each, against one without: ``python -m
tests.benchmarks.claims [ENTRANTS]``.

From a million entrants. The real server, with an embedded PostgreSQL as durable as production's.
The two take turns, so that both meet the same machine.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import asyncpg
import httpx

from app.database.embedded.server import EmbeddedServer
from app.database.seed import NEW_YEAR as ROOM
from tests.benchmarks.draws import CROWD, ENTRANTS, post, tell
from tests.server import serving

PRIZES, ALTERNATES = 1_000, 10
TURNS = 7
MOST_TIMES = 1.3
PLACE = """
    UPDATE prizes SET "quantityRemaining" = 0;
    INSERT INTO prizes (id, "roomId", name, "updatedAt")
        SELECT 'benchmark' || n, '{room}', 'Prize', now() FROM generate_series(1, {prizes}) n
"""
AGAIN = """
    DELETE FROM winners;
    UPDATE prizes SET "quantityRemaining" = 1, claim = {claim} WHERE id LIKE 'benchmark%';
    CHECKPOINT
"""


async def main() -> None:
    """Print what each takes, and how much longer with claims."""
    with tempfile.TemporaryDirectory() as folder:
        database = EmbeddedServer(Path(folder) / "postgres")
        database.join()
        dsn = database.dsn("postgres")
        with serving(DATABASE_URL=dsn) as server:
            connection = await asyncpg.connect(dsn)
            script = PLACE.format(room=ROOM, prizes=PRIZES) + ";" + CROWD.format(entrants=ENTRANTS)
            for statement in script.split(";"):
                await connection.execute(statement)
            await measure(server.url, connection)
            await connection.close()
        database.leave()


async def measure(url: str, connection: asyncpg.Connection) -> None:
    taken: dict[int, list[float]] = {0: [], ALTERNATES: []}
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=60) as client:
        login = {"email": "alice@example.com", "password": "password123"}
        tokens = (await client.post("/auth/login", json=login)).json()["data"]
        client.headers["authorization"] = f"Bearer {tokens['accessToken']}"
        for _ in range(TURNS):
            for alternates, seconds in taken.items():
                claim = '\'{"within": "P7D"}\'' if alternates else "NULL"
                for statement in AGAIN.format(claim=claim).split(";"):
                    await connection.execute(statement)
                number = (await post(client, "", {"alternates": alternates}))["number"]
                started = time.perf_counter()
                await post(client, f"/{number}/close", None)
                drawn = await post(client, f"/{number}/draw", None)
                seconds.append(time.perf_counter() - started)
                assert len(drawn["winners"]) == PRIZES
                in_line = 'SELECT jsonb_array_length("nextInLine") FROM draws WHERE number = $1'
                assert (await connection.fetchval(in_line, number) or 0) == PRIZES * alternates
    without, with_claims = (statistics.median(seconds) for seconds in taken.values())
    for alternates, seconds in taken.items():
        told = ", ".join(f"{each:.2f}" for each in seconds)
        tell(
            f"{alternates:>2} in line: close and draw {statistics.median(seconds):.2f} s of {told}"
        )
    tell(f"{with_claims / without:.2f} times as long; wanted at most {MOST_TIMES}")


if __name__ == "__main__":
    asyncio.run(main())
