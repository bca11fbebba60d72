"""What others may have done with an account is told to its person, and floods nobody."""

import asyncpg
import pytest

from app.auth.people import Identity, _person
from app.auth.sessions import end_sessions, revoke_person
from app.database.engine import fetch, fetchval, transaction
from app.mails.composing import compose
from app.mails.reading import CONTENTS, Letter, letters_of
from app.settings import MailServer
from app.users.erasing import erase_user
from tests import factories
from tests.mails.conftest import send, told
from tests.mails.server import Mailbox

ANNA = "anna@example.org"


async def end(user: asyncpg.Record, by: str | None) -> None:
    await factories.session(user["id"])
    if by is None:
        await end_sessions(user["id"], reason="refresh token reused")
    else:
        await revoke_person(user["id"], revoked_by=by, reason="lost")


@pytest.mark.parametrize(
    ("by", "subject"), [(None, "A device was signed out"), ("root", "You were signed out")]
)
async def test_whose_sessions_others_end_is_told_once_a_day(
    connection: asyncpg.Connection,
    mailbox: Mailbox,
    server: MailServer,
    by: str | None,
    subject: str,
) -> None:
    anna = await factories.user(email=ANNA)
    for _ in range(3):
        await end(anna, by)
        await told(connection)
        await send(connection, server)
    (mail,) = mailbox.mails
    assert (mail["To"], mail["Subject"]) == (ANNA, subject)
    assert mail["List-Unsubscribe"] is None
    assert await fetchval("SELECT count(*) FROM outbox") == 0

    await fetch("UPDATE mails SET \"createdAt\" = now() - interval '25 hours'")
    await end(anna, by)
    await told(connection)
    await send(connection, server)
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == 2
    await erase_user(anna["id"], by="test")
    assert await fetchval("SELECT count(*) FROM mails") == 0


async def test_who_ends_their_own_sessions_is_told_nothing(
    connection: asyncpg.Connection,
) -> None:
    anna = await factories.user(email=ANNA)
    await factories.session(anna["id"])
    await end_sessions(anna["id"], reason="ended", revoked_by=anna["id"])
    assert await told(connection) == []


async def test_a_provider_that_is_linked_is_told_once_and_a_first_one_is_not(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer
) -> None:
    async def come(provider: str) -> None:
        identity = Identity(provider, "1", ANNA, True, "Anna", None)  # noqa: FBT003 - verified
        async with transaction():
            await _person(identity)

    for provider in ("google", "corporate", "corporate"):
        await come(provider)
        await told(connection)
    await send(connection, server)
    (mail,) = mailbox.mails
    part = mail.get_body(("plain",))
    assert part is not None
    assert (mail["To"], mail["Subject"]) == (ANNA, "A new way to sign in to your account")
    assert "with Corporate" in part.get_content()


async def test_a_deleted_account_is_written_to_by_nobody(
    connection: asyncpg.Connection, mailbox: Mailbox, server: MailServer
) -> None:
    anna = await factories.user(email=ANNA)
    await end(anna, None)
    await told(connection)
    await fetch('UPDATE users SET "deletedAt" = now()')
    await send(connection, server)
    assert mailbox.mails == []
    assert await fetchval("SELECT status FROM mails") == "DROPPED"


async def test_notices_are_written_in_russian_too(connection: asyncpg.Connection) -> None:
    anna = await factories.user(email=ANNA, name="Анна")
    await end(anna, "root")
    await told(connection)
    await fetch("UPDATE mails SET language = 'ru'")
    (letter,) = letters_of(await connection.fetch(CONTENTS)).values()
    assert isinstance(letter, Letter)
    assert compose(letter)["Subject"] == "Выполнен выход из Вашей учётной записи"
