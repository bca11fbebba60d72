"""Draws that were there before there was a status READY: their records stay, byte for byte."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import pytest

from app.database.engine import jsonb
from app.database.migrations import downgrade, migration_files, upgrade
from app.draws.cancelling import cancel
from app.draws.closing import close
from app.draws.drawing import draw
from app.draws.reading import Readable, find_draw, read_entrants
from app.draws.record import Record, check
from app.draws.schemas import record_of
from app.participants.service import staff_membership
from app.tables import DrawStatus
from tests.draws import records, vectors

CHAIN = [file.name for file in migration_files()]
BEFORE = CHAIN[CHAIN.index("draws_ready") - 1]
ROOMS = """
    INSERT INTO users (id, email, "updatedAt") VALUES ('u1', 'a@example.org', now());
    INSERT INTO apps (id, "appId", "appSecret", manifest, "updatedAt")
        VALUES ('a1', 'app_lottery_v1', 's', '{}', now());
    INSERT INTO rooms (id, name, "appId", "appSettings", "createdBy", status, "isPublic",
        "deletedAt", "updatedAt")
    VALUES ('r1', 'public', 'app_lottery_v1', '{}', 'u1', 'ACTIVE', true, NULL, now()),
           ('r2', 'private', 'app_lottery_v1', '{}', 'u1', 'ACTIVE', false, NULL, now()),
           ('r3', 'deleted', 'app_lottery_v1', '{}', 'u1', 'ACTIVE', true, now(), now());
    INSERT INTO prizes (id, "roomId", name, quantity, "quantityRemaining", "updatedAt")
    VALUES ('p1', 'r1', 'p1', 1, 1, now()), ('p2', 'r1', 'p2', 2, 2, now());
"""


@pytest.fixture
async def db(bare_database: str) -> AsyncIterator[asyncpg.Connection]:
    await upgrade(BEFORE)
    connection = await asyncpg.connect(bare_database)
    await connection.execute(ROOMS)
    yield connection
    await connection.close()


def unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


async def keep(db: asyncpg.Connection, record: Record, **changes: Any) -> None:
    """Write a draw as the version before did."""
    plan = record.plan
    row = {
        "id": record.drawId,
        "roomId": record.roomId,
        "number": record.number,
        "status": record.status,
        "secret": vectors.SECRET,
        "commitment": record.commitment,
        "prizes": jsonb(vectors.FIRST.prizes),
        "exclusions": jsonb(record.exclusions),
        "weightKey": "tickets",
        "entropy": '{"kind": "none"}',
        "immediate": record.immediate,
        "plan": None if plan is None else plan.canonical().decode(),
        "planDigest": record.planDigest,
        "public": unhex(record.public),
        "seed": unhex(record.seed),
        "winners": jsonb(record.winners),
        "undrawn": record.undrawn,
        "reason": record.reason,
        "announcedAt": moment(record.announcedAt),
        "closedAt": moment(record.closedAt),
        "drawnAt": moment(record.drawnAt),
        "cancelledAt": moment(record.cancelledAt),
        **changes,
    }
    columns = ", ".join(f'"{name}"' for name in row)
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await db.execute(f"INSERT INTO draws ({columns}) VALUES ({places})", *row.values())
    if plan is not None:
        await db.execute(
            "INSERT INTO draw_entrants VALUES ($1, 0, $2)", row["id"], records.ENTRANTS_TXT.decode()
        )


async def files(number: int = 1) -> tuple[bytes, bytes]:
    row = await find_draw(Readable("r1"), number)
    entrants = b"".join([piece async for piece in read_entrants(row["id"])])
    return msgspec.json.encode(record_of(row)), entrants


ANNOUNCED = records.changed(
    records.cancelled_early(),
    status=DrawStatus.ANNOUNCED,
    secret=None,
    cancelledAt=None,
    reason=None,
)


@pytest.mark.parametrize(
    "record",
    [
        records.drawn(),
        records.changed(records.drawn(), immediate=True),
        records.cancelled(),
        records.cancelled_early(),
        records.closed(),
        ANNOUNCED,
    ],
    ids=["drawn", "immediate", "cancelled", "cancelled early", "closed", "announced"],
)
async def test_records_of_before_stay_what_they_were(
    db: asyncpg.Connection, record: Record
) -> None:
    await keep(db, record)
    await upgrade()
    entrants_txt = records.ENTRANTS_TXT if record.plan else b""
    assert await files() == (msgspec.json.encode(record), entrants_txt)
    # And once more, there and back.
    before = await db.fetch("SELECT * FROM draws")
    await downgrade(BEFORE)
    await upgrade()
    assert await db.fetch("SELECT * FROM draws") == before
    assert await files() == (msgspec.json.encode(record), entrants_txt)


async def test_what_was_open_at_the_upgrade_goes_on_and_can_be_checked(
    db: asyncpg.Connection,
) -> None:
    await keep(db, records.closed())
    await upgrade()
    await draw(await staff_membership("r1"), 1, text=None, signature=None)
    record_json, entrants = await files()
    record = msgspec.json.decode(record_json, type=Record)
    # Nobody of the list has ever been a participant here: all are gone.
    assert [each.reason for each in record.passed or ()] == ["GONE"] * 5
    assert check(record_json, entrants).passed


@pytest.mark.parametrize("step", ["close and draw", "cancel"])
async def test_what_was_announced_at_the_upgrade_goes_on(db: asyncpg.Connection, step: str) -> None:
    await keep(db, ANNOUNCED)
    await upgrade()
    member = await staff_membership("r1")
    if step == "cancel":
        await cancel(member, 1, "rain")
    else:
        await close(member, 1)
        await draw(member, 1, text=None, signature=None)
    assert check(*await files()).passed


async def test_who_sees_draws_of_before_follows_from_the_room_of_now(
    db: asyncpg.Connection,
) -> None:
    for number, room in enumerate(("r1", "r2", "r3"), 1):
        await keep(db, ANNOUNCED, id=f"d{number}", roomId=room)
    await upgrade()
    rows = await db.fetch('SELECT "roomId", "wasPublic" FROM draws ORDER BY 1')
    assert [tuple(row) for row in rows] == [("r1", True), ("r2", False), ("r3", True)]


async def test_there_is_no_way_back_while_a_draw_is_ready(db: asyncpg.Connection) -> None:
    await keep(db, records.closed())
    await upgrade()
    await db.execute("UPDATE draws SET status = 'READY', public = '', \"readyAt\" = now()")
    with pytest.raises(Exception, match="a draw is READY"):
        await downgrade(BEFORE)
    assert await db.fetchval("SELECT status FROM draws") == "READY"


async def test_a_new_draw_survives_the_way_back(db: asyncpg.Connection) -> None:
    await keep(db, records.closed())
    await upgrade()
    await draw(await staff_membership("r1"), 1, text=None, signature=None)
    winners = await db.fetchval("SELECT winners FROM draws")
    await downgrade(BEFORE)
    rows = await db.fetch("SELECT status, winners FROM draws")
    assert [tuple(row) for row in rows] == [("DRAWN", winners)]
