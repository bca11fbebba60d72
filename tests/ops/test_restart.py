"""Ends and new starts of real servers: nothing that was begun is lost."""

import asyncio
import itertools
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import asyncpg
import httpx
import psutil
import pytest

from app.settings import PROJECT_ROOT
from tests.server import STOP_SECONDS, Server, serving
from tests.waiting import eventually, is_waited_for

SIGN_IN = {"email": "alice@example.com", "password": "password123"}


@pytest.mark.timeout(180)
async def test_a_dead_worker_is_replaced(migrated_database: str) -> None:
    with serving(PROJECT_ROOT, "--wc", "2", DATABASE_URL=migrated_database) as server:
        await eventually(lambda: two_workers(server), 60)
        first, second = server.workers()
        first.kill()
        await eventually(lambda: other_two_workers(server, first.pid), 60)
        assert second.pid in {worker.pid for worker in server.workers()}
        async with httpx.AsyncClient(timeout=60) as client:
            assert (await client.get(f"{server.url}/health/ready")).status_code == 200
        server.tree = psutil.Process(server.process.pid).children(recursive=True)
        assert server.end() == 0


async def two_workers(server: Server) -> bool:
    """Tell whether both have started: one that is killed before is not missed in the log."""
    return len(server.workers()) == 2 and started_workers(server) == 2


async def other_two_workers(server: Server, gone: int) -> bool:
    pids = {worker.pid for worker in server.workers()}
    return len(pids) == 2 and gone not in pids and started_workers(server) == 3


def started_workers(server: Server) -> int:
    return len(re.findall(r"Started worker-\d+\s*$", server.log.read_text(), re.MULTILINE))


@pytest.mark.timeout(180)
async def test_sigterm_finishes_what_runs_and_ends_with_0(migrated_database: str) -> None:
    """A sign-in waits for a lock when the signal comes, and is answered all the same."""
    patient = {"LOCK_SECONDS": "60", "STATEMENT_SECONDS": "60", "REQUEST_SECONDS": "60"}
    with serving(PROJECT_ROOT, DATABASE_URL=migrated_database, **patient) as server:
        holder = await asyncpg.connect(migrated_database)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
        async with httpx.AsyncClient(timeout=60) as client:
            waiting = asyncio.create_task(
                client.post(f"{server.url}/api/v1/auth/login", json=SIGN_IN)
            )
            await eventually(lambda: is_waited_for(holder, "sessions"))
            server.process.send_signal(signal.SIGTERM)
            await eventually(lambda: refuses(server))
            await transaction.rollback()
            assert (await waiting).status_code == 200
        await holder.close()
        assert await asyncio.to_thread(server.process.wait, STOP_SECONDS) == 0


async def refuses(server: Server) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    except ConnectionError:
        return True
    writer.close()
    return False


class Proxy:
    """A reverse proxy: requests go to its servers by turns, each over a new connection."""

    def __init__(self) -> None:
        self.running: Counter[int] = Counter()
        """Requests that each server has not answered yet."""
        self._servers: list[int] = []
        self._turns = itertools.count()

    def put_in(self, server: Server) -> None:
        self._servers.append(server.port)

    async def take_out(self, server: Server) -> None:
        """Give the server no more requests, and wait until it has answered all of them."""
        self._servers.remove(server.port)

        async def is_idle() -> bool:
            return self.running[server.port] == 0

        await eventually(is_idle, 60)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                0,
            )
            request = head + await reader.readexactly(length)
            writer.write(await self._forward(request))
            await writer.drain()
        writer.close()

    async def _forward(self, request: bytes) -> bytes:
        port = self._servers[next(self._turns) % len(self._servers)]
        self.running[port] += 1
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            answer = await reader.read()
            writer.close()
            return answer
        finally:
            self.running[port] -= 1


@asynccontextmanager
async def proxied(proxy: Proxy) -> AsyncIterator[str]:
    listener = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield f"http://127.0.0.1:{port}"


async def ask(url: str, answers: Counter[int]) -> None:
    headers = {"Connection": "close"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as client:
        while True:
            answer = await client.post(f"{url}/api/v1/auth/login", json=SIGN_IN)
            answers[answer.status_code] += 1
            answer = await client.get(f"{url}/api/v1/rooms")
            answers[answer.status_code] += 1


async def more(answers: Counter[int]) -> None:
    """Wait for some more answers."""
    enough = answers.total() + 40

    async def are_there() -> bool:
        return answers.total() >= enough

    await eventually(are_there, 60)


@pytest.mark.timeout(300)
async def test_a_rolling_restart_under_load_fails_no_request(migrated_database: str) -> None:
    """As `app/ops/README.md` has it: out of the proxy, idle, stopped, started, into the proxy."""
    answers: Counter[int] = Counter()
    proxy = Proxy()
    options = {"DATABASE_URL": migrated_database}
    async with AsyncExitStack() as servers:
        first, second = [servers.enter_context(serving(PROJECT_ROOT, **options)) for _ in range(2)]
        proxy.put_in(first)
        proxy.put_in(second)
        async with proxied(proxy) as url, asyncio.TaskGroup() as group:
            load = [group.create_task(ask(url, answers)) for _ in range(4)]
            await more(answers)
            for former in (first, second):
                await proxy.take_out(former)
                assert await asyncio.to_thread(former.end) == 0
                renewed = await asyncio.to_thread(
                    servers.enter_context, serving(PROJECT_ROOT, **options)
                )
                proxy.put_in(renewed)
                await more(answers)
            for task in load:
                task.cancel()
    assert set(answers) == {200}, answers
