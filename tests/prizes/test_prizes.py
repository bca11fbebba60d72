"""Putting up, changing and deleting prizes over HTTP."""

from typing import Any

import asyncpg
import httpx
import pytest

from tests import factories
from tests.answers import Headers, code_of


@pytest.fixture
def path(room: asyncpg.Record) -> str:
    return f"/api/v1/rooms/{room['id']}/prizes"


async def test_a_new_prize_has_all_of_its_units(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, headers: Headers
) -> None:
    body = {
        "name": "Headphones",
        "description": "Blue",
        "imageUrl": "https://example.org/h.png",
        "quantity": 2,
        "metadata": {"sponsor": "ACME"},
    }

    answer = await client.post(path, json=body, headers=headers)

    assert answer.status_code == 201
    shown = answer.json()["data"]
    assert {name: shown[name] for name in body} == body
    assert (shown["quantityRemaining"], shown["roomId"]) == (2, room["id"])


async def test_an_integer_may_be_written_as_a_decimal(
    client: httpx.AsyncClient, path: str, headers: Headers
) -> None:
    answer = await client.post(path, content=b'{"name": "Phone", "quantity": 2.0}', headers=headers)
    assert answer.json()["data"]["quantity"] == 2


async def test_one_unit_is_what_nobody_says_otherwise(
    client: httpx.AsyncClient, path: str, headers: Headers
) -> None:
    shown = (await client.post(path, json={"name": "Phone"}, headers=headers)).json()["data"]
    assert (shown["quantity"], shown["quantityRemaining"]) == (1, 1)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": ""}, {"$.name"}),
        ({"name": "x" * 256}, {"$.name"}),
        ({"name": "x", "quantity": 0}, {"$.quantity"}),
        ({"name": "x", "quantity": "5"}, {"$.quantity"}),
        ({"name": "x", "quantity": 1.5}, {"$.quantity"}),
        ({"name": "x", "quantity": 10**12}, {"$.quantity"}),
        ({"name": "x", "imageUrl": "javascript:alert(1)"}, {"$.imageUrl"}),
        ({"quantity": 0, "colour": "blue"}, {"$.name", "$.quantity", "$.colour"}),
    ],
)
async def test_every_failing_field_is_named(
    client: httpx.AsyncClient, path: str, headers: Headers, body: Any, fields: set[str]
) -> None:
    answer = await client.post(path, json=body, headers=headers)
    assert (answer.status_code, code_of(answer)) == (400, "VALIDATION_ERROR")
    assert set(answer.json()["error"]["details"]["fields"]) == fields


@pytest.mark.parametrize(("quantity", "remaining"), [(7, 5), (2, 0)])
async def test_a_changed_quantity_keeps_what_was_awarded(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    path: str,
    headers: Headers,
    quantity: int,
    remaining: int,
) -> None:
    prize = await factories.prize(room["id"], quantity=5, quantityRemaining=3)

    changed = await client.patch(
        f"{path}/{prize['id']}", json={"quantity": quantity}, headers=headers
    )

    shown = changed.json()["data"]
    assert (shown["quantity"], shown["quantityRemaining"]) == (quantity, remaining)


async def test_a_quantity_never_goes_below_what_was_awarded(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, headers: Headers
) -> None:
    prize = await factories.prize(room["id"], quantity=5, quantityRemaining=3)

    refused = await client.patch(f"{path}/{prize['id']}", json={"quantity": 1}, headers=headers)

    assert (refused.status_code, code_of(refused)) == (409, "CONFLICT")
    assert refused.json()["error"]["details"] == {"awarded": 2}


async def test_a_prize_with_winners_stays(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, headers: Headers
) -> None:
    prize = await factories.prize(room["id"], quantityRemaining=0)
    somebody = await factories.participant(room["id"])
    winner = await factories.winner(room["id"], somebody["id"], prize["id"])
    one = f"{path}/{prize['id']}"

    refused = await client.delete(one, headers=headers)
    await client.delete(f"/api/v1/rooms/{room['id']}/winners/{winner['id']}", headers=headers)
    deleted = await client.delete(one, headers=headers)

    assert (refused.status_code, code_of(refused)) == (409, "PRIZE_HAS_WINNERS")
    assert refused.json()["error"]["details"] == {"winners": 1}
    assert deleted.status_code == 200
    assert (await client.get(one)).status_code == 404


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED"])
async def test_a_closed_room_keeps_its_prizes_as_they_are(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers, status: str
) -> None:
    room = await factories.room(organizer, status=status)
    prize = await factories.prize(room["id"])
    path = f"/api/v1/rooms/{room['id']}/prizes"

    answers = [
        await client.post(path, json={"name": "Late"}, headers=headers),
        await client.patch(f"{path}/{prize['id']}", json={"quantity": 2}, headers=headers),
        await client.delete(f"{path}/{prize['id']}", headers=headers),
    ]

    assert [code_of(each) for each in answers] == ["ROOM_CLOSED"] * 3


async def test_prizes_come_oldest_first(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str
) -> None:
    expected = [(await factories.prize(room["id"]))["id"] for _ in range(3)]
    listed = (await client.get(path)).json()
    assert [each["id"] for each in listed["data"]] == expected
    assert listed["meta"]["limit"] == 1000


async def test_what_is_all_won_is_listed_unless_it_is_left_out(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str
) -> None:
    left = await factories.prize(room["id"])
    gone = await factories.prize(room["id"], quantityRemaining=0)

    async def listed(query: str) -> list[str]:
        page = (await client.get(f"{path}{query}")).json()
        assert page["meta"]["total"] == len(page["data"])
        return [prize["id"] for prize in page["data"]]

    assert await listed("") == await listed("?includeExhausted=true") == [left["id"], gone["id"]]
    assert await listed("?includeExhausted=false") == [left["id"]]
    assert (await client.get(f"{path}?includeExhausted=maybe")).status_code == 400
