"""Wins that were not claimed in time."""

import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

from app.claims.service import expire, overdue_prizes
from app.errors import ServiceUnavailable
from tasks.steps import Connection

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OverdueClaims:
    """Ends them, by the database's clock."""

    async def count(self, connection: Connection, now: datetime) -> int:  # noqa: ARG002 - as every step
        """Return of how many prizes there are some."""
        return len(await overdue_prizes())

    async def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:  # noqa: ARG002 - as every step
        """End those of one prize after the other, some in each transaction.

        Raises:
            ServiceUnavailable: Those of some prizes could not be ended; the others were.
        """
        waiting = 0
        for prize_id in await overdue_prizes():
            try:
                while ended := await expire(prize_id):
                    yield ended
            except Exception:
                waiting += 1
                logger.exception("overdue wins of prize %s are not ended", prize_id)
                yield 0
        if waiting:
            raise ServiceUnavailable(f"Overdue wins of {waiting} prize(s) are not ended for now.")
