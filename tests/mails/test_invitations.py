"""Who is brought in by an address is written to there, once, whoever it is."""

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchrow, fetchval
from app.mails.composing import compose
from app.mails.reading import CONTENTS, Letter, letters_of
from app.mails.stops import Stop, stop
from app.settings import Language, MailServer
from tests import factories
from tests.answers import Headers
from tests.mails.conftest import one, send, told
from tests.mails.server import Mailbox
from tests.mails.test_composing import HOSTILE, Page, letter, sent, text_of


async def bring_in(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers, *addresses: str
) -> None:
    lines = [{"email": address, "name": "Anna"} for address in addresses]
    done = await client.post(
        f"/api/v1/rooms/{room['id']}/participants/bulk",
        json={"participants": lines},
        headers=headers,
    )
    assert done.json()["data"]["failed"] == 0


@pytest.mark.parametrize("has_account", [False, True])
async def test_who_is_brought_in_by_an_address_is_told_where_to_sign_in(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    room: asyncpg.Record,
    headers: Headers,
    *,
    has_account: bool,
) -> None:
    if has_account:
        await factories.user(email="anna@example.org", name="Known")
    await fetch("UPDATE users SET name = 'Olga' WHERE id = $1", room["createdBy"])
    added = await client.post(
        f"/api/v1/rooms/{room['id']}/participants",
        json={"email": "Anna@example.org", "name": "Anna"},
        headers=headers,
    )
    (row,) = await told(connection)
    assert (row["kind"], row["cause"]) == ("invitation", added.json()["data"]["id"])
    assert row["chargedTo"] == room["createdBy"]
    assert await send(connection, server) == 1

    (mail,) = mailbox.mails
    assert mailbox.recipients == ["anna@example.org"]
    assert mail["Subject"] == "You are invited: New Year Lottery"
    link = f"http://127.0.0.1:8000/join?room={room['id']}"
    unsubscribe = mail["List-Unsubscribe"].removeprefix("<").removesuffix(">")
    assert Page(text_of(mail, "html")).links == [link, unsubscribe]
    for words in (text_of(mail), text_of(mail, "html")):
        assert "Hello Anna," in words
        assert "organized by Olga" in words
    assert link in text_of(mail)


async def test_each_of_an_import_is_written_to_once_and_nobody_else(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    room: asyncpg.Record,
    headers: Headers,
) -> None:
    for place in ("0", "zzz"):
        await factories.expected(room["id"], f"before{place}@example.org")
        await factories.participant(room["id"])
    other = await factories.room()
    await told(connection)
    await fetch("DELETE FROM mails")
    addresses = [f"p{n}@example.org" for n in range(250)]

    await bring_in(client, room, headers, *addresses)
    await bring_in(
        client,
        other,
        await factories.bearer(
            await fetchrow("SELECT * FROM users WHERE id = $1", other["createdBy"])
        ),
        *addresses[:3],
    )
    mails = await told(connection)

    assert len({each["id"] for each in mails}) == 253
    theirs = await fetch("SELECT id FROM participants WHERE email LIKE 'p%' ORDER BY id")
    assert sorted(each["cause"] for each in mails) == [row["id"] for row in theirs]
    await bring_in(client, room, headers, *addresses, "new@example.org")
    assert len(await told(connection)) == 254


async def test_who_left_and_comes_back_is_not_written_to_again(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    room: asyncpg.Record,
    headers: Headers,
) -> None:
    addresses = [f"p{n}@example.org" for n in range(120)]
    await bring_in(client, room, headers, *addresses)
    dropped = (await told(connection))[7]["id"]
    await fetch(
        "UPDATE mails SET status = 'SENT', \"sentAt\" = now(), recipient = 'p' WHERE id <> $1",
        dropped,
    )
    await fetch("UPDATE mails SET status = 'DROPPED' WHERE id = $1", dropped)
    await fetch('UPDATE participants SET "deletedAt" = now() WHERE "userId" IS NULL')
    await bring_in(client, room, headers, *addresses)
    again = [mail["id"] for mail in await told(connection) if mail["status"] == "PENDING"]
    assert again == [dropped], "only who was out when it was to be sent hears of it now"


async def test_who_is_brought_in_by_id_or_into_a_silent_room_is_not_written_to(
    client: httpx.AsyncClient, connection: asyncpg.Connection, headers: Headers
) -> None:
    organizer = await factories.user()
    silent = await factories.room(organizer, sendsMail=False)
    loud = await factories.room(organizer)
    headers = await factories.bearer(organizer)
    await bring_in(client, silent, headers, "anna@example.org")
    added = await client.post(
        f"/api/v1/rooms/{loud['id']}/participants",
        json={"userId": (await factories.user())["id"]},
        headers=headers,
    )
    assert added.status_code == 201
    assert await told(connection) == []


NEEDLESS = {
    "room deleted": 'UPDATE rooms SET "deletedAt" = now()',
    "room closed": "UPDATE rooms SET status = 'COMPLETED'",
    "room sends none": 'UPDATE rooms SET "sendsMail" = false',
    "taken out": "UPDATE participants SET \"deletedAt\" = now() WHERE email = 'anna@example.org'",
    "joined": 'UPDATE participants SET "userId" = u.id FROM users u '
    "WHERE u.email = 'anna@account.example' AND participants.email = 'anna@example.org'",
}


@pytest.mark.parametrize("change", NEEDLESS.values(), ids=NEEDLESS)
async def test_what_there_is_no_reason_for_any_more_is_not_sent(
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    room: asyncpg.Record,
    change: str,
) -> None:
    await factories.user(email="anna@account.example")
    await factories.expected(room["id"], "anna@example.org")
    await told(connection)
    await fetch(change)
    assert await send(connection, server) == 1
    assert (mailbox.mails, await one("status")) == ([], "DROPPED")
    assert await one("lastError")


async def test_who_wants_no_invitations_gets_none_but_hears_of_wins(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    room: asyncpg.Record,
) -> None:
    wish = Stop.of("en", "invitation", "anna@example.org")
    page = await client.get(f"/mails/stop/{wish.token}")
    assert "No more mails when you are invited?" in page.text
    await stop(wish)
    guest = await factories.expected(room["id"], "anna@example.org")
    prize = await factories.prize(room["id"])
    await factories.winner(room["id"], guest["id"], prize["id"])
    await told(connection)
    assert await send(connection, server) == 2
    assert [mail["Subject"] for mail in mailbox.mails] == ["You have won: Headphones"]


@pytest.mark.parametrize("language", Language)
async def test_hostile_names_are_names(
    connection: asyncpg.Connection, room: asyncpg.Record, language: Language
) -> None:
    await connection.execute("UPDATE users SET name = $1", HOSTILE.replace("\x00", "\x01"))
    await connection.execute("UPDATE rooms SET name = $1", HOSTILE.replace("\x00", "\x01"))
    await factories.expected(room["id"], "anna@example.org")
    await told(connection)
    await connection.execute("UPDATE mails SET language = $1", language)
    (found,) = letters_of(await connection.fetch(CONTENTS)).values()
    assert isinstance(found, Letter)
    plain = letter(kind="invitation", organizer="Olga", room_url="http://x.example")
    mail = sent(compose(found))
    assert set(mail.keys()) == set(sent(compose(plain)).keys())
    assert Page(text_of(mail, "html")).tags == Page(text_of(sent(compose(plain)), "html")).tags
    assert "<script" not in text_of(mail, "html")


async def test_a_mail_in_development_is_kept_to_be_looked_at(
    client: httpx.AsyncClient, connection: asyncpg.Connection, room: asyncpg.Record
) -> None:
    await factories.expected(room["id"], "anna@example.org")
    await told(connection)
    listed = await client.get("/dev/mails")
    assert "invitation, New Year Lottery" in listed.text
    html = await client.get(f"/dev/mails/{await fetchval('SELECT id FROM mails')}")
    assert "Hello Expected," in html.text
