"""SIGKILL between any two statements: the next call goes on or repeats, nothing is drawn twice."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest

from app.database.engine import DB, fetch, fetchrow, fetchval
from app.draws import record
from app.draws.drawing import FINISHING_JOB
from app.draws.ranking import Plan, draw_winners, seed_of
from app.draws.reading import Readable, find_draw, read_entrants
from app.draws.record import check
from app.draws.schemas import record_of
from app.settings import PROJECT_ROOT
from tasks.schedule import JOBS
from tests.draws.conftest import Stage, check_stock
from tests.server import Server, kill_all, serving

PEOPLE = """
    INSERT INTO users (id, email, "updatedAt")
        SELECT 'u' || n, n || '@example.org', now() FROM generate_series(1, 5000) n
"""
CROWD = """
    INSERT INTO participants (id, "userId", "roomId", "updatedAt")
        SELECT 'p' || n, 'u' || n, 'room', now() FROM generate_series(1, 5000) n
"""
ORPHAN_SECONDS = 30.0
"""PostgreSQL goes on with the statement of a client that is gone, and holds its locks so long."""
PAUSE_SECONDS = 0.05
MOST_STATEMENTS = 60

Take = Callable[..., Awaitable[str]]


@pytest.fixture(scope="module")
async def mortal() -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.draws.mortal"),
        cwd=PROJECT_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    yield process
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


@pytest.fixture
def take(mortal: asyncio.subprocess.Process, room: str) -> Take:
    """Return a function that lets a process take a step and die before one of its statements."""
    assert mortal.stdin is not None
    assert mortal.stdout is not None
    to, of = mortal.stdin, mortal.stdout

    async def take(step: str, statement: int = 0, guard: str = "guarded") -> str:
        for _ in range(int(ORPHAN_SECONDS / PAUSE_SECONDS)):
            to.write(f"{room} {step} {statement} {guard}\n".encode())
            said = (await of.readline()).decode().strip()
            if "under way" not in said:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        return said

    return take


async def killed_before_each_statement(take: Take, step: str, *statuses: str) -> None:
    """Die ever later, until the step is done; each time nothing or everything has happened.

    Args:
        take: Lets a process take the step.
        step: Its name.
        statuses: Before it, after it, and between its transactions, in their order.
    """
    reached = 0
    for statement in range(1, MOST_STATEMENTS):
        reached = statuses.index(await status(), reached)
        assert statuses[reached] != statuses[-1]
        assert await fetchval("SELECT count(*) FROM winners") == 0
        if await take(step, statement) == "done":
            break
    assert statement > 4  # BEGIN, the locks, the change, COMMIT
    assert reached == len(statuses) - 2
    assert await status() == statuses[-1]
    await check_stock()


async def status() -> str:
    found: str = await fetchval("SELECT string_agg(status::text, ',') FROM draws")
    return found or ""


async def test_a_process_that_dies_between_any_two_statements_draws_everything_once(
    take: Take,
) -> None:
    await killed_before_each_statement(take, "announce", "", "ANNOUNCED")
    assert "Another draw of this room is open" in await take("announce")
    await killed_before_each_statement(take, "close", "ANNOUNCED", "CLOSED")
    assert await take("close") == "done"
    await killed_before_each_statement(take, "draw", "CLOSED", "READY", "DRAWN")
    # Whoever never heard of it asks again.
    assert await take("draw") == "done"
    row = await find_draw(Readable("room"), 1)
    entrants = b"".join([piece async for piece in read_entrants(row["id"])])
    assert check(msgspec.json.encode(record_of(row)), entrants).passed
    assert await fetchval("SELECT count(*) FROM winners") == 3
    assert await fetchval("SELECT count(*) FROM audit_log") == 4


async def killed_when_ready(take: Take, step: str) -> None:
    """Die ever later, until the input is fixed and no more than that."""
    for statement in range(1, MOST_STATEMENTS):
        assert await take(step, statement) == "killed"
        if await status() == "READY":
            return
    raise AssertionError("it was never READY")


async def do_job() -> int:
    """Do what the job `finish-draws` does each minute."""
    [job] = [job for job in JOBS if job.name == FINISHING_JOB]
    connection = await DB.get_new_connection()
    try:
        batches = job.steps[0].batches(connection, datetime.now(UTC))
        return sum([done async for done in batches])
    finally:
        await connection.close()


async def expected(public: bytes) -> list[dict[str, Any]]:
    """Compute the winners of the draw in another way than the server."""
    row = await fetchrow("SELECT id, secret, plan FROM draws")
    assert row is not None
    entrants = b"".join([piece async for piece in read_entrants(row["id"])])
    seed = seed_of(row["secret"], row["plan"].encode(), public)
    plan = msgspec.json.decode(row["plan"], type=Plan)
    winners = draw_winners(plan, seed, list(record.read_entrants(entrants))).winners
    return [msgspec.to_builtins(win) for win in winners]


async def test_what_was_left_ready_is_finished_with_the_input_that_was_fixed(
    take: Take, stage: Stage
) -> None:
    for step in ("announce_dice", "close"):
        assert await take(step) == "done"
    await killed_when_ready(take, "throw")
    winners = await expected(b"42615")
    # Whoever tries something else now learns nothing and changes nothing.
    other = await stage.refused(409, "POST", "/1/draw", json={"public": "11111"})
    assert other["message"] == "This draw has another public input already, which its answer shows."
    assert other["details"] == {}
    await stage.refused(409, "DELETE", "/1", json={"reason": "not the one I like"})
    assert (await stage.refused(409, "POST", json={}))["details"] == {}
    shown = (await stage.send("GET", "/1/record", by=None)).json()
    assert (shown["status"], bytes.fromhex(shown["public"])) == ("READY", b"42615")
    assert [shown[name] for name in ("secret", "seed", "winners", "undrawn", "drawnAt")] == (
        [None] * 5
    )
    assert await do_job() == 1
    assert await do_job() == 0
    drawn = await stage.ok("GET", "/1")
    assert (drawn["status"], drawn["winners"]) == ("DRAWN", winners)
    assert check(*await stage.files()).passed
    actors = [row["actor"] for row in await fetch("SELECT actor FROM audit_log ORDER BY id")]
    assert actors == ["max", "max", "max", FINISHING_JOB]
    assert await fetchval("SELECT count(*) FROM winners") == 3


async def test_what_was_left_ready_is_finished_by_who_asks_again(take: Take, stage: Stage) -> None:
    for step in ("announce_dice", "close"):
        assert await take(step) == "done"
    await killed_when_ready(take, "throw")
    winners = await expected(b"42615")
    assert await take("throw") == "done"
    assert (await stage.ok("GET", "/1"))["winners"] == winners


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ("UPDATE rooms SET status = 'COMPLETED'", set()),
        ("UPDATE rooms SET status = 'CANCELLED'", {"ROOM_CLOSED"}),
        ('UPDATE rooms SET "deletedAt" = now()', {"ROOM_CLOSED"}),
        ('UPDATE prizes SET "quantityRemaining" = 0', {"NO_STOCK"}),
        ('UPDATE prizes SET "deletedAt" = now()', {"NO_STOCK"}),
        ("DELETE FROM prizes", {"NO_STOCK"}),
        ('UPDATE participants SET "deletedAt" = now()', set()),
        ("UPDATE participants SET role = 'VIEWER'", set()),
        ('UPDATE users SET "deletedAt" = now()', set()),
    ],
)
async def test_whatever_becomes_of_the_room_what_is_ready_is_drawn(
    take: Take, stage: Stage, change: str, reasons: set[str]
) -> None:
    for step in ("announce", "close"):
        assert await take(step) == "done"
    await killed_when_ready(take, "draw")
    winners = await expected(b"")
    await fetch(change)
    assert await do_job() == 1
    record_json, entrants = await stage.files()
    drawn = json.loads(record_json)
    assert (drawn["status"], drawn["winners"]) == ("DRAWN", winners)
    assert {each["reason"] for each in drawn["unawarded"]} == reasons
    assert len(drawn["unawarded"]) == (3 if reasons else 0)
    assert check(record_json, entrants).passed


async def test_an_immediate_draw_that_dies_has_its_number_and_goes_on(take: Take) -> None:
    for statement in range(1, MOST_STATEMENTS):
        assert await take("announce_at_once", statement) == "killed"
        if await status():
            break
    assert await status() == "ANNOUNCED"
    assert "Another draw of this room is open" in await take("announce_at_once")
    for step in ("close", "draw"):
        assert await take(step) == "done"
    assert await fetchval("SELECT immediate FROM draws WHERE number = 1 AND status = 'DRAWN'")


async def test_a_process_that_dies_while_it_cancels_cancels_or_does_not(take: Take) -> None:
    assert await take("announce") == "done"
    await killed_before_each_statement(take, "cancel", "ANNOUNCED", "CANCELLED")
    assert await take("cancel") == "done"


async def test_without_a_transaction_a_death_would_leave_half_a_draw(take: Take) -> None:
    for step in ("announce", "close"):
        assert await take(step) == "done"
    units = await left()
    for statement in range(8, MOST_STATEMENTS):
        assert await take("draw", statement, "loose") == "killed"
        if await left() < units:
            break
    assert await status() == "READY"
    assert await take("draw") == "done"
    assert "NO_STOCK" in await fetchval("SELECT unawarded::text FROM draws")


async def left() -> int:
    units: int = await fetchval('SELECT sum("quantityRemaining") FROM prizes')
    return units


@pytest.mark.timeout(300)
async def test_a_killed_server_leaves_the_draw_to_the_next(stage: Stage, room: str) -> None:
    await fetch(PEOPLE)
    await fetch(CROWD)
    await stage.announce()
    await stage.ok("POST", "/1/close")
    headers = {"authorization": f"Bearer {stage.tokens['max']}"}
    with serving(DATABASE_URL=room) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
            await kill_during(server, client.post(f"{stage.url}/1/draw"))
    for _ in range(int(ORPHAN_SECONDS / PAUSE_SECONDS)):
        answer = await stage.send("POST", "/1/draw")
        if "under way" not in answer.text:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    assert answer.status_code == 200
    assert check(*await stage.files()).passed
    assert await fetchval("SELECT count(*) FROM winners WHERE metadata ? 'draw'") == 3
    await check_stock()


async def kill_during(server: Server, call: Awaitable[httpx.Response]) -> None:
    request = asyncio.ensure_future(call)
    await asyncio.sleep(0.03)
    kill_all(server.tree)
    await asyncio.gather(request, return_exceptions=True)
