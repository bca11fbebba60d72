"""What rankings may take from everybody else."""

import asyncio
import threading
from typing import Any

import asyncpg
import pytest

from app.database.engine import DB, fetchval
from app.draws import closing, controller, drawing, schemas
from app.draws.announcing import announce
from app.draws.closing import close
from app.draws.drawing import draw
from app.draws.reading import shown_to_all as draws_shown_to_all
from app.draws.tickets import first_ranked
from app.participants.service import Membership, staff_membership
from tests import factories
from tests.draws.conftest import Stage, terms, weigh
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
    await weigh("ann", {"tickets": 2})
    await stage.announce(onePrizeEach=False, weightKey="tickets")
    monkeypatch.setattr(closing, "MOST_HASHES", 5)
    error = await stage.refused(409, "POST", "/1/close")
    details = error["details"]
    assert details["most"] == 5
    assert details["tickets"] * details["orders"] > 5
    monkeypatch.setattr(closing, "MOST_HASHES", details["tickets"] * details["orders"])
    assert (await stage.ok("POST", "/1/close"))["status"] == "CLOSED"


@pytest.mark.parametrize("path", ["/1/record", "/1"])
async def test_others_are_answered_while_a_long_answer_is_made(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    genuine = {"/1/record": schemas.record_of, "/1": schemas.DrawOut.of}[path]
    begun, go_on = threading.Event(), threading.Event()

    def slow(row: asyncpg.Record) -> Any:
        begun.set()
        assert go_on.wait(10), "nobody else had a turn"
        return genuine(row)

    reason = "x" * 500
    people = [{"participantId": name, "reason": reason} for name in ("ann", "ben", "cem")]
    monkeypatch.setattr(schemas, "LONG_CHARACTERS", len(reason))
    await stage.announce(exclusions=people)
    monkeypatch.setattr(controller, "record_of", slow)
    monkeypatch.setattr(schemas.DrawOut, "of", slow)
    asking = asyncio.create_task(stage.send("GET", path, by=None))
    await eventually(lambda: asyncio.sleep(0, begun.is_set()))
    assert (await stage.client.get("/api/v1/rooms/room")).is_success
    go_on.set()
    answer = (await asking).json()
    assert (answer if path.endswith("record") else answer["data"])["exclusions"] == people


async def test_what_may_be_long_is_in_no_list_and_in_no_event(stage: Stage) -> None:
    announced = await stage.announce(exclusions=[{"participantId": "ann", "reason": "Works here."}])
    assert len(announced["exclusions"]) == 1
    [listed] = (await stage.send("GET", by=None)).json()["data"]
    long = {"exclusions", "winners", "leftOut", "passed", "unawarded"}
    assert announced.keys() - listed.keys() == long
    [told] = await draws_shown_to_all([announced["id"]])
    assert not long & {*told.keys()}
