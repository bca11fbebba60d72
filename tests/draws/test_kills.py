"""SIGKILL between any two statements: the next call goes on or repeats, nothing is drawn twice."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import msgspec
import pytest

from app.database.engine import fetch, fetchval
from app.draws.reading import find_draw, read_entrants
from app.draws.record import check
from app.draws.schemas import record_of
from app.settings import PROJECT_ROOT
from tests.draws.conftest import Stage, check_stock, moderator
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


@pytest.fixture
async def take(room: str) -> AsyncIterator[Take]:
    """Return a function that lets a process take a step and die before one of its statements."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.draws.mortal", room),
        cwd=PROJECT_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    to, of = process.stdin, process.stdout

    async def take(step: str, statement: int = 0, guard: str = "guarded") -> str:
        for _ in range(int(ORPHAN_SECONDS / PAUSE_SECONDS)):
            to.write(f"{step} {statement} {guard}\n".encode())
            said = (await of.readline()).decode().strip()
            if "under way" not in said:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        return said

    yield take
    to.close()
    await process.wait()


async def killed_before_each_statement(take: Take, step: str, before: str, after: str) -> None:
    """Die ever later, until the step is done; each time nothing or everything has happened."""
    for statement in range(1, MOST_STATEMENTS):
        assert await status() == before
        assert await fetchval("SELECT count(*) FROM winners") == 0
        if await take(step, statement) == "done":
            break
    assert statement > 4  # BEGIN, the locks, the change, COMMIT
    assert await status() == after
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
    await killed_before_each_statement(take, "draw", "CLOSED", "DRAWN")
    # Whoever never heard of it asks again.
    assert await take("draw") == "done"
    row = await find_draw(moderator(), 1)
    entrants = b"".join([piece async for piece in read_entrants(row["id"])])
    assert check(msgspec.json.encode(record_of(row)), entrants).passed
    assert await fetchval("SELECT count(*) FROM winners") == 3
    assert await fetchval("SELECT count(*) FROM audit_log") == 3


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
    assert await status() == "CLOSED"
    assert "Fewer units are left" in await take("draw")


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
