"""A POST that is sent again with its Idempotency-Key, over HTTP and on real connections."""

import asyncio
import hashlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from app.database.engine import fetch, fetchrow, fetchval
from app.http.idempotency import LARGEST_KEPT_BYTES, Answer
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
    for table in ("participants", "prizes", "rooms", "users"):
        await fetch(f"DELETE FROM {table}")
    assert await fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_control_without_the_lock_many_at_once_are_done(
    client: httpx.AsyncClient, prizes: str, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_have_looked = asyncio.Barrier(8)

    async def look(*_: str) -> dict[str, Any]:
        await all_have_looked.wait()
        return {"request": None, "usedKeys": 0, "usedBytes": 0}

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
    assert again.json()["error"]["details"]["done"] is True
    assert await fetchval("SELECT body FROM idempotency_keys") is None
    assert await prize_count() == 1


@pytest.fixture
def bulk(prizes: str) -> str:
    return prizes.replace("/prizes", "/participants/bulk")


def strangers(count: int) -> Any:
    """Return a bulk request that is answered with an error for each of its lines."""
    return {"participants": [{"userId": f"nobody-{number}"} for number in range(count)]}


async def test_of_a_large_answer_a_summary_is_kept_and_who_asks_again_is_told_it_was_done(
    client: httpx.AsyncClient, bulk: str, headers: Headers
) -> None:
    person = await factories.user()
    body = {"participants": [{"userId": person["id"]}, *strangers(1_000)["participants"]]}

    first = await client.post(bulk, json=body, headers=headers)
    again = await client.post(bulk, json=body, headers=headers)

    assert (first.status_code, first.json()["data"]["added"]) == (200, 1)
    assert (again.status_code, code_of(again)) == (409, "CONFLICT")
    error = again.json()["error"]
    assert "too large" in error["message"]
    assert error["details"] == {
        "done": True,
        "status": 200,
        "read": bulk.removesuffix("/bulk"),
        "counts": {"added": 1, "cameBack": 0, "alreadyIn": 0, "failed": 1_000},
        "bytes": len(first.content),
        "sha256": hashlib.sha256(first.content).hexdigest(),
    }
    assert (await client.get(error["details"]["read"], headers=headers)).status_code == 200
    assert await kept_bytes() < 1_000
    other = await client.post(bulk, json=strangers(1), headers=headers)
    assert "another request" in other.json()["error"]["message"]


async def kept_bytes() -> int:
    """Return what the rows of the kept answers hold, whole."""
    kept: int = await fetchval("SELECT sum(octet_length(k::text)) FROM idempotency_keys k")
    return kept


async def test_what_the_largest_requests_leave_behind_is_small(
    client: httpx.AsyncClient, bulk: str, headers: Headers
) -> None:
    for number in range(3):
        keyed = {**headers, "Idempotency-Key": f"key-{number}"}
        assert (await client.post(bulk, json=strangers(10_000), headers=keyed)).is_success

    assert await kept_bytes() < 3_000


async def test_an_answer_without_counts_is_summed_up_too(
    client: httpx.AsyncClient, prizes: str, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.http.idempotency.LARGEST_KEPT_BYTES", 100)

    made = await client.post(prizes, json={"name": "Phone", "quantity": 7}, headers=headers)
    again = await client.post(prizes, json={"name": "Phone", "quantity": 7}, headers=headers)

    details = again.json()["error"]["details"]
    assert (again.status_code, details["status"]) == (409, 201)
    assert details["read"] == made.headers["location"]
    assert details["counts"] == {"quantity": 7, "quantityRemaining": 7}


@pytest.mark.parametrize("body", [b"", b"no JSON", b'{"data": [1]}', b'{"data": {}}'])
def test_what_has_no_counts_is_summed_up_without(body: bytes) -> None:
    assert Answer(200, {}, body.decode()).summary().counts == {}


async def test_a_refusal_that_is_too_large_is_made_anew(
    client: httpx.AsyncClient, bulk: str, headers: Headers
) -> None:
    unknown = {f"{number:0200}": 0 for number in range(1_000)}

    answers = [await client.post(bulk, json=unknown, headers=headers) for _ in range(2)]

    assert [each.status_code for each in answers] == [400, 400]
    assert len(answers[0].content) > LARGEST_KEPT_BYTES
    assert "idempotency-replayed" not in answers[1].headers
    assert await fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_what_somebody_calls_an_id_keeps_no_answer_from_being_kept(
    client: httpx.AsyncClient, prizes: str, headers: Headers
) -> None:
    """Answers are found by the ids in them, by an index that has no room for so long a one."""
    room = prizes.split("/")[-2]
    member = await factories.participant(
        room, ownMetadata=msgspec.json.encode({"id": secrets.token_hex(8_000)}).decode()
    )
    prize = await factories.prize(room, 1)
    award = {"participantId": member["id"], "prizeId": prize["id"]}
    url = f"{ROOMS}/{room}/winners"
    first = await client.post(url, json=award, headers=headers)
    again = await client.post(url, json=award, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content


async def test_who_has_too_many_keys_is_refused_before_anything_is_done(
    client: httpx.AsyncClient, prizes: str, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.http.idempotency.MOST_KEYS", 3)

    async def post(key: str) -> httpx.Response:
        keyed = {**headers, "Idempotency-Key": key}
        return await client.post(prizes, json={"name": "Phone"}, headers=keyed)

    for number in range(3):
        assert (await post(f"key-{number}")).status_code == 201
    refused = await post("key-3")
    replayed = await post("key-0")

    assert (refused.status_code, code_of(refused)) == (429, "RATE_LIMIT_EXCEEDED")
    assert refused.json()["error"]["details"] == {"keys": 3}
    assert 86_000 < int(refused.headers["retry-after"]) <= 86_400
    assert (replayed.status_code, replayed.headers["idempotency-replayed"]) == (201, "true")
    assert await prize_count() == 3

    await fetch('UPDATE idempotency_keys SET "expiresAt" = now() WHERE status = 201')
    assert (await post("key-3")).status_code == 201
    assert await prize_count() == 4


async def test_keys_of_others_do_not_count(
    client: httpx.AsyncClient, prizes: str, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.http.idempotency.MOST_KEYS", 1)
    await client.post(prizes, json={"name": "Phone"}, headers=headers)
    other = {**await factories.bearer(await factories.user()), "Idempotency-Key": "key-1"}

    joined = await client.post(prizes.replace("prizes", "participants"), headers=other)

    assert joined.status_code == 201


async def test_of_what_is_beyond_the_bytes_of_a_person_a_summary_is_kept(
    client: httpx.AsyncClient, prizes: str, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def post(key: str) -> httpx.Response:
        keyed = {**headers, "Idempotency-Key": key}
        return await client.post(prizes, json={"name": "Phone"}, headers=keyed)

    size = len((await post("key-0")).content)
    monkeypatch.setattr("app.http.idempotency.MOST_KEPT_BYTES", size * 2 + 10)
    for number in range(1, 4):
        assert (await post(f"key-{number}")).status_code == 201

    again = [await post(f"key-{number}") for number in range(4)]

    assert [each.status_code for each in again] == [201, 201, 409, 409]
    assert again[3].json()["error"]["details"]["done"] is True
    assert await prize_count() == 4
