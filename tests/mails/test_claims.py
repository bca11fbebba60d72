"""Who has to claim a win is reminded once, and told what others, or the time, made of it."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.claims.service import expire
from app.database.engine import fetch, fetchval
from app.mails.queueing import YOU_WON
from app.mails.reminding import LONGEST_BEFORE, SHORTEST, count_unreminded, remind
from app.mails.stops import Stop, stop
from app.settings import Environment, Language, MailServer, Settings
from app.tables import MailStatus
from tasks import mails
from tests import factories
from tests.answers import Headers
from tests.mails.conftest import send, told
from tests.mails.server import Mailbox

SETTLED = """UPDATE winners SET "claimSettledAt" = now(), "claimSettledBy" = 'WINNER',
    "claimStatus" ="""


async def pending(
    room: asyncpg.Record, *, hours: float = 100, left: float = 20, **values: Any
) -> asyncpg.Record:
    """Let Anna win what has to be claimed within so many hours, of which some are left."""
    participant = values.pop("participant", None) or await factories.participant(
        room["id"], (await factories.user(email="anna@example.org", name="Anna"))["id"]
    )
    prize = await factories.prize(room["id"], claim='{"within": "P7D"}', quantityRemaining=0)
    by = factories.now() + timedelta(hours=left)
    claim = {"claimStatus": "PENDING", "claimBy": by, "createdAt": by - timedelta(hours=hours)}
    return await factories.winner(room["id"], participant["id"], prize["id"], **claim | values)


@pytest.fixture
def post_office(mailbox: Mailbox, server: MailServer) -> tuple[Mailbox, MailServer]:
    return mailbox, server


async def reminded(connection: asyncpg.Connection) -> int:
    return await remind(connection, MailStatus.PENDING, Language.EN)


async def test_who_has_not_answered_is_reminded_once(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, room: asyncpg.Record
) -> None:
    await pending(room)
    assert [await reminded(connection) for _ in range(2)] == [1, 0]
    assert await send(connection, server) == 1
    assert await reminded(connection) == 0

    (mail,) = mailbox.mails
    assert (mail["To"], mail["Subject"]) == ("anna@example.org", "Do you take it? Headphones")
    part = mail.get_body(("plain",))
    assert part is not None
    assert f"/join?room={room['id']}" in part.get_content()
    assert "reminder" in mail["List-Unsubscribe"]
    row = await fetchval("SELECT \"chargedTo\" FROM mails WHERE kind = 'reminder'")
    assert row == room["createdBy"]


@pytest.mark.parametrize(
    ("hours", "left", "is_due"),
    [
        (100, 25.1, False),
        (100, 24.9, True),
        (SHORTEST.total_seconds() / 3600 - 0.1, 0.5, False),
        (SHORTEST.total_seconds() / 3600, 0.9, True),
        (8000, LONGEST_BEFORE.total_seconds() / 3600 + 0.1, False),
        (8000, LONGEST_BEFORE.total_seconds() / 3600 - 0.1, True),
        (100, -0.1, False),
    ],
)
async def test_when_it_is_time(
    connection: asyncpg.Connection,
    room: asyncpg.Record,
    hours: float,
    left: float,
    *,
    is_due: bool,
) -> None:
    await pending(room, hours=hours, left=left)
    assert await count_unreminded(connection) == is_due
    assert await reminded(connection) == is_due


@pytest.mark.parametrize(
    "change",
    [
        'UPDATE rooms SET "sendsMail" = false',
        'UPDATE rooms SET "deletedAt" = now()',
        'UPDATE winners SET "deletedAt" = now()',
        f"{SETTLED} 'CONFIRMED'",
        f"{SETTLED} 'DECLINED', \"deletedAt\" = now()",
    ],
)
async def test_nobody_is_reminded_of_what_is_over_before_or_after_it_is_written(
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    room: asyncpg.Record,
    change: str,
) -> None:
    await pending(room)
    await reminded(connection)
    await fetch(change)
    assert await send(connection, server) == 1
    assert mailbox.mails == []
    assert await fetchval("SELECT \"lastError\" FROM mails WHERE status = 'DROPPED'")
    await fetch("DELETE FROM mails")
    assert await reminded(connection) == 0


async def test_two_jobs_at_once_remind_once(
    database: str, connection: asyncpg.Connection, room: asyncpg.Record
) -> None:
    for n in range(50):
        person = await factories.expected(room["id"], f"p{n}@example.org")
        await pending(room, participant=person)
    other = await asyncpg.connect(database)
    done = await asyncio.gather(reminded(connection), reminded(other))
    await other.close()
    assert sum(done) == await fetchval("SELECT count(*) FROM mails") == 50


async def test_who_wants_no_reminders_gets_none_and_is_told_of_wins(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, room: asyncpg.Record
) -> None:
    await pending(room)
    await told(connection)
    await reminded(connection)
    await stop(Stop.of("en", "reminder", "anna@example.org"))
    assert await send(connection, server) == 2
    assert [mail["Subject"] for mail in mailbox.mails] == ["You have won: Headphones"]


async def test_the_job_reminds_where_mails_are_written(
    connection: asyncpg.Connection, room: asyncpg.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pending(room)
    now, job = factories.now(), mails.DueReminders()
    production = Settings(ENVIRONMENT=Environment.PRODUCTION)
    for current, done in (production, []), (Settings(MAIL_LANGUAGE=Language.RU), [1]):
        monkeypatch.setattr(mails, "settings", lambda current=current: current)
        assert await job.count(connection, now) == sum(done)
        assert [n async for n in job.batches(connection, now)] == done
    row = await connection.fetchrow("SELECT status, language FROM mails")
    assert row is not None
    assert tuple(row) == ("KEPT", "ru")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("claim", ("It is yours: Headphones", "has noted for you that you take")),
        ("decline", ("No longer yours: Headphones", "If that was not your wish")),
    ],
)
async def test_who_settles_for_the_winner_has_them_told(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    post_office: tuple[Mailbox, MailServer],
    room: asyncpg.Record,
    headers: Headers,
    what: str,
    said: tuple[str, str],
) -> None:
    mailbox, server = post_office
    win = await pending(room)
    await told(connection)
    await send(connection, server)
    path = f"/api/v1/rooms/{room['id']}/winners/{win['id']}/{what}"
    assert (await client.post(path, headers=headers)).status_code == 200
    assert [mail["kind"] for mail in await told(connection)] == [YOU_WON, "decision"]

    assert await send(connection, server) == 1
    mail = mailbox.mails[-1]
    subject, sentence = said
    assert (mail["To"], mail["Subject"]) == ("anna@example.org", subject)
    for kind in "plain", "html":
        part = mail.get_body((kind,))
        assert part is not None
        assert sentence in part.get_content()


@pytest.mark.parametrize("what", ["claim", "decline"])
async def test_who_settled_it_themselves_is_told_nothing(
    client: httpx.AsyncClient, connection: asyncpg.Connection, room: asyncpg.Record, what: str
) -> None:
    anna = await factories.user(email="anna@example.org")
    win = await pending(room, participant=await factories.participant(room["id"], anna["id"]))
    path = f"/api/v1/rooms/{room['id']}/winners/{win['id']}/{what}"
    await told(connection)
    assert (await client.post(path, headers=await factories.bearer(anna))).status_code == 200
    assert [mail["kind"] for mail in await told(connection)] == [YOU_WON]


async def test_whose_time_is_over_is_told_and_who_is_next_has_won(
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    room: asyncpg.Record,
    client: httpx.AsyncClient,
    headers: Headers,
) -> None:
    for name in "anna", "boris":
        await factories.expected(room["id"], f"{name}@example.org")
    await fetch("DELETE FROM outbox")
    prize = await factories.prize(room["id"], 1, name="Skis", claim='{"within": "PT1M"}')
    body = {"immediate": True, "alternates": 1}
    drawn = await client.post(f"/api/v1/rooms/{room['id']}/draws", json=body, headers=headers)
    assert drawn.status_code == 201, drawn.text
    await told(connection)
    await send(connection, server)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("UPDATE winners SET \"claimBy\" = now() - interval '1 s'")
    assert await expire(prize["id"]) == 1

    await told(connection)
    assert await send(connection, server) == 2
    subjects = {mail["To"]: mail["Subject"] for mail in mailbox.mails[1:]}
    first = mailbox.mails[0]["To"]
    assert subjects.pop(first) == "No longer yours: Skis"
    assert [*subjects.values()] == ["You have won: Skis"]
    of_first = next(mail for mail in mailbox.mails[1:] if mail["To"] == first)
    part = of_first.get_body(("plain",))
    assert part is not None
    assert "the next in line has it now" in part.get_content()
    assert "/draws/1" in part.get_content()


async def test_a_confirmation_that_was_revoked_meanwhile_is_told_to_nobody(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    room: asyncpg.Record,
    headers: Headers,
) -> None:
    win = await pending(room)
    path = f"/api/v1/rooms/{room['id']}/winners/{win['id']}"
    await client.post(f"{path}/claim", headers=headers)
    await told(connection)
    assert (await client.delete(path, headers=headers)).status_code == 200
    assert await send(connection, server) == 2
    assert mailbox.mails == []
