"""Revocation in memory, across processes, and while nobody hears."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import asyncpg
import httpx
import pytest

from app.auth import revocation, service, sessions
from app.auth.tokens import session_hash, token_hash
from app.database.engine import DB, fetch, fetchval, transaction
from app.database.listener import APPLICATION_NAME, Listener, Subject
from app.database.redis import OptionalRedis, shared_redis
from app.errors import InvalidToken
from tests import factories
from tests.auth.conftest import (
    ADMIN,
    ALICE,
    DEAD_REDIS_URL,
    REDIS_URL,
    Configure,
    SignIn,
    bearer,
    counted_statements,
)

ME = "/api/v1/auth/me"
ROOM = "a-room"


async def until(condition: object, within: float = 30.0) -> float:
    """Return the seconds after which a condition held."""
    assert callable(condition)
    started = time.perf_counter()
    while not condition():
        assert time.perf_counter() - started < within
        await asyncio.sleep(0.001)
    return time.perf_counter() - started


@asynccontextmanager
async def running(
    catch_up: Callable[[asyncpg.Connection], Awaitable[None]],
) -> AsyncIterator[Listener]:
    listener = Listener()
    listener.hear("test", Subject(on_payload=lambda _: None, catch_up=catch_up))
    task = asyncio.create_task(listener.run())
    try:
        yield listener
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


# Without a query


@pytest.mark.usefixtures("hearing")
async def test_known_and_unknown_tokens_are_identified_without_a_query(sign_in: SignIn) -> None:
    tokens = await sign_in()
    async with counted_statements() as statements:
        for _ in range(3):
            await service.identify(tokens["accessToken"], datetime.now(UTC))
    assert statements == []


@pytest.mark.usefixtures("hearing")
async def test_request_makes_the_same_statements_with_a_token_as_without(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    tokens = await sign_in()
    async with counted_statements() as anonymous:
        await client.get("/api/v1/apps")
    async with counted_statements() as signed_in:
        await client.get("/api/v1/apps", headers=bearer(tokens))
    assert anonymous
    assert signed_in == anonymous


@pytest.mark.usefixtures("hearing")
async def test_revoked_token_is_refused_without_a_query(sign_in: SignIn) -> None:
    tokens = await sign_in()
    await sessions.end_sessions(ALICE, reason="test")
    async with counted_statements() as statements:
        with pytest.raises(InvalidToken):
            await service.identify(tokens["accessToken"], datetime.now(UTC))
    assert statements == []


async def test_process_that_does_not_hear_asks_the_database(sign_in: SignIn) -> None:
    tokens = await sign_in()
    async with counted_statements() as statements:
        await service.identify(tokens["accessToken"], datetime.now(UTC))
    assert len(statements) == 1
    assert "token_blacklist" in statements[0]


async def test_process_that_does_not_hear_learns_of_what_others_revoked(sign_in: SignIn) -> None:
    tokens = await sign_in()
    session_id = await fetchval("SELECT id FROM sessions")
    await revocation.revoke([session_hash(session_id)], ALICE, reason="elsewhere")
    with pytest.raises(InvalidToken):
        await service.identify(tokens["accessToken"], datetime.now(UTC))


async def test_what_was_revoked_before_the_start_is_loaded(sign_in: SignIn) -> None:
    tokens = await sign_in()
    session_id = await fetchval("SELECT id FROM sessions")
    await revocation.revoke([session_hash(session_id)], ALICE, reason="elsewhere")
    async with revocation.hearing(), counted_statements() as statements:
        with pytest.raises(InvalidToken):
            await service.identify(tokens["accessToken"], datetime.now(UTC))
    assert statements == []


@pytest.mark.usefixtures("hearing")
async def test_what_others_revoke_is_heard(sign_in: SignIn) -> None:
    await sign_in()
    hashes = [session_hash(f"of another process {number}") for number in range(250)]
    await revocation.revoke(hashes, ALICE, reason="elsewhere")
    await until(lambda: set(hashes) <= set(revocation.revoked_hashes._expiry))


@pytest.mark.usefixtures("hearing")
async def test_what_is_rolled_back_was_never_revoked(sign_in: SignIn) -> None:
    tokens = await sign_in()
    session_id = await fetchval("SELECT id FROM sessions")

    async def revoke_and_fail() -> None:
        async with transaction():
            await revocation.revoke([session_hash(session_id)], ALICE, reason="test")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await revoke_and_fail()
    await revocation.revoke([session_hash("a later one")], ALICE, reason="test")
    await until(lambda: session_hash("a later one") in revocation.revoked_hashes._expiry)
    await service.identify(tokens["accessToken"], datetime.now(UTC))
    assert session_hash(session_id) not in revocation.revoked_hashes._expiry


async def test_revoking_twice_is_no_fault(sign_in: SignIn) -> None:
    await sign_in()
    for _ in range(2):
        await revocation.revoke([session_hash("one")], ALICE, reason="test")
    assert await fetchval("SELECT count(*) FROM token_blacklist") == 1


def test_memory_forgets_what_has_expired() -> None:
    now = datetime(2025, 6, 1, tzinfo=UTC)
    memory = revocation.RevokedHashes()
    memory.add(["a", "b"], int(now.timestamp()))
    memory.add(["c"], int(now.timestamp()) + 1)
    memory.forget_expired(now)
    assert len(memory) == 3
    memory.forget_expired(now + timedelta(seconds=1))
    assert len(memory) == 1


@pytest.mark.usefixtures("database")
async def test_memory_is_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "SWEEP_SECONDS", 0.01)
    revocation.revoked_hashes.add(["swept"], 0)
    async with revocation.hearing():
        await until(lambda: "swept" not in revocation.revoked_hashes._expiry)


# Strict


@pytest.mark.usefixtures("hearing")
async def test_sensitive_action_refuses_what_memory_does_not_know_yet(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    tokens = await sign_in()
    await fetch("DELETE FROM sessions")
    assert (await client.get(ME, headers=bearer(tokens))).status_code == 200
    logout = await client.post("/api/v1/auth/logout", headers=bearer(tokens))
    assert logout.status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/auth/logout"),
        ("DELETE", "/api/v1/auth/sessions"),
        ("DELETE", "/api/v1/auth/sessions/any"),
        ("POST", "/api/v1/auth/revocations"),
        ("DELETE", f"/api/v1/users/{ADMIN}"),
        ("POST", f"/api/v1/rooms/{ROOM}/participants"),
        ("PATCH", f"/api/v1/rooms/{ROOM}/participants/any"),
        ("DELETE", f"/api/v1/rooms/{ROOM}/participants/any"),
        ("POST", f"/api/v1/rooms/{ROOM}/winners"),
        ("DELETE", f"/api/v1/rooms/{ROOM}/winners/any"),
        ("POST", f"/api/v1/rooms/{ROOM}/participants/bulk"),
        ("POST", f"/api/v1/rooms/{ROOM}/draws"),
        ("POST", f"/api/v1/rooms/{ROOM}/draws/1/close"),
        ("POST", f"/api/v1/rooms/{ROOM}/draws/1/draw"),
        ("DELETE", f"/api/v1/rooms/{ROOM}/draws/1"),
        ("POST", "/api/v1/apps"),
        ("PATCH", "/api/v1/apps/any"),
        ("DELETE", "/api/v1/apps/any"),
        ("POST", "/api/v1/apps/any/secret"),
        ("POST", "/api/v1/apps/any/versions/1.0.0/deprecate"),
    ],
)
@pytest.mark.usefixtures("hearing")
async def test_sensitive_actions_ask_the_database(
    client: httpx.AsyncClient, sign_in: SignIn, method: str, path: str
) -> None:
    tokens = await sign_in(ADMIN)
    await factories.room(id=ROOM)
    await fetch("DELETE FROM sessions")
    answer = await client.request(method, path, headers=bearer(tokens))
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "INVALID_TOKEN"


# A lost connection


async def test_listener_comes_back_and_catches_up(
    sign_in: SignIn, hearing: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = await sign_in()
    session_id = await fetchval("SELECT id FROM sessions")
    await fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = $1",
        APPLICATION_NAME,
    )
    await until(lambda: not hearing.is_hearing)
    await revocation.revoke([session_hash(session_id)], ALICE, reason="elsewhere")
    await until(lambda: hearing.is_hearing)
    async with counted_statements() as statements:
        with pytest.raises(InvalidToken):
            await service.identify(tokens["accessToken"], datetime.now(UTC))
    assert statements == []
    assert "was lost" in caplog.text


@pytest.mark.usefixtures("database")
async def test_listener_whose_connection_died_silently_notices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.database.listener.HEARTBEAT_SECONDS", 0.01)
    connections: list[asyncpg.Connection] = []

    async def catch_up(connection: asyncpg.Connection) -> None:
        connections.append(connection)

    execute = asyncpg.Connection.execute

    async def hang_up(connection: asyncpg.Connection, query: str, **options: float) -> str:
        if query == "SELECT 1" and connection is connections[0]:
            raise TimeoutError
        answer: str = await execute(connection, query, **options)
        return answer

    monkeypatch.setattr(asyncpg.Connection, "execute", hang_up)
    async with running(catch_up) as listener:
        await until(lambda: len(connections) == 2 and listener.is_hearing)


async def test_process_whose_listener_gets_no_answer_asks_the_database_meanwhile(
    sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await sign_in()
    monkeypatch.setattr("app.database.listener.HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr("app.database.listener.LEASE_SECONDS", 0.2)
    monkeypatch.setattr("app.database.listener.HEARTBEAT_TIMEOUT_SECONDS", 60.0)
    answers = asyncio.Event()
    answers.set()
    execute = asyncpg.Connection.execute

    async def hang(connection: asyncpg.Connection, query: str, **options: float) -> str:
        await answers.wait()
        answer: str = await execute(connection, query, **options)
        return answer

    monkeypatch.setattr(asyncpg.Connection, "execute", hang)
    async with revocation.hearing() as listener:
        answers.clear()
        await until(lambda: not listener.is_hearing)
        async with counted_statements() as statements:
            await service.identify(tokens["accessToken"], datetime.now(UTC))
        assert len(statements) == 1
        answers.set()
        await until(lambda: listener.is_hearing)
        assert listener.heard.is_set()


@pytest.mark.usefixtures("database")
async def test_listener_that_cannot_connect_tries_again_ever_more_slowly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[float] = []
    longest: list[float] = []

    async def refuse() -> None:
        attempts.append(time.monotonic())
        raise ConnectionRefusedError

    def choose(_: float, greatest: float) -> float:
        longest.append(greatest)
        return greatest

    monkeypatch.setattr(DB, "get_new_connection", refuse)
    monkeypatch.setattr("app.database.listener.LONGEST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr("random.uniform", choose)

    async def catch_up(_: asyncpg.Connection) -> None:
        raise AssertionError

    async with running(catch_up):
        await until(lambda: len(attempts) == 5)
    assert longest[:4] == [0.1, 0.2, 0.2, 0.2]
    pauses = [later - earlier for earlier, later in pairwise(attempts)]
    # A timer may go off a little early.
    assert all(pause > 0.9 * least for pause, least in zip(pauses, longest, strict=False))
    assert "Can't hear test" in caplog.text


@pytest.mark.usefixtures("database")
async def test_server_starts_while_nobody_can_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse() -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(DB, "get_new_connection", refuse)
    monkeypatch.setattr(revocation, "LONGEST_START_SECONDS", 0.05)
    async with revocation.hearing() as listener:
        assert not listener.is_hearing


# Redis


@pytest.fixture
async def with_redis(redis: OptionalRedis, configure: Configure) -> AsyncIterator[OptionalRedis]:
    configure(REDIS_URL=REDIS_URL)
    yield redis
    if (used := shared_redis()) is not None:
        await used.close()


async def test_revoked_hashes_are_in_redis_until_they_expire(
    client: httpx.AsyncClient, sign_in: SignIn, with_redis: OptionalRedis
) -> None:
    tokens = await sign_in()
    await client.post("/api/v1/auth/logout", headers=bearer(tokens))
    key = f"blacklist:{token_hash(tokens['accessToken'])}"
    assert await with_redis.client.get(key) == ALICE.encode()
    assert 3600 < await with_redis.client.ttl(key) <= revocation.REVOCATION_TTL_SECONDS
    assert len(await with_redis.client.keys("blacklist:*")) == 2


@pytest.mark.usefixtures("hearing")
async def test_hash_that_only_redis_has_is_refused_by_sensitive_actions(
    client: httpx.AsyncClient, sign_in: SignIn, with_redis: OptionalRedis
) -> None:
    tokens = await sign_in()
    await with_redis.client.set(f"blacklist:{token_hash(tokens['accessToken'])}", ALICE, ex=60)
    assert (await client.delete("/api/v1/auth/sessions", headers=bearer(tokens))).status_code == 401
    assert await fetchval("SELECT count(*) FROM sessions") == 1


async def test_process_that_does_not_hear_asks_redis_first(
    client: httpx.AsyncClient, sign_in: SignIn, with_redis: OptionalRedis
) -> None:
    tokens = await sign_in()
    await with_redis.client.set(f"blacklist:{token_hash(tokens['accessToken'])}", ALICE, ex=60)
    async with counted_statements() as statements:
        assert (await client.get(ME, headers=bearer(tokens))).status_code == 401
    assert statements == []


async def test_flushed_redis_revives_no_token(
    client: httpx.AsyncClient, sign_in: SignIn, with_redis: OptionalRedis
) -> None:
    tokens = await sign_in()
    await client.post("/api/v1/auth/logout", headers=bearer(tokens))
    await with_redis.client.flushdb()
    forget_everything()
    for path in (ME, "/api/v1/auth/sessions"):
        assert (await client.get(path, headers=bearer(tokens))).status_code == 401


async def test_dead_redis_revives_no_token_and_takes_down_no_request(
    client: httpx.AsyncClient, sign_in: SignIn, configure: Configure
) -> None:
    configure(REDIS_URL=DEAD_REDIS_URL)
    tokens, other = await sign_in(), await sign_in()
    assert (await client.post("/api/v1/auth/logout", headers=bearer(tokens))).status_code == 200
    forget_everything()
    assert (await client.get(ME, headers=bearer(tokens))).status_code == 401
    assert (await client.get(ME, headers=bearer(other))).status_code == 200
    assert (await client.post("/api/v1/auth/logout", headers=bearer(other))).status_code == 200


def forget_everything() -> None:
    """Be a process that was not there when something was revoked, and does not hear."""
    revocation.revoked_hashes._expiry.clear()
