"""Mails that are due."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

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
