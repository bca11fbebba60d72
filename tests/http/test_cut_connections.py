"""A connection to PostgreSQL that is cut under a POST, at each of its statements in turn."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchval
from tests import factories
from tests.answers import Headers
from tests.waiting import eventually

LOGIN, REFRESH = "/api/v1/auth/login", "/api/v1/auth/refresh"
ALICE = {"email": "alice@example.com", "password": "password123"}

Post = Callable[[], Awaitable[httpx.Response]]


@asynccontextmanager
async def cut(
    database: str, number: int, *, its_answer_is_lost: bool = False
) -> AsyncIterator[list[str]]:
    """Cut the connection of a statement, before it or before its answer; yield what was run.

    Args:
        database: Its URL.
        number: The statement's, from 0.
        its_answer_is_lost: It is done, and nobody hears of it.
    """
    seen: list[str] = []
    other = await asyncpg.connect(database)

    def watched(original: Any) -> Any:
        async def run(self: Any, sql: str, *arguments: Any, **options: Any) -> Any:
            if self is other:
                return await original(self, sql, *arguments, **options)
            seen.append(sql)
            is_cut = len(seen) == number + 1
            if is_cut and its_answer_is_lost:
                await original(self, sql, *arguments, **options)
            if is_cut:
                await other.fetch("SELECT pg_terminate_backend($1)", self.get_server_pid())
                await eventually(partial(_is_closed, self))
            if is_cut and its_answer_is_lost:
                raise asyncpg.ConnectionDoesNotExistError("closed in the middle of operation")
            return await original(self, sql, *arguments, **options)

        return run

    with pytest.MonkeyPatch.context() as patched:
        for name in ("fetch", "execute"):
            patched.setattr(asyncpg.Connection, name, watched(getattr(asyncpg.Connection, name)))
        yield seen
    await other.close()


async def _is_closed(connection: asyncpg.Connection) -> bool:
    return connection.is_closed()


def assert_may_be_sent_again(answer: httpx.Response, sql: str) -> None:
    assert answer.status_code == 503, (sql, answer.text)
    error = answer.json()["error"]
    assert (error["code"], set(error)) == (
        "SERVICE_UNAVAILABLE",
        {"code", "message", "details", "requestId"},
    )
    assert int(answer.headers["retry-after"]) > 0


async def answers_around_cuts(database: str, posts: Callable[[int], Post]) -> int:
    """Send a request for each statement it has, cut there, and then again; count the requests."""
    for number in itertools.count():
        post = posts(number)
        async with cut(database, number) as seen:
            answer = await post()
        if len(seen) <= number:
            assert answer.is_success
            return number + 1
        assert_may_be_sent_again(answer, seen[number])
        again = await post()
        assert again.is_success, (seen[number], again.text)
    raise AssertionError


@pytest.fixture
def prizes(room: asyncpg.Record) -> str:
    return f"/api/v1/rooms/{room['id']}/prizes"


async def test_under_a_post_with_a_key_it_is_a_503_and_the_same_again_is_done_once(
    client: httpx.AsyncClient, database: str, prizes: str, headers: Headers
) -> None:
    def post(number: int) -> Post:
        keyed = {**headers, "Idempotency-Key": f"key-{number}"}
        return lambda: client.post(prizes, json={"name": "Phone"}, headers=keyed)

    sent = await answers_around_cuts(database, post)

    assert sent > 4
    assert await fetchval("SELECT count(*) FROM prizes") == sent


async def test_under_many_who_are_brought_in_it_brings_nobody_in(
    client: httpx.AsyncClient, database: str, prizes: str, headers: Headers
) -> None:
    person = await factories.user()
    path = prizes.replace("/prizes", "/participants/bulk")
    body = {"participants": [{"userId": person["id"]}]}

    def post(number: int) -> Post:
        keyed = {**headers, "Idempotency-Key": f"key-{number}"}
        return lambda: client.post(path, json=body, headers=keyed)

    await answers_around_cuts(database, post)

    assert await fetchval("SELECT count(*) FROM participants") == 2


async def test_a_commit_whose_answer_is_lost_is_found_done_by_who_asks_again(
    client: httpx.AsyncClient, database: str, prizes: str, headers: Headers
) -> None:
    keyed = {**headers, "Idempotency-Key": "key-1"}
    async with cut(database, -1) as statements:
        await client.post(prizes, json={"name": "x"}, headers={**keyed, "Idempotency-Key": "0"})
    commit = statements.index("COMMIT;")
    async with cut(database, commit, its_answer_is_lost=True) as seen:
        lost = await client.post(prizes, json={"name": "Phone"}, headers=keyed)
    again = await client.post(prizes, json={"name": "Phone"}, headers=keyed)

    assert seen[commit] == "COMMIT;"
    assert_may_be_sent_again(lost, "COMMIT")
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert await fetchval("SELECT count(*) FROM prizes WHERE name = 'Phone'") == 1


async def test_under_a_sign_in_and_a_refresh_it_is_a_503_and_the_same_again_works(
    client: httpx.AsyncClient, database: str
) -> None:
    await factories.user(email=ALICE["email"], provider="demo")
    tokens = (await client.post(LOGIN, json=ALICE)).json()["data"]

    async def refresh() -> httpx.Response:
        answer = await client.post(REFRESH, json={"refreshToken": tokens["refreshToken"]})
        if answer.is_success:
            tokens.update(answer.json()["data"])
        return answer

    await answers_around_cuts(database, lambda _: lambda: client.post(LOGIN, json=ALICE))
    sent = await answers_around_cuts(database, lambda _: refresh)

    assert sent > 1
    bearer = {"Authorization": f"Bearer {tokens['accessToken']}"}
    assert (await client.get("/api/v1/auth/me", headers=bearer)).is_success


async def test_what_is_logged_of_it_is_its_cause(
    client: httpx.AsyncClient,
    database: str,
    prizes: str,
    headers: Headers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keyed = {**headers, "Idempotency-Key": "key-1"}
    async with cut(database, -1) as statements:
        await client.post(prizes, json={"name": "x"}, headers={**keyed, "Idempotency-Key": "0"})
    insert = next(n for n, sql in enumerate(statements) if "INSERT INTO prizes" in sql)
    async with cut(database, insert):
        await client.post(prizes, json={"name": "Phone"}, headers=keyed)

    assert await fetch("SELECT FROM prizes WHERE name = 'Phone'") == []
    assert "released back to the pool" not in caplog.text
