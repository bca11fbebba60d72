"""The log: how it is read, how it begins anew, and how its beginning is forgotten."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec
import pytest

from app.database.engine import DB, fetch, fetchval
from app.events.hub import Hub
from app.events.log import end_of_log, has_all_after, missed, read_from
from app.events.mover import LOCK, Mover, move
from tasks.events import Forgetting
from tests import factories
from tests.waiting import eventually

MANY = 20_000


async def write(count: int, *, days_ago: int = 0) -> list[int]:
    """Write events of ten rooms and a hundred people; return their positions."""
    rows = await fetch(
        'INSERT INTO events (id, type, "roomId", audience, subject, person, content, "createdAt") '
        "SELECT n, 'room.updated', 'r' || n % 10, 'readers', 's', 'p' || n % 100, "
        "'{\"data\":null}', now() - make_interval(days => $2) "
        "FROM generate_series(1, $1::int) n RETURNING position",
        count,
        days_ago,
    )
    return [row["position"] for row in rows]


async def forget(connection: asyncpg.Connection) -> int:
    step, now = Forgetting(), datetime.now(UTC)
    wanted = await step.count(connection, now)
    done = sum([n async for n in step.batches(connection, now)])
    assert done == wanted
    return done


async def test_no_read_of_the_log_grows_with_it(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions = await write(MANY)
    await connection.execute("ANALYZE events")
    asked: list[tuple[str, tuple[object, ...]]] = []
    pool: Any = DB.pool
    original = pool.fetch

    async def record(sql: str, *arguments: object) -> Any:
        asked.append((sql, arguments))
        return await original(sql, *arguments)

    middle = positions[MANY // 2]
    with monkeypatch.context() as recording:
        recording.setattr(pool, "fetch", record)
        assert await read_from(middle)
        assert {row["roomId"] for row in await missed("roomId", "r3", middle)} == {"r3"}
        assert {row["person"] for row in await missed("person", "p3", middle)} == {"p3"}
        assert await has_all_after(middle)

    for sql, arguments in asked:
        plan = await fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *arguments)
        text = msgspec.json.encode(msgspec.json.decode(plan)).decode()
        assert "Seq Scan" not in text, sql


async def test_the_beginning_is_forgotten_when_it_is_old(connection: asyncpg.Connection) -> None:
    old = await write(450, days_ago=31)
    young = await write(3, days_ago=29)

    assert await forget(connection) == 450

    left = [row["position"] for row in await fetch("SELECT position FROM events ORDER BY 1")]
    assert left == young
    assert not await has_all_after(old[-1] - 1)
    assert await has_all_after(old[-1])
    assert await forget(connection) == 0


async def test_what_comes_after_a_young_event_stays(connection: asyncpg.Connection) -> None:
    """Else a hole would be in the log, of which its first position says nothing."""
    await write(2, days_ago=31)
    await write(1)
    await write(2, days_ago=31)

    step = Forgetting()
    now = datetime.now(UTC)
    assert sum([n async for n in step.batches(connection, now)]) == 2
    assert await fetchval("SELECT count(*) FROM events") == 3


async def test_the_last_event_stays_however_old(connection: asyncpg.Connection) -> None:
    positions = await write(3, days_ago=99)
    assert await forget(connection) == 2
    assert await fetchval("SELECT position FROM events") == positions[-1]
    assert (await end_of_log(connection)).position == positions[-1]


async def test_a_log_has_one_epoch_until_it_is_restored(connection: asyncpg.Connection) -> None:
    first = await end_of_log(connection)
    assert (await end_of_log(connection)).epoch == first.epoch

    await connection.execute("DELETE FROM event_log")  # what a restore does

    assert (await end_of_log(connection)).epoch != first.epoch


async def test_while_one_moves_another_does_not(connection: asyncpg.Connection) -> None:
    room = await factories.room()
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    waiting = Mover()
    await waiting._attend()  # returns: somebody moves
    assert not waiting.is_moving
    told = 'SELECT count(*) FROM outbox WHERE "roomId" = $1'
    waits = await fetchval(told, room["id"])
    assert waits > 0

    await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)
    running = asyncio.create_task(waiting.run())

    async def is_moved() -> bool:
        return not await fetchval(told, room["id"])

    await eventually(is_moved)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await fetchval("SELECT count(*) FROM events") == waits


async def test_a_log_that_was_put_back_begins_anew(connection: asyncpg.Connection) -> None:
    await write(5)
    hub = Hub()
    await hub.catch_up(connection)
    before = hub.end
    await fetch("DELETE FROM events WHERE position > $1", hub.position - 3)

    await hub.catch_up(connection)

    assert before is not None
    assert hub.end is not None
    assert (hub.end.epoch != before.epoch, hub.end.position) == (True, before.position - 3)


async def test_a_row_that_tells_nothing_holds_up_no_other(connection: asyncpg.Connection) -> None:
    room = await factories.room()
    await fetch("INSERT INTO outbox (type) VALUES ('room.updated'), ('no.such.event')")
    await fetch(
        'INSERT INTO outbox (type, "roomId", subject, details) '
        "VALUES ('room.updated', $1, $1, '7')",
        room["id"],
    )

    await move(connection)

    assert await fetchval("SELECT count(*) FROM outbox") == 0
    types = [row["type"] for row in await fetch("SELECT type FROM events ORDER BY position")]
    assert types[-1] == "room.updated"


async def test_what_happened_in_private_stays_so_though_it_is_moved_later(
    connection: asyncpg.Connection,
) -> None:
    room = await factories.room(isPublic=False)
    await factories.prize(room["id"])
    await fetch('UPDATE rooms SET "isPublic" = true WHERE id = $1', room["id"])
    await factories.prize(room["id"])

    await move(connection)

    rows = await fetch(
        "SELECT type, audience FROM events WHERE type LIKE 'prize%' ORDER BY position"
    )
    assert [row["audience"] for row in rows] == ["members", "readers"]


async def test_who_is_behind_reads_no_more_at_once_than_memory_bears(
    connection: asyncpg.Connection,
) -> None:
    positions = await write(30)
    await connection.execute(
        "UPDATE events SET \"roomId\" = 'large', content = json_build_object('data', "
        "repeat('x', 100000)) WHERE position = ANY($1)",
        positions,
    )

    first = await missed("roomId", "large", positions[0] - 1)

    assert 0 < len(first) < 10
    assert await missed("roomId", "large", first[-1]["position"])
