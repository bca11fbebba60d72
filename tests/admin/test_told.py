"""What the administrators' page changes is told as what the API changes is."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from app.database.engine import fetchval
from tests import factories
from tests.admin.staff import row_url
from tests.events.conftest import Log


@pytest.fixture
async def log(database: str) -> AsyncIterator[Log]:
    """Read what is told."""
    connection = await asyncpg.connect(database)
    yield Log(connection)
    await connection.close()


async def one_of_each() -> dict[str, str]:
    room = await factories.room()
    participant = await factories.participant(room["id"])
    prize = await factories.prize(room["id"], 2, quantityRemaining=1)
    winner = await factories.winner(room["id"], participant["id"], prize["id"])
    return {
        "rooms": room["id"],
        "participants": participant["id"],
        "prizes": prize["id"],
        "winners": winner["id"],
        "users": participant["userId"],
    }


@pytest.mark.parametrize(
    ("table", "change", "types"),
    [
        ("rooms", {"name": "Another"}, ["room.updated"]),
        ("rooms", {"status": "COMPLETED"}, ["room.status_changed"]),
        ("participants", {"role": "MODERATOR"}, ["participant.updated"]),
        ("prizes", {"quantity": 5}, ["prize.updated"]),
        ("users", {"name": "Another"}, []),
    ],
)
async def test_an_edit_is_told_and_one_of_nothing_is_not(
    staff: httpx.AsyncClient, log: Log, table: str, change: dict[str, object], types: list[str]
) -> None:
    ids = await one_of_each()
    url = row_url(table, ids[table])
    await log.news()

    assert (await staff.patch(url, json=change)).is_success
    assert await log.types() == types

    assert (await staff.patch(url, json=(await staff.get(url)).json())).is_success
    assert await fetchval("SELECT count(*) FROM outbox") == 0


@pytest.mark.parametrize(
    ("table", "types"),
    [
        ("rooms", ["room.deleted"]),
        ("participants", ["participant.left"]),
        ("winners", ["winner.revoked"]),
        ("users", ["participant.left"]),
    ],
)
async def test_a_deletion_is_told_once(
    staff: httpx.AsyncClient, log: Log, table: str, types: list[str]
) -> None:
    ids = await one_of_each()
    await log.news()

    for status in (204, 422):
        assert (await staff.delete(row_url(table, ids[table]))).status_code == status

    assert await log.types() == types


async def test_a_prize_that_is_deleted_is_told(staff: httpx.AsyncClient, log: Log) -> None:
    prize = await factories.prize((await factories.room())["id"])
    await log.news()

    assert (await staff.delete(row_url("prizes", prize["id"]))).status_code == 204

    assert await log.types() == ["prize.deleted"]


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("rooms", {"status": "DRAFT"}),
        ("rooms", {"appManifestVersion": "9.0.0"}),
        ("participants", {"role": "KING"}),
        ("prizes", {"quantity": 0}),
        ("prizes", {"quantityRemaining": 0}),
        ("winners", {"prizeId": "another"}),
    ],
)
async def test_what_is_refused_is_not_told(
    staff: httpx.AsyncClient, log: Log, table: str, change: dict[str, object]
) -> None:
    ids = await one_of_each()
    await log.news()

    assert (await staff.patch(row_url(table, ids[table]), json=change)).status_code == 422

    assert await fetchval("SELECT count(*) FROM outbox") == 0
