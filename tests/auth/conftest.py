"""People who can sign in, and what the tests of this package share."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
import redis as redis_package

from app.auth import discovery, limits, providers, revocation, sessions
from app.database.engine import DB, fetch
from app.database.listener import Listener
from app.database.redis import OptionalRedis, shared_redis
from app.database.seed import PEOPLE
from app.settings import settings
from tests.auth.provider import CLIENT_ID, CLIENT_SECRET, Running, TestProvider, providing

PASSWORD = "password123"
ALICE, BOB, ADMIN = "alice@example.com", "bob@example.com", "admin@example.com"
REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/15")
FRONTEND = "http://front.example"
DEAD_REDIS_URL = "redis://127.0.0.1:1/0"

Tokens = dict[str, Any]
SignIn = Callable[..., Awaitable[Tokens]]
Configure = Callable[..., None]

# What modules keep of the settings that they were first asked with.
CACHES = (
    settings,
    shared_redis,
    limits.limiter,
    limits.quotas,
    providers.providers,
    sessions.token_policy,
)


def bearer(tokens: Tokens) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['accessToken']}"}


@pytest.fixture
async def people(database: str) -> None:  # noqa: ARG001 - bound there
    """The demo people, each with its address as id."""
    for email, (name, is_admin) in PEOPLE.items():
        await fetch(
            'INSERT INTO users (id, email, name, provider, "isAdmin", "updatedAt") '
            "VALUES ($1, $1, $2, 'demo', $3, now())",
            email,
            name,
            is_admin,
        )


@pytest.fixture
async def sign_in(client: httpx.AsyncClient, people: None) -> SignIn:  # noqa: ARG001 - they sign in
    async def sign_in(email: str = ALICE, device: str = "a browser") -> Tokens:
        answer = await client.post(
            "/api/v1/auth/login",
            json={"email": email, "password": PASSWORD},
            headers={"User-Agent": device},
        )
        assert answer.status_code == 200, answer.text
        data: Tokens = answer.json()["data"]
        return data

    return sign_in


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Change settings for one test, in the environment, as an operator does."""

    def configure(**changes: object) -> None:
        for name, value in changes.items():
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            monkeypatch.setenv(name, text)
        for cache in CACHES:
            cache.cache_clear()

    yield configure
    monkeypatch.undo()
    for cache in CACHES:
        cache.cache_clear()


@pytest.fixture
async def redis(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OptionalRedis]:
    """A real Redis with nothing in it, that is waited for however slow the machine is."""
    monkeypatch.setattr("app.database.redis.TIMEOUT_SECONDS", 30.0)
    shared = OptionalRedis(REDIS_URL)
    try:
        await shared.client.flushdb()
    except redis_package.ConnectionError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no Redis at {REDIS_URL}: {error}")
    yield shared
    await shared.client.flushdb()
    await shared.close()


@asynccontextmanager
async def counted_statements() -> AsyncIterator[list[str]]:
    """Collect the statements that the pool's connections run."""
    statements: list[str] = []

    def log(record: asyncpg.connection.LoggedQuery) -> None:
        statements.append(record.query)

    holders: Any = getattr(DB.pool, "_holders", ())
    connections = [holder._con for holder in holders if holder._con is not None]
    for connection in connections:
        connection.add_query_logger(log)
    yield statements
    await asyncio.sleep(0)  # asyncpg tells of the last one in the loop's next turn
    for connection in connections:
        connection.remove_query_logger(log)


@pytest.fixture
async def hearing(
    database: str,  # noqa: ARG001 - bound there
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Listener]:
    """Hear, and go on believing so however slow the machine is."""
    monkeypatch.setattr("app.database.listener.LEASE_SECONDS", 60.0)
    monkeypatch.setattr(revocation, "LONGEST_START_SECONDS", 60.0)
    async with revocation.hearing() as listener:
        assert listener.is_hearing
        yield listener


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with providing() as running:
        yield running


@pytest.fixture
def provider(running: Running, configure: Configure) -> TestProvider:
    client = {"issuer": running.issuer, "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET}
    configure(FRONTEND_URL=FRONTEND, OIDC_PROVIDERS={"acme": client, "other": client})
    discovery._documents.clear()
    return running.renew()


@pytest.fixture
async def browser(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[httpx.AsyncClient]:
    client.headers["User-Agent"] = "a browser"
    yield client
    # A refusal is no accident: whatever came, the code foresaw it.
    ours = [record for record in caplog.get_records("call") if record.name.startswith("app")]
    assert not [record for record in ours if record.levelno >= logging.ERROR]
