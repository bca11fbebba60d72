"""How many mails go out of the rooms of an organizer, and to an address, in a moving window.

Who may sign in may bring in any address and name a prize as they like: without limits the mail
server would be theirs to write to strangers.

A mail counts when it is about to be tried for the first time, and never again. Senders count one
after the other, so that together they let through no more than one alone would.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from app.deferred import deferred
from app.participants.erasing import digest_of
from app.settings import settings

if TYPE_CHECKING:
    import limits
else:
    limits = deferred("limits")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LOCK = 2_846_155_093_371_648_209
"""The advisory lock of who counts."""
PAUSE = timedelta(hours=1)
"""How long a mail waits that is one too many, before it is looked at again."""

_RECIPIENT = f"s.address, {digest_of('s.address')}"
"""What counts for an address: of whom was erased or forgotten since, the digest alone is left."""


def _spent(column: str, values: str, quota: str, window: str) -> str:
    """Count what was let through in a window, no further than the quota."""
    return (
        f'(SELECT count(*) FROM (SELECT FROM mails x WHERE x."{column}" IN ({values}) '
        f'AND x."countedAt" > now() - {window}::interval LIMIT {quota}) counted)'
    )


_LET_THROUGH = f"""
    WITH asked AS (
        SELECT m.id, m."chargedTo", a.address,
            row_number() OVER (PARTITION BY m."chargedTo" ORDER BY a.place) AS "ofOrganizer",
            row_number() OVER (PARTITION BY a.address ORDER BY a.place) AS "toAddress"
        FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS a (id, address, place)
        JOIN mails m ON m.id = a.id
    ), organizers AS (
        SELECT o.id, {_spent("chargedTo", "o.id", "$3", "$4")} AS spent
        FROM (SELECT DISTINCT "chargedTo" AS id FROM asked) o
    ), addresses AS (
        SELECT s.address, {_spent("recipient", _RECIPIENT, "$5", "$6")} AS spent
        FROM (SELECT DISTINCT address FROM asked) s
    ), judged AS (
        SELECT asked.id, asked.address, CASE
            WHEN o.spent + "ofOrganizer" > $3 THEN
                'It waits: MAIL_LIMIT_ORGANIZER is reached by the rooms of ' || o.id || '.'
            WHEN s.spent + "toAddress" > $5 THEN
                'It waits: MAIL_LIMIT_ADDRESS is reached by what the address has got.'
        END AS excess
        FROM asked JOIN organizers o ON o.id = asked."chargedTo" JOIN addresses s USING (address)
    )
    UPDATE mails m SET
        "countedAt" = CASE WHEN excess IS NULL THEN now() END,
        recipient = CASE WHEN excess IS NULL THEN judged.address END,
        attempts = CASE WHEN excess IS NULL THEN attempts ELSE attempts - 1 END,
        "nextAttemptAt" = CASE WHEN excess IS NULL THEN "nextAttemptAt" ELSE now() + $7 END,
        "lastError" = excess
    FROM judged WHERE m.id = judged.id RETURNING m.id, excess
"""


async def let_through(connection: Connection, asking: Mapping[str, str]) -> frozenset[str]:
    """Count mails, and put off those that are too many.

    Args:
        connection: Of who claimed them.
        asking: The address of each by its id; none was counted before.

    Returns:
        Those that may be sent.
    """
    if not asking:
        return frozenset()
    organizer = limits.parse(settings().MAIL_LIMIT_ORGANIZER)
    address = limits.parse(settings().MAIL_LIMIT_ADDRESS)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        rows = await connection.fetch(
            _LET_THROUGH,
            [*asking],
            [*asking.values()],
            organizer.amount,
            timedelta(seconds=organizer.get_expiry()),
            address.amount,
            timedelta(seconds=address.get_expiry()),
            PAUSE,
        )
    return frozenset(row["id"] for row in rows if row["excess"] is None)
