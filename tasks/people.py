"""People who are erased, forgotten by rooms, or told of by the audit log, when it is time."""

import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.errors import NotFound
from app.events.forgetting import forget_room
from app.participants.erasing import FORGET, MOST_AT_ONCE, TO_FORGET, forget_people
from app.settings import settings
from app.users.erasing import erase_user
from tasks.steps import BATCH_ROWS, Connection

logger = logging.getLogger(__name__)

ERASE_DELETED, FORGET_PEOPLE = "erase-deleted-people", "forget-people"
REDACT_AUDIT = "redact-audit-log"
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


@dataclass(frozen=True)
class ForgettingRooms:
    """Lets rooms forget their people that have been over for as long as they say."""

    async def count(self, connection: Connection, now: datetime) -> int:
        """Return how many rooms there are."""
        count: int = await connection.fetchval(f"SELECT count(*) FROM rooms WHERE {TO_FORGET}", now)
        return count

    async def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:
        """Forget their people, and then what the log says of them; whoever dies begins again."""
        due = await connection.fetch(f"SELECT id FROM rooms WHERE {TO_FORGET}", now)
        for row in due:
            done = MOST_AT_ONCE
            while done == MOST_AT_ONCE:
                done = await forget_people(row["id"], now, by=FORGET_PEOPLE)
                yield done
            await forget_room(row["id"])
            await connection.execute(
                f'UPDATE rooms SET "forgottenAt" = now() WHERE {TO_FORGET} AND id = $2',
                now,
                row["id"],
            )


_DETAILS = """
    num_nonnulls(before, after) > 0 AND "tableName" NOT IN ('audit_log', 'draws')
    AND "createdAt" <= least(now(), $1::timestamptz) - $2::interval AND NOT EXISTS (
        SELECT FROM draws WHERE id = audit_log."rowId")
"""


@dataclass(frozen=True)
class RedactingAudit:
    """Blanks the details of records that are older than AUDIT_DAYS, but for those of draws."""

    async def count(self, connection: Connection, now: datetime) -> int:
        """Return how many there are."""
        count: int = await connection.fetchval(
            f"SELECT count(*) FROM audit_log WHERE {_DETAILS}", now, _audit_age()
        )
        return count

    async def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:
        """Blank them, the oldest first. Each batch leaves a record."""
        redacted = BATCH_ROWS
        while redacted == BATCH_ROWS:
            redacted = await connection.fetchval(
                f"""
                WITH old AS (
                    SELECT id FROM audit_log WHERE {_DETAILS}
                    ORDER BY "createdAt" LIMIT {BATCH_ROWS}
                )
                SELECT CASE WHEN count(*) = 0 THEN 0 ELSE redact_audit_log(
                    array_agg(id), $3, $4, 'audit_log', max(id)::text) END FROM old
                """,
                *(now, _audit_age(), REDACT_AUDIT, FORGET),
            )
            yield redacted


def _audit_age() -> timedelta:
    return timedelta(days=settings().AUDIT_DAYS)
