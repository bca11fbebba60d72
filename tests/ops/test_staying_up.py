"""The database goes away, hangs, is full or slow: requests get 503 in time, and it heals."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, cast

import asyncpg
import httpx
import pytest
from litestar import Litestar, get

from app.asgi import create_app
from app.database.engine import DB, fetch, fetchval, transaction
from app.http.envelopes import Data, Success
from app.http.errors import answer_error
from app.http.time_limit import TimeLimit
from app.settings import Settings
from tests.ops.conftest import OwnPostgres
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)

ROOMS = "/api/v1/rooms"
SLACK_SECONDS = 10
"""What a busy machine may add to a limit; without the limit each of these would wait for good."""
SIGN_IN = {"email": "alice@example.com", "password": "password123"}


SHORT = Settings(DATABASE_POOL_SIZE=3, STATEMENT_SECONDS=0.4, LOCK_SECONDS=0.2, REQUEST_SECONDS=1)
PATIENT = Settings(DATABASE_POOL_SIZE=3, STATEMENT_SECONDS=8, LOCK_SECONDS=8, REQUEST_SECONDS=8)
"""For load: with these a busy machine alone makes no 503."""


@pytest.fixture
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make time limits short, unless the test has others, and the pool small."""
    limits: Settings = getattr(request, "param", SHORT)
    monkeypatch.setattr("app.database.engine.settings", lambda: limits)
    monkeypatch.setattr("app.asgi.settings", lambda: limits)
    return limits


@pytest.fixture
async def client(
    own_postgres: OwnPostgres,  # noqa: ARG001 - the engine points there
    limits: Settings,  # noqa: ARG001 - the pool has them
) -> AsyncIterator[httpx.AsyncClient]:
    await DB.start_connection_pool(serving=True)
    transport = httpx.ASGITransport(cast("Any", create_app()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client
    pool_of().terminate()
    DB.pool = None


def pool_of() -> asyncpg.Pool:
    assert DB.pool is not None
    return DB.pool


class Answer(NamedTuple):
    began: float
    seconds: float
    status: int
    retry_after: str | None


class Load:
    """Requests that never stop, and what became of them."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._asked = 0
        self.answers: list[Answer] = []

    async def ask(self) -> None:
        while True:
            began = time.perf_counter()
            self._asked += 1
            if self._asked % 2:
                answer = await self._client.get(ROOMS)
            else:
                answer = await self._client.post("/api/v1/auth/login", json=SIGN_IN)
            self.answers.append(
                Answer(
                    began,
                    time.perf_counter() - began,
                    answer.status_code,
                    answer.headers.get("retry-after"),
                )
            )
            await asyncio.sleep(0.002)

    def forget(self) -> None:
        self.answers.clear()


@asynccontextmanager
async def load_on(client: httpx.AsyncClient) -> AsyncIterator[Load]:
    load = Load(client)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(load.ask()) for _ in range(8)]
        yield load
        for task in tasks:
            task.cancel()


def answered(load: Load, status: int, at_least: int) -> Callable[[], Awaitable[bool]]:
    async def condition() -> bool:
        return [answer.status for answer in load.answers].count(status) >= at_least

    return condition


async def it_is_well(load: Load) -> None:
    """Wait for a good answer; whatever is asked after it is answered well, too."""
    load.forget()
    await eventually(answered(load, 200, at_least=1), 60)
    since = time.perf_counter()

    def asked_since() -> list[int]:
        return [answer.status for answer in load.answers if answer.began > since]

    async def are_enough() -> bool:
        return len(asked_since()) >= 100

    await eventually(are_enough, 60)
    assert set(asked_since()) == {200}


async def it_says_so_in_time(load: Load) -> None:
    await eventually(answered(load, 503, at_least=10), 60)
    assert {answer.status for answer in load.answers} <= {200, 503}
    refused = [answer for answer in load.answers if answer.status == 503]
    assert {answer.retry_after for answer in refused} == {"2"}
    assert max(each.seconds for each in refused) < PATIENT.REQUEST_SECONDS + SLACK_SECONDS


@pytest.mark.parametrize("way", ["stop", "kill"])
@pytest.mark.parametrize("limits", [PATIENT], indirect=True)
async def test_a_database_that_goes_costs_503_until_it_is_back(
    client: httpx.AsyncClient, own_postgres: OwnPostgres, way: str
) -> None:
    async with load_on(client) as load:
        await it_is_well(load)
        await asyncio.to_thread(getattr(own_postgres, way))
        await it_says_so_in_time(load)
        await asyncio.to_thread(own_postgres.start)
        await it_is_well(load)


@pytest.mark.parametrize("limits", [PATIENT], indirect=True)
async def test_a_database_that_hangs_costs_503_in_time_and_heals_when_it_wakes(
    client: httpx.AsyncClient, own_postgres: OwnPostgres
) -> None:
    async with load_on(client) as load:
        await it_is_well(load)
        own_postgres.freeze()
        await it_says_so_in_time(load)
        own_postgres.thaw()
        await it_is_well(load)


async def test_killed_connections_are_replaced_at_once(
    client: httpx.AsyncClient, own_postgres: OwnPostgres
) -> None:
    await eventually(lambda: is_ok(client))
    administrator = await asyncpg.connect(own_postgres.dsn)
    for _ in range(3):
        killed = await administrator.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert killed
        await eventually(lambda: are_closed(administrator))
        await eventually(lambda: lists_rooms(client))
    await administrator.close()


async def lists_rooms(client: httpx.AsyncClient) -> bool:
    """A request that takes a connection while it is being closed is told to come again."""
    status = (await client.get(ROOMS)).status_code
    assert status in {200, 503}
    return status == 200


async def are_closed(administrator: asyncpg.Connection) -> bool:
    others: int = await administrator.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return others == 0


async def test_a_lock_that_others_keep_costs_503_in_time(
    client: httpx.AsyncClient, own_postgres: OwnPostgres, limits: Settings
) -> None:
    holder = await asyncpg.connect(own_postgres.dsn)
    async with holder.transaction():
        await holder.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
        started = time.perf_counter()
        answer = await client.post("/api/v1/auth/login", json=SIGN_IN)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
        took = time.perf_counter() - started
        assert limits.LOCK_SECONDS <= took < limits.REQUEST_SECONDS + SLACK_SECONDS
    await holder.close()
    await eventually(lambda: signs_in(client))


async def signs_in(client: httpx.AsyncClient) -> bool:
    answer = await client.post("/api/v1/auth/login", json=SIGN_IN)
    return answer.status_code == httpx.codes.OK


async def test_a_full_pool_costs_503_in_time(client: httpx.AsyncClient, limits: Settings) -> None:
    held = [await pool_of().acquire() for _ in range(limits.DATABASE_POOL_SIZE)]
    started = time.perf_counter()
    answer = await client.get(ROOMS)
    assert answer.status_code == 503
    assert time.perf_counter() - started < limits.REQUEST_SECONDS + SLACK_SECONDS
    for connection in held:
        await pool_of().release(connection)
    await eventually(lambda: is_ok(client))


async def test_a_slow_statement_is_stopped_by_the_database(
    client: httpx.AsyncClient,  # noqa: ARG001 - its pool has the limits
) -> None:
    with pytest.raises(asyncpg.QueryCanceledError):
        await fetch("SELECT pg_sleep(2)")
    async with transaction():
        with pytest.raises(asyncpg.QueryCanceledError):
            await fetch("SELECT pg_sleep(2)")
    assert await fetchval("SELECT 1") == 1


async def test_more_connections_than_the_database_allows_cost_503(
    client: httpx.AsyncClient, own_postgres: OwnPostgres
) -> None:
    taken = await every_connection(own_postgres.dsn)
    answer = await client.get(ROOMS)
    assert answer.status_code == 503
    for connection in taken:
        await connection.close()
    await eventually(lambda: is_ok(client))


async def every_connection(dsn: str) -> list[asyncpg.Connection]:
    taken = []
    with suppress(asyncpg.TooManyConnectionsError):
        while True:
            taken.append(await asyncpg.connect(dsn))
    return taken


async def is_ok(client: httpx.AsyncClient) -> bool:
    return (await client.get(ROOMS)).status_code == httpx.codes.OK


@get("/slow")
async def slow() -> Data[Success]:
    await asyncio.sleep(30)
    return Data(Success())


async def test_a_request_that_takes_too_long_gets_503() -> None:
    app = Litestar(
        [slow], middleware=[TimeLimit(0.05)], exception_handlers={Exception: answer_error}
    )
    transport = httpx.ASGITransport(cast("Any", app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        answer = await client.get("/slow")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"


async def test_a_job_outlives_the_time_limits_of_requests(
    client: httpx.AsyncClient,  # noqa: ARG001 - its pool has the limits
) -> None:
    connection = await DB.get_new_connection()
    assert await connection.fetchval("SHOW statement_timeout") == "0"
    assert await connection.fetchval("SHOW lock_timeout") == "0"
    await connection.close()
    assert await fetchval("SHOW statement_timeout") == "400ms"
    assert await fetchval("SHOW lock_timeout") == "200ms"
