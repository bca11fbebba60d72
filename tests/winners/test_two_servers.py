"""Two servers award the prizes of one room at the same time, and one is killed meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchval
from app.settings import PROJECT_ROOT
from tests import factories
from tests.server import Server, kill_all
from tests.waiting import eventually
from tests.winners.test_races import CLIENTS, Place, place, stock_and_winners

__all__ = ["place"]

PATIENT = {"LOCK_SECONDS": "60", "STATEMENT_SECONDS": "60", "REQUEST_SECONDS": "60"}
"""As long as what waits here may wait on a busy machine."""
STOCK = CLIENTS - 4


@pytest.fixture
def servers(place: Place, database: str) -> Iterator[tuple[Server, Server]]:  # noqa: ARG001 - its room
    settings = {"DATABASE_URL": database, **PATIENT}
    servers = Server(PROJECT_ROOT, settings, ()), Server(PROJECT_ROOT, settings, ())
    try:
        for server in servers:
            server.wait_until_ready()
        yield servers
    finally:
        for server in servers:
            server.kill()


class Clients:
    """Those who award in a room, through one server."""

    def __init__(self, place: Place, server: Server) -> None:
        url = f"{server.url}/api/v1/rooms/{place.room_id}"
        self._client = httpx.AsyncClient(base_url=url, headers=place.headers, timeout=60)

    async def award(self, who: str, prize_id: str) -> httpx.Response | None:
        """Ask for an award; None where no answer comes."""
        body = {"participantId": who, "prizeId": prize_id}
        try:
            return await self._client.post("/winners", json=body)
        except httpx.TransportError:
            return None

    async def winner_count(self) -> int:
        answer = await self._client.get("")
        count: int = answer.json()["data"]["_count"]["winners"]
        return count

    async def close(self) -> None:
        await self._client.aclose()


async def held(database: str, prize_id: str) -> asyncpg.Connection:
    """Hold a prize until the connection is closed."""
    connection = await asyncpg.connect(database)
    await connection.execute("BEGIN")
    await connection.execute("SELECT 1 FROM prizes WHERE id = $1 FOR NO KEY UPDATE", prize_id)
    return connection


async def both_wait() -> bool:
    """Tell whether each server waits for a prize: of one room, each has one statement at a time."""
    return bool(
        await fetchval(
            "SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock'"
        )
    )


async def test_a_killed_server_takes_no_award_along_and_gives_none_twice(
    place: Place, servers: tuple[Server, Server], database: str
) -> None:
    doomed, other = servers
    here, there = Clients(place, doomed), Clients(place, other)
    first, prize = [
        (await factories.prize(place.room_id, quantity=quantity))["id"] for quantity in (2, STOCK)
    ]
    early, late, last = place.participants[:8], place.participants[8:20], place.participants[20:]

    # Everybody asks both servers at once, and one of them gives the prize.
    answers = await asyncio.gather(
        *(each.award(who, prize) for who in early for each in (here, there))
    )
    assert Counter(each and each.status_code for each in answers) == {201: 8, 409: 8}

    # Each server is in the middle of an award, and those who ask meanwhile wait for their turn.
    first_holder, holder = await held(database, first), await held(database, prize)
    firsts = [
        asyncio.create_task(each.award(who, first))
        for each, who in ((here, early[0]), (there, early[1]))
    ]
    await eventually(both_wait)
    at_doomed = [asyncio.create_task(here.award(who, prize)) for who in late]
    at_other = [asyncio.create_task(there.award(who, prize)) for who in late]
    await asyncio.gather(here.winner_count(), there.winner_count())  # these came behind them
    await first_holder.close()
    answers += await asyncio.gather(*firsts)

    # Now it is their turn. The killed server answers nobody; each asks the other one again.
    await eventually(both_wait)
    kill_all(doomed.tree)
    assert await asyncio.gather(*at_doomed) == [None] * len(late)
    await holder.close()
    answers += await asyncio.gather(*at_other)
    answers += await asyncio.gather(*(there.award(who, prize) for who in late + last))

    assert await there.winner_count() == STOCK + 2
    assert await stock_and_winners(first) == (2, 0, 2)
    assert await stock_and_winners(prize) == (STOCK, 0, STOCK)
    assert {each and each.status_code for each in answers} == {201, 400, 409}
    told = {each.json()["data"]["id"] for each in answers if each and each.status_code == 201}
    rows = await fetch('SELECT id, "participantId" FROM winners WHERE "prizeId" = $1', prize)
    assert told <= {row["id"] for row in await fetch("SELECT id FROM winners")}
    winners = [row["participantId"] for row in rows]
    assert len(set(winners)) == len(winners)
    assert {*early, *late} < {*winners}
    for each in (here, there):
        await each.close()
