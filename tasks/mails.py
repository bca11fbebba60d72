"""Mails that are due, and those that have to be written for the time alone."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

from app.mails.queueing import status_of_new
from app.mails.reminding import count_unreminded, remind
from app.mails.sending import count_due, send_due
from app.settings import settings
from tasks.steps import Connection


@dataclass(frozen=True)
class DueMails:
    """Sends mails, by the database's clock."""

    async def count(self, connection: Connection, now: datetime) -> int:  # noqa: ARG002 - as every step
        """Return how many are due."""
        return await count_due(connection)

    async def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:  # noqa: ARG002 - as every step
        """Send them.

        Raises:
            ServiceUnavailable: The mail server takes none; they wait.
        """
        server = settings().mail_server
        if server is not None:
            async for done in send_due(connection, server):
                yield done


@dataclass(frozen=True)
class DueReminders:
    """Writes to winners who have not said whether they take it, by the database's clock."""

    async def count(self, connection: Connection, now: datetime) -> int:  # noqa: ARG002 - as every step
        """Return how many there are; none, if no mails are written."""
        return await count_unreminded(connection) if status_of_new(settings()) else 0

    async def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:  # noqa: ARG002 - as every step
        """Write them down; `send-mails` sends them."""
        status = status_of_new(settings())
        while status and (written := await remind(connection, status, settings().MAIL_LANGUAGE)):
            yield written
