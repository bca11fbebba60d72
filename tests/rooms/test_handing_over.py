"""A room is given to another of its ORGANIZERs, over HTTP."""

import asyncio
from collections import Counter

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchrow, fetchval
from tests import factories
from tests.answers import Headers, code_of
from tests.waiting import is_held_up


async def organizer_of(room: asyncpg.Record) -> str:
    found: str = await fetchval('SELECT "createdBy" FROM rooms WHERE id = $1', room["id"])
    return found


async def member(room: asyncpg.Record, role: str, **values: object) -> asyncpg.Record:
    """Put somebody into the room."""
    person = await factories.user(**values)
    await factories.participant(room["id"], person["id"], role=role)
    return person


async def hand_over(
    client: httpx.AsyncClient, room: asyncpg.Record, giver: asyncpg.Record | None, receiver: str
) -> httpx.Response:
    return await client.patch(
        f"/api/v1/rooms/{room['id']}",
        json={"createdBy": receiver},
        headers=await factories.bearer(giver),
    )


@pytest.mark.parametrize("status", ["DRAFT", "ACTIVE", "COMPLETED", "CANCELLED"])
async def test_the_organizer_hands_the_room_over(
    client: httpx.AsyncClient, organizer: asyncpg.Record, status: str
) -> None:
    room = await factories.room(organizer, status=status)
    other = await member(room, "ORGANIZER", name="Otto")

    answer = await hand_over(client, room, organizer, other["id"])

    assert answer.status_code == 200, answer.text
    shown = answer.json()["data"]
    assert shown["createdBy"] == shown["organizer"]["id"] == other["id"]
    assert shown["organizer"]["name"] == "Otto"
    record = await fetchrow('SELECT * FROM audit_log WHERE "rowId" = $1', room["id"])
    assert record is not None
    assert (record["actor"], record["action"]) == (organizer["id"], "hand over room")
    assert organizer["id"] in record["before"]
    assert other["id"] in record["after"]


@pytest.mark.parametrize(
    ("giver", "expected"),
    [
        (None, 401),
        ("outsider", 403),
        ("VIEWER", 403),
        ("PARTICIPANT", 403),
        ("MODERATOR", 403),
        ("ORGANIZER", 403),
        ("ADMIN", 200),
        ("platform", 200),
    ],
)
async def test_nobody_else_but_an_admin_hands_it_over(
    client: httpx.AsyncClient, room: asyncpg.Record, giver: str | None, expected: int
) -> None:
    receiver = await member(room, "ORGANIZER")
    match giver:
        case None:
            person = None
        case "outsider" | "platform":
            person = await factories.user(isAdmin=giver == "platform")
        case _:
            person = await member(room, giver)

    answer = await hand_over(client, room, person, receiver["id"])

    assert answer.status_code == expected, answer.text
    expected_organizer = receiver["id"] if expected == 200 else room["createdBy"]
    assert await organizer_of(room) == expected_organizer


async def test_nobody_gets_a_room_who_did_not_agree_to_be_in_it(
    client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record
) -> None:
    stranger = await factories.user()
    seat = await factories.participant(
        room["id"], stranger["id"], role="ORGANIZER", acceptedAt=None
    )
    refused = await hand_over(client, room, organizer, stranger["id"])
    assert refused.status_code == 409
    assert "join" in refused.json()["error"]["message"]
    assert await organizer_of(room) == organizer["id"]
    await fetch('UPDATE participants SET "acceptedAt" = now() WHERE id = $1', seat["id"])
    assert (await hand_over(client, room, organizer, stranger["id"])).status_code == 200


@pytest.mark.parametrize("taker", ["oneself", "another"])
async def test_any_organizer_does_where_the_present_one_is_none_any_more(
    client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record, taker: str
) -> None:
    one, other = await member(room, "ORGANIZER"), await member(room, "ORGANIZER")
    gone = await client.delete(
        f"/api/v1/rooms/{room['id']}/participants/me", headers=await factories.bearer(organizer)
    )
    assert gone.status_code == 200
    receiver = one if taker == "oneself" else other

    answer = await hand_over(client, room, one, receiver["id"])

    assert answer.status_code == 200, answer.text
    assert await organizer_of(room) == receiver["id"]


@pytest.mark.parametrize(
    "receiver", ["VIEWER", "PARTICIPANT", "MODERATOR", "ADMIN", "former", "outsider", "nobody"]
)
async def test_only_an_organizer_takes_it_over_and_nobody_is_told_apart(
    client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record, receiver: str
) -> None:
    match receiver:
        case "nobody":
            receiver_id = "c" + "0" * 24
        case "outsider":
            receiver_id = (await factories.user())["id"]
        case "former":
            person = await factories.user()
            receiver_id = person["id"]
            await factories.participant(
                room["id"], receiver_id, role="ORGANIZER", deletedAt=factories.now()
            )
        case _:
            receiver_id = (await member(room, receiver))["id"]

    answer = await hand_over(client, room, organizer, receiver_id)

    assert (answer.status_code, code_of(answer)) == (409, "CONFLICT")
    assert answer.json()["error"]["message"] == (
        "A room is handed over to another of its ORGANIZERs."
    )
    assert await organizer_of(room) == organizer["id"]


async def test_to_keep_it_changes_nothing(
    client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record
) -> None:
    co_organizer = await member(room, "ORGANIZER")
    for each in (organizer, co_organizer):
        answer = await hand_over(client, room, each, organizer["id"])
        assert answer.status_code == 200
    assert await organizer_of(room) == organizer["id"]
    assert not await fetch("SELECT 1 FROM audit_log")


async def test_a_refused_hand_over_leaves_everything_else_as_it_is(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    answer = await client.patch(
        f"/api/v1/rooms/{room['id']}", json={"name": "Mine", "createdBy": "x"}, headers=headers
    )
    assert answer.status_code == 409
    assert await fetchval("SELECT name FROM rooms WHERE id = $1", room["id"]) == room["name"]


@pytest.mark.parametrize("receiver_does", ["leaves", "is demoted", "deletes the account"])
@pytest.mark.parametrize("first", ["giver", "receiver"])
async def test_a_receiver_who_goes_at_once_either_has_it_or_not(
    client: httpx.AsyncClient,
    database: str,
    room: asyncpg.Record,
    organizer: asyncpg.Record,
    receiver_does: str,
    first: str,
) -> None:
    receiver = await member(room, "ORGANIZER")
    participants = f"/api/v1/rooms/{room['id']}/participants"
    headers = await factories.bearer(receiver)

    async def go() -> httpx.Response:
        match receiver_does:
            case "leaves":
                return await client.delete(f"{participants}/me", headers=headers)
            case "is demoted":
                return await client.patch(
                    f"{participants}/me", json={"role": "VIEWER"}, headers=headers
                )
            case _:
                return await client.delete(f"/api/v1/users/{receiver['id']}", headers=headers)

    # Both wait for the room, in the order in which they came.
    lock = await asyncpg.connect(database)
    async with lock.transaction():
        await lock.execute("SELECT 1 FROM rooms WHERE id = $1 FOR UPDATE", room["id"])
        tasks = {"giver": hand_over(client, room, organizer, receiver["id"]), "receiver": go()}
        running = {first: asyncio.create_task(tasks.pop(first))}
        assert await is_held_up(running[first])
        (second,) = tasks
        running[second] = asyncio.create_task(tasks[second])
        await asyncio.sleep(0.1)
    await lock.close()
    given, gone = await running["giver"], await running["receiver"]

    assert gone.status_code == 200, gone.text
    alive = await fetchrow(
        'SELECT u."deletedAt" FROM rooms r JOIN users u ON u.id = r."createdBy" '
        'WHERE r.id = $1 AND r."deletedAt" IS NULL',
        room["id"],
    )
    assert alive is not None
    assert alive["deletedAt"] is None
    assert given.status_code == (200 if first == "giver" else 409), given.text
    kept = first == "giver" and receiver_does != "deletes the account"
    assert await organizer_of(room) == (receiver if kept else organizer)["id"]


async def test_of_two_who_hand_over_at_once_one_does(
    client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record
) -> None:
    receivers = [await member(room, "ORGANIZER") for _ in range(4)]

    answers = await asyncio.gather(
        *(hand_over(client, room, organizer, each["id"]) for each in receivers)
    )

    assert Counter(each.status_code for each in answers) == {200: 1, 403: 3}
