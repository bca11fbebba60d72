"""An organizer, and an address, have so many mails in a window; what is more waits."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchrow, fetchval
from app.mails import limits
from app.settings import MailServer, Settings
from tests import factories
from tests.mails.conftest import come_again, send, told, win
from tests.mails.server import Mailbox
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow an organizer five mails a day, and an address two."""
    few = Settings(MAIL_LIMIT_ORGANIZER="5/day", MAIL_LIMIT_ADDRESS="2/day")
    monkeypatch.setattr(limits, "settings", lambda: few)


async def win_times(room: Any, count: int, *, name: str = "p") -> None:
    for n in range(count):
        await win(room, email=f"{name}{n}@example.org")


async def waiting() -> list[asyncpg.Record]:
    return [*await fetch("SELECT * FROM mails WHERE status = 'PENDING'")]


async def test_all_rooms_of_an_organizer_count_together(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, room: asyncpg.Record
) -> None:
    organizer = {"id": room["createdBy"]}
    second = await factories.room(organizer)  # type: ignore[arg-type] # its id is enough
    await win_times(room, 4, name="a")
    await win_times(second, 4, name="b")
    await win_times(await factories.room(), 4, name="c")
    await told(connection)

    assert await send(connection, server) == 5 + 4

    assert len([each for each in mailbox.recipients if each.startswith("c")]) == 4
    left = await waiting()
    assert len(left) == 3
    for each in left:
        assert (each["attempts"], each["recipient"], each["countedAt"]) == (0, None, None)
        assert each["chargedTo"] == organizer["id"]
        assert each["nextAttemptAt"] > factories.now() + timedelta(minutes=50)
        assert "MAIL_LIMIT_ORGANIZER" in each["lastError"]
    await come_again()
    assert await send(connection, server) == 0, "the window has not moved"
    await fetch("UPDATE mails SET \"countedAt\" = now() - interval '25 hours' WHERE id <> ''")
    await come_again()
    assert await send(connection, server) == 3
    assert await waiting() == []


async def test_an_address_gets_no_flood_whoever_makes_it(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer
) -> None:
    anna = await factories.user(email="anna@example.org")
    for _ in range(4):
        room = await factories.room()
        await win(room, participant=await factories.participant(room["id"], anna["id"]))
    await told(connection)
    assert await send(connection, server) == 2
    assert mailbox.recipients == ["anna@example.org"] * 2
    assert ["MAIL_LIMIT_ADDRESS" in each["lastError"] for each in await waiting()] == [True] * 2


async def test_what_is_tried_again_counts_once(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, room: asyncpg.Record
) -> None:
    await win_times(room, 5)
    await told(connection)
    mailbox.greylists = True
    assert await send(connection, server) == 0
    await come_again()
    assert await send(connection, server) == 5


async def test_what_is_not_sent_for_want_of_a_reason_does_not_count(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, room: asyncpg.Record
) -> None:
    await win_times(room, 5)
    await fetch('UPDATE winners SET "deletedAt" = now()')
    await told(connection)
    await win_times(room, 5, name="q")
    await told(connection)
    await send(connection, server)
    assert len(mailbox.mails) == 5


async def test_who_is_erased_after_each_mail_still_counts(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    room: asyncpg.Record,
) -> None:
    """Else an organizer writes to a stranger without end: bring in, send, erase, and again."""
    organizer = await fetchrow("SELECT * FROM users WHERE id = $1", room["createdBy"])
    headers = await factories.bearer(organizer)
    url = f"/api/v1/rooms/{room['id']}/participants"
    for _ in range(4):
        added = await client.post(url, headers=headers, json={"email": "anna@example.org"})
        await told(connection)
        await send(connection, server)
        seat = f"{url}/{added.json()['data']['id']}"
        erased = await client.delete(seat, headers=headers, params={"erase": True})
        assert erased.status_code == 200
        shown = await fetch("SELECT id FROM mails m WHERE strpos(m::text, 'anna') > 0")
        assert shown == []
    assert mailbox.recipients == ["anna@example.org"] * 2


async def test_two_senders_let_no_more_through_than_one(
    database: str,
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    room: asyncpg.Record,
) -> None:
    await win_times(room, 24)
    await told(connection)
    other, third = await asyncpg.connect(database), await asyncpg.connect(database)
    async with third.transaction():
        await third.execute("SELECT pg_advisory_xact_lock($1)", limits.LOCK)
        sending = [asyncio.create_task(send(each, server)) for each in (connection, other)]

        async def both_wait() -> bool:
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            return bool(await fetchval(waiting) == 2)

        await eventually(both_wait)
    done = await asyncio.gather(*sending)
    assert sum(done) == len(mailbox.mails) == 5
    await other.close()
    await third.close()


async def test_without_the_lock_they_would(
    database: str,
    connection: asyncpg.Connection,
    room: asyncpg.Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await win_times(room, 10)
    ids = [each["id"] for each in await told(connection)]
    monkeypatch.setattr(limits, "LOCK", 1)
    first = await limits.let_through(connection, {id_: f"{id_}@example.org" for id_ in ids[:5]})
    await fetch('UPDATE mails SET "countedAt" = NULL')
    other = await asyncpg.connect(database)
    async with other.transaction():
        monkeypatch.setattr(limits, "LOCK", 2)
        await limits.let_through(other, {id_: f"{id_}@example.org" for id_ in ids[:5]})
        monkeypatch.setattr(limits, "LOCK", 3)
        second = await limits.let_through(connection, {id_: f"{id_}@x.org" for id_ in ids[5:]})
    await other.close()
    assert len(first) == len(second) == 5
    assert await fetchval('SELECT count(*) FROM mails WHERE "countedAt" IS NOT NULL') == 10


async def test_what_counts_is_found_by_indexes(
    connection: asyncpg.Connection, room: asyncpg.Record
) -> None:
    async with connection.transaction():
        await connection.execute(
            'INSERT INTO mails (id, kind, "roomId", cause, language, status, recipient, '
            '"sentAt", "chargedTo", "countedAt") '
            "SELECT n, 'you-won', $1, n, 'en', 'SENT', n % 5000, now(), n % 5000, now() "
            "FROM generate_series(1, 20000) n",
            room["id"],
        )
        await connection.execute("ANALYZE mails")
        plan = await connection.fetch(
            f"EXPLAIN {limits._LET_THROUGH}",
            ["1"],
            ["anna@example.org"],
            *(5, timedelta(days=1), 5, timedelta(days=1), timedelta(hours=1)),
        )
    text = "\n".join(line[0] for line in plan)
    assert "mails_chargedTo_countedAt_idx" in text
    assert "mails_recipient_countedAt_idx" in text
    assert "Seq Scan on mails" not in text
    await fetch("DELETE FROM mails")
