"""What waits to be sent: from the log into rows, from rows into the hands of who sends them.

A row is claimed for a few seconds, which who sends it prolongs: what somebody had who died is free
again after that. So each event arrives at least once, and comes again only if it was in flight.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, TypeAlias

import asyncpg

from app.database.columns import CLOCK
from app.database.engine import fetch
from app.tables import DeliveryStatus, DisabledReason
from app.webhooks.sending import Outcome

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CHANNEL = "webhooks"
"""Announces that something is due which no event has announced."""
MOST_IN_FLIGHT = 10
"""To one endpoint, from all servers together; one, while nothing can be delivered there."""
MOST_ENDPOINTS = 200
"""That are looked at together."""
MOST_QUEUED = 500
LEASE = timedelta(seconds=5)
FAILING_FOR = timedelta(days=5)
"""After so long without a success an endpoint is disabled."""

IDS = """
    jsonb_build_object('roomId', e."roomId") || CASE
        WHEN e.subject IS NULL THEN jsonb_build_object(
            'count', e.content -> 'count', 'range', e.content -> 'range')
        WHEN e.type LIKE 'room.%' THEN '{}'
        ELSE jsonb_build_object(split_part(e.type, '.', 1) || 'Id', e.subject)
    END
"""
"""All that is said of an event `e`."""

_QUEUE = f"""
    WITH cursor AS (
        SELECT position FROM webhook_cursor
        WHERE position < (SELECT max(position) FROM events) FOR UPDATE SKIP LOCKED
    ), news AS MATERIALIZED (
        SELECT e.* FROM cursor, LATERAL (
            SELECT * FROM events WHERE position > cursor.position ORDER BY position LIMIT $1
        ) e
    ), queued AS (
        INSERT INTO webhook_deliveries (id, "webhookId", "eventId", type, "occurredAt", data)
        SELECT gen_random_uuid()::text, w.id, e.id, e.type, e."createdAt", {IDS}
        FROM news e JOIN rooms r ON r.id = e."roomId" JOIN webhooks w ON w."appId" = r."appId"
        WHERE w."disabledAt" IS NULL AND (w.types = '{{}}' OR e.type = ANY(w.types))
            AND e."createdAt" >= w."createdAt"
        ORDER BY e.position
        ON CONFLICT DO NOTHING
    )
    UPDATE webhook_cursor SET position = (SELECT max(position) FROM news)
    WHERE EXISTS (SELECT FROM news) RETURNING (SELECT count(*) FROM news)
"""
_BEGIN = "INSERT INTO webhook_cursor (id, position) VALUES (1, 0) ON CONFLICT DO NOTHING"
_DUE = f"status = '{DeliveryStatus.PENDING}' AND \"nextAttemptAt\" <= clock_timestamp()"
_FREE = '("claimedUntil" IS NULL OR "claimedUntil" <= clock_timestamp())'
# Held while its deliveries are counted and claimed: so several servers keep the limit together.
_LOCK_ENDPOINTS = f"""
    SELECT id, url, secret, "formerSecret", "formerUntil" > now() AS "hasFormer",
        "failingSince" IS NOT NULL AS "isFailing"
    FROM webhooks w WHERE "disabledAt" IS NULL AND EXISTS (
        SELECT FROM webhook_deliveries d WHERE d."webhookId" = w.id AND {_DUE} AND {_FREE}
    ) ORDER BY random() LIMIT {MOST_ENDPOINTS} FOR NO KEY UPDATE SKIP LOCKED
"""
_CLAIM = f"""
    WITH endpoint AS (SELECT * FROM unnest($1::text[], $2::int[]) AS e (id, most)),
    due AS (
        SELECT d.id FROM endpoint e CROSS JOIN LATERAL (
            SELECT id FROM webhook_deliveries
            WHERE "webhookId" = e.id AND {_DUE} AND {_FREE}
            ORDER BY "nextAttemptAt" LIMIT greatest(0, e.most - (
                SELECT count(*) FROM webhook_deliveries f
                WHERE f."webhookId" = e.id AND f."claimedUntil" > clock_timestamp()
            )) FOR UPDATE
        ) d LIMIT $3
    )
    UPDATE webhook_deliveries d SET attempts = attempts + 1,
        "claimedUntil" = clock_timestamp() + $4::interval
    FROM due WHERE d.id = due.id
    RETURNING d.id, d."webhookId", d."eventId", d.type, d."occurredAt", d.data, d.attempts
"""
_RENEW = """
    UPDATE webhook_deliveries d SET "claimedUntil" = clock_timestamp() + $3::interval
    FROM unnest($1::text[], $2::int[]) AS c (id, attempts)
    WHERE d.id = c.id AND d.attempts = c.attempts AND d."claimedUntil" IS NOT NULL
"""
_GIVE_BACK = """
    UPDATE webhook_deliveries d SET "claimedUntil" = NULL, attempts = d.attempts - 1
    FROM unnest($1::text[], $2::int[]) AS c (id, attempts)
    WHERE d.id = c.id AND d.attempts = c.attempts AND d."claimedUntil" IS NOT NULL
"""
# Who comes late, when somebody else has it, may still say that it was delivered.
_RECORD = f"""
    UPDATE webhook_deliveries d SET "claimedUntil" = NULL, status = o.status,
        "lastStatus" = o.code, "lastError" = o.reason,
        "deliveredAt" = CASE WHEN o.status = '{DeliveryStatus.DELIVERED}' THEN {CLOCK} END,
        "nextAttemptAt" = CASE WHEN o.status = '{DeliveryStatus.PENDING}'
            THEN clock_timestamp() + o.pause ELSE d."nextAttemptAt" END
    FROM unnest($1::text[], $2::int[], $3::text[], $4::int[], $5::text[], $6::interval[])
        AS o (id, attempts, status, code, reason, pause)
    WHERE d.id = o.id AND d.status = '{DeliveryStatus.PENDING}'
        AND (d.attempts = o.attempts OR o.status = '{DeliveryStatus.DELIVERED}')
"""
# Locked in one order: servers that note the same endpoints don't wait for each other in a ring.
_NOTE = """
    WITH noted AS (
        SELECT w.id, o.works FROM webhooks w
        JOIN unnest($1::text[], $2::bool[]) AS o (id, works) ON w.id = o.id
        WHERE o.works = (w."failingSince" IS NOT NULL) ORDER BY w.id FOR NO KEY UPDATE OF w
    )
    UPDATE webhooks w SET "failingSince" = CASE WHEN noted.works THEN NULL ELSE now() END
    FROM noted WHERE w.id = noted.id
"""
_DISABLE = f"""
    WITH failed AS (
        SELECT w.id, o.gone FROM webhooks w
        JOIN unnest($1::text[], $2::bool[]) AS o (id, gone) ON w.id = o.id
        WHERE w."disabledAt" IS NULL AND (o.gone OR w."failingSince" <= now() - $3::interval)
        ORDER BY w.id FOR NO KEY UPDATE OF w
    )
    UPDATE webhooks w SET "disabledAt" = {CLOCK}, "disabledReason" =
        CASE WHEN failed.gone THEN '{DisabledReason.GONE}' ELSE '{DisabledReason.FAILING}' END
    FROM failed WHERE w.id = failed.id RETURNING w.id, w."appId", w.url, w."disabledReason"
"""
_FAIL_WAITING = f"""
    UPDATE webhook_deliveries SET status = '{DeliveryStatus.FAILED}', "claimedUntil" = NULL,
        "lastError" = 'The endpoint was disabled.'
    WHERE "webhookId" = ANY($1) AND status = '{DeliveryStatus.PENDING}'
"""


class Attempt(NamedTuple):
    """A delivery that is in our hands."""

    endpoint: asyncpg.Record
    delivery: asyncpg.Record


class Result(NamedTuple):
    """What became of one."""

    attempt: Attempt
    outcome: Outcome
    pause: timedelta | None
    """Until the next attempt, if it was not delivered; None: there is none."""

    @property
    def status(self) -> DeliveryStatus:
        """What the delivery is now."""
        if self.outcome.is_delivered:
            return DeliveryStatus.DELIVERED
        return DeliveryStatus.FAILED if self.pause is None else DeliveryStatus.PENDING


async def begin(connection: Connection) -> None:
    """Begin with the log, if nobody has; endpoints are told what happens after they were made."""
    await connection.execute(_BEGIN)


async def queue_news(connection: Connection) -> int:
    """Write down what of the log is to be sent, unless somebody else is at it.

    Returns:
        How many events were looked at.
    """
    looked_at: int | None = await connection.fetchval(_QUEUE, MOST_QUEUED)
    return looked_at or 0


async def claim(connection: Connection, most: int) -> list[Attempt]:
    """Take deliveries that are due, of each endpoint no more than may be in flight to it."""
    async with connection.transaction():
        endpoints = {row["id"]: row for row in await connection.fetch(_LOCK_ENDPOINTS)}
        if not endpoints:
            return []
        limits = [1 if row["isFailing"] else MOST_IN_FLIGHT for row in endpoints.values()]
        claimed = await connection.fetch(_CLAIM, [*endpoints], limits, most, LEASE)
    return [Attempt(endpoints[row["webhookId"]], row) for row in claimed]


async def renew(connection: Connection, attempts: Sequence[Attempt]) -> None:
    """Say that they are still being sent."""
    await connection.execute(_RENEW, *_keys(attempts), LEASE)


async def give_back(connection: Connection, attempts: Sequence[Attempt]) -> None:
    """Leave to others at once what was not sent to its end."""
    await connection.execute(_GIVE_BACK, *_keys(attempts))


def _keys(attempts: Sequence[Attempt]) -> tuple[list[str], list[int]]:
    rows = [each.delivery for each in attempts]
    return [row["id"] for row in rows], [row["attempts"] for row in rows]


async def record(connection: Connection, results: Sequence[Result]) -> Sequence[asyncpg.Record]:
    """Write down what became of deliveries, and return the endpoints that are disabled by it."""
    outcomes = [each.outcome for each in results]
    await connection.execute(
        _RECORD,
        *_keys([each.attempt for each in results]),
        [each.status for each in results],
        [each.status for each in outcomes],
        [each.reason for each in outcomes],
        [each.pause for each in results],
    )
    works = {each.attempt.endpoint["id"]: False for each in results}
    works |= {each.attempt.endpoint["id"]: True for each in results if each.outcome.is_delivered}
    await connection.execute(_NOTE, [*works], [*works.values()])
    gone = {each.attempt.endpoint["id"] for each in results if each.outcome.is_gone}
    failed = [id_ for id_, it_works in works.items() if not it_works or id_ in gone]
    return await _disable(connection, failed, gone) if failed else []


async def _disable(
    connection: Connection, failed: Sequence[str], gone: set[str]
) -> Sequence[asyncpg.Record]:
    async with connection.transaction():
        disabled = await connection.fetch(
            _DISABLE, failed, [id_ in gone for id_ in failed], FAILING_FOR
        )
        if disabled:
            await connection.execute(_FAIL_WAITING, [row["id"] for row in disabled])
    return disabled


async def fail_waiting(webhook_id: str) -> None:
    """Give up what waits for an endpoint, within the caller's transaction."""
    await fetch(_FAIL_WAITING, [webhook_id])


async def wake() -> None:
    """Let it be looked at once what is due, when the caller's transaction is committed."""
    await fetch("SELECT pg_notify($1, '')", CHANNEL)
