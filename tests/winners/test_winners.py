"""Awarding and revoking over HTTP."""

import asyncpg
import httpx
import pytest

from app.database.engine import fetchval
from tests import factories
from tests.answers import Headers, code_of


@pytest.fixture
def path(room: asyncpg.Record) -> str:
    return f"/api/v1/rooms/{room['id']}/winners"


async def award(
    client: httpx.AsyncClient, path: str, headers: Headers, participant_id: str, prize_id: str
) -> httpx.Response:
    body = {"participantId": participant_id, "prizeId": prize_id, "metadata": {"round": 1}}
    return await client.post(path, json=body, headers=headers)


async def test_an_award_shows_who_won_what_and_takes_a_unit(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, headers: Headers
) -> None:
    person = await factories.user(name="Bob")
    somebody = await factories.participant(room["id"], person["id"])
    prize = await factories.prize(room["id"], quantity=5, description="50 €")

    answer = await award(client, path, headers, somebody["id"], prize["id"])

    assert answer.status_code == 201
    shown = answer.json()["data"]
    member = (await client.get(f"/api/v1/rooms/{room['id']}/participants/{somebody['id']}")).json()
    assert shown["participant"] == member["data"]
    assert shown["participant"]["user"] == {"id": person["id"], "name": "Bob", "avatar": None}
    assert shown["deletedAt"] is None
    assert shown["prize"] == {
        "id": prize["id"],
        "name": "Headphones",
        "description": "50 €",
        "imageUrl": None,
    }
    assert shown["metadata"] == {"round": 1}
    single = await client.get(f"{path}/{shown['id']}")
    assert (single.json()["data"], single.headers["etag"]) == (shown, answer.headers["etag"])
    left = await fetchval('SELECT "quantityRemaining" FROM prizes WHERE id = $1', prize["id"])
    assert left == 4


async def test_what_can_not_be_awarded_says_why(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, headers: Headers
) -> None:
    somebody = await factories.participant(room["id"])
    viewer = await factories.participant(room["id"], role="VIEWER")
    prize = await factories.prize(room["id"], quantity=2)
    gone = await factories.prize(room["id"], quantityRemaining=0)
    elsewhere = await factories.room()
    other_prize = await factories.prize(elsewhere["id"])
    stranger = await factories.participant(elsewhere["id"])
    await award(client, path, headers, somebody["id"], prize["id"])

    refused = [
        code_of(await award(client, path, headers, participant_id, prize_id))
        for participant_id, prize_id in (
            (somebody["id"], prize["id"]),
            (viewer["id"], prize["id"]),
            (somebody["id"], gone["id"]),
            (stranger["id"], prize["id"]),
            (somebody["id"], other_prize["id"]),
            ("nobody", "nothing"),
        )
    ]

    assert refused == [
        *("CONFLICT", "CONFLICT", "PRIZE_EXHAUSTED", "NOT_FOUND", "NOT_FOUND", "NOT_FOUND")
    ]
    assert await fetchval("SELECT count(*) FROM winners") == 1


@pytest.mark.parametrize("status", ["DRAFT", "COMPLETED", "CANCELLED"])
async def test_only_an_active_room_awards(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers, status: str
) -> None:
    room = await factories.room(organizer, status=status)
    somebody = await factories.participant(room["id"])
    prize = await factories.prize(room["id"])
    path = f"/api/v1/rooms/{room['id']}/winners"

    answer = await award(client, path, headers, somebody["id"], prize["id"])

    assert (answer.status_code, code_of(answer)) == (409, "ROOM_NOT_ACTIVE")


async def test_a_revoked_prize_is_awarded_again_to_the_same_person(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, headers: Headers
) -> None:
    somebody = await factories.participant(room["id"])
    prize = await factories.prize(room["id"])
    first = (await award(client, path, headers, somebody["id"], prize["id"])).json()["data"]

    revoked = await client.delete(f"{path}/{first['id']}", headers=headers)
    twice = await client.delete(f"{path}/{first['id']}", headers=headers)
    again = await award(client, path, headers, somebody["id"], prize["id"])

    assert revoked.json() == {"data": {"success": True}}
    assert twice.status_code == 404
    assert again.status_code == 201
    assert [each["id"] for each in (await client.get(path)).json()["data"]] == [
        again.json()["data"]["id"]
    ]


async def test_winners_come_newest_first_and_are_narrowed(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, headers: Headers
) -> None:
    one, two = [await factories.participant(room["id"]) for _ in range(2)]
    phone, card = [await factories.prize(room["id"], quantity=2) for _ in range(2)]
    won = [
        (await award(client, path, headers, who["id"], what["id"])).json()["data"]["id"]
        for who, what in ((one, phone), (two, phone), (one, card))
    ]

    async def listed(**query: str) -> list[str]:
        return [each["id"] for each in (await client.get(path, params=query)).json()["data"]]

    assert await listed() == won[::-1]
    assert await listed(prizeId=phone["id"]) == [won[1], won[0]]
    assert await listed(participantId=one["id"]) == [won[2], won[0]]
    assert await listed(prizeId=phone["id"], participantId=one["id"]) == [won[0]]
    assert await listed(prizeId="nothing") == []
