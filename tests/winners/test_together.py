"""Awards of one room that come at once are made together, each as if alone."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import httpx
import msgspec
import pytest

from app.database.engine import fetch, fetchval, transaction
from app.winners import service
from tests import factories
from tests.test_plans import nodes
from tests.waiting import eventually, until_ended
from tests.winners.test_races import Place, place, stock_and_winners

__all__ = ["place"]

STOCK = 9


@pytest.fixture
async def held(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Hold every prize, so that awards have to wait."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def holder(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Hold a single prize, too."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def prize_id(place: Place, held: asyncpg.Connection) -> str:
    prize_id: str = (await factories.prize(place.room_id, quantity=STOCK))["id"]
    await held.execute("BEGIN")
    await held.execute("SELECT 1 FROM prizes FOR NO KEY UPDATE")
    return prize_id


async def all_wait(place: Place, count: int) -> None:
    """Return when one award is under way and the others wait for it."""

    async def wait() -> bool:
        waiting = service.awards._waiting.get(place.room_id)
        return waiting is not None and len(waiting) == count - 1

    await eventually(wait)


async def test_each_gets_the_answer_that_it_would_get_alone(
    place: Place, prize_id: str, held: asyncpg.Connection
) -> None:
    people = place.participants
    viewer = await factories.participant(place.room_id, role="VIEWER")
    stranger = await factories.participant((await factories.room())["id"])
    wanted = [*people[:4], people[1], viewer["id"], stranger["id"], "nobody", *people[4:8]]
    answers = [asyncio.create_task(place.award(wanted[0], prize_id))]
    await all_wait(place, 1)
    answers += [asyncio.create_task(place.award(who, prize_id)) for who in wanted[1:]]
    await all_wait(place, len(wanted))

    await held.execute("COMMIT")

    codes = Counter(
        answer.json().get("error", {}).get("code", answer.status_code)
        for answer in await asyncio.gather(*answers)
    )
    assert codes == {201: 8, "CONFLICT": 2, "NOT_FOUND": 2}
    assert await stock_and_winners(prize_id) == (STOCK, 1, 8)
    assert not service.awards._waiting


async def test_the_last_units_go_to_those_who_asked_first(
    place: Place, prize_id: str, held: asyncpg.Connection
) -> None:
    answers = []
    for number, who in enumerate(place.participants[: STOCK + 3], 1):
        answers.append(asyncio.create_task(place.award(who, prize_id)))
        await all_wait(place, number)

    await held.execute("COMMIT")

    statuses = [(await answer).status_code for answer in answers]
    assert statuses == [201] * STOCK + [400] * 3
    transactions = await fetchval(
        'SELECT count(DISTINCT xmin::text) FROM winners WHERE "prizeId" = $1', prize_id
    )
    assert transactions == 2


async def test_several_prizes_go_together_each_to_those_who_asked_for_it_first(
    place: Place, prize_id: str, held: asyncpg.Connection
) -> None:
    scarce = (await factories.prize(place.room_id, quantity=2))["id"]
    elsewhere = (await factories.prize((await factories.room())["id"], quantity=5))["id"]
    one, two, three, four, *_ = place.participants
    wanted = [(one, prize_id), (one, scarce), (two, scarce), (two, prize_id), (three, scarce)]
    wanted += [(three, prize_id), (four, elsewhere), (four, prize_id), (four, prize_id)]
    answers = []
    for number, (who, prize) in enumerate(wanted, 1):
        answers.append(asyncio.create_task(place.award(who, prize)))
        await all_wait(place, number)

    await held.execute("COMMIT")

    statuses = [(await answer).status_code for answer in answers]
    assert statuses == [201, 201, 201, 201, 400, 201, 404, 201, 409]
    assert await stock_and_winners(prize_id) == (STOCK, STOCK - 4, 4)
    assert await stock_and_winners(scarce) == (2, 0, 2)
    assert await stock_and_winners(elsewhere) == (5, 5, 0)
    assert await fetchval("SELECT count(DISTINCT xmin::text) FROM winners") == 2


async def test_who_gave_up_while_waiting_wins_nothing(
    place: Place, prize_id: str, held: asyncpg.Connection
) -> None:
    answers = [asyncio.create_task(place.award(who, prize_id)) for who in place.participants[:6]]
    await all_wait(place, 6)
    waiting = service.awards._waiting[place.room_id]
    gone = {waiting[0].wish.participant_id, waiting[3].wish.participant_id}

    for answer, who in zip(answers, place.participants, strict=False):
        if who in gone:
            answer.cancel()
    await until_ended(answers, 2)
    await held.execute("COMMIT")

    ended = await asyncio.gather(*answers, return_exceptions=True)
    assert sum(isinstance(each, httpx.Response) and each.is_success for each in ended) == 4
    winners = {row["participantId"] for row in await fetch('SELECT "participantId" FROM winners')}
    assert winners == {*place.participants[:6]} - gone


async def test_the_first_one_giving_up_does_not_stop_the_others(
    place: Place, prize_id: str, held: asyncpg.Connection
) -> None:
    first = asyncio.create_task(place.award(place.participants[0], prize_id))
    await all_wait(place, 1)
    others = [asyncio.create_task(place.award(who, prize_id)) for who in place.participants[1:5]]
    await all_wait(place, 5)

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await held.execute("COMMIT")

    assert [(await answer).status_code for answer in others] == [201] * 4
    assert await stock_and_winners(prize_id) == (STOCK, STOCK - 4, 4)


async def test_what_fails_together_is_tried_alone(
    place: Place, prize_id: str, held: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_AWARD_TOGETHER", "SELECT 1 / 0 WHERE $1 || $2 || $3 || $4 <> $5")
    answers = [asyncio.create_task(place.award(who, prize_id)) for who in place.participants[:5]]
    await all_wait(place, 5)

    await held.execute("COMMIT")

    assert [(await answer).status_code for answer in answers] == [201] * 5
    assert await stock_and_winners(prize_id) == (STOCK, STOCK - 5, 5)


async def test_a_turn_whose_connection_dies_half_way_is_tried_one_by_one(
    place: Place, prize_id: str, held: asyncpg.Connection, holder: asyncpg.Connection
) -> None:
    other = (await factories.prize(place.room_id, quantity=2))["id"]
    await holder.execute("BEGIN")
    await holder.execute("SELECT 1 FROM prizes WHERE id = $1 FOR NO KEY UPDATE", other)
    first, second, *others = place.participants
    answers = [asyncio.create_task(place.award(first, prize_id))]
    await all_wait(place, 1)
    wanted = [(second, prize_id), *((who, other) for who in others[:3])]
    answers += [asyncio.create_task(place.award(who, prize)) for who, prize in wanted]
    await all_wait(place, 5)

    await held.execute("COMMIT")  # the first is done; the turn of the others waits for `other`
    await answers[0]
    await eventually(lambda: fetchval(KILL_WHO_WAITS))
    await holder.execute("COMMIT")

    codes = Counter([(await answer).status_code for answer in answers])
    assert codes == {201: 4, 400: 1}
    assert await stock_and_winners(prize_id) == (STOCK, STOCK - 2, 2)
    assert await stock_and_winners(other) == (2, 0, 2)


KILL_WHO_WAITS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
      AND query LIKE '%ORDER BY z.id FOR NO KEY UPDATE%'
"""


async def test_a_room_that_closes_meanwhile_awards_nobody_who_waited(
    place: Place, prize_id: str, held: asyncpg.Connection
) -> None:
    answers = [asyncio.create_task(place.award(who, prize_id)) for who in place.participants[:5]]
    await all_wait(place, 5)
    # The one under way holds the room, so closing comes after it and may come before the others.
    closing = asyncio.create_task(place.send("PATCH", "", {"status": "COMPLETED"}))

    await held.execute("COMMIT")

    assert (await closing).status_code == 200
    codes = Counter(answer.status_code for answer in await asyncio.gather(*answers))
    assert codes.keys() <= {201, 409}
    _, remaining, winners = await stock_and_winners(prize_id)
    assert (STOCK - remaining, winners) == (codes[201], codes[201])


async def test_a_turn_reads_those_whom_it_names_and_nobody_else_of_the_room(place: Place) -> None:
    room = place.room_id
    # Most rooms have few prizes, so their index would look cheap.
    await fetch(
        "INSERT INTO rooms SELECT (jsonb_populate_record(r, jsonb_build_object('id', 'r' || n))).* "
        "FROM rooms r, generate_series(1, 1000) n WHERE r.id = $1",
        room,
    )
    await fetch(
        'INSERT INTO prizes (id, "roomId", name, "updatedAt") '
        "SELECT 'z' || n, CASE WHEN n > 1000 THEN $1 ELSE 'r' || n END, 'Prize', now() "
        "FROM generate_series(1, 3000) n",
        room,
    )
    await fetch("ANALYZE rooms, participants, prizes, winners")
    first, second, *_ = place.participants
    locked = f"'{room}', '{{{first},{second}}}', '{{z1005,z1007}}'"

    for sql, arguments in (
        (service._LOCK, f"{locked}, ''"),
        (service._AWARD_TOGETHER, f"{locked}, '{{w1,w2}}', '{{NULL,NULL}}'"),
    ):
        async with transaction():
            # As PostgreSQL plans what it has seen often: for whatever arguments come.
            await fetch("SET LOCAL plan_cache_mode = force_generic_plan")
            await fetch(f"PREPARE turn AS {sql}")
            (row,) = await fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE turn({arguments})")
            await fetch("DEALLOCATE turn")
        plan = msgspec.json.decode(row[0])[0]["Plan"]
        read = [node for node in nodes(plan) if node.get("Relation Name") == "prizes"]
        assert read
        for node in read:
            assert node["Actual Rows"] + node.get("Rows Removed by Filter", 0) <= 2, node


async def test_awards_with_a_key_and_without_share_one_prize(place: Place) -> None:
    prize = await factories.prize(place.room_id, quantity=10)
    body = {"prizeId": prize["id"]}

    async def with_key(who: str) -> int:
        answer = await place.client.post(
            f"/api/v1/rooms/{place.room_id}/winners",
            json={**body, "participantId": who},
            headers={**place.headers, "Idempotency-Key": who},
        )
        return answer.status_code

    async def plainly(who: str) -> int:
        return (await place.award(who, prize["id"])).status_code

    statuses = await asyncio.gather(
        *(with_key(who) for who in place.participants[::3]),
        *(plainly(who) for who in place.participants[1::3]),
        *(plainly(who) for who in place.participants[2::3]),
    )

    assert Counter(statuses) == {201: 10, 400: 22}
    assert await stock_and_winners(prize["id"]) == (10, 0, 10)


async def test_two_processes_never_give_more_than_there_is(place: Place, database: str) -> None:
    prize = await factories.prize(place.room_id, quantity=10)

    async def elsewhere(number: int, who: str) -> bool:
        """Award as another process does: with the same statement, on a connection of its own."""
        connection = await asyncpg.connect(database)
        won = await connection.fetch(
            service._AWARD, f"w{number}", place.room_id, who, prize["id"], None, ""
        )
        await connection.close()
        return bool(won)

    here, there = place.participants[:16], place.participants[8:24]
    answers = await asyncio.gather(
        *(place.award(who, prize["id"]) for who in here),
        *(elsewhere(number, who) for number, who in enumerate(there)),
        return_exceptions=True,
    )

    won = sum(
        each is True or (isinstance(each, httpx.Response) and each.is_success) for each in answers
    )
    failed = [each for each in answers if isinstance(each, BaseException)]
    assert won == 10
    assert all(isinstance(each, asyncpg.UniqueViolationError) for each in failed)
    assert await stock_and_winners(prize["id"]) == (10, 0, 10)
