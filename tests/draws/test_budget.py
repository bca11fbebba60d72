"""What rankings may take from everybody else."""

import asyncio
from typing import Any

import pytest

from app.database.engine import DB, fetchval
from app.draws import closing, drawing
from app.draws.announcing import announce
from app.draws.closing import close
from app.draws.drawing import draw
from app.draws.tickets import first_ranked
from app.participants.service import Membership, staff_membership
from tests import factories
from tests.draws.conftest import Stage, terms
from tests.waiting import eventually

DRAWS = 15
"""More than the pool has connections."""


async def closed_somewhere() -> Membership:
    room = await factories.room()
    await factories.prize(room["id"])
    await factories.participant(room["id"])
    member = await staff_membership(room["id"])
    await close(member, await announce(member, terms()))
    return member


@pytest.mark.usefixtures("room")
async def test_rankings_take_one_connection_however_many_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = asyncio.Event()
    ranking = most = 0

    async def slow(*arguments: Any, **options: Any) -> Any:
        nonlocal ranking, most
        ranking += 1
        most = max(most, ranking)
        await go_on.wait()
        ranked = await first_ranked(*arguments, **options)
        ranking -= 1
        return ranked

    members = [await closed_somewhere() for _ in range(DRAWS)]
    monkeypatch.setattr(drawing, "first_ranked", slow)
    drawing_all = asyncio.gather(
        *(draw(member, 1, text=None, signature=None) for member in members)
    )
    ready = "SELECT count(*) = $1 FROM draws WHERE status = 'READY'"
    await eventually(lambda: fetchval(ready, DRAWS))
    assert DB.pool is not None
    assert DB.pool.get_size() - DB.pool.get_idle_size() == 1
    go_on.set()
    await drawing_all
    assert most == 1
    assert await fetchval("SELECT count(*) FROM draws WHERE status = 'DRAWN'") == DRAWS


async def test_more_tickets_than_can_be_ranked_are_refused_with_the_figure(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.announce(onePrizeEach=False, weightKey="tickets")
    monkeypatch.setattr(closing, "MOST_HASHES", 5)
    error = await stage.refused(409, "POST", "/1/close")
    details = error["details"]
    assert details["most"] == 5
    assert details["tickets"] * details["orders"] > 5
    monkeypatch.setattr(closing, "MOST_HASHES", details["tickets"] * details["orders"])
    assert (await stage.ok("POST", "/1/close"))["status"] == "CLOSED"
