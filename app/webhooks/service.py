"""The endpoints of apps, and what becomes of what is sent to them."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
import msgspec

from app.applications.publishing import lock_app
from app.database.audit import acting
from app.database.columns import CLOCK
from app.database.engine import fetch, fetchrow, fetchval, jsonb, transaction
from app.database.ids import new_id
from app.database.listing import Listing, PageRequest
from app.database.versions import ANY, VERSION, Precondition
from app.encryption import encrypted
from app.errors import Conflict, NotFound, ServiceUnavailable, ValidationFailed
from app.settings import settings
from app.tables import DeliveryStatus, DisabledReason
from app.webhooks.addresses import fault_of_url
from app.webhooks.payloads import TEST
from app.webhooks.pulling import require_app
from app.webhooks.queueing import IDS, fail_waiting, wake
from app.webhooks.signing import SECRET_BYTES, written_secret

MOST_WEBHOOKS = 20
"""Of an app."""
MOST_RECOVERED = 100_000
"""Of one request; another one goes on."""

_SHOWN = f"""
    x.id, x."appId", x.url, x.types, x."formerUntil", x."failingSince", x."disabledAt",
    x."disabledReason", x."createdAt", x.{VERSION}
"""
_LISTING = Listing(
    found=['FROM webhooks x WHERE x."appId" = $1'],
    shown=_SHOWN,
    joined="JOIN webhooks x ON x.id = page.id",
)
_DELIVERY = """
    x.id, x."webhookId", x."eventId", x.type, x."occurredAt", x.data, x.status, x.attempts,
    CASE WHEN x.status = 'PENDING' THEN x."nextAttemptAt" END AS "nextAttemptAt", x."lastStatus",
    x."lastError", x."deliveredAt", x."createdAt"
"""
_AGAIN = f"""
    status = '{DeliveryStatus.PENDING}', attempts = 0, "nextAttemptAt" = clock_timestamp(),
    "claimedUntil" = NULL, "deliveredAt" = NULL
"""
_SEND_FAILED = f"""
    WITH failed AS (
        UPDATE webhook_deliveries SET {_AGAIN}
        WHERE "webhookId" = $1 AND "occurredAt" >= $2 AND status = '{DeliveryStatus.FAILED}'
        RETURNING 1
    )
    SELECT count(*) FROM failed
"""
# What comes after the cursor is sent anyway.
_SEND_UNSENT = f"""
    WITH unsent AS (
        INSERT INTO webhook_deliveries (id, "webhookId", "eventId", type, "occurredAt", data)
        SELECT gen_random_uuid()::text, w.id, e.id, e.type, e."createdAt", {IDS}
        FROM webhooks w JOIN rooms r ON r."appId" = w."appId" JOIN events e ON e."roomId" = r.id
        WHERE w.id = $1 AND e."createdAt" >= $2 AND (w.types = '{{}}' OR e.type = ANY(w.types))
            AND e.position <= (SELECT position FROM webhook_cursor) AND NOT EXISTS (
                SELECT FROM webhook_deliveries WHERE "webhookId" = w.id AND "eventId" = e.id
            )
        ORDER BY e.position LIMIT {MOST_RECOVERED}
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT count(*) FROM unsent
"""


class Change(msgspec.Struct, frozen=True):
    """What of an endpoint is to be another; None stays."""

    url: str | None = None
    types: Sequence[str] | None = None
    is_active: bool | None = None


async def list_webhooks(app_id: str, page: PageRequest) -> tuple[Sequence[asyncpg.Record], int]:
    """List the endpoints of an app, oldest first; one more than asked for when more follow.

    Raises:
        NotFound: There is no such app.
    """
    rows, total = await _LISTING.fetch(page, app_id)
    if not total:
        await require_app(app_id)
    return rows, total


async def find_webhook(app_id: str, webhook_id: str, *, for_update: bool = False) -> asyncpg.Record:
    """Read an endpoint of an app, locking it if it is going to change.

    Raises:
        NotFound: The app has no such endpoint.
    """
    row = await fetchrow(
        f'SELECT {_SHOWN} FROM webhooks x WHERE id = $1 AND "appId" = $2'
        f"{' FOR NO KEY UPDATE' if for_update else ''}",
        webhook_id,
        app_id,
    )
    if row is None:
        raise NotFound("The app has no such webhook.")
    return row


async def add_webhook(
    actor: str, app_id: str, url: str, types: Sequence[str]
) -> tuple[asyncpg.Record, str]:
    """Tell an app at an address what happens from now on.

    Returns:
        The endpoint, and its secret, which nobody learns again.

    Raises:
        NotFound: There is no such app.
        ValidationFailed: The address is none where webhooks go.
        Conflict: The app has as many endpoints as it may.
        ServiceUnavailable: The server has no key to encrypt secrets with.
    """
    _require_sound(url)
    secret = _new_secret()
    async with transaction():
        await lock_app(app_id)
        count = await fetchval('SELECT count(*) FROM webhooks WHERE "appId" = $1', app_id)
        if count >= MOST_WEBHOOKS:
            raise Conflict(f"An app has at most {MOST_WEBHOOKS} webhooks.")
        async with acting(actor, "add webhook"):
            row = await fetchrow(
                'INSERT INTO webhooks AS x (id, "appId", url, types, secret, "createdAt") '
                f"VALUES ($1, $2, $3, $4, $5, {CLOCK}) RETURNING {_SHOWN}",
                *(new_id(), app_id, url, sorted(set(types)), encrypted(secret)),
            )
    assert row is not None  # noqa: S101 - an INSERT returns its row
    return row, secret


async def change_webhook(
    actor: str, app_id: str, webhook_id: str, change: Change, precondition: Precondition = ANY
) -> asyncpg.Record:
    """Change where an endpoint is and what it hears; disable it, or enable it again.

    What waits for an endpoint that is disabled is given up; `recover` brings it back.

    Raises:
        NotFound: The app has no such endpoint.
        PreconditionFailed: It has changed.
        ValidationFailed: The address is none where webhooks go.
    """
    if change.url is not None:
        _require_sound(change.url)
    async with transaction():
        precondition.check(await find_webhook(app_id, webhook_id, for_update=True))
        async with acting(actor, "change webhook"):
            row = await fetchrow(
                f"""
                UPDATE webhooks x SET url = COALESCE($2, url), types = COALESCE($3, types),
                    "disabledAt" = CASE WHEN $4 THEN NULL
                        WHEN NOT $4 THEN COALESCE("disabledAt", {CLOCK}) ELSE "disabledAt" END,
                    "disabledReason" = CASE WHEN $4 THEN NULL
                        WHEN NOT $4 THEN COALESCE("disabledReason", $5) ELSE "disabledReason" END,
                    "failingSince" = CASE WHEN $4 THEN NULL ELSE "failingSince" END
                WHERE id = $1 RETURNING {_SHOWN}
                """,
                webhook_id,
                change.url,
                None if change.types is None else sorted(set(change.types)),
                change.is_active,
                DisabledReason.ASKED,
            )
        if change.is_active is False:
            await fail_waiting(webhook_id)
    assert row is not None  # noqa: S101 - it is locked
    return row


async def remove_webhook(
    actor: str, app_id: str, webhook_id: str, precondition: Precondition = ANY
) -> None:
    """Tell an endpoint nothing more, and forget what was sent to it.

    Raises:
        NotFound: The app has no such endpoint.
        PreconditionFailed: It has changed.
    """
    async with transaction():
        precondition.check(await find_webhook(app_id, webhook_id, for_update=True))
        async with acting(actor, "remove webhook"):
            await fetch("DELETE FROM webhooks WHERE id = $1", webhook_id)


async def rotate(
    actor: str, app_id: str, webhook_id: str, overlap: timedelta
) -> tuple[asyncpg.Record, str]:
    """Give an endpoint a new secret. For a while the one before signs as well.

    Args:
        actor: Who does it.
        app_id: Whose endpoint.
        webhook_id: Which one.
        overlap: How long the secret before goes on; zero after a leak.

    Returns:
        The endpoint, and its new secret, which nobody learns again.

    Raises:
        NotFound: The app has no such endpoint.
        ServiceUnavailable: The server has no key to encrypt secrets with.
    """
    secret = _new_secret()
    async with transaction():
        await find_webhook(app_id, webhook_id, for_update=True)
        async with acting(actor, "rotate the secret of webhook"):
            row = await fetchrow(
                f"""
                UPDATE webhooks x SET secret = $2,
                    "formerSecret" = CASE WHEN $3 > interval '0' THEN secret END,
                    "formerUntil" = CASE WHEN $3 > interval '0' THEN now() + $3 END
                WHERE id = $1 RETURNING {_SHOWN}
                """,
                *(webhook_id, encrypted(secret), overlap),
            )
    assert row is not None  # noqa: S101 - it is locked
    return row, secret


async def send_test(app_id: str, webhook_id: str) -> asyncpg.Record:
    """Send an endpoint an event that says nothing.

    Raises:
        NotFound: The app has no such endpoint.
        Conflict: It is disabled.
    """
    async with transaction():
        await _require_enabled(app_id, webhook_id)
        row = await fetchrow(
            'INSERT INTO webhook_deliveries AS x (id, "webhookId", "eventId", type, "occurredAt", '
            f"data) VALUES ($1, $2, $3, $4, {CLOCK}, $5) RETURNING {_DELIVERY}",
            *(new_id(), webhook_id, new_id(), TEST, jsonb({"webhookId": webhook_id})),
        )
        await wake()
    assert row is not None  # noqa: S101 - an INSERT returns its row
    return row


async def list_deliveries(
    app_id: str,
    webhook_id: str,
    status: DeliveryStatus | None,
    type_: str | None,
    page: PageRequest,
) -> tuple[Sequence[asyncpg.Record], int]:
    """List what was and is sent to an endpoint, newest first; one more when more follow.

    Raises:
        NotFound: The app has no such endpoint.
    """
    await find_webhook(app_id, webhook_id)
    wanted = {"status": status, "type": type_}
    given = {name: value for name, value in wanted.items() if value is not None}
    return await _deliveries(*given).fetch(page, webhook_id, *given.values())


def _deliveries(*columns: str) -> Listing:
    """Make the list of an endpoint's deliveries with these values in these columns."""
    only = "".join(f" AND x.{name} = ${number}" for number, name in enumerate(columns, 2))
    return Listing(
        found=[f'FROM webhook_deliveries x WHERE x."webhookId" = $1{only}'],
        shown=_DELIVERY,
        joined="JOIN webhook_deliveries x ON x.id = page.id",
        newest_first=True,
    )


async def redeliver(app_id: str, webhook_id: str, delivery_id: str) -> asyncpg.Record:
    """Send something again, with the same id, whatever became of it.

    Raises:
        NotFound: Nothing of this id was sent to the endpoint.
        Conflict: The endpoint is disabled.
    """
    async with transaction():
        await _require_enabled(app_id, webhook_id)
        row = await fetchrow(
            f"UPDATE webhook_deliveries x SET {_AGAIN} "
            f'WHERE id = $1 AND "webhookId" = $2 RETURNING {_DELIVERY}',
            *(delivery_id, webhook_id),
        )
        if row is None:
            raise NotFound("Nothing of this id was sent to the webhook.")
        await wake()
    return row


async def recover(app_id: str, webhook_id: str, since: datetime) -> int:
    """Send what has happened since a time and was not delivered, or never sent.

    Returns:
        How much that is.

    Raises:
        NotFound: The app has no such endpoint.
        Conflict: It is disabled.
    """
    async with transaction():
        await _require_enabled(app_id, webhook_id)
        failed: int = await fetchval(_SEND_FAILED, webhook_id, since)
        unsent: int = await fetchval(_SEND_UNSENT, webhook_id, since)
        await wake()
    return failed + unsent


async def _require_enabled(app_id: str, webhook_id: str) -> None:
    row = await find_webhook(app_id, webhook_id, for_update=True)
    if row["disabledAt"] is not None:
        raise Conflict("The webhook is disabled: enable it first.")


def _require_sound(url: str) -> None:
    if fault := fault_of_url(url, allows_local=not settings().in_production):
        raise ValidationFailed.at({"$.url": fault})


def _new_secret() -> str:
    if not settings().encrypts:
        raise ServiceUnavailable(
            "This server can't keep the secrets of webhooks: its operator has to set ADMIN_MFA_KEY."
        )
    return written_secret(secrets.token_bytes(SECRET_BYTES))
