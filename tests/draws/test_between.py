"""What happens between a draw's steps is recorded, and `litestar draws audit` tells it."""

import asyncio
import json
from datetime import datetime
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner, Result

from app.database.audit import acting
from app.database.engine import DB, fetch, fetchval, transaction
from app.draws.auditing import NAMES, audit_of
from app.draws.command_line import draws
from app.draws.steps import CHANGES_BUCKETS
from app.errors import NotFound
from tests.draws.conftest import Stage, weigh
from tests.draws.test_traces import recorded
from tests.waiting import eventually, is_held_up, somebody_waits

CHANGES = {
    "a role": "UPDATE participants SET role = 'VIEWER' WHERE id = 'ann'",
    "somebody left": "UPDATE participants SET \"deletedAt\" = now() WHERE id = 'ann'",
    "somebody came": 'INSERT INTO participants (id, "userId", "roomId", "updatedAt") '
    "VALUES ('new', 'outsider', 'room', now())",
    "somebody was erased": "DELETE FROM participants WHERE id = 'ann'",
    "a weight": "UPDATE participants SET metadata = '{\"tickets\": 7}' WHERE id = 'ann'",
    "a quantity": "UPDATE prizes SET quantity = 5, \"quantityRemaining\" = 5 WHERE id = 'phone'",
    "a new prize": 'INSERT INTO prizes (id, "roomId", name, "updatedAt") '
    "VALUES ('new', 'room', 'x', now())",
    "a prize deleted": "UPDATE prizes SET \"deletedAt\" = now() WHERE id = 'phone'",
    "a prize's name": "UPDATE prizes SET name = 'pen' WHERE id = 'phone'",
    "a prize's description": "UPDATE prizes SET description = 'pen' WHERE id = 'phone'",
    "a prize's picture": "UPDATE prizes SET \"imageUrl\" = 'https://x/y' WHERE id = 'phone'",
    "an award": 'INSERT INTO winners (id, "roomId", "participantId", "prizeId") '
    "VALUES ('w', 'room', 'ann', 'phone')",
    "the visibility": 'UPDATE rooms SET "isPublic" = NOT "isPublic" WHERE id = \'room\'',
    "who has the room": "UPDATE rooms SET \"createdBy\" = 'max' WHERE id = 'room'",
    "the app's version": "UPDATE rooms SET \"appManifestVersion\" = '1.3.0' WHERE id = 'room'",
    "an account deleted": "UPDATE users SET \"deletedAt\" = now() WHERE id = 'ann'",
}


async def between() -> list[dict[str, Any]]:
    return [row for row in await recorded() if "while a draw" in row["action"]]


@pytest.mark.parametrize("change", CHANGES)
async def test_plain_sql_leaves_a_row_while_a_draw_is_open(stage: Stage, change: str) -> None:
    draw = await stage.announce(weightKey="tickets")
    await fetch(CHANGES[change])
    [row] = await between()
    assert (row["actor"], row["rowId"], row["after"]["count"]) == ("database", draw["id"], 1)
    [event] = [event for event in await audit_of("room") if not event.step]
    assert len(event.changes) == 1


EVASIONS = {
    "to another room": "UPDATE participants SET \"roomId\" = 'other' WHERE id = 'ann'",
    "to another id": "UPDATE participants SET id = 'bob' WHERE id = 'ann'",
}


@pytest.mark.parametrize("evasion", EVASIONS)
async def test_a_row_that_is_made_another_one_is_gone(stage: Stage, evasion: str) -> None:
    await stage.announce()
    await fetch(EVASIONS[evasion])
    [row] = await between()
    assert ("ann", None) in [(each["id"], each["after"]) for each in row["after"]["rows"]]


@pytest.mark.parametrize("table", ["participants", "prizes", "winners"])
async def test_emptying_a_table_is_recorded_as_erasing_its_rows(stage: Stage, table: str) -> None:
    await fetch(CHANGES["an award"])
    await stage.announce()
    count = await fetchval(f"SELECT count(*) FROM {table} WHERE \"roomId\" = 'room'")
    await fetch(f"TRUNCATE {table} CASCADE")
    told = {row["tableName"]: row for row in await between()}
    assert told[table]["after"]["count"] == count
    assert told["winners"]["action"] == "truncate while a draw is open"
    assert f"{count} {NAMES[table]} erased" in [event.what for event in await audit_of("room")]


@pytest.mark.parametrize("table", ["draws", "draw_entrants", "rooms", "users"])
async def test_no_draw_goes_with_a_table_that_is_emptied(stage: Stage, table: str) -> None:
    await stage.announce()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="for ever"):
        await fetch(f"TRUNCATE {table} CASCADE")


async def test_a_step_by_hand_is_recorded(stage: Stage) -> None:
    draw = await stage.announce()
    await fetch(
        "UPDATE draws SET status = 'CANCELLED', reason = 'x', \"cancelledAt\" = clock_timestamp()"
    )
    row = (await recorded())[-1]
    assert (row["actor"], row["action"], row["rowId"]) == (
        "database",
        "update draw by hand",
        draw["id"],
    )
    assert row["after"].keys() == {"status", "reason", "cancelledAt"}


async def test_a_draw_by_hand_is_recorded_without_its_secret(stage: Stage) -> None:
    await stage.announce()
    await stage.send("DELETE", "/1", json={"reason": "rain"})
    await fetch(
        """
        INSERT INTO draws (id, "roomId", number, secret, commitment, prizes, "onePrizeEach",
            exclusions, entropy, immediate, "wasPublic")
        SELECT 'forged', "roomId", 2, secret, commitment, prizes, true, exclusions, entropy,
            false, true FROM draws
        """
    )
    row = (await recorded())[-1]
    assert (row["action"], row["rowId"]) == ("insert draw by hand", "forged")
    assert not {"secret", "winners"} & row["after"].keys()


async def test_who_changed_a_room_before_it_announces_is_waited_for(
    stage: Stage, database: str
) -> None:
    """So nothing is committed after an announcement that had not seen it."""
    connection = await asyncpg.connect(database)
    async with connection.transaction():
        await connection.execute(CHANGES["a role"])
        announcing = asyncio.create_task(stage.announce())
        assert await is_held_up(announcing)
        assert await fetchval("SELECT count(*) FROM draws") == 0
    await announcing
    await connection.close()
    assert await between() == []


async def test_who_changes_a_room_while_it_announces_has_seen_the_draw(
    stage: Stage, database: str
) -> None:
    holder, changer = [await asyncpg.connect(database) for _ in range(2)]
    async with holder.transaction():
        # Keeps the announcement from going on once it has its locks.
        await holder.execute("LOCK TABLE draws IN SHARE MODE")
        announcing = asyncio.create_task(stage.announce())
        await eventually(somebody_waits)
        changing = asyncio.create_task(changer.execute(CHANGES["a role"]))
        await eventually(lambda: fetchval("SELECT count(*) > 1 FROM pg_locks WHERE NOT granted"))
    await asyncio.gather(announcing, changing)
    await asyncio.gather(holder.close(), changer.close())
    assert len(await between()) == 1


@pytest.mark.parametrize("change", ["a role", "the visibility"])
async def test_who_has_locked_the_room_and_then_changes_it_goes_first(
    stage: Stage, database: str, change: str
) -> None:
    """Neither waits for the other: all requests that change roles lock the room before."""
    connection = await asyncpg.connect(database)
    async with connection.transaction():
        await connection.execute("SELECT FROM rooms WHERE id = 'room' FOR NO KEY UPDATE")
        announcing = asyncio.create_task(stage.announce())
        assert await is_held_up(announcing)
        await connection.execute(CHANGES[change], timeout=10)
    assert (await announcing)["number"] == 1
    await connection.close()


async def test_the_locks_of_a_statement_are_bounded(stage: Stage) -> None:
    await stage.announce()
    await fetch(
        """
        INSERT INTO rooms (id, name, "appId", "appSettings", "appManifestVersion", "createdBy",
            "updatedAt")
        SELECT 'r' || n, 'x', 'app_lottery_v1', '{}', '1.2.0', 'olga', now()
        FROM generate_series(1, 3000) n
        """
    )
    async with transaction():
        await fetch('UPDATE rooms SET "isPublic" = NOT "isPublic"')
        locks = await fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
    assert locks == CHANGES_BUCKETS
    assert len(await between()) == 1


async def test_ten_thousand_rows_at_once_take_no_long_time(stage: Stage) -> None:
    await stage.announce(weightKey="tickets")
    await fetch(
        'INSERT INTO participants (id, "roomId", email, metadata, "updatedAt") '
        "SELECT 'p' || n, 'room', n || '@example.org', '{\"tickets\": 2}', now() "
        "FROM generate_series(1, 10000) n"
    )
    await fetch("DELETE FROM participants WHERE id LIKE 'p%'")
    rows = [row["after"] for row in await between()]
    assert [row["count"] for row in rows] == [10_000] * 2
    assert {len(row["rows"]) for row in rows} == {100}


async def test_the_command_tells_it_in_words_and_as_json(stage: Stage) -> None:
    await stage.announce(weightKey="tickets")
    await weigh("ann", {"tickets": 3})
    await fetch(CHANGES["a prize's name"])
    await stage.send("DELETE", "/1", by="olga", json={"reason": "rain"})
    lines = (await run_command("room")).output.splitlines()
    words = [line.split("UTC", 1)[-1].strip() for line in lines]
    assert words == [
        "draw 1  announce draw, by max",
        "draw 1      1 participant(s) changed, by database",
        "ann: weight none → 3",
        "draw 1      1 prize(s) changed, by database",
        "phone: name phone → pen",
        "draw 1  cancel draw, by olga",
    ]
    events = json.loads((await run_command("room", "--json")).output)
    assert [(each["draw"], each["step"], each["actor"]) for each in events] == [
        (1, True, "max"),
        (1, False, "database"),
        (1, False, "database"),
        (1, True, "olga"),
    ]
    assert events[1]["changes"] == ["ann: weight none → 3"]
    assert datetime.fromisoformat(events[0]["at"]).tzinfo is not None


async def test_the_command_tells_of_a_room_without_draws_and_of_none(room: str) -> None:  # noqa: ARG001
    assert (await run_command("other")).output == "This room has no draws.\n"
    nowhere = await run_command("nowhere")
    assert nowhere.exit_code == 1
    assert "There is no such room." in nowhere.output


async def run_command(*arguments: str) -> Result:
    """Run `litestar draws audit`, which has a loop and a pool of its own."""
    pool, DB.pool = DB.pool, None
    try:
        return await asyncio.to_thread(CliRunner().invoke, draws, ["audit", *arguments])
    finally:
        DB.pool = pool


@pytest.mark.parametrize("change", CHANGES)
async def test_nothing_is_recorded_while_none_is_open(stage: Stage, change: str) -> None:
    await stage.announce()
    await stage.send("DELETE", "/1", json={"reason": "rain"})
    await fetch(CHANGES[change])
    assert await between() == []


async def test_another_room_s_changes_are_not_recorded(stage: Stage) -> None:
    await stage.announce()
    await fetch("UPDATE participants SET role = 'VIEWER' WHERE id = 'elsewhere'")
    assert await between() == []


async def test_nothing_else_of_metadata_and_addresses_is_recorded(
    stage: Stage,
) -> None:
    await stage.announce(weightKey="tickets")
    await weigh("ann", {"tickets": 3, "phone": "555"})
    await weigh("ann", {"tickets": "private", "phone": "556"})
    await weigh("ann", {"tickets": "12"})
    await fetch("UPDATE participants SET email = 'a@example.org', name = 'A' WHERE id = 'ben'")
    told = [row["after"]["rows"][0] for row in await between()]
    assert [[row[which]["weight"] for which in ("before", "after")] for row in told[:3]] == [
        [None, 3],
        [3, None],
        [None, "12"],
    ]
    assert told[3]["after"] == {**told[3]["before"], "hasAddress": True}
    assert not [text for text in ("55", "private", "example") if text in str(told)]


async def test_a_bulk_import_leaves_one_bounded_row(stage: Stage) -> None:
    await stage.announce()
    await fetch(
        'INSERT INTO participants (id, "roomId", email, "updatedAt") '
        "SELECT 'p' || n, 'room', n || '@example.org', now() FROM generate_series(1, 1000) n"
    )
    [row] = await between()
    assert (row["after"]["count"], len(row["after"]["rows"])) == (1000, 100)


async def test_an_award_over_http_is_recorded_and_a_refused_one_is_not(stage: Stage) -> None:
    await stage.announce()
    url = "/api/v1/rooms/room/winners"
    headers = {"authorization": f"Bearer {stage.tokens['max']}"}
    wanted = {"participantId": "ann", "prizeId": "phone"}
    assert (await stage.client.post(url, json=wanted, headers=headers)).status_code == 201
    rows = await between()
    assert {row["tableName"] for row in rows} == {"winners", "prizes"}
    assert (await stage.client.post(url, json=wanted, headers=headers)).status_code == 400
    assert await between() == rows


async def test_who_acts_is_named_where_the_database_was_told(stage: Stage) -> None:
    await stage.announce()
    async with transaction(), acting("root", "edit"):
        await fetch(CHANGES["a quantity"])
    assert [row["actor"] for row in await between()] == ["root"]


async def test_what_a_draw_does_itself_is_no_change_between_its_steps(stage: Stage) -> None:
    await stage.drawn()
    assert await between() == []


async def test_the_audit_tells_all_steps_in_order_though_the_room_is_deleted(stage: Stage) -> None:
    await stage.announce()
    await fetch(CHANGES["a role"])
    await fetch("UPDATE rooms SET \"deletedAt\" = now() WHERE id = 'room'")
    told = [(event.what, event.actor) for event in await audit_of("room")]
    assert told == [
        ("announce draw", "max"),
        ("1 participant(s) changed", "database"),
        ("1 room changed", "database"),
        ("cancel draw", "deletion of the room"),
    ]


async def test_there_is_no_audit_of_a_room_that_there_is_not(room: str) -> None:  # noqa: ARG001
    with pytest.raises(NotFound):
        await audit_of("nowhere")
