"""A room with something to win, and a mail server."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from app.database.engine import fetch, fetchval
from app.events import mover
from app.events.mover import MOST_AT_ONCE, move
from app.mails import composing
from app.mails.sending import send_due
from app.settings import MailServer, Settings
from tests import factories
from tests.mails.server import Mailbox, receiving

WITH_MAIL = Settings(MAIL_URL="smtp://127.0.0.1", MAIL_FROM="Prizes <prizes@example.org>")


@pytest.fixture(autouse=True)
def with_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be a mail server, by the settings."""
    for module in (mover, composing):
        monkeypatch.setattr(module, "settings", lambda: WITH_MAIL)


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect to the database of the test, beside the pool."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
def mailbox() -> Mailbox:
    """Return what the mail server does, and what it got."""
    return Mailbox()


@pytest.fixture
async def server(mailbox: Mailbox) -> AsyncIterator[MailServer]:
    """Run the mail server."""
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    async with receiving(mailbox) as server:
        yield server


async def win(room: asyncpg.Record, *, prize: str = "Headphones", **person: Any) -> str:
    """Let somebody win something, and return the id of the win."""
    participant = person.pop("participant", None) or await factories.participant(
        room["id"], (await factories.user(**person))["id"]
    )
    won = await factories.prize(room["id"], 1, name=prize, quantityRemaining=0)
    winner = await factories.winner(room["id"], participant["id"], won["id"])
    id_: str = winner["id"]
    return id_


async def told(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """Move all that was told, and return all mails."""
    while len(await move(connection)) == MOST_AT_ONCE:
        pass
    return [*await fetch('SELECT * FROM mails ORDER BY "createdAt", id')]


async def send(connection: asyncpg.Connection, server: MailServer) -> int:
    """Send what is due, and return how much of it is done with."""
    return sum([done async for done in send_due(connection, server)])


async def come_again() -> None:
    """Let the time of the next attempts come."""
    await fetch("UPDATE mails SET \"nextAttemptAt\" = now() WHERE status = 'PENDING'")


async def one(column: str) -> Any:
    """Return a value of the only mail."""
    return await fetchval(f'SELECT "{column}" FROM mails')
