"""Who changed what in a room between a draw's steps is named, by whatever way it came."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from app.admin import tables
from app.admin.accounts import create_administrator
from app.database.caller import called_by, telling
from app.database.engine import fetch, fetchval, transaction
from app.winners import service
from tasks.runs import exclusive
from tasks.schedule import JOBS
from tests.admin.staff import NAME, PASSWORD, row_url, sign_in
from tests.draws.conftest import Stage
from tests.draws.test_between import between
from tests.waiting import eventually, somebody_waits

ROOM = "/api/v1/rooms/room"
AWARD = {"participantId": "ann", "prizeId": "phone"}
REQUESTS: dict[str, tuple[str, str, str, Any]] = {
    "joining": ("outsider", "POST", f"{ROOM}/participants", None),
    "adding one": ("max", "POST", f"{ROOM}/participants", {"userId": "outsider"}),
    "adding many": (
        "max",
        "POST",
        f"{ROOM}/participants/bulk",
        {"participants": [{"email": "a@example.org"}, {"email": "b@example.org"}]},
    ),
    "a weight": ("max", "PATCH", f"{ROOM}/participants/ann", {"metadata": {"tickets": 4}}),
    "a role": ("olga", "PATCH", f"{ROOM}/participants/ann", {"role": "VIEWER"}),
    "removing": ("max", "DELETE", f"{ROOM}/participants/ann", None),
    "leaving": ("ann", "DELETE", f"{ROOM}/participants/me", None),
    "a new prize": ("max", "POST", f"{ROOM}/prizes", {"name": "Pen"}),
    "renaming a prize": ("max", "PATCH", f"{ROOM}/prizes/phone", {"name": "Pen"}),
    "a quantity": ("max", "PATCH", f"{ROOM}/prizes/phone", {"quantity": 7}),
    "deleting a prize": ("max", "DELETE", f"{ROOM}/prizes/phone", None),
    "an award": ("max", "POST", f"{ROOM}/winners", AWARD),
    "revoking": ("olga", "DELETE", f"{ROOM}/winners/won", None),
    "making it private": ("olga", "PATCH", ROOM, {"isPublic": False}),
    "deleting the room": ("olga", "DELETE", ROOM, None),
    "deleting an account": ("ann", "DELETE", "/api/v1/users/ann", None),
}


async def ask(
    stage: Stage, by: str, method: str, path: str, body: Any = None, **headers: str
) -> httpx.Response:
    headers["authorization"] = f"Bearer {stage.tokens[by]}"
    answer = await stage.client.request(method, path, json=body, headers=headers)
    assert answer.is_success, answer.text
    return answer


async def actors() -> set[str]:
    return {row["actor"] for row in await between()}


@pytest.mark.parametrize("request_", REQUESTS)
async def test_whose_request_it_is_is_named(stage: Stage, request_: str) -> None:
    await fetch(
        'INSERT INTO winners (id, "roomId", "participantId", "prizeId") '
        "VALUES ('won', 'room', 'ben', 'book')"
    )
    await fetch("UPDATE prizes SET \"quantityRemaining\" = 1 WHERE id = 'book'")
    await stage.announce(weightKey="tickets")
    by, *what = REQUESTS[request_]
    await ask(stage, by, *what)
    assert await actors() == {by}


async def test_with_an_idempotency_key_too(stage: Stage) -> None:
    await stage.announce()
    await ask(stage, "max", "POST", f"{ROOM}/winners", AWARD, **{"idempotency-key": "k"})
    assert await actors() == {"max"}


async def test_who_is_awarded_with_others_together_is_named_with_them(
    stage: Stage, database: str
) -> None:
    await stage.announce()
    held = await asyncpg.connect(database)
    await held.execute("BEGIN")
    await held.execute("SELECT 1 FROM prizes FOR NO KEY UPDATE")

    async def have_asked(count: int) -> None:
        async def all_wait() -> bool:
            waiting = len(service.awards._waiting.get("room", ()))
            return waiting == count - 1 and await somebody_waits()

        await eventually(all_wait)

    asked = []
    for number, (by, who) in enumerate((("olga", "ann"), ("max", "ben"), ("olga", "cem")), 1):
        body = {"participantId": who, "prizeId": "book"}
        if who == "ann":
            body["prizeId"] = "phone"
        asked.append(asyncio.create_task(ask(stage, by, "POST", f"{ROOM}/winners", body)))
        await have_asked(number)
    await held.execute("COMMIT")
    await asyncio.gather(*asked)
    await held.close()
    awards = [row for row in await between() if row["tableName"] == "winners"]
    assert [row["actor"] for row in awards] == ["olga", "max, olga"]


async def test_who_deletes_a_room_is_named_before_its_draw_is_cancelled(stage: Stage) -> None:
    await stage.announce()
    await ask(stage, "olga", "DELETE", ROOM)
    [row] = await between()
    [change] = row["after"]["rows"]
    assert (row["actor"], row["tableName"]) == ("olga", "rooms")
    assert change["before"] == {"deletedAt": None}


async def test_the_next_request_is_not_taken_for_the_one_before(stage: Stage) -> None:
    await stage.announce()
    await ask(stage, "max", "PATCH", f"{ROOM}/prizes/phone", {"quantity": 7})
    await ask(stage, "max", "POST", f"{ROOM}/winners", AWARD)
    before = len(await between())
    await fetch("UPDATE prizes SET quantity = quantity + 1")
    async with transaction():
        await fetch("UPDATE prizes SET quantity = quantity + 1")
    assert [row["actor"] for row in (await between())[before:]] == ["database"] * 2


async def test_requests_leave_no_other_record(stage: Stage) -> None:
    await ask(stage, "max", "PATCH", f"{ROOM}/prizes/phone", {"quantity": 7})
    await ask(stage, "max", "POST", f"{ROOM}/winners", AWARD)
    assert await fetchval("SELECT count(*) FROM audit_log") == 0


@pytest.mark.parametrize("name", ["o'brien", "a\\", "a\\'; DROP TABLE draws; --", "é ✓"])
async def test_any_name_reaches_the_database_as_it_is(database: str, name: str) -> None:  # noqa: ARG001
    with called_by(name):
        async with transaction():
            assert await fetchval("SELECT current_setting('audit.caller')") == name
    assert telling() == ""


async def test_a_job_is_named(stage: Stage) -> None:
    await stage.announce()
    job = next(iter(JOBS))
    async with exclusive(job) as connection:
        assert connection is not None
        await connection.execute("UPDATE prizes SET quantity = 5 WHERE id = 'phone'")
    assert await actors() == {job.name}


@pytest.mark.parametrize(
    ("table", "row_id", "change"),
    [("prizes", "phone", {"quantity": 9}), ("participants", "ann", {"role": "VIEWER"})],
)
async def test_an_administrator_s_change_is_named_and_recorded(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    row_id: str,
    change: dict[str, Any],
) -> None:
    await stage.announce()
    monkeypatch.setattr(tables.Administrator, "_pbkdf2_iteration_count", 1_000)
    await fetch("DELETE FROM admin.administrators")
    await create_administrator(NAME, PASSWORD)
    await sign_in(stage.client)
    answer = await stage.client.patch(row_url(table, row_id), json=change)
    assert answer.is_success, answer.text
    assert [(row["actor"], row["tableName"]) for row in await between()] == [(NAME, table)]
