"""Pulling what webhooks tell: for apps that were away, or that nobody can reach."""

from collections.abc import Sequence

import asyncpg
import msgspec

from app.database.engine import fetch, fetchval
from app.errors import NotFound
from app.events.log import Place, last_place
from app.tables import App
from app.webhooks.queueing import IDS

MOST_LOOKED_AT = 5_000
"""Events of the log, of whatever app, for one answer."""

_PULL = f"""
    WITH looked_at AS (
        SELECT * FROM events WHERE position > $2 ORDER BY position LIMIT {MOST_LOOKED_AT}
    ), theirs AS (
        SELECT e.position, e.id, e.type, e."createdAt" AS "occurredAt", {IDS} AS data
        FROM looked_at e JOIN rooms r ON r.id = e."roomId"
        WHERE r."appId" = $1 AND ($3::text[] IS NULL OR e.type = ANY($3))
        ORDER BY e.position LIMIT $4
    )
    SELECT read.last, read.first, theirs.* FROM (
        SELECT (SELECT max(position) FROM looked_at) AS last,
            (SELECT min(position) FROM events) AS first
    ) read LEFT JOIN theirs ON true ORDER BY theirs.position
"""


class Pulled(msgspec.Struct, frozen=True):
    """A piece of the log, as an app reads it."""

    events: Sequence[asyncpg.Record]
    after: Place
    """Where to go on."""
    has_more: bool
    has_gap: bool
    """Whether something that came after the place that was given is forgotten."""


async def pull(app_id: str, after: Place | None, types: Sequence[str] | None, limit: int) -> Pulled:
    """Read what happened in the rooms of an app after a place, in the order of the log.

    From the beginning of what is kept without a place, and with one of another log.

    Raises:
        NotFound: There is no such app.
        ServiceUnavailable: No server has begun the log yet.
    """
    end = await last_place()
    is_known = after is not None and after.epoch == end.epoch and after.position <= end.position
    position = after.position if after is not None and is_known else 0
    rows = await fetch(_PULL, app_id, position, types, limit)
    events = [row for row in rows if row["id"] is not None]
    if not events:
        await require_app(app_id)
    first, last = rows[0]["first"], rows[0]["last"] or position
    if len(events) == limit:
        last = events[-1]["position"]
    is_forgotten = is_known and first is not None and position < first - 1
    return Pulled(
        events=events,
        after=Place(end.epoch, last),
        has_more=last < end.position,
        has_gap=after is not None and (not is_known or is_forgotten),
    )


async def require_app(app_id: str) -> None:
    """Look whether there is an app.

    Raises:
        NotFound: There is none.
    """
    found = await fetchval(f'SELECT 1 FROM {App.alive()} a WHERE "appId" = $1', app_id)
    if found is None:
        raise NotFound("There is no such app.")
