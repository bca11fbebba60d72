"""Nothing is lost, doubled or swapped, whoever is killed meanwhile."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import httpx
import pytest

from app.database.embedded.server import EmbeddedServer
from app.database.ids import new_id
from app.settings import PROJECT_ROOT
from tests.events.following import ROOM, following
from tests.postgres import restart
from tests.server import Server, serving
from tests.waiting import eventually

CLIENTS = 6
WRITTEN_EACH_SECOND = 100
SHORT_SECONDS = 4
LONG_SECONDS = 60
PATIENCE_SECONDS = 60
"""For what is still to be heard when all has been written."""
LONGEST_STREAM_SECONDS = 1.0
PATH = f"/rooms/{ROOM}/events"
CUT = (
    *(OSError, asyncpg.PostgresError, asyncpg.InterfaceError),
    asyncpg.exceptions.InternalClientError,
)
"""How it shows that a connection was cut."""
KILL_MOVERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'event-platform mover'
"""


async def connected(dsn: str) -> asyncpg.Connection:
    """Connect, as soon as there is somebody."""
    while True:
        with suppress(OSError, asyncpg.PostgresError):
            return await asyncpg.connect(dsn)
        await asyncio.sleep(0.05)


async def write(dsn: str, numbers: range) -> list[str]:
    """Put prizes up, one every hundredth of a second, some of them in transactions that linger."""
    connections = [await connected(dsn) for _ in range(4)]
    locks = [asyncio.Lock() for _ in connections]

    async def put_up(number: int) -> str:
        which, id_ = number % len(connections), new_id()
        async with locks[which]:
            while True:
                try:
                    async with connections[which].transaction():
                        await connections[which].execute(
                            'INSERT INTO prizes (id, "roomId", name, "updatedAt") '
                            "VALUES ($1, $2, $3, now()) ON CONFLICT DO NOTHING",
                            *(id_, ROOM, f"Prize {number}"),
                        )
                        await asyncio.sleep(0.05 if number % 7 == 0 else 0)
                except CUT:
                    connections[which] = await connected(dsn)
                else:
                    return id_

    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in numbers:
            tasks.append(group.create_task(put_up(number)))
            await asyncio.sleep(1 / WRITTEN_EACH_SECOND)
    for connection in connections:
        await connection.close()
    return [task.result() for task in tasks]


async def follow(
    url: str, position: str, heard: list[str], is_done: Callable[[list[str]], bool]
) -> None:
    """Follow, going away and coming back at random, until everything was heard."""
    last = position
    while not is_done(heard):
        until = time.monotonic() + random.uniform(0.1, LONGEST_STREAM_SECONDS)  # noqa: S311 - guards nothing
        with suppress(httpx.HTTPError, TimeoutError, AssertionError):
            async with (
                httpx.AsyncClient(base_url=url, timeout=5) as client,
                following(client, PATH, headers={"Last-Event-ID": last}) as stream,
            ):
                while not is_done(heard):
                    async with asyncio.timeout(until - time.monotonic()):
                        told = await anext(stream)
                    if told.event is None:
                        continue
                    assert told.event == "prize.created", told
                    last = str(told.id)
                    heard.append(told.data["data"]["id"])
        await asyncio.sleep(0.02)


async def kill(postgres: EmbeddedServer, server: Server, seconds: int) -> None:
    """Kill the mover's connection twice, restart PostgreSQL, and kill a worker."""
    connection = await asyncpg.connect(postgres.dsn())
    for _ in range(2):
        await asyncio.sleep(seconds / 5)
        await connection.execute(KILL_MOVERS)
    await connection.close()
    await asyncio.sleep(seconds / 5)
    await asyncio.to_thread(restart, postgres)
    await asyncio.sleep(seconds / 5)
    await asyncio.to_thread(server.kill_workers, 1)


async def all_is_moved(dsn: str) -> bool:
    """Tell whether the log has what was told when the demo data was made."""
    connection = await asyncpg.connect(dsn)
    waiting = await connection.fetchval("SELECT count(*) FROM outbox")
    await connection.close()
    return bool(waiting == 0)


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """Run a PostgreSQL of this test alone."""
    server = EmbeddedServer(tmp_path, durable=False)
    server.join()
    yield server
    server.leave()


@pytest.mark.timeout(300)
async def test_each_client_hears_every_event_once_and_in_the_order_of_the_log(
    postgres: EmbeddedServer, request: pytest.FixtureRequest
) -> None:
    seconds = LONG_SECONDS if request.config.getoption("--long") else SHORT_SECONDS
    dsn = postgres.dsn()
    options = ("--web-concurrency", "2")
    with serving(
        PROJECT_ROOT, *options, DATABASE_URL=dsn, SCHEDULES="", RATE_LIMITS="off"
    ) as server:
        await eventually(lambda: all_is_moved(dsn))
        async with httpx.AsyncClient(base_url=server.url) as client:
            room = await client.get(f"/api/v1/rooms/{ROOM}")
        position = room.headers["event-position"]
        made: list[str] = []
        heard: list[list[str]] = [[] for _ in range(CLIENTS)]

        def is_done(heard: list[str]) -> bool:
            return bool(made) and len(heard) >= len(made)

        tasks = [
            asyncio.create_task(each)
            for each in (
                kill(postgres, server, seconds),
                *(follow(server.url, position, each, is_done) for each in heard),
            )
        ]
        made += await write(dsn, range(seconds * WRITTEN_EACH_SECOND))
        _, left = await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)
        for task in left:
            task.cancel()

        connection = await asyncpg.connect(dsn)
        logged = [
            row["subject"]
            for row in await connection.fetch(
                "SELECT subject FROM events WHERE position > $1 ORDER BY position",
                int(position.rpartition("-")[2]),
            )
        ]
        await connection.close()
    assert sorted(logged) == sorted(made)
    assert heard == [logged] * CLIENTS
    assert not left
    assert [task.exception() for task in tasks] == [None] * len(tasks)
