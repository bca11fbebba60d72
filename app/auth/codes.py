"""Codes of six digits that are sent by mail: who has read one has the address that it was sent to.

A client that asks gets a *challenge*, a secret of its own. The code counts together with it alone:
one that somebody else has asked for, or reads over a shoulder, is worth nothing. Of the challenge
only the hash is kept, as the code's id; the code itself is kept nowhere: it is derived from the id
with our secret each time.
"""

import hmac
import secrets
from datetime import datetime, timedelta

import asyncpg
import msgspec

from app.auth.people import person_of, verify_address
from app.auth.sessions import Device, TokenPair, open_session, token_policy
from app.auth.tokens import token_hash
from app.database.engine import fetchrow, fetchval, transaction
from app.email_addresses import canonical_address
from app.errors import InvalidCredentials, RateLimitExceeded

DIGITS = 6
CODE_TTL = timedelta(minutes=10)
MOST_TRIES = 5
"""Of a code, wrong ones and right ones."""
MOST_ASKED = 10
"""Codes of an address in the 24 hours from the first of them on."""
CHALLENGE_BYTES = 32
IN_FORCE = 'c."usedAt" IS NULL AND c."expiresAt" > now()'
"""Of a row c."""


class Challenge(msgspec.Struct, frozen=True):
    """What a client that asked for a code goes on with."""

    secret: str
    """The client's alone."""
    id: str
    """The code's."""


async def renew(email: str) -> Challenge:
    """Make a code for an address, in place of the one before. Nobody looks whose address it is.

    Raises:
        NotAnAddress: It is none.
        RateLimitExceeded: There were too many for this address.
    """
    address = canonical_address(email)
    secret = secrets.token_urlsafe(CHALLENGE_BYTES)
    row = await fetchrow(
        """
        WITH known AS (
            SELECT "askedSince" + interval '1 day' AS again FROM sign_in_codes WHERE email = $1
        ), renewed AS (
            INSERT INTO sign_in_codes AS c (email, id, kid, "expiresAt")
            VALUES ($1, $2, $3, now() + $4)
            ON CONFLICT (email) DO UPDATE SET id = EXCLUDED.id, kid = EXCLUDED.kid,
                "expiresAt" = EXCLUDED."expiresAt", "usedAt" = NULL, tries = 0,
                asked = CASE WHEN c."askedSince" > now() - interval '1 day'
                    THEN c.asked + 1 ELSE 1 END,
                "askedSince" = CASE WHEN c."askedSince" > now() - interval '1 day'
                    THEN c."askedSince" ELSE now() END
            WHERE c.asked < $5 OR c."askedSince" <= now() - interval '1 day'
            RETURNING id
        )
        SELECT (SELECT id FROM renewed) AS id,
            (SELECT ceil(extract(epoch FROM again - now()))::int FROM known) AS wait
        """,
        *(address, token_hash(secret), token_policy().keys[0].kid, CODE_TTL, MOST_ASKED),
    )
    if row is None or row["id"] is None:
        raise _too_many(None if row is None else row["wait"])
    return Challenge(secret, row["id"])


def _too_many(seconds: int | None) -> RateLimitExceeded:
    return RateLimitExceeded(
        f"An address gets {MOST_ASKED} codes within 24 hours. Sign in in another way, or later.",
        headers={"Retry-After": str(max(1, seconds or 1))},
    )


def code_of(id_: str, kid: str) -> str | None:
    """Return the digits of a code; None if the secret that it was made with is not ours any more.

    Args:
        id_: Its id.
        kid: Which secret it was made with: servers may differ in which is the first.
    """
    key = next((key for key in token_policy().keys if key.kid == kid), None)
    if key is None:
        return None
    number = int.from_bytes(hmac.digest(key.code, id_.encode(), "sha256")[:8], "big")
    return f"{number % 10**DIGITS:0{DIGITS}}"


async def sign_in(
    challenge: str, code: str, device: Device, now: datetime
) -> tuple[TokenPair, asyncpg.Record]:
    """Open a session for who has the code, and tell who it is. An unknown address makes a person.

    Raises:
        InvalidCredentials: The code is wrong, was used, is too old, or there were too many tries.
        AccountDeleted: The person was deleted.
    """
    id_ = token_hash(challenge)
    await _try(id_, code)
    async with transaction():
        address = await fetchval(
            f'UPDATE sign_in_codes c SET "usedAt" = now() WHERE id = $1 AND {IN_FORCE} '
            "RETURNING email",
            id_,
        )
        if address is None:
            raise _wrong("used or replaced meanwhile")
        person = await person_of(address)
        await verify_address(person["id"], address)
        return await open_session(person["id"], person["email"], device, now), person


async def _try(id_: str, code: str) -> None:
    """Count a try, and compare then: of many at once no more are compared than may be.

    Raises:
        InvalidCredentials: It is not the code.
    """
    kid = await fetchval(
        f"UPDATE sign_in_codes c SET tries = tries + 1 WHERE id = $1 AND {IN_FORCE} AND tries < $2 "
        "RETURNING kid",
        id_,
        MOST_TRIES,
    )
    expected = None if kid is None else code_of(id_, kid)
    if expected is None:
        raise _wrong("no code in force has this challenge")
    if not hmac.compare_digest(expected, code):
        raise _wrong("wrong digits")


def _wrong(private: str) -> InvalidCredentials:
    return InvalidCredentials(
        "The code is wrong, was used, or is not good any more. After five tries ask for a new one.",
        private=f"sign-in code: {private}",
    )
