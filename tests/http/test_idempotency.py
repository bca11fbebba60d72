"""A POST that is sent again with its Idempotency-Key, over HTTP and on real connections."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchrow, fetchval
from tests import factories
from tests.answers import Headers, code_of
from tests.waiting import until_ended

ROOMS = "/api/v1/rooms"


@pytest.fixture
async def headers(organizer: asyncpg.Record) -> Headers:
    return {**await factories.bearer(organizer), "Idempotency-Key": "key-1"}


@pytest.fixture
async def prizes(organizer: asyncpg.Record) -> str:
    room = await factories.room(organizer)
    return f"{ROOMS}/{room['id']}/prizes"


async def prize_count() -> int:
    count: int = await fetchval("SELECT count(*) FROM prizes")
    return count


async def test_who_asks_again_gets_the_first_answer_and_nothing_is_done_twice(
    client: httpx.AsyncClient, prizes: str, headers: Headers
) -> None:
    first = await client.post(prizes, json={"name": "Phone"}, headers=headers)
    again = await client.post(prizes, json={"name": "Phone"}, headers=headers)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["etag"] == first.headers["etag"]
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (
        None,
        "true",
    )
    assert await prize_count() == 1


async def test_a_refusal_is_kept_too_but_what_it_began_is_undone(
    client: httpx.AsyncClient, prizes: str, headers: Headers
) -> None:
    await fetch("UPDATE rooms SET status = 'COMPLETED'")
    first = await client.post(prizes, json={"name": "Phone"}, headers=headers)
    await fetch("UPDATE rooms SET status = 'ACTIVE'")
    again = await client.post(prizes, json={"name": "Phone"}, headers=headers)

    assert (first.status_code, code_of(first)) == (409, "ROOM_CLOSED")
    assert again.content == first.content
    assert await prize_count() == 0


@pytest.mark.parametrize("what", ["body", "address"])
async def test_a_key_with_another_request_is_a_conflict(
    client: httpx.AsyncClient, prizes: str, headers: Headers, what: str
) -> None:
    await client.post(prizes, json={"name": "Phone"}, headers=headers)
    other = {"body": (prizes, {"name": "Card"}), "address": (ROOMS, {"name": "Phone"})}
    path, body = other[what]

    answer = await client.post(path, json=body, headers=headers)

    assert (answer.status_code, code_of(answer)) == (409, "CONFLICT")
    assert await prize_count() == 1


async def test_of_many_at_once_one_is_done(
    client: httpx.AsyncClient, database: str, prizes: str, headers: Headers
) -> None:
    async with prizes_held(database):
        requests = [
            asyncio.create_task(client.post(prizes, json={"name": "Phone"}, headers=headers))
            for _ in range(8)
        ]
        await until_ended(requests, 7)
    codes = Counter(each.status_code for each in await asyncio.gather(*requests))

    assert codes == {201: 1, 409: 7}
    assert await prize_count() == 1


@asynccontextmanager
async def prizes_held(database: str) -> AsyncIterator[None]:
    """Let whoever adds a prize wait until the block ends."""
    connection = await asyncpg.connect(database)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE prizes IN SHARE MODE")
            yield
    finally:
        await connection.close()


async def test_the_same_key_of_somebody_else_is_another(
    client: httpx.AsyncClient, headers: Headers
) -> None:
    room = await factories.room()
    path = f"{ROOMS}/{room['id']}/participants"
    other = {**await factories.bearer(await factories.user()), "Idempotency-Key": "key-1"}

    joined = [await client.post(path, headers=each) for each in (headers, other)]

    assert [each.status_code for each in joined] == [201, 201]
    assert joined[0].json()["data"]["userId"] != joined[1].json()["data"]["userId"]


async def test_after_a_day_the_key_is_free_again(
    client: httpx.AsyncClient, prizes: str, headers: Headers
) -> None:
    await client.post(prizes, json={"name": "Phone"}, headers=headers)
    row = await fetchrow('SELECT "expiresAt" - "createdAt" AS kept FROM idempotency_keys')
    await fetch('UPDATE idempotency_keys SET "expiresAt" = now()')

    other = await client.post(prizes, json={"name": "Card"}, headers=headers)
    again = await client.post(prizes, json={"name": "Card"}, headers=headers)

    assert row is not None
    assert row["kept"].total_seconds() == 24 * 3600
    assert (other.status_code, again.content) == (201, other.content)
    assert await prize_count() == 2


async def test_a_failure_of_ours_keeps_nothing_and_leaves_nothing(
    client: httpx.AsyncClient, prizes: str, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr("app.prizes.controller.PrizeOut.of", fail)
        failed = await client.post(prizes, json={"name": "Phone"}, headers=headers)
        left = await prize_count()
    again = await client.post(prizes, json={"name": "Phone"}, headers=headers)

    assert (failed.status_code, left) == (500, 0)
    assert (again.status_code, await prize_count()) == (201, 1)


async def test_without_a_key_the_same_request_is_done_again(
    client: httpx.AsyncClient, prizes: str, headers: Headers
) -> None:
    del headers["Idempotency-Key"]
    for _ in range(2):
        assert (await client.post(prizes, json={"name": "x"}, headers=headers)).is_success
    assert await prize_count() == 2
    assert await fetchval("SELECT count(*) FROM idempotency_keys") == 0


@pytest.mark.parametrize("key", ["", "x" * 256, "two words"])
async def test_a_key_without_the_form_of_one_is_refused(
    client: httpx.AsyncClient, prizes: str, headers: Headers, key: str
) -> None:
    sent = {**headers, "Idempotency-Key": key}
    answer = await client.post(prizes, json={"name": "Phone"}, headers=sent)
    assert (answer.status_code, code_of(answer)) == (400, "VALIDATION_ERROR")
    assert list(answer.json()["error"]["details"]["fields"]) == ["Idempotency-Key"]


async def test_a_private_room_hides_behind_a_key_as_well(
    client: httpx.AsyncClient, headers: Headers
) -> None:
    room = await factories.room(isPublic=False)
    answers = [
        await client.post(f"{ROOMS}/{room_id}/prizes", json={}, headers={**headers, **key})
        for room_id, key in ((room["id"], {}), ("c" + "0" * 24, {"Idempotency-Key": "key-2"}))
    ]
    assert [each.status_code for each in answers] == [404, 404]


async def test_what_is_kept_goes_with_the_person(
    client: httpx.AsyncClient, prizes: str, headers: Headers
) -> None:
    await client.post(prizes, json={"name": "Phone"}, headers=headers)
    kept = await fetchrow("SELECT * FROM idempotency_keys")
    assert kept is not None
    assert "key-1" not in str(dict(kept))
    await fetch("TRUNCATE users CASCADE")
    assert await fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_control_without_the_lock_many_at_once_are_done(
    client: httpx.AsyncClient, prizes: str, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_have_looked = asyncio.Barrier(8)

    async def look(_: str) -> None:
        await all_have_looked.wait()

    monkeypatch.setattr("app.http.idempotency._lock", look)

    await asyncio.gather(
        *(client.post(prizes, json={"name": "Phone"}, headers=headers) for _ in range(8))
    )

    assert await prize_count() > 1


async def test_an_answer_with_a_secret_is_not_kept(
    client: httpx.AsyncClient, prizes: str, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.http.idempotency.Answer.is_secret", True)

    first = await client.post(prizes, json={"name": "Phone"}, headers=headers)
    again = await client.post(prizes, json={"name": "Phone"}, headers=headers)

    assert first.status_code == 201
    assert (again.status_code, code_of(again)) == (409, "CONFLICT")
    assert await fetchval("SELECT body FROM idempotency_keys") is None
    assert await prize_count() == 1
