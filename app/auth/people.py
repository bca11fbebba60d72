"""Whom an identity of a sign-in provider belongs to here."""

from datetime import datetime, timedelta

import asyncpg
import msgspec

from app.auth.sessions import Device, TokenPair, open_session
from app.auth.tokens import token_hash
from app.database.engine import fetch, fetchrow, fetchval, transaction
from app.database.ids import new_id
from app.errors import AccountDeleted, EmailNotVerified, EmailTaken, InvalidToken

SIGN_IN_TTL = timedelta(minutes=10)
"""How long somebody may take at the provider."""
LONGEST_NAME = 100
BY_MAIL = "email"
"""In place of a provider, of people who came by a code that was sent to their address."""
_PROFILE = 'id, email, name, avatar, "createdAt", "updatedAt", "deletedAt"'


class Identity(msgspec.Struct, frozen=True):
    """Who a provider says that somebody is."""

    provider: str
    subject: str
    """The person's id there; together they are the identity, and the e-mail address is not."""
    email: str | None
    is_email_verified: bool
    name: str | None
    picture: str | None


class Arrival(msgspec.Struct, frozen=True):
    """A browser that came back with somebody."""

    identity: Identity
    redirect_url: str
    state: str


async def sign_in(arrival: Arrival, device: Device, now: datetime) -> TokenPair:
    """Open a session for somebody whom a provider sent. One transaction.

    Raises:
        AccountDeleted: The person was deleted, and not by themselves.
        EmailNotVerified: The identity is new, and the provider does not vouch for its address.
        EmailTaken: The address belongs to another person of the same provider.
        InvalidToken: This sign-in was finished already.
    """
    async with transaction():
        person = await _person(arrival.identity)
        if arrival.identity.is_email_verified:
            await verify_address(person["id"], arrival.identity.email)
        await _use_up(arrival.state, person["id"])
        return await open_session(person["id"], person["email"], device, now)


async def verify_address(user_id: str, email: str | None) -> None:
    """Remember that a person's address is theirs: a provider says so, or they read a mail there.

    In a database that was taken over nobody may have; rooms let in only whose address it surely is.
    """
    await fetch(
        'UPDATE users SET "emailVerified" = now(), "updatedAt" = now() '
        'WHERE id = $1 AND email = $2 AND "emailVerified" IS NULL',
        user_id,
        email,
    )


async def person_of(email: str) -> asyncpg.Record:
    """Find the person of an address that is surely theirs, else make one. No provider vouches.

    Raises:
        AccountDeleted: The person was deleted, and not by themselves.
    """
    person = await _of_address(email) or await fetchrow(
        'INSERT INTO users (id, email, provider, "emailVerified", "updatedAt") '
        "VALUES ($1, $2, $3, now(), now()) ON CONFLICT DO NOTHING "
        f"RETURNING {_PROFILE}",
        new_id(),
        email,
        BY_MAIL,
    )
    if person is None:  # Somebody else has just made the person.
        person = await _of_address(email)
    if person is None or not (person["deletedAt"] is None or await come_back(person["id"])):
        raise AccountDeleted(private="the address is a deleted person's")
    return person


async def _of_address(email: str) -> asyncpg.Record | None:
    return await fetchrow(f"SELECT {_PROFILE} FROM users WHERE email = $1 FOR NO KEY UPDATE", email)


async def _person(identity: Identity) -> asyncpg.Record:
    """Find the person by identity, else by an address that is verified, else make one."""
    person = await _found_or_made(identity)
    if person is None:  # Somebody else has just made the person.
        person = await _found_or_made(identity)
    if person is None or not (person["deletedAt"] is None or await come_back(person["id"])):
        raise AccountDeleted(private="the identity or the address is a deleted person's")
    return person


async def come_back(user_id: str) -> bool:
    """Undo that somebody deleted themselves, unless they are erased. Tell whether it was undone.

    Not what went with it: sessions, memberships and rooms, nor that they administer the platform.
    """
    row = await fetchrow(
        'UPDATE users SET "deletedAt" = NULL, "mayReturn" = false, "isAdmin" = false, '
        '"updatedAt" = now() WHERE id = $1 AND "mayReturn" RETURNING id',
        user_id,
    )
    return row is not None


async def _found_or_made(identity: Identity) -> asyncpg.Record | None:
    return await _by_identity(identity) or await _by_email(identity) or await _new_person(identity)


async def _by_identity(identity: Identity) -> asyncpg.Record | None:
    """Find whose identity it is, also where a server of the version before has written it down."""
    return await fetchrow(
        """
        SELECT id, email, "deletedAt" FROM users WHERE id = COALESCE(
            (SELECT "userId" FROM identities WHERE provider = $1 AND subject = $2),
            (SELECT id FROM users WHERE provider = $1 AND "providerId" = $2)
        )
        """,
        identity.provider,
        identity.subject,
    )


async def _by_email(identity: Identity) -> asyncpg.Record | None:
    """Find the person of a verified address, who has this identity from now on.

    Each provider's word on the address is taken. An address that the *same* provider has given to
    somebody else is not followed.
    """
    if identity.email is None or not identity.is_email_verified:
        raise EmailNotVerified(private=f"{identity.provider} vouches for no address that is one")
    person = await fetchrow(
        'SELECT id, email, provider, "providerId", "deletedAt" FROM users WHERE email = $1 '
        "FOR NO KEY UPDATE",
        identity.email,
    )
    if person is None or not (person["deletedAt"] is None or await come_back(person["id"])):
        return person
    first = None if person["provider"] != identity.provider else person["providerId"]
    if first not in {None, identity.subject}:
        raise _email_taken(identity)
    await _link(person["id"], identity)
    # Who moves events has a mail sent of it: somebody else may have done so.
    await fetch(
        "INSERT INTO outbox (type, subject) SELECT 'person.linked', id FROM identities "
        "WHERE provider = $1 AND subject = $2",
        identity.provider,
        identity.subject,
    )
    if person["providerId"] is None:
        await fetchval(
            'UPDATE users SET provider = $2, "providerId" = $3, "updatedAt" = now(), '
            '"emailVerified" = COALESCE("emailVerified", now()) WHERE id = $1',
            person["id"],
            identity.provider,
            identity.subject,
        )
    return await _by_identity(identity)


async def _new_person(identity: Identity) -> asyncpg.Record | None:
    """Make a person; None where somebody else has just done so."""
    picture = identity.picture or ""
    person = await fetchrow(
        'INSERT INTO users (id, email, name, avatar, provider, "providerId", "emailVerified", '
        '"updatedAt") VALUES ($1, $2, $3, $4, $5, $6, now(), now()) '
        'ON CONFLICT DO NOTHING RETURNING id, email, "deletedAt"',
        new_id(),
        identity.email,
        (identity.name or "")[:LONGEST_NAME].strip() or None,
        picture if picture.startswith(("https://", "http://")) else None,
        identity.provider,
        identity.subject,
    )
    if person is not None:
        await _link(person["id"], identity)
    return person


async def _link(user_id: str, identity: Identity) -> None:
    """Give a person an identity.

    Raises:
        EmailTaken: The person has another one of this provider.
    """
    await fetch(
        'INSERT INTO identities (id, "userId", provider, subject) VALUES ($1, $2, $3, $4) '
        "ON CONFLICT DO NOTHING",
        new_id(),
        user_id,
        identity.provider,
        identity.subject,
    )
    linked = await _by_identity(identity)
    if linked is None or linked["id"] != user_id:
        raise _email_taken(identity)


def _email_taken(identity: Identity) -> EmailTaken:
    return EmailTaken(private=f"{identity.provider} gave the address to another subject")


async def _use_up(state: str, user_id: str) -> None:
    """Let a state serve once, whatever the browser and the provider do; its row says so.

    Raises:
        InvalidToken: It has served.
    """
    is_first = await fetchval(
        'INSERT INTO token_blacklist (id, "tokenHash", "expiresAt", "userId", reason) '
        "VALUES ($1, $2, now() + $3::interval * 2, $4, 'sign-in state used') "
        'ON CONFLICT ("tokenHash") DO NOTHING RETURNING true',
        new_id(),
        token_hash(f"oauth-state:{state}"),
        SIGN_IN_TTL,
        user_id,
    )
    if not is_first:
        raise InvalidToken(private="this sign-in was finished already")
