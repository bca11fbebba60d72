"""Who was brought in by an address and has no account takes part in draws like everybody."""

import asyncpg
import httpx

from app.database.engine import fetch
from tests import factories
from tests.answers import Headers


async def test_who_has_no_account_is_an_entrant_and_wins(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers
) -> None:
    room = await factories.room(organizer)
    base = f"/api/v1/rooms/{room['id']}"
    prize = await factories.prize(room["id"])
    asked = await client.post(
        f"{base}/participants", json={"email": "asked@example.org"}, headers=headers
    )
    waiting = asked.json()["data"]["id"]

    drawn = await client.post(f"{base}/draws", json={"immediate": True}, headers=headers)
    record = (await client.get(f"{base}/draws/1/record")).json()

    assert drawn.status_code == 201, drawn.text
    assert record["plan"]["entrantCount"] == 1
    assert [each["participantId"] for each in record["winners"]] == [waiting]
    rows = await fetch('SELECT "participantId", "prizeId" FROM winners WHERE "deletedAt" IS NULL')
    assert [tuple(row) for row in rows] == [(waiting, prize["id"])]


async def test_who_has_an_account_only_since_still_sees_a_deleted_private_room_s_draws(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers
) -> None:
    room = await factories.room(organizer, isPublic=False)
    base = f"/api/v1/rooms/{room['id']}"
    await factories.prize(room["id"])
    await client.post(f"{base}/participants", json={"email": "asked@example.org"}, headers=headers)
    await client.post(f"{base}/draws", json={"immediate": True}, headers=headers)
    assert (await client.delete(base, headers=headers)).is_success

    statuses = {}
    for address in ("asked@example.org", "stranger@example.org"):
        person = await factories.user(email=address, emailVerified=factories.now())
        bearer = await factories.bearer(person)
        answer = await client.get(f"{base}/draws/1/record", headers=bearer)
        statuses[address] = answer.status_code
    assert statuses == {"asked@example.org": 200, "stranger@example.org": 404}
