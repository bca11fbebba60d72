"""Mails reach a real mail server, whatever it does to them: each at least once, none in vain."""

import asyncio
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.database.engine import DB, fetch, fetchval
from app.mails import delivering, sending
from app.mails.composing import compose
from app.mails.delivering import CONNECTIONS, ServerRefuses
from app.mails.reading import Letter
from app.mails.sending import pause_after, send_due
from app.mails.stops import Stop, stop
from app.mails.waiting import check_mails
from app.settings import MailServer, MailTls, Settings
from tasks import mails
from tasks.schedule import JOBS
from tests import factories
from tests.mails.conftest import come_again, one, send, told, win
from tests.mails.server import PASSWORD, USER, Mailbox, certify, receiving
from tests.mails.test_queueing import thousand_winners


@pytest.fixture
async def mail(connection: asyncpg.Connection, room: asyncpg.Record) -> str:
    """Let Anna win, and return the id of her mail."""
    await win(room, email="anna@example.org", name="Anna")
    (mail,) = await told(connection)
    id_: str = mail["id"]
    return id_


async def test_a_mail_is_sent_once(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, mail: str
) -> None:
    assert await send(connection, server) == 1
    assert await send(connection, server) == 0

    assert mailbox.recipients == ["anna@example.org"]
    assert mailbox.message_ids == [f"<{mail}@127.0.0.1>"]
    assert (await one("status"), await one("recipient")) == ("SENT", "anna@example.org")
    assert await one("sentAt") is not None


async def test_a_thousand_are_sent_over_a_few_connections(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, room: asyncpg.Record
) -> None:
    await thousand_winners(room)
    await told(connection)
    assert await send(connection, server) == 1000
    assert sorted(mailbox.recipients) == sorted(f"p{n}@example.org" for n in range(1, 1001))
    assert len(set(mailbox.message_ids)) == 1000
    assert len(mailbox.sessions) <= CONNECTIONS


async def test_two_senders_at_once_send_each_once(
    database: str,
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    room: asyncpg.Record,
) -> None:
    for n in range(100):
        await win(room, email=f"p{n}@example.org")
    await told(connection)
    other = await asyncpg.connect(database)

    done = await asyncio.gather(send(connection, server), send(other, server))

    await other.close()
    assert sum(done) == len(mailbox.mails) == len(set(mailbox.recipients)) == 100
    assert min(done) > 0


async def test_greylisting_is_waited_for(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, mail: str
) -> None:
    mailbox.greylists = True
    assert await send(connection, server) == 0
    assert (await one("status"), await one("attempts")) == ("PENDING", 1)
    assert await one("lastError") == "451 4.7.1 Greylisted, come again"
    assert await fetchval("SELECT \"nextAttemptAt\" > now() + interval '50 s' FROM mails")
    assert await send(connection, server) == 0, "not due yet"
    await come_again()

    assert await send(connection, server) == 1
    assert mailbox.message_ids == [f"<{mail}@127.0.0.1>"]
    assert (await one("status"), await one("lastError")) == ("SENT", None)


async def test_a_refusal_for_good_is_kept_and_stops_no_other(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, room: asyncpg.Record
) -> None:
    for name in ("anna", "boris", "clara"):
        await win(room, email=f"{name}@example.org")
    await told(connection)
    mailbox.refused["boris@example.org"] = "550 5.1.1 No such person\x07 here"

    assert await send(connection, server) == 3

    assert sorted(mailbox.recipients) == ["anna@example.org", "clara@example.org"]
    (failed,) = await fetch("SELECT * FROM mails WHERE status = 'FAILED'")
    assert failed["recipient"] == "boris@example.org"
    assert failed["lastError"].startswith("550 5.1.1 No such person")
    assert failed["lastError"].isprintable()


@pytest.mark.usefixtures("mail")
async def test_an_answer_to_the_text_counts_too(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer
) -> None:
    mailbox.data_answers = ["452 Full", "554 Spam"]
    await send(connection, server)
    assert (await one("status"), await one("lastError")) == ("PENDING", "452 Full")
    await come_again()
    await send(connection, server)
    assert (await one("status"), await one("lastError")) == ("FAILED", "554 Spam")


async def test_a_server_that_goes_in_the_middle_of_a_mail_gets_it_again(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, mail: str
) -> None:
    mailbox.cuts = 1
    await send(connection, server)
    assert (await one("status"), await one("attempts")) == ("PENDING", 1)
    await come_again()
    await send(connection, server)
    assert mailbox.message_ids == [f"<{mail}@127.0.0.1>"]
    assert await one("status") == "SENT"


async def test_a_server_that_does_not_answer_is_given_up_and_asked_again(
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    mail: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivering, "ANSWER_SECONDS", 0.3)
    mailbox.hangs = True
    await send(connection, server)
    assert await one("status") == "PENDING"
    assert "Timeout" in await one("lastError")
    mailbox.hangs = False
    await come_again()
    await send(connection, server)
    assert mailbox.message_ids == [f"<{mail}@127.0.0.1>"] * 2, "it had been taken"
    assert await one("status") == "SENT"


async def test_who_dies_before_it_is_recorded_leaves_it_to_be_sent_again_as_the_same(
    database: str,
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    mail: str,
) -> None:
    mailbox.hangs = True
    doomed = await asyncpg.connect(database)
    sender = asyncio.create_task(send(doomed, server))
    await mailbox.taken.wait()
    doomed.terminate()
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)
    mailbox.hangs = False

    assert await send(connection, server) == 0, "it is claimed for a while"
    await come_again()
    assert await send(connection, server) == 1
    assert mailbox.message_ids == [f"<{mail}@127.0.0.1>"] * 2


@pytest.mark.usefixtures("mail")
async def test_while_a_mail_is_sent_no_transaction_is_open(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer
) -> None:
    mailbox.hangs = True
    sender = asyncio.create_task(send(connection, server))
    await mailbox.taken.wait()
    pid = connection.get_server_pid()
    assert await fetchval("SELECT state FROM pg_stat_activity WHERE pid = $1", pid) == "idle"
    assert DB.pool is not None
    assert DB.pool.get_size() == DB.pool.get_idle_size()
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)


@pytest.mark.parametrize("fault", ["nobody there", "sender", "sign-in"])
async def test_a_server_that_takes_nothing_costs_no_mail_an_attempt(
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    room: asyncpg.Record,
    fault: str,
) -> None:
    for n in range(30):
        await win(room, email=f"p{n}@example.org")
    before = [dict(mail) for mail in await told(connection)]
    asked = server
    if fault == "nobody there":
        async with receiving(Mailbox()) as gone:
            asked = gone
    elif fault == "sender":
        mailbox.sender_answer = "550 5.7.1 Not from you"
    else:
        asked = MailServer("127.0.0.1", server.port, MailTls.NONE, USER, "wrong")

    with pytest.raises(ServerRefuses):
        await send(connection, asked)

    assert [dict(mail) for mail in await told(connection)] == before
    mailbox.sender_answer = None
    assert await send(connection, server) == 30


@pytest.mark.usefixtures("mail")
async def test_mails_that_wait_for_the_server_are_told_by_the_health_check() -> None:
    assert await check_mails() is None
    await fetch("UPDATE mails SET \"nextAttemptAt\" = now() - interval '20 min'")
    assert await check_mails() == "mails have been due for 20 minutes"


@pytest.mark.usefixtures("mail")
async def test_starttls_and_the_password_are_used(
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context, trusted = certify(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    options: dict[str, Any] = {"tls_context": context, "require_starttls": True}
    signed_in: dict[str, Any] = {"auth_required": True, "authenticator": mailbox.authenticate}
    async with receiving(mailbox, **options, **signed_in) as server:
        with pytest.raises(ServerRefuses):
            await send(connection, MailServer(server.host, server.port, MailTls.NONE))
        with pytest.raises(ServerRefuses, match="535"):
            await send(connection, MailServer(server.host, server.port, server.tls, USER, "wrong"))
        right = MailServer(server.host, server.port, server.tls, USER, PASSWORD)
        assert await send(connection, right) == 1
    assert mailbox.with_tls == [True]


@pytest.mark.usefixtures("mail")
async def test_smtps_is_used(
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context, trusted = certify(tmp_path)
    async with receiving(mailbox, implicit_tls=context) as server:
        with pytest.raises(ServerRefuses, match="CERTIFICATE_VERIFY_FAILED"):
            await send(connection, server)
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        assert await send(connection, server) == 1
    assert mailbox.recipients == ["anna@example.org"]


@pytest.mark.usefixtures("mail")
async def test_a_server_without_starttls_gets_nothing_where_it_is_wanted(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer
) -> None:
    with pytest.raises(ServerRefuses, match="STARTTLS"):
        await send(connection, MailServer(server.host, server.port, MailTls.STARTTLS))
    assert mailbox.mails == []


NEEDLESS = {
    "revoked": 'UPDATE winners SET "deletedAt" = now()',
    "revoked for good": "DELETE FROM winners",
    "room deleted": 'UPDATE rooms SET "deletedAt" = now()',
    "room sends none": 'UPDATE rooms SET "sendsMail" = false',
    "address not verified": 'UPDATE users SET "emailVerified" = NULL',
    "account deleted": 'UPDATE users SET "deletedAt" = now()',
}


@pytest.mark.parametrize("change", NEEDLESS.values(), ids=NEEDLESS)
@pytest.mark.usefixtures("mail")
async def test_what_there_is_no_reason_for_any_more_is_not_sent(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, change: str
) -> None:
    await fetch(change)
    assert await send(connection, server) == 1
    assert mailbox.mails == []
    assert await one("status") == "DROPPED"
    assert await one("lastError")


async def test_who_wants_none_gets_none_at_that_address_alone(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, room: asyncpg.Record
) -> None:
    await win(room, email="anna@example.org")
    await win(room, email="boris@example.org")
    await told(connection)
    await stop(Stop.of("en", "you-won", "anna@example.org"))
    assert await send(connection, server) == 2
    assert mailbox.recipients == ["boris@example.org"]


async def test_who_has_no_account_is_written_to_where_they_were_brought_in(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, room: asyncpg.Record
) -> None:
    guest = await factories.insert(
        "participants",
        id="guest",
        roomId=room["id"],
        email="почта@xn--e1afmkfd.xn--p1ai",
        name="Гость",
        updatedAt=factories.now(),
    )
    await win(room, participant=guest)
    await told(connection)
    assert await send(connection, server) == 2
    assert mailbox.recipients == ["почта@xn--e1afmkfd.xn--p1ai"] * 2
    subjects = {mail["Subject"] for mail in mailbox.mails}
    assert subjects == {"You have won: Headphones", "You are invited: New Year Lottery"}
    for mail in mailbox.mails:
        part = mail.get_body(("plain",))
        assert part is not None
        assert "Hello Гость," in part.get_content()


@pytest.mark.usefixtures("mail")
async def test_what_was_not_sent_in_three_days_is_given_up(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer
) -> None:
    await fetch(
        "UPDATE mails SET \"createdAt\" = now() - interval '73 hours', \"lastError\" = '451 Later'"
    )
    assert await send(connection, server) == 0
    assert mailbox.mails == []
    assert await one("status") == "FAILED"
    assert await one("lastError") == "Not sent in three days. 451 Later"


def test_pauses_grow_up_to_a_bound() -> None:
    minutes = [pause_after(attempts).total_seconds() / 60 for attempts in range(1, 11)]
    assert minutes == [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]


async def test_closing_the_sender_gives_back_what_it_did_not_try(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer, room: asyncpg.Record
) -> None:
    for n in range(30):
        await win(room, email=f"p{n}@example.org")
    await told(connection)
    mailbox.hangs = True
    sender = asyncio.create_task(anext(send_due(connection, server)))
    await mailbox.taken.wait()
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)

    tried = await fetchval("SELECT count(*) FROM mails WHERE attempts = 1")
    assert 1 <= tried <= CONNECTIONS
    assert await fetchval("SELECT count(*) FROM mails WHERE attempts = 0") == 30 - tried


@pytest.mark.usefixtures("mail")
async def test_the_job_sends_by_the_settings(
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = Settings(MAIL_URL=f"smtp://127.0.0.1:{server.port}")
    monkeypatch.setattr(mails, "settings", lambda: there)
    now = factories.now()
    assert await mails.DueMails().count(connection, now) == 1
    assert [done async for done in mails.DueMails().batches(connection, now)] == [1]
    assert mailbox.recipients == ["anna@example.org"]
    assert await mails.DueMails().count(connection, now) == 0


@pytest.mark.usefixtures("mail")
async def test_what_became_of_mails_is_forgotten_after_a_month(
    connection: asyncpg.Connection,
) -> None:
    (step,) = next(job.steps for job in JOBS if job.name == "cleanup-mails")

    async def forgotten(days: int) -> int:
        await fetch('UPDATE mails SET "createdAt" = now() - make_interval(days => $1)', days)
        expected = await step.count(connection, factories.now())
        done = sum([n async for n in step.batches(connection, factories.now())])
        assert done == expected
        return done

    assert [await forgotten(days) for days in (29, 31)] == [0, 1]


async def test_a_mail_that_cant_be_written_keeps_no_other_from_being_sent(
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    room: asyncpg.Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for n in range(CONNECTIONS * 2):
        await win(room, email=f"p{n}@example.org", prize="Skis" if n else "Bad")
    await told(connection)

    def compose_some(letter: Letter) -> EmailMessage:
        if letter.prize == "Bad":
            raise ValueError("no such thing")
        return compose(letter)

    monkeypatch.setattr(sending, "compose", compose_some)
    assert await send(connection, server) == CONNECTIONS * 2 - 1
    assert len(mailbox.mails) == CONNECTIONS * 2 - 1
    (left,) = await fetch("SELECT * FROM mails WHERE status = 'PENDING'")
    assert left["lastError"] == "ValueError('no such thing')"


@pytest.mark.parametrize(
    "address",
    ["a..b@docomo.example", ".a.@example.org", "{x|y}`~@example.org", "o'neil+x@example.org"],
)
async def test_unusual_addresses_are_reached(
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    room: asyncpg.Record,
    address: str,
) -> None:
    await win(room, email=address)
    await told(connection)
    assert await send(connection, server) == 1
    assert mailbox.recipients == [address]
