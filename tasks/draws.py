"""Draws whose drand round is published are drawn by the server itself."""

import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

from app.draws.due import draw_due, due_draws
from app.errors import AppError, ServiceUnavailable
from tasks.steps import Connection

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DueDraws:
    """Draws what waits for nothing but its round; what can't be drawn stays closed until next time.

    The database's clock tells what is due, as it does for whoever asks for a draw by hand.
    """

    async def count(self, connection: Connection, now: datetime) -> int:  # noqa: ARG002 - as every step
        """Return how many draws are due."""
        return len(await due_draws())

    async def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:  # noqa: ARG002 - as every step
        """Draw one after the other, each in a transaction of its own.

        Raises:
            ServiceUnavailable: Some were not drawn, for no fault of theirs; the others were.
        """
        waiting = 0
        for due in await due_draws():
            try:
                await draw_due(due)
            except AppError as error:
                # Where only an organizer can help, the job did what it could.
                waiting += error.status >= ServiceUnavailable.status
                logger.warning("%s stays closed: %s", due, error.private or error.message)
                yield 0
            except Exception:
                waiting += 1
                logger.exception("%s stays closed", due)
                yield 0
            else:
                yield 1
        if waiting:
            raise ServiceUnavailable(f"{waiting} draw(s) that are due stay closed for now.")
