"""What the database counts of each room is what there is, whatever happens at once."""

import asyncio
import random
from typing import Any

import asyncpg
import pytest

from app.database.engine import fetch, fetchrow, fetchval
from tests import factories

COUNTED = ("participants", "prizes", "winners")
CONNECTIONS = 16
STEPS = 20

CHANGES = (
    """INSERT INTO participants (id, "userId", "roomId", "updatedAt") VALUES ($1, $2, $3, now())
       ON CONFLICT ("userId", "roomId") DO UPDATE SET "deletedAt" = NULL""",
    'UPDATE participants SET "deletedAt" = now() WHERE "userId" = $2 AND $1 <> $3',
    'DELETE FROM participants WHERE "userId" = $2 AND "roomId" = $3 AND $1 <> $3',
    'INSERT INTO prizes (id, "roomId", name, "updatedAt") VALUES ($1, $3, $2, now())',
    'UPDATE prizes SET "deletedAt" = now() WHERE "roomId" = $3 AND name = $2 AND $1 <> $3',
    """INSERT INTO winners (id, "roomId", "participantId", "prizeId") SELECT $1, $3, p.id, z.id
       FROM participants p JOIN prizes z USING ("roomId")
       WHERE "roomId" = $3 AND "userId" = $2 LIMIT 1 ON CONFLICT DO NOTHING""",
    'UPDATE winners SET "deletedAt" = now() WHERE "roomId" = $3 AND $1 <> $2',
)
"""$1 is a new id, $2 a person, $3 a room."""


async def counted() -> dict[str, tuple[int, ...]]:
    rows = await fetch(
        'SELECT "roomId", sum(participants), sum(prizes), sum(winners) FROM room_counts GROUP BY 1'
    )
    return {room: counts for room, *numbers in rows if any(counts := tuple(numbers))}


async def there_are() -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for place, table in enumerate(COUNTED):
        for room, number in await fetch(
            f'SELECT "roomId", count(*) FROM {table} WHERE "deletedAt" IS NULL GROUP BY 1'
        ):
            found.setdefault(room, [0, 0, 0])[place] = number
    return {room: tuple(numbers) for room, numbers in found.items()}


async def a_room(people: int = 3) -> Any:
    room = await factories.room()
    prize = await factories.prize(room["id"], quantity=9)
    for _ in range(people - 1):
        somebody = await factories.participant(room["id"])
        await factories.winner(room["id"], somebody["id"], prize["id"])
    return room


async def test_everything_at_once_is_counted_exactly(database: str) -> None:
    rooms = [(await a_room())["id"] for _ in range(2)]
    people = [(await factories.user())["id"] for _ in range(6)]
    chance = random.Random(4)  # noqa: S311 - the same choices each time

    async def work(number: int) -> None:
        connection = await asyncpg.connect(database)
        for step in range(STEPS):
            transaction = connection.transaction()
            await transaction.start()
            try:
                for part in range(2):
                    row = f"x{number}-{step}-{part}"
                    change, who = chance.choice(CHANGES), chance.choice(people)
                    await connection.execute(change, row, who, chance.choice(rooms))
            except (asyncpg.DeadlockDetectedError, asyncpg.ForeignKeyViolationError):
                await transaction.rollback()
            else:
                await (transaction.commit() if chance.random() < 0.7 else transaction.rollback())
        await connection.close()

    await asyncio.gather(*(work(number) for number in range(CONNECTIONS)))

    assert await counted() == await there_are()
    assert await fetchval("SELECT count(*) FROM room_counts") <= CONNECTIONS * len(rooms)


async def test_nobody_who_counts_in_a_room_waits_for_another(database: str) -> None:
    room = await a_room()
    connections = [await asyncpg.connect(database) for _ in range(3)]
    for connection in connections:
        await connection.execute("SET lock_timeout = '5s'; BEGIN")
        await connection.execute(
            'INSERT INTO prizes (id, "roomId", name, "updatedAt") VALUES ($1, $2, $1, now())',
            f"z{id(connection)}",
            room["id"],
        )
    assert await counted() == await there_are() == {room["id"]: (3, 1, 2)}

    for connection, end in zip(connections, ("COMMIT", "ROLLBACK", "COMMIT"), strict=True):
        await connection.execute(end)
        await connection.close()

    assert await counted() == await there_are() == {room["id"]: (3, 3, 2)}


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE participants SET "deletedAt" = now()',
        "UPDATE participants SET role = 'VIEWER', \"deletedAt\" = NULL",
        "DELETE FROM participants WHERE role <> 'ORGANIZER'",
        'UPDATE winners SET "deletedAt" = now() WHERE "roomId" = $1',
        "UPDATE rooms SET id = 'aa' WHERE id = $1",
        "UPDATE rooms SET id = 'zz' WHERE id = $1",
        "WITH w AS (DELETE FROM winners) DELETE FROM prizes",
        "TRUNCATE winners",
        "TRUNCATE participants CASCADE",
    ],
)
@pytest.mark.usefixtures("database")
async def test_any_statement_is_counted(statement: str) -> None:
    for _ in range(2):
        room = await a_room()
    await factories.participant(room["id"], deletedAt=factories.now())

    await fetch(statement, *([room["id"]] if "$1" in statement else []))

    assert await counted() == await there_are()


@pytest.mark.usefixtures("database")
async def test_of_an_erased_room_no_count_is_left() -> None:
    room, other = await a_room(), await a_room(people=2)
    # Winners forbid that their prize goes, so it goes after them.
    await fetch('DELETE FROM winners WHERE "roomId" = $1', room["id"])

    await fetch("DELETE FROM rooms WHERE id = $1", room["id"])

    rows = await fetch('SELECT "roomId", participants, prizes, winners FROM room_counts')
    assert [tuple(row) for row in rows] == [(other["id"], 2, 1, 1)]


@pytest.mark.usefixtures("database")
async def test_erasing_somebody_takes_them_off_every_room() -> None:
    rooms = [await a_room() for _ in range(2)]
    person = await factories.user()
    for room in rooms:
        somebody = await factories.participant(room["id"], person["id"])
        prize = await fetchrow('SELECT id FROM prizes WHERE "roomId" = $1', room["id"])
        assert prize is not None
        await factories.winner(room["id"], somebody["id"], prize["id"])

    await fetch("DELETE FROM users WHERE id = $1", person["id"])

    assert await counted() == await there_are() == {room["id"]: (3, 1, 2) for room in rooms}
