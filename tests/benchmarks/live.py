"""What live events cost: ``python -m tests.benchmarks.live`` (about six minutes).

On a durable, embedded PostgreSQL of its own. Writing is measured with the triggers that tell and
without them, in turns; streams are plain sockets of this process, which has a part in what it
measures.
"""

import asyncio
import resource
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from app.database.engine import fetch, fetchrow, fetchval
from app.events.log import missed, place_of
from tests import factories
from tests.benchmarks.between import SIZE, awards, compare, ready, sign_ups
from tests.benchmarks.databases import database_of_its_own
from tests.benchmarks.load import id_of
from tests.benchmarks.speed import PRIZES, READERS, ROOMS, loaded, tell, wrk
from tests.server import Server, serving
from tests.waiting import eventually

WRITES = 100
IDLE = 5_000
IDLE_SECONDS = 10
TOLD = """
    SELECT tgrelid::regclass::text AS table, tgname AS name FROM pg_trigger
    WHERE tgname LIKE '%\\_told%'
"""
OWN_ROOM = id_of("r", 2)
MISSED = 100_000
TELL = """
    INSERT INTO outbox (type, "roomId", subject, details)
    SELECT 'prize.updated', "roomId", id, '{"changed": ["name"]}'
    FROM (SELECT * FROM prizes WHERE "roomId" = $1 LIMIT 1) prize, generate_series(1, $2::int)
"""


async def main() -> None:
    """Print everything."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with database_of_its_own() as dsn:
        async with loaded(dsn, SIZE):
            person = await fetchrow("SELECT * FROM users WHERE id = $1", id_of("u", 2))
            token = (await factories.bearer(person))["Authorization"]
            await ready(OWN_ROOM, is_open=False)
            options = {"DATABASE_URL": dsn, "EVENT_STREAMS_PER_ADDRESS": "100000", "SCHEDULES": ""}
            with serving(Path.cwd(), "--wc", "1", **options) as server:
                await writing(server, token)
                await hearing(server, token, 1)
                await hearing(server, token, 1_000)
                await idling(server)
                await catching_up(server)
            with serving(Path.cwd(), "--wc", "2", **options) as server:
                await hearing(server, token, 5_000)


async def writing(server: Server, token: str) -> None:
    """Compare awards and sign-ups with and without the triggers that tell."""
    triggers = [(each["table"], each["name"]) for each in await fetch(TOLD)]
    await compare("awards", partial(awards, server.url, token, count(0, PRIZES)), triggers)
    await compare("sign-ups", partial(sign_ups, server.url, token, count(3)), triggers)


@asynccontextmanager
async def streams(server: Server, count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Open streams of the room, all of which have begun."""
    place = urlsplit(server.url)
    opened = []
    request = f"GET {ROOMS}/{OWN_ROOM}/events HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode()
    for start in range(0, count, 200):
        part = [
            await asyncio.open_connection(place.hostname, place.port)
            for _ in range(min(200, count - start))
        ]
        for _, writer in part:
            writer.write(request)
        for reader, _ in part:
            await reader.readuntil(b"id: ")
        opened += part
    yield [reader for reader, _ in opened]
    for _, writer in opened:
        writer.close()


async def hearing(server: Server, token: str, count: int) -> None:
    """Measure from the answer of a write to the event at the last of the clients."""
    delays = []
    async with (
        streams(server, count) as readers,
        httpx.AsyncClient(base_url=server.url, headers={"Authorization": token}) as client,
    ):
        for number in range(WRITES if count < 5_000 else WRITES // 4):
            name = f'"Prize {number} of {count}"'.encode()
            heard = [
                asyncio.create_task(_heard(reader, name), name=str(place))
                for place, reader in enumerate(readers)
            ]
            answer = await client.post(
                f"{ROOMS}/{OWN_ROOM}/prizes", json={"name": f"Prize {number} of {count}"}
            )
            assert answer.status_code == 201, answer.text
            answered = time.perf_counter()
            delays.append(max(await asyncio.gather(*heard)) - answered)
    delays.sort()
    p99 = delays[int(len(delays) * 0.99)]
    median = statistics.median(delays)
    tell(
        f"to the last of {count:,} client(s)",
        f"{p99 * 1e3:8.0f} ms",
        f"p99 from the answer; median {median * 1e3:.0f} ms",
    )


async def _heard(reader: asyncio.StreamReader, name: bytes) -> float:
    await reader.readuntil(name)
    return time.perf_counter()


async def idling(server: Server) -> None:
    """Measure what streams cost on which nothing happens, and what others cost beside them."""
    [worker] = [
        each
        for each in psutil.Process(server.process.pid).children(recursive=True)
        if "worker" in " ".join(each.cmdline())
    ]
    page = f"{server.url}{ROOMS}?limit=20"
    alone = await asyncio.to_thread(partial(wrk, page, READERS))
    before = worker.memory_info().rss
    async with streams(server, IDLE):
        held = worker.memory_info().rss - before
        tell(f"{IDLE:,} idle streams", f"{held / IDLE / 1e3:8.1f} kB", "each")
        used = sum(worker.cpu_times()[:2])
        await asyncio.sleep(IDLE_SECONDS)
        share = (sum(worker.cpu_times()[:2]) - used) / IDLE_SECONDS
        tell("their share of a core", f"{share:8.1%}", "")
        beside = await asyncio.to_thread(partial(wrk, page, READERS))
    tell("GET /rooms beside them", f"{beside:8,.0f} /s", f"{alone / beside:.2f} times slower")


async def catching_up(server: Server) -> None:
    """Measure going on after a long pause, and what it costs others."""
    url = f"{server.url}{ROOMS}/{OWN_ROOM}"
    page = f"{server.url}{ROOMS}?limit=20"
    alone = await asyncio.to_thread(partial(wrk, page, READERS))
    async with httpx.AsyncClient(timeout=60) as client:
        place = (await client.get(url)).headers["event-position"]
        begun = time.perf_counter()
        await fetch(TELL, OWN_ROOM, MISSED)
        await eventually(_is_all_moved, seconds=300)
        moved = time.perf_counter() - begun
        tell(f"{MISSED:,} events told and moved", f"{moved:8.1f} s", "")
        reading = asyncio.create_task(_read_on(client, url, place))
        beside = await asyncio.to_thread(partial(wrk, page, READERS))
        taken = await reading
    tell("one client catches up", f"{taken:8.1f} s", f"{MISSED / taken:,.0f} events a second")
    tell("GET /rooms beside it", f"{beside:8,.0f} /s", f"{alone / beside:.2f} times slower")
    position = place_of(place).position
    statements = []
    while True:
        begun = time.perf_counter()
        rows = await missed("roomId", OWN_ROOM, position)
        statements.append(time.perf_counter() - begun)
        if not rows:
            break
        position = rows[-1]["position"]
    tell("its longest statement", f"{max(statements) * 1e3:8.1f} ms", f"of {len(statements):,}")


async def _is_all_moved() -> bool:
    return not await fetchval("SELECT count(*) FROM outbox")


async def _read_on(client: httpx.AsyncClient, url: str, place: str) -> float:
    begun, heard = time.perf_counter(), 0
    async with client.stream("GET", f"{url}/events?after={place}") as stream:
        async for piece in stream.aiter_raw():
            heard += piece.count(b"\nevent: prize.updated\n")
            if heard >= MISSED:
                break
    return time.perf_counter() - begun


if __name__ == "__main__":
    asyncio.run(main())
