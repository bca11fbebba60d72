"""Mails that somebody is waiting for: sent as soon as they are committed, past all others.

The job `send-mails` sends what is left over: when a server died, or the mail server took nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.database.engine import DB
from app.database.listener import CONNECTION_FAULTS
from app.mails.delivering import ServerRefuses
from app.mails.sending import URGENT, send_due
from app.settings import MailServer, settings

logger = logging.getLogger(__name__)


class Courier:
    """This process's sender of urgent mails. One event loop."""

    def __init__(self) -> None:
        """Wait for `run`."""
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """Say that an urgent mail was committed."""
        self._poked.set()

    async def run(self, server: MailServer) -> None:
        """Send whenever there is something, until cancelled."""
        while True:
            await self._poked.wait()
            self._poked.clear()
            try:
                await _send(server)
            except (*CONNECTION_FAULTS, ServerRefuses) as error:
                logger.warning("Urgent mails wait for the next minute: %s", error)
            except Exception:
                logger.exception("Urgent mails wait for the next minute")


async def _send(server: MailServer) -> None:
    """Send over a connection of our own: the mail server may take its time."""
    connection = await DB.get_new_connection()
    try:
        async for _ in send_due(connection, server, URGENT):
            pass
    finally:
        await connection.close()


COURIER = Courier()


@asynccontextmanager
async def sending_at_once() -> AsyncIterator[None]:
    """Send urgent mails as long as the block runs, if there is a mail server."""
    server = settings().mail_server
    if server is None:
        yield
        return
    task = asyncio.create_task(COURIER.run(server))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
