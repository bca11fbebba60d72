"""Sessions: opened at sign-in, carried on by refreshing, ended by their person or against a thief.

A session is a chain of refresh tokens of which the row knows the last two, by hash. All times are
those of PostgreSQL's clock.
"""

import functools
import logging
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
import msgspec

from app.auth.revocation import Revoked, revoke, spread
from app.auth.tokens import (
    ACCESS_TOKEN_TTL_SECONDS,
    REFRESH_TOKEN_BYTES,
    TokenPolicy,
    VerifiedToken,
    descendants,
    issued_successor,
    mint_access_token,
    new_refresh_token,
    session_hash,
    successor,
    token_hash,
)
from app.database.engine import fetch, fetchrow, fetchval, transaction
from app.database.ids import new_id
from app.database.listing import PageRequest
from app.errors import AccountDeleted, InvalidToken, NotFound
from app.settings import settings
from app.tables import Participant, Room, User

logger = logging.getLogger(__name__)

SESSION_TTL = timedelta(days=30)
"""Since it was last refreshed."""
LONGEST_DEVICE = 512
STOLEN, ENDED_BY_OTHERS = "person.session_stolen", "person.sessions_ended"
"""What their person is told of by mail; guests have no address."""


class Device(msgspec.Struct, frozen=True):
    """Where a session is used from, as the request says."""

    user_agent: str | None
    ip_address: str | None


class TokenPair(msgspec.Struct, frozen=True):
    """What a client keeps after signing in."""

    accessToken: str
    """Goes into `Authorization: Bearer …`; short-lived."""
    refreshToken: str
    """Buys the next pair; kept by the client alone."""
    expiresIn: int
    """Seconds until the access token expires."""


_GOES_ON = f"""u."deletedAt" IS NULL AND (u."guestOf" IS NULL OR EXISTS (
    SELECT FROM {Participant.alive()} p JOIN {Room.alive()} r ON r.id = p."roomId"
    WHERE p."userId" = u.id))"""
"""Whether sessions of a person u go on: a guest's do as long as there is a seat in a room."""


async def open_session(
    user_id: str, email: str, device: Device, now: datetime, *, guest_of: str | None = None
) -> TokenPair:
    """Begin a chain of refresh tokens and mint the first access token. One statement.

    Raises:
        AccountDeleted: The person was deleted meanwhile.
    """
    refresh_token = new_refresh_token(secrets.token_bytes(REFRESH_TOKEN_BYTES))
    # Whoever deletes the person ends the sessions; the lock lets neither overtake the other.
    session_id = await fetchval(
        f"""
        WITH person AS (SELECT id FROM {User.alive()} u WHERE id = $2 FOR SHARE)
        INSERT INTO sessions (id, "userId", "refreshToken", "expiresAt", "deviceInfo", "ipAddress",
                              "lastUsedAt", "createdAt", "updatedAt")
        SELECT $1, person.id, $3, now() + $4, $5, $6, now(), now(), now() FROM person
        RETURNING id
        """,
        new_id(),
        user_id,
        token_hash(refresh_token),
        SESSION_TTL,
        _shortened(device.user_agent),
        device.ip_address,
    )
    if session_id is None:
        raise AccountDeleted(private="the person was deleted while signing in")
    return _pair(user_id, email, session_id, refresh_token, now, guest_of)


async def refresh(refresh_token: str, device: Device, now: datetime) -> TokenPair:
    """Replace a refresh token by its successor, and mint an access token. One statement.

    A token that was replaced already is a matter of `_refresh_again`.

    Raises:
        InvalidToken: The token buys nothing; the private cause says why.
    """
    following = successor(refresh_token, token_policy().keys[0].successor)
    row = await fetchrow(
        f"""
        UPDATE sessions s
        SET "previousRefreshToken" = s."refreshToken", "refreshToken" = $2,
            "expiresAt" = now() + $3, "deviceInfo" = COALESCE($4, s."deviceInfo"),
            "ipAddress" = COALESCE($5, s."ipAddress"),
            "rotatedAt" = now(), "lastUsedAt" = now(), "updatedAt" = now()
        FROM users u
        WHERE s."refreshToken" = $1 AND s."expiresAt" > now()
          AND u.id = s."userId" AND {_GOES_ON}
        RETURNING s.id, s."userId", u.email, u."guestOf"
        """,
        token_hash(refresh_token),
        token_hash(following),
        SESSION_TTL,
        _shortened(device.user_agent),
        device.ip_address,
    )
    if row is None:
        return await _refresh_again(refresh_token, now)
    return _pair(row["userId"], row["email"], row["id"], following, now, row["guestOf"])


async def _refresh_again(refresh_token: str, now: datetime) -> TokenPair:
    """Give the same successor to whoever may have missed it; end the session of a stolen token.

    Raises:
        InvalidToken: In every other case. What it changed is committed by then.
    """
    presented = token_hash(refresh_token)
    found = await fetchrow(
        f"""
        SELECT s.id, s."userId", s."refreshToken", u.email, u."guestOf",
               s."expiresAt" > now() AND {_GOES_ON} AS "isInForce",
               $2 > interval '0' AND s."previousRefreshToken" = $1
                   AND s."rotatedAt" > now() - $2 AS "isRecent"
        FROM sessions s JOIN users u ON u.id = s."userId"
        WHERE s."previousRefreshToken" = $1 OR s."refreshToken" = $1
        """,
        presented,
        timedelta(seconds=settings().REFRESH_GRACE_SECONDS),
    ) or await _session_of_ancestor(refresh_token)
    if found is None:
        raise InvalidToken(private="the refresh token is of no session")
    if not found["isInForce"]:
        raise InvalidToken(private=f"session {found['id']} has expired, or its person was deleted")
    if not found["isRecent"]:
        await _end_stolen(found["id"], found["userId"])
        raise InvalidToken(private=f"session {found['id']}: a replaced refresh token was used")
    following = issued_successor(refresh_token, found["refreshToken"], token_policy().keys)
    if following is None:
        raise InvalidToken(private=f"session {found['id']}: the successor's secret is gone")
    return _pair(found["userId"], found["email"], found["id"], following, now, found["guestOf"])


async def _session_of_ancestor(refresh_token: str) -> asyncpg.Record | None:
    """Find the session of a token that was replaced more than once."""
    hashes = [
        token_hash(token)
        for key in token_policy().keys
        for token in descendants(refresh_token, key.successor)
    ]
    return await fetchrow(
        f"""
        SELECT s.id, s."userId", false AS "isRecent",
               s."expiresAt" > now() AND {_GOES_ON} AS "isInForce"
        FROM sessions s JOIN users u ON u.id = s."userId"
        WHERE s."previousRefreshToken" = ANY($1)
        """,
        hashes,
    )


async def _end_stolen(session_id: str, user_id: str) -> None:
    """End a session of which two hold tokens; which of them is the thief, nobody can tell."""
    await end_sessions(user_id, session_id=session_id, reason="refresh token reused")
    logger.warning(
        "Session %s of user %s was ended: a refresh token was used after it had been replaced.",
        session_id,
        user_id,
    )


async def account_of(refresh_token: str) -> str | None:
    """Return whose session a refresh token carries on, present or just replaced."""
    user_id: str | None = await fetchval(
        'SELECT "userId" FROM sessions WHERE "refreshToken" = $1 OR "previousRefreshToken" = $1',
        token_hash(refresh_token),
    )
    return user_id


async def list_sessions(user_id: str, page: PageRequest) -> tuple[Sequence[asyncpg.Record], int]:
    """List a person's sessions in force, newest first; one more than asked for when more follow."""
    rows = await fetch(
        """
        SELECT id, "deviceInfo", "ipAddress", "lastUsedAt", "createdAt", "expiresAt"
        FROM sessions
        WHERE "userId" = $1 AND "expiresAt" > now()
          AND ($2::timestamptz IS NULL OR ("createdAt", id) < ($2, $3))
        ORDER BY "createdAt" DESC, id DESC LIMIT $4 OFFSET $5
        """,
        user_id,
        *page.keyset,
        page.limit + 1,
        page.offset,
    )
    total = await fetchval(
        'SELECT count(*) FROM sessions WHERE "userId" = $1 AND "expiresAt" > now()', user_id
    )
    return rows, total


async def log_out(verified: VerifiedToken) -> None:
    """End the session of an access token, and the token. No matter if the session is gone."""
    claims = verified.claims
    async with transaction():
        await _delete_sessions(claims.sub, claims.sid)
        # The token's own hash is the migration plan's row; the session's covers its other tokens.
        revoked = await revoke(verified.hashes, claims.sub, reason="logout", revoked_by=claims.sub)
    await spread(revoked)


async def end_session(user_id: str, session_id: str) -> None:
    """End one of one's own sessions.

    Raises:
        NotFound: The person has no such session.
    """
    if not await end_sessions(user_id, session_id=session_id, reason="ended", revoked_by=user_id):
        raise NotFound("You have no such session.")


async def end_sessions(
    user_id: str,
    *,
    session_id: str | None = None,
    reason: str,
    revoked_by: str | None = None,
) -> int:
    """End all of a person's sessions, or one, with their access tokens. Returns how many."""
    async with transaction():
        revoked = await end_sessions_within(
            user_id, session_id=session_id, reason=reason, revoked_by=revoked_by
        )
    await spread(revoked)
    return len(revoked.hashes)


async def end_sessions_within(
    user_id: str,
    *,
    session_id: str | None = None,
    reason: str,
    revoked_by: str | None = None,
) -> Revoked:
    """Like `end_sessions`, in the caller's transaction, which spreads the answer afterwards."""
    hashes = [session_hash(ended) for ended in await _delete_sessions(user_id, session_id)]
    if not hashes:
        return Revoked(hashes, user_id)
    if revoked_by != user_id:
        # Who moves events has a mail sent of it.
        told = STOLEN if revoked_by is None else ENDED_BY_OTHERS
        await fetch("INSERT INTO outbox (type, subject) VALUES ($1, $2)", told, user_id)
    return await revoke(hashes, user_id, reason=reason, revoked_by=revoked_by)


async def _delete_sessions(user_id: str, session_id: str | None) -> list[str]:
    rows = await fetch(
        'DELETE FROM sessions WHERE "userId" = $1 AND ($2::text IS NULL OR id = $2) RETURNING id',
        user_id,
        session_id,
    )
    return [row["id"] for row in rows]


async def revoke_person(user_id: str, *, revoked_by: str, reason: str) -> int:
    """End all sessions of somebody, as a platform administrator. Returns how many.

    Raises:
        NotFound: There is no such person.
    """
    if not await fetchval("SELECT 1 FROM users WHERE id = $1", user_id):
        raise NotFound("There is no such person.")
    return await end_sessions(user_id, reason=reason, revoked_by=revoked_by)


@functools.cache
def token_policy() -> TokenPolicy:
    """Return who issues this server's tokens, and its keys."""
    url = settings().PUBLIC_URL
    return TokenPolicy.of(settings().JWT_SECRET, issuer=url, audience=url)


def _pair(
    user_id: str,
    email: str,
    session_id: str,
    refresh_token: str,
    now: datetime,
    guest_of: str | None,
) -> TokenPair:
    access_token = mint_access_token(
        user_id,
        email,
        session_id,
        guest_of=guest_of,
        policy=token_policy(),
        now=now,
        jti=new_id(),
    )
    return TokenPair(access_token, refresh_token, ACCESS_TOKEN_TTL_SECONDS)


def _shortened(user_agent: str | None) -> str | None:
    return user_agent and user_agent[:LONGEST_DEVICE]
