"""Deleting an account: what becomes of the rooms, told beforehand, whatever happens at once."""

import asyncio
from datetime import timedelta

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchrow, fetchval
from tests import factories
from tests.waiting import is_held_up


async def delete(
    client: httpx.AsyncClient, person: asyncpg.Record, *, preview: bool = False
) -> httpx.Response:
    return await client.delete(
        f"/api/v1/users/{person['id']}",
        params={"preview": "true"} if preview else {},
        headers=await factories.bearer(person),
    )


async def state_of(room: asyncpg.Record) -> tuple[str, bool]:
    """Return whose a room is, and whether it is there."""
    row = await fetchrow('SELECT "createdBy", "deletedAt" FROM rooms WHERE id = $1', room["id"])
    assert row is not None
    return row["createdBy"], row["deletedAt"] is None


async def organizers_of(room: asyncpg.Record) -> int:
    count: int = await fetchval(
        'SELECT count(*) FROM participants p JOIN users u ON u.id = p."userId" '
        'WHERE p."roomId" = $1 AND p.role = \'ORGANIZER\' AND p."deletedAt" IS NULL '
        'AND u."deletedAt" IS NULL',
        room["id"],
    )
    return count


async def with_role(room: asyncpg.Record, role: str, days: int = 0) -> asyncpg.Record:
    """Put somebody into the room, so many days ago."""
    person = await factories.user(name=f"{role} {days}")
    joined = factories.now() - timedelta(days=days)
    await factories.participant(room["id"], person["id"], role=role, joinedAt=joined)
    return person


async def test_a_co_organized_room_passes_to_who_organizes_it_for_longest(
    client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record
) -> None:
    await with_role(room, "ORGANIZER", days=1)
    successor = await with_role(room, "ORGANIZER", days=3)
    await with_role(room, "MODERATOR", days=9)
    gone = await with_role(room, "ORGANIZER", days=20)
    await fetch('UPDATE users SET "deletedAt" = now() WHERE id = $1', gone["id"])

    answer = await delete(client, organizer)

    assert answer.json() == {"data": {"success": True}}
    assert await state_of(room) == (successor["id"], True)
    shown = (await client.get(f"/api/v1/rooms/{room['id']}")).json()["data"]
    assert shown["organizer"]["id"] == successor["id"]
    record = await fetchrow('SELECT * FROM audit_log WHERE "rowId" = $1', room["id"])
    assert record is not None
    assert (record["actor"], record["tableName"]) == (organizer["id"], "rooms")


async def test_a_preview_tells_what_becomes_of_each_room_and_changes_nothing(
    client: httpx.AsyncClient, organizer: asyncpg.Record
) -> None:
    alone = await factories.room(organizer, name="Alone", status="COMPLETED")
    shared = await factories.room(organizer, name="Shared", isPublic=False)
    successor = await with_role(shared, "ORGANIZER")
    founder = await factories.user()
    left_to_one = await factories.room(founder, name="Left to one")
    await factories.participant(left_to_one["id"], organizer["id"], role="ORGANIZER")
    await fetch('UPDATE participants SET "deletedAt" = now() WHERE "userId" = $1', founder["id"])
    elsewhere = await factories.room(name="Somebody's")
    await factories.participant(elsewhere["id"], organizer["id"], role="ORGANIZER")
    await factories.room(organizer, name="Gone", deletedAt=factories.now())
    before = await fetch("SELECT * FROM rooms ORDER BY id")

    previewed = await delete(client, organizer, preview=True)

    assert previewed.json()["data"] == {
        "deletes": [
            {"id": alone["id"], "name": "Alone"},
            {"id": left_to_one["id"], "name": "Left to one"},
        ],
        "passesOn": [
            {
                "id": shared["id"],
                "name": "Shared",
                "to": {"id": successor["id"], "name": successor["name"], "avatar": None},
            }
        ],
    }
    assert await fetch("SELECT * FROM rooms ORDER BY id") == before
    assert await fetchval('SELECT "deletedAt" FROM users WHERE id = $1', organizer["id"]) is None

    await delete(client, organizer)

    assert [await state_of(each) for each in (alone, left_to_one, shared, elsewhere)] == [
        (organizer["id"], False),
        (founder["id"], False),
        (successor["id"], True),
        (elsewhere["createdBy"], True),
    ]


async def test_a_preview_with_an_old_tag_is_refused(
    client: httpx.AsyncClient, organizer: asyncpg.Record
) -> None:
    headers = await factories.bearer(organizer)
    path = f"/api/v1/users/{organizer['id']}"
    previewed = await client.delete(path, params={"preview": "true"}, headers=headers)
    await client.patch(path, json={"name": "Another"}, headers=headers)
    sent = {**headers, "If-Match": previewed.headers["etag"]}

    answers = [
        await client.delete(path, params={"preview": "true"}, headers=sent),
        await client.delete(path, headers=sent),
    ]

    assert [each.status_code for each in answers] == [412, 412]


@pytest.mark.parametrize("rooms", [1, 4])
async def test_of_two_co_organizers_who_delete_themselves_at_once_nobodys_room_stays(
    client: httpx.AsyncClient, rooms: int
) -> None:
    pair = [await factories.user() for _ in range(2)]
    shared = []
    for number in range(rooms):
        room = await factories.room(pair[number % 2])
        await factories.participant(room["id"], pair[1 - number % 2]["id"], role="ORGANIZER")
        shared.append(room)

    answers = await asyncio.gather(*(delete(client, each) for each in pair))

    assert [each.status_code for each in answers] == [200, 200]
    assert [(await state_of(each))[1] for each in shared] == [False] * rooms


async def test_of_three_two_go_at_once_and_the_third_has_the_room(
    client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record
) -> None:
    second = await with_role(room, "ORGANIZER", days=5)
    third = await with_role(room, "ORGANIZER", days=1)

    answers = await asyncio.gather(delete(client, organizer), delete(client, second))

    assert [each.status_code for each in answers] == [200, 200]
    assert await state_of(room) == (third["id"], True)
    assert await organizers_of(room) == 1


async def test_control_both_pass_the_room_on_when_each_only_looks_for_another(
    client: httpx.AsyncClient,  # noqa: ARG001 - bound there
    database: str,
    room: asyncpg.Record,
    organizer: asyncpg.Record,
) -> None:
    second = await with_role(room, "ORGANIZER")
    barrier = asyncio.Barrier(2)

    async def go(person: asyncpg.Record) -> None:
        connection = await asyncpg.connect(database)
        async with connection.transaction():
            other = await connection.fetchval(
                'SELECT "userId" FROM participants WHERE "roomId" = $1 AND "userId" <> $2 '
                "AND role = 'ORGANIZER' AND \"deletedAt\" IS NULL",
                room["id"],
                person["id"],
            )
            await barrier.wait()
            await connection.execute(
                'UPDATE rooms SET "createdBy" = $2 WHERE id = $1', room["id"], other
            )
            await connection.execute(
                'UPDATE participants SET "deletedAt" = now() WHERE "userId" = $1', person["id"]
            )
            await connection.execute(
                'UPDATE users SET "deletedAt" = now() WHERE id = $1', person["id"]
            )
        await connection.close()

    await asyncio.gather(go(organizer), go(second))

    assert (await state_of(room))[1]
    assert await organizers_of(room) == 0


async def test_who_is_made_organizer_while_the_account_goes_leaves_no_room_without_one(
    client: httpx.AsyncClient, database: str, room: asyncpg.Record, organizer: asyncpg.Record
) -> None:
    leaving = await factories.user()
    row = await factories.participant(room["id"], leaving["id"])
    mine = await factories.room(leaving)
    participants = f"/api/v1/rooms/{room['id']}/participants"
    headers = await factories.bearer(organizer)

    # The deletion has locked the person, and waits for a room of theirs.
    lock = await asyncpg.connect(database)
    async with lock.transaction():
        await lock.execute("SELECT 1 FROM rooms WHERE id = $1 FOR UPDATE", mine["id"])
        deletion = asyncio.create_task(delete(client, leaving))
        assert await is_held_up(deletion)
        promotion = asyncio.create_task(
            client.patch(f"{participants}/{row['id']}", json={"role": "ORGANIZER"}, headers=headers)
        )
        await asyncio.wait([promotion], timeout=0.3)
        left = await client.delete(f"{participants}/me", headers=headers)
    await lock.close()

    assert (await deletion).status_code == 200
    assert (await promotion).status_code == 404
    assert left.status_code == 409
    assert await state_of(room) == (organizer["id"], True)
    assert await organizers_of(room) == 1
