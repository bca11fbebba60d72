"""Codes let people into rooms, over HTTP: who may make them, whom they let in, and how often."""

import asyncio
import re
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.auth import sessions
from app.database.engine import fetch, fetchrow, fetchval
from app.invitations.codes import ALPHABET, hash_of, new_code
from app.settings import settings
from tests import factories
from tests.answers import Headers, code_of
from tests.auth.conftest import Configure, configure  # noqa: F401 - a fixture

ACCEPT, FIND = "/api/v1/invitations/accept", "/api/v1/invitations/find"


@pytest.fixture
async def room(organizer: asyncpg.Record) -> asyncpg.Record:
    """Open a private room."""
    return await factories.room(organizer, isPublic=False, name="Office lottery")


async def invite(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers, **wish: Any
) -> httpx.Response:
    return await client.post(
        f"/api/v1/rooms/{room['id']}/invitations", json=wish or None, headers=headers
    )


async def code_for(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers, **wish: Any
) -> str:
    made = await invite(client, room, headers, **wish)
    assert made.status_code == 201, made.text
    code: str = made.json()["data"]["code"]
    return code


async def accept(
    client: httpx.AsyncClient, code: str, person: asyncpg.Record | None
) -> httpx.Response:
    return await client.post(ACCEPT, json={"code": code}, headers=await factories.bearer(person))


async def uses() -> Any:
    return await fetchval("SELECT sum(uses) FROM invitations")


async def test_a_code_is_shown_once_and_kept_nowhere(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    organizer: asyncpg.Record,
    headers: Headers,
) -> None:
    made = await invite(client, room, {**headers, "Idempotency-Key": "once"}, maxUses=3)
    shown = made.json()["data"]
    assert made.headers["Cache-Control"] == "no-store"
    assert re.fullmatch(rf"[{ALPHABET}]{{5}}-[{ALPHABET}]{{5}}", shown["code"])
    assert shown["link"] == f"http://127.0.0.1:8000/join#{shown['code']}"
    assert "<svg" in shown["qrCode"]
    assert (shown["role"], shown["maxUses"], shown["uses"]) == ("PARTICIPANT", 3, 0)
    assert shown["createdBy"] == organizer["id"]

    place = made.headers["Location"]
    one = (await client.get(place, headers=headers)).json()["data"]
    listed = await client.get(place.rpartition("/")[0], headers=headers)
    assert listed.json()["data"] == [one]
    assert one == {name: shown[name] for name in one}
    assert not {"code", "link", "qrCode"} & one.keys()
    again = await invite(client, room, {**headers, "Idempotency-Key": "once"}, maxUses=3)
    assert (again.status_code, code_of(again)) == (409, "CONFLICT")

    guest = await factories.user()
    keyed = {**await factories.bearer(guest), "Idempotency-Key": "mine"}
    await client.post(ACCEPT, json={"code": shown["code"]}, headers=keyed)
    await client.delete(place, headers=headers)
    record = await fetch("SELECT * FROM audit_log ORDER BY id")
    assert [row["action"] for row in record] == ["invite with a code", "revoke invitation"]
    assert {row["actor"] for row in record} == {organizer["id"]}
    assert "codeHash" not in str(record)
    tables = await fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    everything = ""
    for table in tables:
        everything += str(await fetch(f'SELECT t::text FROM "{table[0]}" t'))
    assert "Office lottery" in everything
    for written in (shown["code"], shown["code"].replace("-", "")):
        assert written not in everything
    assert await fetchval("SELECT count(*) FROM idempotency_keys") == 1


async def test_a_code_lets_in_whoever_signs_in_once_each(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    code = await code_for(client, room, headers, role="VIEWER")
    guest = await factories.user()
    found = await client.post(FIND, json={"code": code})
    assert found.json()["data"] == {
        "roomId": room["id"],
        "roomName": "Office lottery",
        "role": "VIEWER",
    }
    typed = (code, code.lower(), code.replace("-", ""), f" {code.replace('0', 'o')}")
    for each in typed:
        seat = await accept(client, each, guest)
        assert seat.status_code == 200, seat.text
        assert (seat.json()["data"]["role"], await uses()) == ("VIEWER", 1)
        assert seat.json()["data"]["userId"] == guest["id"]
    there = await client.get(f"/api/v1/rooms/{room['id']}", headers=await factories.bearer(guest))
    assert there.status_code == 200
    assert (await accept(client, code, None)).status_code == 401


@pytest.mark.parametrize(
    ("inviter", "allowed"),
    [
        ("MODERATOR", ["PARTICIPANT", "VIEWER"]),
        ("ORGANIZER", ["MODERATOR", "PARTICIPANT", "VIEWER"]),
        ("ADMIN", ["ORGANIZER", "MODERATOR", "PARTICIPANT", "VIEWER"]),
        ("platform", ["ADMIN", "ORGANIZER", "MODERATOR", "PARTICIPANT", "VIEWER"]),
    ],
)
async def test_nobody_invites_with_a_role_that_is_not_below_their_own(
    client: httpx.AsyncClient, room: asyncpg.Record, inviter: str, allowed: list[str]
) -> None:
    person = await factories.user(isAdmin=inviter == "platform")
    if inviter != "platform":
        await factories.participant(room["id"], person["id"], role=inviter)
    headers = await factories.bearer(person)
    for role in ("ADMIN", "ORGANIZER", "MODERATOR", "PARTICIPANT", "VIEWER"):
        made = await invite(client, room, headers, role=role)
        assert (role, made.status_code) == (role, 201 if role in allowed else 403)
        if role in allowed:
            seat = await accept(client, made.json()["data"]["code"], await factories.user())
            assert seat.json()["data"]["role"] == role


async def test_a_moderator_revokes_no_invitation_of_a_higher_role(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    moderator = await factories.user()
    await factories.participant(room["id"], moderator["id"], role="MODERATOR")
    made = await invite(client, room, headers, role="MODERATOR")
    other = await factories.bearer(moderator)
    refused = await client.delete(made.headers["Location"], headers=other)
    assert refused.status_code == 403
    assert await fetchval('SELECT "revokedAt" FROM invitations') is None


NOT_HOLDING = {
    "never was": "UPDATE invitations SET \"codeHash\" = 'another'",
    "expired": "UPDATE invitations SET \"createdAt\" = '2026-01-01', \"expiresAt\" = '2026-01-02'",
    "revoked": 'UPDATE invitations SET "revokedAt" = now()',
    "room deleted": 'UPDATE rooms SET "deletedAt" = now()',
    "inviter a participant now": "UPDATE participants SET role = 'PARTICIPANT'",
    "inviter gone": 'UPDATE participants SET "deletedAt" = now()',
    "inviter deleted": "UPDATE users SET \"deletedAt\" = now() WHERE name = 'Olga'",
}


@pytest.mark.parametrize("change", NOT_HOLDING.values(), ids=NOT_HOLDING)
@pytest.mark.parametrize("is_public", [True, False])
async def test_codes_that_hold_no_more_and_those_that_never_were_answer_alike(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    headers: Headers,
    change: str,
    *,
    is_public: bool,
) -> None:
    code = await code_for(client, room, headers)
    await fetch('UPDATE rooms SET "isPublic" = $1', is_public)
    await fetch(change)
    guest = await factories.user()
    told = set()
    for answer in (
        await accept(client, code, guest),
        await accept(client, new_code(), guest),
        await client.post(FIND, json={"code": code}),
    ):
        assert answer.status_code == 404
        told.add(answer.json()["error"]["message"])
    assert len(told) == 1
    assert await fetchval('SELECT count(*) FROM participants WHERE "userId" = $1', guest["id"]) == 0
    assert await uses() == 0


async def test_what_else_keeps_people_out_is_told(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    code = await code_for(client, room, headers, maxUses=1)
    first, second = await factories.user(), await factories.user()
    assert (await accept(client, code, first)).status_code == 200
    used_up = await accept(client, code, second)
    assert (used_up.status_code, code_of(used_up)) == (409, "CONFLICT")
    assert (await client.post(FIND, json={"code": code})).status_code == 409
    assert (await accept(client, code, first)).status_code == 200, "who is in may come again"

    other = await code_for(client, room, headers)
    await fetch("UPDATE rooms SET status = 'COMPLETED'")
    closed = await accept(client, other, second)
    assert (closed.status_code, code_of(closed)) == (409, "ROOM_CLOSED")
    assert (await invite(client, room, headers)).status_code == 409
    assert await uses() == 1


@pytest.mark.parametrize(
    "wish",
    [
        {"expiresAt": "2020-01-01T00:00:00Z"},
        {"expiresAt": "2099-01-01T00:00:00"},
        {"expiresAt": "9999-12-31T23:59:59-12:00"},
        {"expiresAt": "0001-01-01T00:00:00+12:00"},
        {"expiresAt": "soon"},
        {"maxUses": 0},
        {"maxUses": 10**7},
        {"role": "KING"},
        {"code": "7K2MX-9QD4R"},
    ],
    ids=str,
)
async def test_what_makes_no_sense_is_refused_by_its_name(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers, wish: dict[str, Any]
) -> None:
    refused = await invite(client, room, headers, **wish)
    assert refused.status_code == 400, refused.text
    assert [*refused.json()["error"]["details"]["fields"]] == [f"$.{next(iter(wish))}"]
    assert await fetchrow("SELECT FROM invitations") is None


async def test_of_many_at_once_no_more_come_in_than_may(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    code = await code_for(client, room, headers, maxUses=5)
    people = [await factories.user() for _ in range(12)]
    answers = await asyncio.gather(*(accept(client, code, person) for person in people))
    assert sorted(each.status_code for each in answers) == [200] * 5 + [409] * 7
    assert await uses() == 5
    assert await fetchval("SELECT count(*) FROM participants") == 1 + 5
    with pytest.raises(asyncpg.CheckViolationError):
        await fetch("UPDATE invitations SET uses = uses + 1")


async def test_who_asks_twice_at_once_takes_one_use(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    code = await code_for(client, room, headers, maxUses=2)
    guest = await factories.user()
    answers = await asyncio.gather(*(accept(client, code, guest) for _ in range(4)))
    assert [each.status_code for each in answers] == [200] * 4
    assert await uses() == 1


async def test_who_left_comes_back_and_who_is_expected_takes_that_up(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    code = await code_for(client, room, headers)
    left, named, expected = [await factories.user() for _ in range(3)]
    gone = await factories.participant(
        room["id"], left["id"], role="MODERATOR", deletedAt=factories.now()
    )
    by_id = await factories.participant(
        room["id"], named["id"], role="VIEWER", acceptedAt=None, email=None
    )
    waiting = await factories.expected(room["id"], expected["email"])
    seats = [(await accept(client, code, each)).json()["data"] for each in (left, named, expected)]
    assert [seat["id"] for seat in seats] == [gone["id"], by_id["id"], waiting["id"]]
    assert [seat["role"] for seat in seats] == ["PARTICIPANT", "VIEWER", "PARTICIPANT"]
    assert seats[2]["userId"] == expected["id"]
    assert await uses() == 1
    assert await fetchval('SELECT count(*) FROM participants WHERE "acceptedAt" IS NULL') == 0


async def test_an_invitation_is_there_in_its_own_room_alone(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers, organizer: asyncpg.Record
) -> None:
    other = await factories.room(organizer)
    made = await invite(client, room, headers)
    there = made.headers["Location"].replace(room["id"], other["id"])
    assert (await client.get(there, headers=headers)).status_code == 404
    assert (await client.delete(there, headers=headers)).status_code == 404
    listed = await client.get(there.rpartition("/")[0], headers=headers)
    assert listed.json()["data"] == []
    stale = {**headers, "If-Match": '"1"'}
    assert (await client.delete(made.headers["Location"], headers=stale)).status_code == 412
    for _ in range(2):
        gone = await client.delete(made.headers["Location"], headers=headers)
        assert gone.status_code == 200


async def test_guessing_is_limited_and_lets_others_in(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    headers: Headers,
    configure: Configure,  # noqa: F811 - the fixture
) -> None:
    code = await code_for(client, room, headers)
    configure(RATE_LIMITS=True, RATE_LIMIT_INVITATIONS="3/minute", TRUSTED_PROXIES=1)
    guesser = await factories.bearer(await factories.user())

    async def guess(address: str, tried: str, headers: Headers) -> int:
        there = {**headers, "X-Forwarded-For": address}
        return (await client.post(ACCEPT, json={"code": tried}, headers=there)).status_code

    tries = [await guess(f"192.0.2.{n}", new_code(), guesser) for n in range(5)]
    assert tries == [404, 404, 404, 429, 429], "an account, from wherever"
    crowd = [await factories.bearer(await factories.user()) for _ in range(5)]
    assert [await guess("192.0.2.9", code, each) for each in crowd] == [200] * 5
    others = [await factories.bearer(await factories.user()) for _ in range(5)]
    tries = [await guess("192.0.2.9", new_code(), each) for each in others]
    assert tries == [404, 404, 404, 429, 429], "an address, whoever it is"
    found = [
        await client.post(FIND, json={"code": code}, headers={**crowd[0], "X-Forwarded-For": each})
        for each in ("192.0.2.20", "192.0.2.21", "192.0.2.22")
    ]
    assert [each.status_code for each in found] == [200, 200, 429], "an account, right or wrong"
    refused = await client.post(FIND, json={"code": code}, headers={"X-Forwarded-For": "192.0.2.9"})
    assert refused.status_code == 429


async def test_codes_outlive_a_change_of_the_first_secret(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    headers: Headers,
    configure: Configure,  # noqa: F811 - the fixture
) -> None:
    code = await code_for(client, room, headers)
    configure(JWT_SECRET=f"a-new-one,{settings().JWT_SECRET[0]}")
    assert len(sessions.token_policy().keys) == 2
    assert (await client.post(FIND, json={"code": code})).status_code == 200
    configure(JWT_SECRET="a-new-one")
    assert (await client.post(FIND, json={"code": code})).status_code == 404


async def test_expiry_is_the_databases(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    soon = (factories.now() + timedelta(hours=1)).isoformat()
    code = await code_for(client, room, headers, expiresAt=soon)
    assert (await client.post(FIND, json={"code": code})).status_code == 200


@given(st.text(max_size=40))
def test_any_text_has_a_hash(text: str) -> None:
    assert re.fullmatch("[0-9a-f]{64}", hash_of(text, b"key"))


def test_codes_are_hashed_with_a_key() -> None:
    assert hash_of("7K2MX-9QD4R", b"one") != hash_of("7K2MX-9QD4R", b"other")
    assert hash_of("7k2mx 9qd4r", b"one") == hash_of("7K2MX-9QD4R", b"one")
    assert len({new_code() for _ in range(1000)}) == 1000
