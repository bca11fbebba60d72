"""One win, and everybody at it at the same moment: it comes to one thing, and its unit with it."""

import asyncio
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.claims.service import expire
from app.database.engine import fetch
from tests import factories
from tests.answers import Headers
from tests.waiting import eventually, somebody_waits

WINS = 24


async def won(room_id: str, prize_id: str, by: timedelta) -> asyncpg.Record:
    somebody = await factories.participant(room_id)
    claim = {"claimStatus": "PENDING", "claimBy": factories.now() + by}
    return await factories.winner(room_id, somebody["id"], prize_id, **claim)


async def test_at_the_last_moment_a_win_comes_to_one_thing(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    chance = random.Random(7)  # noqa: S311 - the same choices each time
    prize = await factories.prize(room["id"], WINS + 2, quantityRemaining=2)
    wins = [
        await won(room["id"], prize["id"], timedelta(milliseconds=chance.randint(-20, 300)))
        for _ in range(WINS)
    ]
    path = f"/api/v1/rooms/{room['id']}/winners"

    async def act(win: asyncpg.Record, what: str) -> tuple[str, str, int]:
        if what == "revoke":
            answer = await client.delete(f"{path}/{win['id']}", headers=headers)
        elif what == "expire":
            return win["id"], what, await expire(prize["id"])
        else:
            answer = await client.post(f"{path}/{win['id']}/{what}", headers=headers)
        return win["id"], what, answer.status_code

    acts = [(win, what) for win in wins for what in ("claim", "decline", "revoke", "expire")]
    chance.shuffle(acts)
    done = await asyncio.gather(*(act(*each) for each in acts))
    while await expire(prize["id"]):
        pass

    assert {code for _, what, code in done if what != "expire"} <= {200, 404, 409}
    succeeded = {(id_, what) for id_, what, code in done if code == 200 and what != "expire"}
    for row in await fetch("SELECT * FROM winners"):
        came_to = row["claimStatus"]
        assert ((row["id"], "decline") in succeeded) == (came_to == "DECLINED")
        assert ((row["id"], "claim") in succeeded) == (came_to == "CONFIRMED")
        if came_to in {"DECLINED", "EXPIRED"}:
            assert (row["id"], "revoke") not in succeeded
        else:
            assert ((row["id"], "revoke") in succeeded) == (row["deletedAt"] is not None)
    [(left, alive)] = await fetch(
        'SELECT "quantityRemaining", (SELECT count(*) FROM winners WHERE "deletedAt" IS NULL) '
        "FROM prizes"
    )
    assert left == WINS + 2 - alive


@pytest.mark.parametrize("commits", [True, False])
async def test_who_comes_second_finds_it_settled(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    headers: Headers,
    database: str,
    *,
    commits: bool,
) -> None:
    prize = await factories.prize(room["id"], quantityRemaining=0)
    win = await won(room["id"], prize["id"], timedelta(days=1))
    connection = await asyncpg.connect(database)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "UPDATE winners SET \"claimStatus\" = 'DECLINED', \"claimSettledBy\" = 'WINNER', "
            '"claimSettledAt" = now(), "deletedAt" = now()'
        )
        url = f"/api/v1/rooms/{room['id']}/winners/{win['id']}/claim"
        confirming: asyncio.Task[Any] = asyncio.create_task(client.post(url, headers=headers))
        await eventually(somebody_waits)
        await (transaction.commit() if commits else transaction.rollback())
        answer = await confirming
    finally:
        await connection.close()
    assert answer.status_code == (409 if commits else 200)
    [row] = await fetch("SELECT * FROM winners")
    assert row["claimStatus"] == ("DECLINED" if commits else "CONFIRMED")


async def test_of_a_job_that_dies_nothing_is_left(room: asyncpg.Record, database: str) -> None:
    prize = await factories.prize(room["id"], 3, quantityRemaining=0)
    for _ in range(3):
        await won(room["id"], prize["id"], timedelta(0))
    connection = await asyncpg.connect(database)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT FROM winners FOR UPDATE")
        dying = asyncio.create_task(expire(prize["id"]))
        await eventually(somebody_waits)
        await fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND pid IN "
            "(SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
        )
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await dying
        await transaction.rollback()
    finally:
        await connection.close()
    states = Counter(row["claimStatus"] for row in await fetch("SELECT * FROM winners"))
    assert states == {"PENDING": 3}
    first, second = await asyncio.gather(expire(prize["id"]), expire(prize["id"]))
    assert first + second == 3
    [row] = await fetch("SELECT * FROM prizes")
    assert row["quantityRemaining"] == 3
