"""Reminding of what is not claimed yet, before its time is over: of each win once."""

from datetime import timedelta
from typing import TypeAlias

import asyncpg

from app.mails.queueing import REMINDER
from app.settings import Language
from app.tables import MailStatus

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SHORTEST = timedelta(hours=4)
"""Who has less time has just been written to."""
LONGEST_BEFORE = timedelta(days=2)
"""How long before the end at most, which is less than mails are kept: so none is written twice."""
TOGETHER = 1_000

# When a quarter of the time is left. Searched by an index: none is earlier than LONGEST_BEFORE.
_TO_REMIND = f"""
    FROM winners w JOIN rooms r ON r.id = w."roomId"
    WHERE w."claimStatus" = 'PENDING' AND w."deletedAt" IS NULL
        AND w."claimBy" > now() AND w."claimBy" <= now() + $1::interval
        AND w."claimBy" - w."createdAt" >= $2::interval
        AND w."claimBy" - now() <= (w."claimBy" - w."createdAt") / 4
        AND r."deletedAt" IS NULL AND r."sendsMail"
        AND NOT EXISTS (SELECT FROM mails WHERE kind = '{REMINDER}' AND cause = w.id)
"""
_REMIND = f"""
    INSERT INTO mails (kind, cause, id, "roomId", "chargedTo", language, status)
    SELECT '{REMINDER}', w.id, gen_random_uuid()::text, r.id, r."createdBy", $4, $5 {_TO_REMIND}
    ORDER BY w."claimBy" LIMIT $3 ON CONFLICT (kind, cause) DO NOTHING RETURNING id
"""


async def count_unreminded(connection: Connection) -> int:
    """Return how many wins there is to remind of."""
    count: int = await connection.fetchval(
        f"SELECT count(*) {_TO_REMIND}", LONGEST_BEFORE, SHORTEST
    )
    return count


async def remind(connection: Connection, status: MailStatus, language: Language) -> int:
    """Write down some mails, and return how many. Whether somebody has answered is read again."""
    rows = await connection.fetch(_REMIND, LONGEST_BEFORE, SHORTEST, TOGETHER, language, status)
    return len(rows)
