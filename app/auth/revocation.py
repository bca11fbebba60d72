"""Revocation: what was revoked is known here without a query, and asked for where it matters.

PostgreSQL keeps the truth in `token_blacklist`, by hash: of one access token, or of a session, for
all of its access tokens. Each process holds the rows in force in memory, told by NOTIFY in the
transaction that writes them. While a process can't hear, each of its requests asks.

A row stays in force for as long as a server could accept such a token. PostgreSQL's clock sets
that time, and `MARGIN_SECONDS` covers servers whose clocks differ from it.

Redis, with REDIS_URL, is the lookup that servers share. It only adds: what it has is revoked, and
what it doesn't have is asked of PostgreSQL. So a Redis that was flushed, restarted or is out of
reach revives no token.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from app.auth.tokens import ACCESS_TOKEN_TTL_SECONDS, CLOCK_LEEWAY_SECONDS, VerifiedToken
from app.database.engine import fetch, fetchval
from app.database.ids import new_id
from app.database.listener import LISTENER, Listener, Subject
from app.database.redis import shared_redis

CHANNEL = "token_blacklist"
MARGIN_SECONDS = 2 * CLOCK_LEEWAY_SECONDS
REVOCATION_TTL_SECONDS = ACCESS_TOKEN_TTL_SECONDS + MARGIN_SECONDS
HASHES_IN_A_PAYLOAD = 100
"""Of 65 bytes each; NOTIFY takes less than 8,000 bytes."""
ROWS_IN_A_READ = 5_000
SWEEP_SECONDS = 60
LONGEST_START_SECONDS = 2

_IN_FORCE = """
    SELECT "tokenHash", ceil(extract(epoch FROM "expiresAt"))::bigint AS "expiresAt"
    FROM token_blacklist WHERE "expiresAt" > now()
"""

# NOTIFY is part of the transaction: whoever hears of a row can read it, and a row that was rolled
# back is never announced.
_REVOKE = f"""
    WITH revoked AS (
        INSERT INTO token_blacklist (id, "tokenHash", "expiresAt", "userId", reason, "revokedBy")
        SELECT id, hash, now() + $3, $4, $5, $6 FROM unnest($1::text[], $2::text[]) AS r (id, hash)
        ON CONFLICT ("tokenHash") DO NOTHING
    )
    SELECT pg_notify('{CHANNEL}', ceil(extract(epoch FROM now() + $3))::bigint || ' ' || hashes)
    FROM unnest($7::text[]) AS hashes
"""


class Revoked(msgspec.Struct, frozen=True):
    """What a transaction revoked, to be spread when it is committed."""

    hashes: Sequence[str]
    user_id: str


class RevokedHashes:
    """The hashes in force, in memory. None is ever taken back; what has expired is forgotten."""

    def __init__(self) -> None:
        """Start empty."""
        self._expiry: dict[str, int] = {}

    def __len__(self) -> int:
        """Hashes held, those that expired since the last sweep included."""
        return len(self._expiry)

    def add(self, hashes: Sequence[str], expires_at: int) -> None:
        """Remember hashes until a time in Unix seconds."""
        self._expiry.update(dict.fromkeys(hashes, expires_at))

    def cover(self, verified: VerifiedToken) -> bool:
        """Whether the token or its session was revoked."""
        return verified.tokenHash in self._expiry or verified.sessionHash in self._expiry

    def forget_expired(self, now: datetime) -> None:
        """Drop what no token in force can have."""
        moment = now.timestamp()
        for hash_ in [hash_ for hash_, expiry in self._expiry.items() if expiry < moment]:
            del self._expiry[hash_]


revoked_hashes = RevokedHashes()


async def revoke(
    hashes: Sequence[str], user_id: str, *, reason: str, revoked_by: str | None = None
) -> Revoked:
    """Write hashes of a person's tokens or sessions to the blacklist, and announce them.

    The caller spreads the answer when its transaction is committed.
    """
    batches = [
        " ".join(hashes[start : start + HASHES_IN_A_PAYLOAD])
        for start in range(0, len(hashes), HASHES_IN_A_PAYLOAD)
    ]
    await fetch(
        _REVOKE,
        [new_id() for _ in hashes],
        hashes,
        timedelta(seconds=REVOCATION_TTL_SECONDS),
        user_id,
        reason,
        revoked_by,
        batches,
    )
    return Revoked(hashes, user_id)


async def spread(revoked: Revoked) -> None:
    """Let this process refuse at once what was committed, and Redis know it."""
    expires_at = datetime.now(UTC).timestamp() + REVOCATION_TTL_SECONDS
    revoked_hashes.add(revoked.hashes, int(expires_at))
    redis = shared_redis()
    if redis is None or not revoked.hashes:
        return
    pipeline = redis.client.pipeline(transaction=False)
    for revoked_hash in revoked.hashes:
        _ = pipeline.set(_redis_key(revoked_hash), revoked.user_id, ex=REVOCATION_TTL_SECONDS)
    await redis.ask(pipeline.execute)


async def is_revoked(verified: VerifiedToken) -> bool:
    """Tell whether a token was revoked: without a query as long as this process hears."""
    if revoked_hashes.cover(verified):
        return True
    if LISTENER.is_hearing:
        return False
    return await is_recorded(verified)


async def is_recorded(verified: VerifiedToken) -> bool:
    """Ask Redis, where it is configured, and then PostgreSQL."""
    if await is_known_to_redis(verified.hashes):
        return True
    found = await fetchval(
        'SELECT 1 FROM token_blacklist WHERE "tokenHash" = ANY($1) LIMIT 1', verified.hashes
    )
    return found is not None


async def is_known_to_redis(hashes: Sequence[str]) -> bool:
    """Tell whether Redis has one of the hashes. A no says nothing."""
    redis = shared_redis()
    if redis is None:
        return False
    return bool(await redis.ask(lambda: redis.client.exists(*map(_redis_key, hashes))))


@asynccontextmanager
async def hearing() -> AsyncIterator[Listener]:
    """Keep the memory of this process up to date, from what is in force at the start on."""
    tasks = [asyncio.create_task(LISTENER.run()), asyncio.create_task(_sweep())]
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_START_SECONDS):
                await LISTENER.heard.wait()
        yield LISTENER
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _redis_key(revoked_hash: str) -> str:
    """As the migration plan names it."""
    return f"blacklist:{revoked_hash}"


def _on_payload(payload: str) -> None:
    expires_at, *hashes = payload.split()
    revoked_hashes.add(hashes, int(expires_at))


async def _catch_up(connection: asyncpg.Connection) -> None:
    """Read what is in force, in pieces, so that requests are answered in between."""
    async with connection.transaction(readonly=True):
        cursor = await connection.cursor(_IN_FORCE)
        while rows := await cursor.fetch(ROWS_IN_A_READ):
            for hash_, expires_at in rows:
                revoked_hashes.add((hash_,), expires_at)


async def _sweep() -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        revoked_hashes.forget_expired(datetime.now(UTC))


LISTENER.hear(CHANNEL, Subject(_on_payload, _catch_up))
