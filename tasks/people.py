"""People who deleted themselves, or were deleted, long enough ago to be erased."""

import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.errors import NotFound
from app.settings import settings
from app.users.erasing import erase_user
from tasks.steps import Connection

logger = logging.getLogger(__name__)

ERASE_DELETED = "erase-deleted-people"
_DUE = """
    FROM users WHERE "erasedAt" IS NULL
    AND "deletedAt" <= least(now(), $1::timestamptz) - $2::interval
"""


@dataclass(frozen=True)
class Erasing:
    """Erases who was deleted ERASURE_DAYS ago, each in a transaction of their own."""

    async def count(self, connection: Connection, now: datetime) -> int:
        """Return how many there are."""
        count: int = await connection.fetchval(f"SELECT count(*) {_DUE}", now, _age())
        return count

    async def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:
        """Erase one after the other, who was deleted first first.

        Raises:
            ExceptionGroup: Some could not be erased; the others were.
        """
        faults = []
        due = await connection.fetch(f'SELECT id {_DUE} ORDER BY "deletedAt"', now, _age())
        for row in due:
            try:
                await erase_user(row["id"], by=ERASE_DELETED, deleted_alone=True)
            except NotFound:
                yield 0  # they have come back, or were erased by somebody else
            except Exception as fault:
                logger.exception("person %s is not erased", row["id"])
                faults.append(fault)
                yield 0
            else:
                yield 1
        if faults:
            raise ExceptionGroup("people who are due are not erased", faults)


def _age() -> timedelta:
    return timedelta(days=settings().ERASURE_DAYS)
