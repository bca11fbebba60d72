"""What is kept of people, and how long: rooms that forget, old details, and the README."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.admin.changes import change_row
from app.database.engine import DB, fetch, fetchval, jsonb
from app.draws.announcing import announce
from app.draws.schemas import AnnouncementInput
from app.events.mover import move
from app.participants import erasing
from app.participants.service import staff_membership
from app.settings import PROJECT_ROOT, Settings, settings
from app.tables import DrawStatus, Participant, User
from tasks.people import ForgettingRooms, RedactingAudit
from tests import factories
from tests.answers import Headers, code_of
from tests.users.test_erasing import ADDRESS, NAME, places_of

NOTE = "quillfeather-note"


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:  # noqa: ARG001 - bound there
    found = await DB.get_new_connection()
    yield found
    await found.close()


async def run(step: Any, connection: asyncpg.Connection) -> int:
    return sum([done async for done in step.batches(connection, factories.now())])


async def a_room_that_knows(organizer: asyncpg.Record, **values: Any) -> asyncpg.Record:
    """Let a room have somebody with an account and somebody without one who won in a draw."""
    room = await factories.room(organizer, **values)
    said = jsonb({"note": NOTE})
    member = await factories.participant(room["id"], metadata=said, ownMetadata=said, name=NAME)
    await change_row("root", Participant, member["id"], {"metadata": jsonb({"note": NOTE + "2"})})
    expected = await factories.expected(room["id"], ADDRESS)
    await fetch("UPDATE participants SET name = $2 WHERE id = $1", expected["id"], NAME)
    prize = await factories.prize(room["id"], 2)
    await factories.draw(room["id"], DrawStatus.DRAWN)
    won = await factories.winner(
        room["id"], expected["id"], (await factories.prize(room["id"]))["id"], metadata=said
    )
    await factories.mail(won, recipient=ADDRESS)
    assert prize["quantity"] == 2
    return room


async def end(room: asyncpg.Record, days: float) -> None:
    await fetch("UPDATE rooms SET status = 'COMPLETED' WHERE id = $1", room["id"])
    ended = factories.now() - timedelta(days=days)
    await fetch('UPDATE rooms SET "endedAt" = $2 WHERE id = $1', room["id"], ended)


async def test_a_room_forgets_its_people_when_it_is_over_for_long_enough(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    organizer: asyncpg.Record,
    headers: Headers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(erasing, "MOST_AT_ONCE", 1)
    monkeypatch.setattr("tasks.people.MOST_AT_ONCE", 1)
    room = await a_room_that_knows(organizer)
    url = f"/api/v1/rooms/{room['id']}"
    await move(connection)
    records = [f"{url}/draws/1/record", f"{url}/draws/1/entrants.txt"]
    before = [(await client.get(each)).content for each in records]
    words = (NAME, ADDRESS, NOTE)
    assert {each.partition(".")[0] for each in await places_of(*words)} == {
        *("participants", "winners", "mails", "events", "audit_log"),
    }
    await end(room, 30.5)
    changed = await client.patch(url, json={"forgetAfter": "P31D"}, headers=headers)
    assert changed.json()["data"]["forgetAfter"] == "P31D"
    assert await run(ForgettingRooms(), connection) == 0
    await client.patch(url, json={"forgetAfter": "P30D"}, headers=headers)

    assert await ForgettingRooms().count(connection, factories.now()) == 1
    assert await run(ForgettingRooms(), connection) == 3
    await move(connection)

    assert await places_of(*words) == set()
    assert await ForgettingRooms().count(connection, factories.now()) == 0
    assert [(await client.get(each)).content for each in records] == before
    shown = (await client.get(f"{url}/participants", headers=headers)).json()["data"]
    assert [each["user"]["name"] for each in shown] == ["Olga", "Somebody", "Deleted person"]
    assert {each["email"] for each in shown} == {None}
    wrote = await client.patch(
        f"{url}/participants/{shown[1]['id']}", json={"metadata": {}}, headers=headers
    )
    assert code_of(wrote) == "ROOM_CLOSED"
    told = await fetch("SELECT content FROM events WHERE type = 'room.updated'")
    assert '"changed":["forgetAfter"]' in told[-1]["content"].replace(" ", "")


@pytest.mark.parametrize("why", ["never", "it goes on", "a draw is open", "a win is to be claimed"])
async def test_a_room_keeps_what_it_has_to(
    connection: asyncpg.Connection, organizer: asyncpg.Record, why: str
) -> None:
    room = await a_room_that_knows(organizer, forgetAfter=None if why == "never" else "P1D")
    if why != "it goes on":
        if why == "a draw is open":
            await fetch("UPDATE rooms SET status = 'ACTIVE' WHERE id = $1", room["id"])
            await factories.prize(room["id"])
            await announce(await staff_membership(room["id"]), AnnouncementInput().terms())
        if why == "a win is to be claimed":
            prize, winner = (
                await factories.prize(room["id"]),
                await factories.participant(room["id"]),
            )
            claim = {"claimStatus": "PENDING", "claimBy": factories.now()}
            await factories.winner(room["id"], winner["id"], prize["id"], **claim)
        await end(room, 100)
    assert await run(ForgettingRooms(), connection) == 0
    assert await places_of(ADDRESS) >= {"participants.email"}


async def test_a_room_that_comes_back_is_not_over(
    connection: asyncpg.Connection, organizer: asyncpg.Record
) -> None:
    room = await factories.room(organizer, forgetAfter="P1D")
    await fetch('UPDATE rooms SET "deletedAt" = now() WHERE id = $1', room["id"])
    assert await fetchval('SELECT "endedAt" FROM rooms WHERE id = $1', room["id"]) is not None
    await fetch('UPDATE rooms SET "deletedAt" = NULL WHERE id = $1', room["id"])
    assert await fetchval('SELECT "endedAt" FROM rooms WHERE id = $1', room["id"]) is None
    assert await run(ForgettingRooms(), connection) == 0


@pytest.mark.parametrize("given", ["P0D", "30", "P1M", "P30D\n", "P99999D", 30, "-P1D"])
async def test_what_is_no_number_of_days_is_refused(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers, given: object
) -> None:
    url = f"/api/v1/rooms/{room['id']}"
    answer = await client.patch(url, json={"forgetAfter": given}, headers=headers)
    assert code_of(answer) == "VALIDATION_ERROR"


async def test_old_details_of_the_audit_log_are_blanked_but_for_draws(
    connection: asyncpg.Connection, organizer: asyncpg.Record
) -> None:
    person = await factories.user()
    await a_room_that_knows(organizer)
    await change_row("root", User, person["id"], {"name": NOTE})
    old = factories.now() - timedelta(days=settings().AUDIT_DAYS)
    details = await fetchval("SELECT count(*) FROM audit_log WHERE after IS NOT NULL")
    await connection.execute(
        "SET session_replication_role = replica; "
        f"UPDATE audit_log SET \"createdAt\" = '{old.isoformat()}' "
        "WHERE action <> 'change' OR \"tableName\" = 'users'; "
        "SET session_replication_role = origin"
    )
    draws = await fetch("SELECT * FROM audit_log WHERE \"tableName\" = 'draws'")
    assert draws

    assert await run(RedactingAudit(), connection) == 1
    assert await run(RedactingAudit(), connection) == 0

    assert await fetch("SELECT * FROM audit_log WHERE \"tableName\" = 'draws'") == draws
    kept = "SELECT count(*) FROM audit_log WHERE after IS NOT NULL AND action <> 'forget'"
    assert await fetchval(kept) == details - 1
    changed = await fetch("SELECT before, after FROM audit_log WHERE \"tableName\" = 'users'")
    assert [tuple(each) for each in changed] == [(None, None)]


def test_the_readme_tells_how_long_what_is_kept() -> None:
    readme = (PROJECT_ROOT / "README.md").read_text()
    section = readme.partition("## What is kept of people")[2].partition("\n## ")[0]
    told = {}
    for how_long, name in re.findall(r"^\|[^|]+\|([^|]+)\| `([A-Z_]+)` \|", section, re.MULTILINE):
        told[name] = int(re.findall(r"\d+", how_long)[-1])
    expected = {
        name: getattr(Settings(), name)
        for name in Settings.__struct_fields__
        if name.endswith(("_DAYS", "_HOURS"))
    }
    assert told == expected
    assert "| `forgetAfter` of the room |" in section
