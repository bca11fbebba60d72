"""Connections on which nothing happens neither stall a server nor stay."""

import asyncio
import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from app.ops import idle
from app.settings import PROJECT_ROOT, SettingsError, load
from tests.server import Server, serving
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who is silent")

MANY = 5_000
IDLE_SECONDS = 4
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def many_files() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] < 2 * MANY:
        pytest.skip(f"this machine allows a process {limits[1]} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def opened(server: Server, count: int, sent: bytes = b"") -> list[Connection]:
    connections = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        connections.append((reader, writer))
    return connections


async def all_ended(connections: list[Connection]) -> bool:
    return all(reader.at_eof() for reader, _ in connections)


@pytest.mark.usefixtures("many_files")
async def test_silent_connections_keep_nobody_out_and_go(migrated_database: str) -> None:
    options = {"IDLE_SECONDS": str(IDLE_SECONDS), "REQUEST_SECONDS": "3"}
    with serving(PROJECT_ROOT, DATABASE_URL=migrated_database, **options) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            silent = await opened(server, MANY)
            slow = await opened(server, 50, b"GET /health/live HT")
            halves = await opened(server, 50, b"GET /health/live HTTP/1.1\r\nHost: here\r\nX-A")
            assert (await client.get("/health/live")).status_code == 200
            await eventually(lambda: all_ended([*silent, *slow, *halves]), 30)
            assert (await client.get("/health/live")).status_code == 200
            for _, writer in (*silent, *slow, *halves):
                writer.close()


async def test_a_connection_that_is_in_use_stays(migrated_database: str) -> None:
    options = {"IDLE_SECONDS": "1.5", "REQUEST_SECONDS": "1"}
    with serving(PROJECT_ROOT, DATABASE_URL=migrated_database, **options) as server:
        [(reader, writer)] = await opened(server, 1)
        for _ in range(8):
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n")
            answer = await reader.readuntil(b"}")
            assert answer.startswith(b"HTTP/1.1 200")
            await reader.read(100)
            await asyncio.sleep(0.5)
        await eventually(lambda: all_ended([(reader, writer)]), 10)
        writer.close()


def test_only_connections_to_the_port_are_closed() -> None:
    with ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        addresses = [each.getsockname() for each in listening]
        ours, theirs = [stack.enter_context(socket.create_connection(at)) for at in addresses]
        for each in listening:
            stack.enter_context(each.accept()[0])
        time.sleep(0.1)
        assert idle.close_idle(addresses[0][1], 60) == 0
        assert idle.close_idle(addresses[0][1], 0.05) == 1
        assert ours.recv(1) == b""
        theirs.settimeout(0)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


def test_a_request_has_the_time_that_it_may_take() -> None:
    with pytest.raises(SettingsError, match="IDLE_SECONDS has to be more than REQUEST_SECONDS"):
        load({"IDLE_SECONDS": "20", "REQUEST_SECONDS": "20"})
