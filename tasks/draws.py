"""Draws that the server goes on with by itself."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from app.draws.due import DueDraw
from app.errors import AppError, ServiceUnavailable
from tasks.steps import Connection

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DueDraws:
    """Draws what waits for nobody; what can't be drawn stays as it is until next time.

    The database's clock tells what is due, as it does for whoever asks for a draw by hand.
    """

    find: Callable[[], Awaitable[list[DueDraw]]]
    draw: Callable[[DueDraw], Awaitable[None]]

    async def count(self, connection: Connection, now: datetime) -> int:  # noqa: ARG002 - as every step
        """Return how many draws are due."""
        return len(await self.find())

    async def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:  # noqa: ARG002 - as every step
        """Draw one after the other, each in transactions of its own.

        Raises:
            ServiceUnavailable: Some were not drawn, for no fault of theirs; the others were.
        """
        waiting = 0
        for due in await self.find():
            try:
                await self.draw(due)
            except AppError as error:
                # Where only an organizer can help, the job did what it could.
                waiting += error.status >= ServiceUnavailable.status
                logger.warning("%s is not drawn: %s", due, error.private or error.message)
                yield 0
            except Exception:
                waiting += 1
                logger.exception("%s is not drawn", due)
                yield 0
            else:
                yield 1
        if waiting:
            raise ServiceUnavailable(f"{waiting} draw(s) that are due are not drawn for now.")
