"""Who is calling, and the sign-in of the demo people."""

import hmac
from datetime import UTC, datetime

import asyncpg

from app.auth.people import come_back
from app.auth.revocation import is_known_to_redis, is_revoked
from app.auth.sessions import Device, TokenPair, open_session, token_policy
from app.auth.tokens import VerifiedToken, VerifiedTokens, decode_access_token
from app.database.engine import fetchrow, fetchval
from app.email_addresses import canonical_address
from app.errors import AccountDeleted, Forbidden, InvalidCredentials, InvalidToken
from app.settings import settings
from app.tables import User

VERIFIED_TOKENS_CAPACITY = 10_000
DEMO_PROVIDER = "demo"

NOT_FOR_GUESTS = Forbidden("Guests may not do this, and are in one room alone. Sign in first.")

_verified_tokens = VerifiedTokens(VERIFIED_TOKENS_CAPACITY)


async def identify(token: str, now: datetime) -> VerifiedToken:
    """Tell whom an access token speaks for, without a query. No guest gets by.

    Raises:
        InvalidToken: It is not one of ours in force, or was revoked.
        Forbidden: It is a guest's.
    """
    verified = await identify_anybody(token, now)
    if verified.claims.guestOf is not None:
        raise NOT_FOR_GUESTS
    return verified


async def identify_anybody(token: str, now: datetime) -> VerifiedToken:
    """Tell whom an access token speaks for, who may be a guest: the caller has to look.

    Raises:
        InvalidToken: It is not one of ours in force, or was revoked.
    """
    verified = _verified_tokens.get(token, now)
    if verified is None:
        claims = decode_access_token(token, policy=token_policy(), now=now)
        verified = _verified_tokens.add(token, claims)
    if await is_revoked(verified):
        cause = f"a token of session {verified.claims.sid} was revoked"
        raise InvalidToken(private=cause, was="revoked")
    return verified


def in_force(user: str, session: str, hashes: str) -> str:
    """Write the condition that an identified token still holds, as PostgreSQL knows it.

    Args:
        user: The statement's argument for its person, as `$1`.
        session: The argument for its session.
        hashes: The argument for what it may have been revoked by; see `revocation`.
    """
    return f"""(
        EXISTS (
            SELECT FROM sessions s JOIN {User.alive()} person ON person.id = s."userId"
            WHERE s.id = {session} AND s."userId" = {user}
        ) AND NOT EXISTS (SELECT FROM token_blacklist WHERE "tokenHash" = ANY({hashes}))
    )"""


async def confirm(verified: VerifiedToken) -> bool:
    """Ask the database about a token that was identified. One statement.

    Returns:
        Whether its person is a platform administrator.

    Raises:
        InvalidToken: It was revoked, its session ended, or its person was deleted.
    """
    is_admin: bool | None = None
    if not await is_known_to_redis(verified.hashes):
        is_admin = await fetchval(
            f'SELECT "isAdmin" FROM users WHERE id = $1 AND {in_force("$1", "$2", "$3")}',
            verified.claims.sub,
            verified.claims.sid,
            verified.hashes,
        )
    if is_admin is None:
        raise not_in_force(verified)
    return is_admin


async def is_platform_administrator(user_id: str) -> bool:
    """Tell whether somebody administers the platform; nobody who was deleted does."""
    found = f'SELECT true FROM {User.alive()} u WHERE id = $1 AND "isAdmin"'
    return await fetchval(found, user_id) is True


def not_in_force(verified: VerifiedToken) -> InvalidToken:
    """Say that a token does not hold any more."""
    return InvalidToken(private=f"session {verified.claims.sid} is not in force any more")


async def sign_in_demo(
    email: str, password: str, device: Device, now: datetime
) -> tuple[TokenPair, asyncpg.Record]:
    """Open a session for one of the seeded demo people, and tell who it is.

    Raises:
        InvalidCredentials: Not one of them, or not their password.
        AccountDeleted: The person was deleted, and not by themselves.
    """
    user = await fetchrow(
        'SELECT id, email, name, avatar, "createdAt", "updatedAt", "deletedAt" FROM users '
        "WHERE email = $1 AND provider = $2",
        canonical_address(email),
        DEMO_PROVIDER,
    )
    expected = settings().demo_password
    if not hmac.compare_digest(password.encode(), expected.encode()) or user is None:
        raise InvalidCredentials(private="wrong demo e-mail or password")
    if not (user["deletedAt"] is None or await come_back(user["id"])):
        raise AccountDeleted
    return await open_session(user["id"], user["email"], device, now), user


async def profile(user_id: str) -> asyncpg.Record:
    """Read one's own profile.

    Raises:
        InvalidToken: The person was deleted.
    """
    user = await fetchrow(
        'SELECT id, email, name, avatar, "createdAt", "updatedAt" '
        f"FROM {User.alive()} u WHERE id = $1",
        user_id,
    )
    if user is None:
        raise InvalidToken(private="the person was deleted")
    return user


def utc_now() -> datetime:
    """Return the time by this server's clock."""
    return datetime.now(UTC)
