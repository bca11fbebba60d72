"""Whoever writes, and by whatever way: what happens is told once, in the order of commits."""

import asyncio
from collections.abc import Sequence

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchval, jsonb
from app.draws.due import finish_draw, unfinished_draws
from tests import factories
from tests.events.conftest import Event, Log
from tests.events.scene import Scene, manifest
from tests.waiting import is_held_up

BULK = "/participants/bulk"
LEFT_UNTOLD = """
    DO $$ BEGIN
        SET LOCAL session_replication_role = replica;
        UPDATE participants SET "deletedAt" = now() WHERE "userId" LIKE 'p%';
    END $$
"""
"""All whom `people` made leave, and no trigger tells it."""


def told(news: Sequence[Event]) -> list[tuple[str, str | None]]:
    return [(each.type, each.subject) for each in news]


async def people(count: int) -> list[dict[str, str]]:
    """Make people, and the lines that bring them in."""
    rows = await fetch(
        'INSERT INTO users (id, email, "updatedAt") '
        "SELECT 'p' || i, 'p' || i || '@example.org', now() FROM generate_series(1, $1::int) i "
        "RETURNING id",
        count,
    )
    return [{"userId": row["id"]} for row in rows]


@pytest.mark.parametrize("count", [1, 100, 101, 10_000])
async def test_people_who_come_together_are_told_one_by_one_up_to_a_hundred(
    client: httpx.AsyncClient, log: Log, count: int
) -> None:
    scene = await Scene(client).build()
    lines = await people(count)
    await log.news()

    for turn in ("added", "cameBack"):
        assert (await scene.ok("POST", BULK, {"participants": lines}))[turn] == count
        news = await log.news()

        assert {each.type for each in news} == {"participant.joined"}
        if count <= 100:
            assert {each.person for each in news} == {line["userId"] for line in lines}
            assert len(news) == count
        else:
            [event] = news
            ids = [
                row["id"]
                for row in await fetch("SELECT id FROM participants WHERE \"userId\" LIKE 'p%'")
            ]
            assert event.content == {
                "data": None,
                "count": count,
                "range": {"from": min(ids), "to": max(ids)},
            }
        await fetch(LEFT_UNTOLD)


async def test_a_bulk_of_some_who_are_new_and_some_who_come_back_tells_each_once(
    client: httpx.AsyncClient, log: Log
) -> None:
    scene = await Scene(client).build()
    lines = await people(3)
    await scene.ok("POST", BULK, {"participants": lines[:2]})
    await fetch('UPDATE participants SET "deletedAt" = now() WHERE "userId" = \'p1\'')
    await log.news()

    await scene.ok("POST", BULK, {"participants": [*lines, *lines]})

    news = await log.news()
    assert [(each.type, each.person) for each in news] == [
        ("participant.joined", "p1"),
        ("participant.joined", "p3"),
    ]


async def test_an_account_that_is_deleted_leaves_and_is_forgotten(
    client: httpx.AsyncClient, log: Log
) -> None:
    scene = await Scene(client).build()
    other = (await factories.room(scene.people["olga"], name="Handed over"))["id"]
    nora = await factories.participant(other, scene.id_of("nora"), role="ORGANIZER")
    await scene.ok("POST", "/draws", {"prizes": [{"id": scene.id_of("prize")}]})
    await log.news()

    await scene.ok("DELETE", f"/api/v1/users/{scene.id_of('olga')}")
    news = await log.news()

    types = [(each.room, each.type) for each in news]
    room = scene.id_of("room")
    assert sorted(types) == sorted(
        [
            (other, "room.updated"),
            (other, "participant.left"),
            (room, "participant.left"),
            (room, "draw.cancelled"),
            (room, "room.deleted"),
        ]
    )
    assert types.index((room, "draw.cancelled")) < types.index((room, "room.deleted"))
    assert nora["userId"] == next(each.person for each in news if each.type == "room.updated")
    logged = " ".join(row["content"] for row in await fetch("SELECT content FROM events"))
    assert '"Olga"' not in logged
    assert '"Deleted person"' in logged


async def test_what_was_told_of_somebody_is_forgotten_with_the_account(
    client: httpx.AsyncClient, log: Log
) -> None:
    scene = await Scene(client).build()
    await fetch("UPDATE users SET avatar = 'https://example.org/paul.png' WHERE name = 'Paul'")
    await log.news()
    await scene.ok("PATCH", f"/participants/{scene.id_of('player')}", {"metadata": {"a": 3141}})
    await scene.ok("DELETE", f"/winners/{scene.id_of('winner')}")
    assert len(await log.news()) == 2

    await scene.ok("DELETE", f"/api/v1/users/{scene.id_of('paul')}", by="paul")
    assert await log.types() == ["participant.left"]

    logged = [
        row["content"]
        for row in await fetch("SELECT content FROM events WHERE person = $1", scene.id_of("paul"))
    ]
    assert len(logged) >= 5
    for content in logged:
        for word in ('"Paul"', "paul.png", "3141", '"seat"'):
            assert word not in content
    assert await fetchval("SELECT count(*) FROM outbox") == 0


async def test_who_was_expected_by_an_address_is_forgotten_too(
    client: httpx.AsyncClient, log: Log
) -> None:
    scene = await Scene(client).build()
    body = {"email": scene.people["nora"]["email"], "name": "Dear Nora"}
    row = await scene.ok("POST", "/participants", body)
    won = await scene.ok(
        "POST", "/winners", {"participantId": row["id"], "prizeId": scene.id_of("prize")}
    )
    await log.news()
    await scene.ok("POST", "/participants", {"metadata": {"said": "Nora likes tea"}}, by="nora")
    await scene.ok("DELETE", f"/winners/{won['id']}")
    assert sum("likes tea" in each.text for each in await log.news()) == 2

    await scene.ok("DELETE", f"/api/v1/users/{scene.id_of('nora')}", by="nora")
    await log.news()

    logged = [row["content"] for row in await fetch("SELECT content FROM events")]
    assert not [content for content in logged if "Nora" in content]


async def test_an_upgrade_of_a_room_is_told(client: httpx.AsyncClient, log: Log) -> None:
    scene = await Scene(client).build()
    await fetch(
        'UPDATE apps SET manifest = $1, "manifestVersion" = $2, "manifestHistory" = $3',
        jsonb(manifest("1.1.0")),
        "1.1.0",
        jsonb([{"version": "1.0.0", "manifest": manifest()}]),
    )
    await log.news()

    await scene.ok("POST", "/upgrade", {"targetVersion": "1.1.0", "preview": True})
    assert await log.news() == []
    await scene.ok("POST", "/upgrade", {"targetVersion": "1.1.0"})

    [event] = await log.news()
    assert (event.type, event.content["changed"]) == ("room.updated", ["appManifestVersion"])


async def test_a_draw_that_a_job_finishes_is_told(client: httpx.AsyncClient, log: Log) -> None:
    scene = await Scene(client).build()
    plan = {"prizes": [{"id": scene.id_of("prize"), "quantity": 1}], "onePrizeEach": False}
    await scene.ok("POST", "/draws", plan)
    await scene.ok("POST", "/draws/1/close")
    await log.news()
    await fetch("UPDATE draws SET status = 'READY', public = '', \"readyAt\" = now()")
    assert await log.news() == []

    for due in await unfinished_draws():
        await finish_draw(due)

    assert await log.types() == ["winner.awarded", "draw.drawn"]


# What nobody does but by SQL.


async def test_a_room_that_is_deleted_for_good_is_one_event(
    client: httpx.AsyncClient, log: Log
) -> None:
    scene = await Scene(client).build()
    await log.news()

    await fetch("DELETE FROM winners")
    await fetch("DELETE FROM rooms")
    news = await log.news()

    room = scene.id_of("room")
    assert told(news) == [("winner.revoked", scene.id_of("winner")), ("room.deleted", room)]
    assert [each.person for each in news] == [scene.id_of("paul"), scene.id_of("olga")]
    assert {each.audience for each in news} == {"members"}
    assert news[1].content == {"data": {"id": room}}


async def test_rows_that_are_deleted_for_good_are_told(client: httpx.AsyncClient, log: Log) -> None:
    scene = await Scene(client).build()
    await factories.participant(scene.id_of("room"), deletedAt=factories.now())
    await log.news()

    for table in ("winners", "prizes", "participants"):
        await fetch(f'DELETE FROM {table} WHERE "roomId" = $1', scene.id_of("room"))
    news = await log.news()

    assert [each.type for each in news] == [
        "winner.revoked",
        *["prize.deleted"] * 2,
        *["participant.left"] * 2,
    ]
    assert {each.person for each in news[-2:]} == {scene.id_of("paul"), scene.id_of("olga")}
    for event in news:
        assert event.content == {"data": {"id": event.subject}}


@pytest.mark.parametrize(
    ("statement", "types"),
    [
        ("TRUNCATE winners", {"winner.revoked"}),
        ("TRUNCATE participants CASCADE", {"winner.revoked", "participant.left"}),
        ("TRUNCATE prizes CASCADE", {"winner.revoked", "prize.deleted"}),
    ],
)
async def test_a_table_that_is_emptied_is_told(
    client: httpx.AsyncClient, log: Log, statement: str, types: set[str]
) -> None:
    scene = await Scene(client).build()
    await log.news()

    await fetch(statement)
    news = await log.news()

    assert {each.type for each in news} == types
    assert len({(each.type, each.subject) for each in news}) == len(news)
    winner = next(each for each in news if each.type == "winner.revoked")
    assert (winner.subject, winner.person) == (scene.id_of("winner"), scene.id_of("paul"))


async def test_what_is_moved_to_another_room_left_the_one_and_came_to_the_other(
    client: httpx.AsyncClient, log: Log
) -> None:
    scene = await Scene(client).build()
    secret = await factories.room(isPublic=False)
    room, other = scene.id_of("room"), secret["id"]
    await log.news()

    await fetch('UPDATE prizes SET "roomId" = $2 WHERE id = $1', scene.id_of("prize"), other)
    await fetch('UPDATE participants SET "roomId" = $2 WHERE id = $1', scene.id_of("player"), other)
    news = await log.news()

    assert sorted((each.type, each.room) for each in news) == sorted(
        [
            ("prize.deleted", room),
            ("prize.created", other),
            ("participant.left", room),
            ("participant.joined", other),
        ]
    )
    for event in news:
        if event.room == room:
            assert other not in event.text
            assert event.audience == "readers"
    assert [each.person for each in news if each.type.startswith("part")] == [
        scene.id_of("paul")
    ] * 2


async def test_a_room_with_another_id_is_another_room(client: httpx.AsyncClient, log: Log) -> None:
    scene = await Scene(client).build()
    await log.news()

    await fetch("UPDATE rooms SET id = 'another' WHERE id = $1", scene.id_of("room"))
    news = await log.news()

    assert [each.type for each in news if each.room == scene.id_of("room")] == ["room.deleted"]
    assert sorted(each.type for each in news if each.room == "another") == sorted(
        [
            "room.created",
            *["participant.joined"] * 2,
            *["prize.created"] * 2,
            "winner.awarded",
        ]
    )


async def test_ids_that_change_by_the_way_are_told_as_changes(
    client: httpx.AsyncClient, log: Log
) -> None:
    scene = await Scene(client).build()
    await log.news()

    await fetch("UPDATE users SET id = 'another' WHERE id = $1", scene.id_of("olga"))
    await fetch("UPDATE apps SET \"appId\" = 'app_another'")
    news = await log.news()

    assert sorted((each.type, each.content["changed"]) for each in news) == [
        ("participant.updated", ["user", "userId"]),
        ("room.updated", ["app", "appId"]),
        ("room.updated", ["createdBy", "organizer"]),
    ]


async def test_one_statement_tells_each_room_its_own(log: Log) -> None:
    rooms = [(await factories.room())["id"] for _ in range(3)]
    await people(120)
    await log.news()

    await fetch(
        'INSERT INTO participants (id, "roomId", "userId", "updatedAt") '
        "SELECT room || i, room, 'p' || i, now() FROM unnest($1::text[]) WITH ORDINALITY "
        "AS r (room, place), generate_series(1, 120) i WHERE place > 1 OR i <= 2",
        rooms,
    )
    await fetch('UPDATE rooms SET "isPublic" = false WHERE id = $1', rooms[1])
    await fetch("UPDATE participants SET role = 'VIEWER' WHERE \"userId\" IN ('p1', 'p2')")
    news = await log.news()

    joined = [
        [each.content.get("count") for each in news if (each.room, each.type) == (room, type_)]
        for type_ in ("participant.joined", "participant.updated")
        for room in rooms
    ]
    assert joined == [[None, None], [120], [120], *[[None, None]] * 3]
    assert {each.room for each in news if each.audience == "members"} == {rooms[1]}


async def test_what_is_rolled_back_was_never_told(log: Log, connection: asyncpg.Connection) -> None:
    room = await factories.room()
    await log.news()

    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("UPDATE rooms SET name = 'Never' WHERE id = $1", room["id"])
    assert await fetchval("SELECT count(*) FROM outbox") == 0
    await transaction.rollback()

    assert await log.news() == []


async def test_who_commits_first_is_told_first(
    log: Log, database: str, connection: asyncpg.Connection
) -> None:
    room = await factories.room()
    elsewhere = await factories.room()
    await log.news()
    other = await asyncpg.connect(database)

    slow = connection.transaction()
    await slow.start()
    await connection.execute("UPDATE rooms SET name = 'First' WHERE id = $1", room["id"])
    waiting = asyncio.create_task(
        other.execute("UPDATE rooms SET description = 'Second' WHERE id = $1", room["id"])
    )
    assert await is_held_up(waiting)
    await fetch("UPDATE rooms SET name = 'Meanwhile' WHERE id = $1", elsewhere["id"])
    await slow.commit()
    await waiting
    await other.close()

    news = [each for each in await log.news() if each.room == room["id"]]
    assert [each.content["changed"] for each in news] == [["name"], ["description"]]


async def test_a_long_transaction_keeps_nobody_else_from_being_told(
    log: Log, database: str
) -> None:
    room, elsewhere = await factories.room(), await factories.room()
    await log.news()
    other = await asyncpg.connect(database)

    slow = other.transaction()
    await slow.start()
    await other.execute("UPDATE rooms SET name = 'Late' WHERE id = $1", room["id"])
    await fetch("UPDATE rooms SET name = 'Early' WHERE id = $1", elsewhere["id"])
    assert [each.room for each in await log.news()] == [elsewhere["id"]]
    await slow.commit()
    await other.close()

    assert [each.room for each in await log.news()] == [room["id"]]


async def test_a_write_that_says_nothing_new_leaves_nothing(log: Log) -> None:
    room = await factories.room()
    player = await factories.participant(room["id"])
    await log.news()

    await fetch('UPDATE rooms SET "updatedAt" = now(), name = name')
    await fetch('UPDATE participants SET "updatedAt" = now(), email = $1', None)
    await fetch("UPDATE participants SET role = role WHERE id = $1", player["id"])
    await fetch("UPDATE participants SET role = 'VIEWER' WHERE id = 'nobody'")

    assert await fetchval("SELECT count(*) FROM outbox") == 0
