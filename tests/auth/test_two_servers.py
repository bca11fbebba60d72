"""Two server processes with one database and one Redis, which are stopped, hung and started."""

import asyncio
import itertools
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import asyncpg
import httpx
import psutil
import pytest
import redis

from app.database.embedded.server import EmbeddedServer
from app.database.listener import APPLICATION_NAME
from app.settings import PROJECT_ROOT
from tests.auth.conftest import ALICE, PASSWORD, Tokens, bearer
from tests.postgres import restart
from tests.server import Server, free_port
from tests.waiting import eventually

pytestmark = [
    pytest.mark.skipif(
        shutil.which("redis-server") is None and "CI" not in os.environ,
        reason="there is no redis-server",
    ),
    pytest.mark.timeout(180),
]
ME, APPS, SESSIONS = "/api/v1/auth/me", "/api/v1/apps", "/api/v1/auth/sessions"
QUOTA = 30
PLENTY = "100000/minute"
_numbers = itertools.count()


class OwnRedis:
    """A Redis of these tests alone, which keeps nothing when it is stopped."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port)
        self.start()

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(
            ["redis-server", *options], cwd=tempfile.gettempdir(), stdout=subprocess.DEVNULL
        )

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(30)


class Place:
    """What runs."""

    def __init__(self, servers: tuple[Server, Server], postgres: EmbeddedServer) -> None:
        self.here, self.there = (server.url for server in servers)
        self.postgres = postgres
        self.dsn = postgres.dsn("postgres")


@pytest.fixture(scope="module")
def own_redis() -> Iterator[OwnRedis]:
    own = OwnRedis()
    yield own
    own.stop()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, own_redis: OwnRedis) -> Iterator[Place]:
    postgres = EmbeddedServer(tmp_path_factory.mktemp("two") / "postgres", durable=False)
    postgres.join()
    settings = {
        "DATABASE_URL": postgres.dsn("postgres"),
        "PUBLIC_URL": "http://shared.example",
        "REDIS_URL": own_redis.url,
        "RATE_LIMITS": "on",
        "RATE_LIMIT_ANONYMOUS": f"{QUOTA}/minute",
        "RATE_LIMIT_PEOPLE": PLENTY,
        "RATE_LIMIT_SIGN_IN": PLENTY,
        "TRUSTED_PROXIES": "1",
    }
    servers = Server(PROJECT_ROOT, settings, ()), Server(PROJECT_ROOT, settings, ())
    try:
        for server in servers:
            server.wait_until_ready()
        yield Place(servers, postgres)
    finally:
        for server in servers:
            server.kill()
        postgres.leave()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


async def signed_in_at(client: httpx.AsyncClient, url: str, email: str = ALICE) -> Tokens:
    answer = await client.post(
        f"{url}/api/v1/auth/login", json={"email": email, "password": PASSWORD}
    )
    assert answer.status_code == 200, answer.text
    tokens: Tokens = answer.json()["data"]
    return tokens


def another_address() -> dict[str, str]:
    """Come from where no refused request has come from yet."""
    high, low = divmod(next(_numbers), 256)
    return {"X-Forwarded-For": f"10.0.{high}.{low}"}


async def status(client: httpx.AsyncClient, url: str, tokens: Tokens) -> int:
    headers = {**bearer(tokens), **another_address()}
    return (await client.get(f"{url}{ME}", headers=headers)).status_code


async def log_out(client: httpx.AsyncClient, url: str, tokens: Tokens) -> None:
    answer = await client.post(f"{url}/api/v1/auth/logout", headers=bearer(tokens))
    assert answer.status_code == 200, answer.text


async def revoke_on_one(client: httpx.AsyncClient, place: Place) -> None:
    """Log out on one server, and wait until the other refuses the token; then it does for good."""
    tokens = await signed_in_at(client, place.here)
    assert await status(client, place.there, tokens) == 200
    await log_out(client, place.here, tokens)

    async def is_refused() -> bool:
        return await status(client, place.there, tokens) == 401

    await eventually(is_refused)
    assert {await status(client, place.there, tokens) for _ in range(5)} == {401}


async def listeners(dsn: str) -> list[int]:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        "SELECT pid FROM pg_stat_activity WHERE application_name = $1", APPLICATION_NAME
    )
    await connection.close()
    return [row["pid"] for row in rows]


async def both_listeners(dsn: str) -> list[psutil.Process]:
    """Wait until there are two: one that a server has given up may take a moment to go."""

    async def are_two() -> bool:
        return len(await listeners(dsn)) == 2

    await eventually(are_two)
    return [psutil.Process(pid) for pid in await listeners(dsn)]


async def until_ready(client: httpx.AsyncClient, place: Place) -> None:
    """Wait until both servers have everything that they need."""

    async def is_ready() -> bool:
        answers = [await client.get(f"{url}/health/ready") for url in (place.here, place.there)]
        return all(
            answer.status_code == 200
            and all(part == {"state": "ok"} for part in answer.json()["data"]["parts"].values())
            for answer in answers
        )

    await eventually(is_ready, 60)


async def test_token_revoked_on_one_server_is_refused_by_the_other(
    client: httpx.AsyncClient, place: Place
) -> None:
    for _ in range(5):
        await revoke_on_one(client, place)


async def test_secret_replaced_on_one_server_is_worth_nothing_on_the_other(
    client: httpx.AsyncClient, place: Place
) -> None:
    administrator = await signed_in_at(client, place.here, "admin@example.com")
    secret = f"{place.here}{APPS}/app_lottery_v1/secret"
    for _ in range(2):
        answer = await client.post(secret, headers=bearer(administrator))
        credentials = ("app_lottery_v1", answer.json()["data"]["appSecret"])

        async def is_known(credentials: tuple[str, str] = credentials) -> bool:
            answer = await client.get(f"{place.there}{APPS}", auth=credentials)
            return answer.status_code == 200

        async def is_unknown(credentials: tuple[str, str] = credentials) -> bool:
            return not await is_known(credentials)

        assert await is_known()
        await client.post(secret, headers=bearer(administrator))
        await eventually(is_unknown)


async def test_killed_listeners_miss_nothing(client: httpx.AsyncClient, place: Place) -> None:
    await until_ready(client, place)
    for process in await both_listeners(place.dsn):
        process.terminate()
    await revoke_on_one(client, place)


async def test_server_whose_listener_hangs_asks_the_database(
    client: httpx.AsyncClient, place: Place
) -> None:
    await until_ready(client, place)
    hung = await both_listeners(place.dsn)
    for process in hung:
        process.suspend()
    try:
        await revoke_on_one(client, place)
    finally:
        for process in hung:
            process.resume()


async def test_restarted_postgresql_is_heard_again(client: httpx.AsyncClient, place: Place) -> None:
    await asyncio.to_thread(restart, place.postgres)
    await until_ready(client, place)
    await revoke_on_one(client, place)


async def statuses(client: httpx.AsyncClient, place: Place) -> Counter[int]:
    """Ask both servers at once, from one address, twice as often as it may.

    Ten at a time: the servers wait 0.2 s for Redis, also on a busy machine.
    """
    urls, headers = [place.here, place.there] * 5, another_address()
    answers: list[httpx.Response] = []
    while len(answers) < 2 * QUOTA:
        answers += await asyncio.gather(
            *(client.get(f"{url}{APPS}", headers=headers) for url in urls)
        )
    return Counter(answer.status_code for answer in answers)


async def test_two_servers_count_exactly_together(client: httpx.AsyncClient, place: Place) -> None:
    await until_ready(client, place)
    # A Redis that takes 0.2 s on a busy machine is done without for 2 s.
    await eventually(lambda: count_together(client, place), 30)


async def count_together(client: httpx.AsyncClient, place: Place) -> bool:
    return await statuses(client, place) == {200: QUOTA, 429: QUOTA}


async def test_restarted_redis_revives_no_token_and_takes_down_no_request(
    client: httpx.AsyncClient, place: Place, own_redis: OwnRedis
) -> None:
    await until_ready(client, place)
    meanwhile, alive = [await signed_in_at(client, place.here) for _ in range(2)]
    own_redis.client.flushall()

    async def is_in_redis() -> bool:
        await log_out(client, place.here, before := await signed_in_at(client, place.here))
        revoked.append(before)
        return bool(revoked_keys(own_redis))

    revoked: list[Tokens] = []
    await eventually(is_in_redis, 30)
    before = revoked[-1]

    own_redis.stop()
    assert await statuses(client, place) == {200: 2 * QUOTA}
    await log_out(client, place.here, meanwhile)
    await expect_each(client, place, before, meanwhile, alive)

    own_redis.start()
    await until_ready(client, place)
    assert not revoked_keys(own_redis)
    await expect_each(client, place, before, meanwhile, alive)
    await eventually(lambda: count_together(client, place), 30)


def revoked_keys(own: OwnRedis) -> list[bytes | str]:
    return own.client.keys("blacklist:*")


async def expect_each(
    client: httpx.AsyncClient, place: Place, before: Tokens, meanwhile: Tokens, alive: Tokens
) -> None:
    """Ask both servers, also for what asks Redis and PostgreSQL."""
    for url in (place.here, place.there):
        for tokens in (before, meanwhile):
            assert await status(client, url, tokens) == 401
            headers = {**bearer(tokens), **another_address()}
            answer = await client.delete(f"{url}{SESSIONS}", headers=headers)
            assert answer.status_code == 401
        assert await status(client, url, alive) == 200
