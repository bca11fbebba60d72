"""Events that are old enough to be forgotten."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.settings import settings
from tasks.steps import BATCH_ROWS, Connection, in_batches

# The log loses its beginning alone, and never its end: so its first and last position tell what it
# still has. No index is needed: positions are in the order of the times, but for milliseconds.
_IS_OLD = '"createdAt" <= least(now(), $1::timestamptz) - $2::interval'
_FORGET = f"""
    WITH oldest AS (
        SELECT position, {_IS_OLD} AS is_old FROM events
        WHERE position > $3 AND position < (SELECT max(position) FROM events)
        ORDER BY position LIMIT {BATCH_ROWS}
    ), gone AS (
        DELETE FROM events WHERE position IN (
            SELECT position FROM oldest WHERE position < COALESCE(
                (SELECT min(position) FROM oldest WHERE NOT is_old), 9223372036854775807)
        ) RETURNING position
    )
    SELECT count(*), max(position), set_config('synchronous_commit', 'off', true) FROM gone
"""


@dataclass(frozen=True)
class Forgetting:
    """Deletes events that are older than EVENT_DAYS, the oldest first."""

    async def count(self, connection: Connection, now: datetime) -> int:
        """Return how many there are."""
        count: int = await connection.fetchval(
            f"SELECT count(*) FROM events WHERE {_IS_OLD} "
            "AND position < (SELECT max(position) FROM events)",
            now,
            _age(),
        )
        return count

    async def batches(self, connection: Connection, now: datetime) -> AsyncGenerator[int, None]:
        """Delete them, pausing after each batch so that others get their turn."""
        async for deleted in in_batches(connection, _FORGET, now, _age(), 0):
            yield deleted


def _age() -> timedelta:
    return timedelta(days=settings().EVENT_DAYS)
