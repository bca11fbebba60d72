"""Profiles over HTTP."""

from typing import Any

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchrow
from tests import factories


@pytest.fixture
async def person(client: httpx.AsyncClient) -> asyncpg.Record:  # noqa: ARG001 - bound there
    return await factories.user(name="Diana")


def path_of(person: asyncpg.Record) -> str:
    return f"/api/v1/users/{person['id']}"


async def sees_email(
    client: httpx.AsyncClient, viewer: asyncpg.Record, person: asyncpg.Record
) -> bool:
    answer = await client.get(path_of(person), headers=await factories.bearer(viewer))
    assert answer.status_code == 200
    shown = answer.json()["data"]
    assert shown.get("email", person["email"]) == person["email"]
    return "email" in shown


@pytest.mark.parametrize(
    ("role", "sees"),
    [
        ("VIEWER", False),
        ("PARTICIPANT", False),
        ("MODERATOR", True),
        ("ORGANIZER", True),
        ("ADMIN", True),
    ],
)
async def test_moderators_of_a_shared_room_see_the_address(
    client: httpx.AsyncClient, person: asyncpg.Record, role: str, *, sees: bool
) -> None:
    room, viewer = await factories.room(), await factories.user()
    await factories.participant(room["id"], person["id"])
    await factories.participant(room["id"], viewer["id"], role=role)

    assert await sees_email(client, viewer, person) == sees
    assert await sees_email(client, person, person)


async def test_an_administrator_sees_the_addresses_of_those_in_rooms(
    client: httpx.AsyncClient, person: asyncpg.Record
) -> None:
    administrator = await factories.user(isAdmin=True)
    assert not await sees_email(client, administrator, person)
    await factories.participant((await factories.room())["id"], person["id"])
    assert await sees_email(client, administrator, person)


@pytest.mark.parametrize("gone", ["person", "moderator", "room"])
async def test_a_room_that_is_not_shared_any_more_shows_no_address(
    client: httpx.AsyncClient, person: asyncpg.Record, gone: str
) -> None:
    def left(who: str) -> object:
        return factories.now() if gone == who else None

    room, viewer = await factories.room(deletedAt=left("room")), await factories.user()
    await factories.participant(room["id"], person["id"], deletedAt=left("person"))
    await factories.participant(
        room["id"], viewer["id"], role="MODERATOR", deletedAt=left("moderator")
    )

    assert not await sees_email(client, viewer, person)


async def test_one_changes_ones_own_name_and_picture(
    client: httpx.AsyncClient, person: asyncpg.Record
) -> None:
    headers = await factories.bearer(person)

    renamed = await client.patch(path_of(person), json={"name": "Di"}, headers=headers)
    cleared = await client.patch(path_of(person), json={"name": None}, headers=headers)

    assert renamed.json()["data"]["name"] == "Di"
    assert cleared.json()["data"]["name"] is None


@pytest.mark.parametrize("body", [{"email": "new@example.org"}, {"isAdmin": True}, {"name": ""}])
async def test_nothing_else_of_oneself_is_changed(
    client: httpx.AsyncClient, person: asyncpg.Record, body: dict[str, object]
) -> None:
    answer = await client.patch(path_of(person), json=body, headers=await factories.bearer(person))
    assert answer.status_code == 400
    assert list(answer.json()["error"]["details"]["fields"]) == [f"$.{next(iter(body))}"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_others_are_told_by_nothing_from_people_who_do_not_exist(
    client: httpx.AsyncClient, person: asyncpg.Record, method: str
) -> None:
    headers = await factories.bearer(person)
    gone = await factories.user(deletedAt=factories.now())
    ids = [(await factories.user())["id"], gone["id"], "c" + "0" * 24, "nobody"]
    bodies: list[Any] = [{"name": "Hijacked"}, {"isAdmin": True}, {}]

    for body in bodies if method == "PATCH" else [None]:
        told = []
        for each in ids:
            sent = {**headers, "If-Match": '"0-0"', "X-Request-Id": "the-same"}
            path = f"/api/v1/users/{each}"
            answer = await client.request(method, path, json=body, headers=sent)
            told.append((answer.status_code, answer.content))
        assert len(set(told)) == 1
        assert told[0][0] == (400 if body == {"isAdmin": True} else 403)


async def test_who_deletes_themselves_takes_their_rooms_and_sessions_along(
    client: httpx.AsyncClient, person: asyncpg.Record
) -> None:
    own = await factories.room(person)
    other = await factories.room()
    elsewhere = await factories.participant(other["id"], person["id"])
    prize = await factories.prize(other["id"], quantityRemaining=0)
    winner = await factories.winner(other["id"], elsewhere["id"], prize["id"])
    headers = await factories.bearer(person)

    deleted = await client.delete(path_of(person), headers=headers)

    assert deleted.json() == {"data": {"success": True}}
    for table, row in (("users", person), ("rooms", own), ("participants", elsewhere)):
        now = await fetchrow(f"SELECT * FROM {table} WHERE id = $1", row["id"])
        assert now is not None
        assert now["deletedAt"] is not None, table
    assert not await fetch('SELECT 1 FROM sessions WHERE "userId" = $1', person["id"])
    assert (await client.get(f"/api/v1/rooms/{other['id']}/winners/{winner['id']}")).is_success
    viewer = await factories.bearer(await factories.user())
    assert (await client.get(path_of(person), headers=viewer)).status_code == 404
