"""Roles that change at once: a room never loses its last ORGANIZER."""

import asyncio
from collections import Counter

import asyncpg
import httpx
import pytest

from app.database.engine import fetchval
from tests import factories


@pytest.fixture
async def organizers(client: httpx.AsyncClient) -> list[dict[str, str]]:  # noqa: ARG001 - bound
    """Return a room with two ORGANIZERs: for each its path and headers."""
    first, second = await factories.user(), await factories.user()
    room = await factories.room(first)
    await factories.participant(room["id"], second["id"], role="ORGANIZER")
    return [
        {
            "room": room["id"],
            "id": await fetchval('SELECT id FROM participants WHERE "userId" = $1', person["id"]),
            **await factories.bearer(person),
        }
        for person in (first, second)
    ]


async def organizers_left(room_id: str) -> int:
    count: int = await fetchval(
        'SELECT count(*) FROM participants WHERE "roomId" = $1 AND "deletedAt" IS NULL '
        "AND role = 'ORGANIZER'",
        room_id,
    )
    return count


async def send(
    client: httpx.AsyncClient, person: dict[str, str], method: str, whom: str, body: object = None
) -> int:
    answer = await client.request(
        method,
        f"/api/v1/rooms/{person['room']}/participants/{whom}",
        headers={"Authorization": person["Authorization"]},
        json=body,
    )
    return answer.status_code


async def test_of_two_organizers_who_leave_at_once_one_stays(
    client: httpx.AsyncClient, organizers: list[dict[str, str]]
) -> None:
    codes = await asyncio.gather(*(send(client, each, "DELETE", "me") for each in organizers))

    assert Counter(codes) == {200: 1, 409: 1}
    assert await organizers_left(organizers[0]["room"]) == 1


async def test_control_both_leave_when_each_only_looks_for_another(
    organizers: list[dict[str, str]], database: str
) -> None:
    barrier = asyncio.Barrier(2)

    async def leave(person: dict[str, str]) -> None:
        connection = await asyncpg.connect(database)
        async with connection.transaction():
            others = await connection.fetchval(
                "SELECT count(*) FROM participants WHERE \"roomId\" = $1 AND role = 'ORGANIZER' "
                'AND "deletedAt" IS NULL AND id <> $2',
                person["room"],
                person["id"],
            )
            await barrier.wait()
            if others:
                await connection.execute(
                    'UPDATE participants SET "deletedAt" = now() WHERE id = $1', person["id"]
                )
        await connection.close()

    await asyncio.gather(*map(leave, organizers))

    assert await organizers_left(organizers[0]["room"]) == 0


async def test_of_two_organizers_who_demote_each_other_at_once_one_stays(
    client: httpx.AsyncClient, organizers: list[dict[str, str]]
) -> None:
    first, second = organizers

    codes = await asyncio.gather(
        send(client, first, "PATCH", second["id"], {"role": "VIEWER"}),
        send(client, second, "PATCH", first["id"], {"role": "VIEWER"}),
    )

    # Who comes second is a VIEWER by then.
    assert Counter(codes) == {200: 1, 403: 1}
    assert await organizers_left(first["room"]) == 1


async def test_who_joins_many_times_at_once_is_in_the_room_once(client: httpx.AsyncClient) -> None:
    room, person = await factories.room(), await factories.user()
    headers = await factories.bearer(person)
    path = f"/api/v1/rooms/{room['id']}/participants"

    answers = await asyncio.gather(*(client.post(path, headers=headers) for _ in range(8)))

    assert Counter(each.status_code for each in answers) == {201: 1, 409: 7}
    rows = await fetchval('SELECT count(*) FROM participants WHERE "userId" = $1', person["id"])
    assert rows == 1
