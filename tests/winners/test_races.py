"""Awards, revocations and stock, at once and on real connections."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchrow, fetchval
from tests import factories

CLIENTS = 32
STOCK = 10


class Place:
    """An ACTIVE room with people, and its organizer's way to it."""

    def __init__(self, client: httpx.AsyncClient, room: Any, headers: dict[str, str]) -> None:
        self.client = client
        self.room_id: str = room["id"]
        self.headers = headers
        self.participants: list[str] = []

    async def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return await self.client.request(
            method, f"/api/v1/rooms/{self.room_id}{path}", json=body, headers=self.headers
        )

    async def award(self, participant_id: str, prize_id: str) -> httpx.Response:
        body = {"participantId": participant_id, "prizeId": prize_id}
        return await self.send("POST", "/winners", body)


@pytest.fixture
async def place(client: httpx.AsyncClient) -> Place:
    organizer = await factories.user()
    room = await factories.room(organizer)
    place = Place(client, room, await factories.bearer(organizer))
    place.participants = [(await factories.participant(room["id"]))["id"] for _ in range(CLIENTS)]
    return place


async def stock_and_winners(prize_id: str) -> tuple[int, int, int]:
    row = await fetchrow(
        'SELECT quantity, "quantityRemaining", (SELECT count(*) FROM winners w '
        'WHERE w."prizeId" = p.id AND w."deletedAt" IS NULL) FROM prizes p WHERE id = $1',
        prize_id,
    )
    assert row is not None
    return tuple(row)


async def test_ten_units_and_thirty_two_clients_make_ten_winners(place: Place) -> None:
    prize = await factories.prize(place.room_id, quantity=STOCK)

    answers = await asyncio.gather(
        *(place.award(participant_id, prize["id"]) for participant_id in place.participants)
    )

    assert Counter(each.status_code for each in answers) == {201: STOCK, 400: CLIENTS - STOCK}
    refused = {each.json()["error"]["code"] for each in answers if each.status_code == 400}
    assert refused == {"PRIZE_EXHAUSTED"}
    assert await stock_and_winners(prize["id"]) == (STOCK, 0, STOCK)


async def at_once(
    dsn: str, tasks: int, act: Callable[[asyncpg.Connection, asyncio.Barrier, int], Awaitable[None]]
) -> None:
    """Run the same on as many connections of its own."""
    barrier = asyncio.Barrier(tasks)

    async def run(number: int) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await act(connection, barrier, number)
        finally:
            await connection.close()

    await asyncio.gather(*(run(number) for number in range(tasks)))


async def test_control_reading_the_stock_before_writing_it_oversells(
    place: Place, database: str
) -> None:
    prize = await factories.prize(place.room_id, quantity=2)

    async def award(connection: asyncpg.Connection, barrier: asyncio.Barrier, number: int) -> None:
        left = await connection.fetchval(
            'SELECT "quantityRemaining" FROM prizes WHERE id = $1', prize["id"]
        )
        await barrier.wait()
        if left > 0:
            await connection.execute(
                'INSERT INTO winners (id, "roomId", "participantId", "prizeId") '
                "VALUES ($1, $2, $3, $4)",
                f"w{number}",
                place.room_id,
                place.participants[number],
                prize["id"],
            )
            await connection.execute(
                'UPDATE prizes SET "quantityRemaining" = $2 WHERE id = $1', prize["id"], left - 1
            )

    await at_once(database, 4, award)

    assert await stock_and_winners(prize["id"]) == (2, 1, 4)


async def test_nobody_wins_the_same_prize_twice_at_once(place: Place) -> None:
    prize = await factories.prize(place.room_id, quantity=STOCK)

    answers = await asyncio.gather(
        *(place.award(place.participants[0], prize["id"]) for _ in range(8))
    )

    assert Counter(each.status_code for each in answers) == {201: 1, 409: 7}
    assert await stock_and_winners(prize["id"]) == (STOCK, STOCK - 1, 1)


async def test_one_of_many_revocations_gives_the_unit_back(place: Place) -> None:
    prize = await factories.prize(place.room_id, quantity=STOCK)
    won = (await place.award(place.participants[0], prize["id"])).json()["data"]

    answers = await asyncio.gather(
        *(place.send("DELETE", f"/winners/{won['id']}") for _ in range(8))
    )

    assert Counter(each.status_code for each in answers) == {200: 1, 404: 7}
    assert await stock_and_winners(prize["id"]) == (STOCK, STOCK, 0)


async def test_a_changed_quantity_keeps_what_is_awarded_meanwhile(place: Place) -> None:
    prize = await factories.prize(place.room_id, quantity=STOCK)
    path = f"/prizes/{prize['id']}"

    answers = await asyncio.gather(
        *(place.award(participant_id, prize["id"]) for participant_id in place.participants),
        *(place.send("PATCH", path, {"quantity": STOCK + number}) for number in range(12)),
    )

    assert {each.status_code for each in answers} <= {200, 201, 400, 409}
    quantity, remaining, winners = await stock_and_winners(prize["id"])
    assert (quantity - remaining, winners) == (winners, sum(a.status_code == 201 for a in answers))


async def test_control_a_quantity_computed_from_an_unlocked_row_loses_an_award(
    place: Place, database: str
) -> None:
    prize = await factories.prize(place.room_id, quantity=STOCK)

    async def act(connection: asyncpg.Connection, barrier: asyncio.Barrier, number: int) -> None:
        if number == 0:
            awarded = await connection.fetchval(
                'SELECT quantity - "quantityRemaining" FROM prizes WHERE id = $1', prize["id"]
            )
        await barrier.wait()
        if number == 1:
            await place.award(place.participants[0], prize["id"])
        await barrier.wait()
        if number == 0:
            await connection.execute(
                'UPDATE prizes SET quantity = 5, "quantityRemaining" = 5 - $2 WHERE id = $1',
                prize["id"],
                awarded,
            )

    await at_once(database, 2, act)

    assert await stock_and_winners(prize["id"]) == (5, 5, 1)


async def test_a_prize_is_deleted_or_won_but_never_both(place: Place) -> None:
    for round_ in range(10):
        prize = await factories.prize(place.room_id, quantity=1)
        won, deleted = await asyncio.gather(
            place.award(place.participants[round_], prize["id"]),
            place.send("DELETE", f"/prizes/{prize['id']}"),
        )
        assert (won.status_code, deleted.status_code) in {(201, 409), (404, 200)}


async def test_everything_at_once_neither_deadlocks_nor_loses_a_unit(place: Place) -> None:
    prizes = [(await factories.prize(place.room_id, quantity=3))["id"] for _ in range(4)]
    chance = random.Random(4)  # noqa: S311 - the same choices each time

    async def act() -> int:
        kind = chance.choices(
            ["award", "revoke", "quantity", "delete", "role", "remove", "back"],
            [40, 25, 10, 3, 10, 6, 6],
        )[0]
        prize_id, participant_id = chance.choice(prizes), chance.choice(place.participants)
        match kind:
            case "award":
                answer = await place.award(participant_id, prize_id)
            case "revoke":
                winner_id = await fetchval(
                    'SELECT id FROM winners WHERE "prizeId" = $1 AND "deletedAt" IS NULL LIMIT 1',
                    prize_id,
                )
                answer = await place.send("DELETE", f"/winners/{winner_id}")
            case "quantity":
                body = {"quantity": chance.randint(1, 8)}
                answer = await place.send("PATCH", f"/prizes/{prize_id}", body)
            case "delete":
                answer = await place.send("DELETE", f"/prizes/{prize_id}")
            case "role":
                role = {"role": chance.choice(["VIEWER", "PARTICIPANT", "ORGANIZER"])}
                answer = await place.send("PATCH", f"/participants/{participant_id}", role)
            case "remove":
                answer = await place.send("DELETE", f"/participants/{participant_id}")
            case _:
                user_id = await fetchval(
                    'SELECT "userId" FROM participants WHERE id = $1', participant_id
                )
                answer = await place.send("POST", "/participants", {"userId": user_id})
        return answer.status_code

    async def work() -> list[int]:
        return [await act() for _ in range(25)]

    codes = Counter(itertools.chain(*await asyncio.gather(*(work() for _ in range(16)))))

    assert max(codes) < 500, codes
    assert codes[201] > 10
    assert codes[200] > 50
    for row in await fetch("SELECT id FROM prizes"):
        quantity, remaining, winners = await stock_and_winners(row["id"])
        assert quantity - remaining == winners
