"""Erasing people: what says who they were becomes blank, everywhere and for good.

One transaction. Its locks are those of a deletion, in their order: the person, the rooms, the rows
in them by their ids. Whoever writes of a person locks one of these before, and reads them
afterwards: so nobody writes back what has become blank.
"""

from collections.abc import Sequence

import asyncpg

from app.auth.revocation import Revoked, spread
from app.database.engine import fetch, fetchrow, transaction
from app.database.versions import ANY, VERSION, Precondition
from app.errors import NotFound
from app.participants.erasing import ERASE, erase_seats, records_of_seats, redact
from app.users.service import leave

_BLANK_PERSON = """
    UPDATE users SET email = id || '@erased.invalid', name = NULL, avatar = NULL,
        "providerId" = NULL, "emailVerified" = NULL, "isAdmin" = false, "mayReturn" = false,
        "deletedAt" = COALESCE("deletedAt", now()), "erasedAt" = now(), "updatedAt" = now()
    WHERE id = $1
"""
_OF_PERSON = (
    "INSERT INTO outbox (type, subject) VALUES ('person.deleted', $1)",
    """
    WITH linked AS (DELETE FROM identities WHERE "userId" = $1 RETURNING id)
    DELETE FROM mails m USING linked WHERE m.kind = 'provider-linked' AND m.cause = linked.id
    """,
    "DELETE FROM mails WHERE kind IN ('session-stolen', 'sessions-ended') AND cause = $1",
    "DELETE FROM event_tickets WHERE token #>> '{claims,sub}' = $1",
    'DELETE FROM idempotency_keys WHERE "userId" = $1',
    'UPDATE token_blacklist SET reason = NULL WHERE "userId" = $1 AND reason IS NOT NULL',
)
_OF_ADDRESS = (
    "DELETE FROM mails WHERE kind = 'code' AND recipient = $1",
    """
    WITH code AS (DELETE FROM sign_in_codes WHERE email = $1 RETURNING id)
    DELETE FROM mails m USING code WHERE m.kind = 'code' AND m.cause = code.id
    """,
)


async def erase_user(
    user_id: str,
    precondition: Precondition = ANY,
    *,
    by: str,
    spare_rooms: bool = False,
    deleted_alone: bool = False,
) -> None:
    """Erase a person, also one who was deleted; ids, and what was won, stay.

    Args:
        user_id: The person's.
        precondition: The versions of the profile that the caller accepts.
        by: Who does so, for the audit log: a user's id, an administrator's name or a job's.
        spare_rooms: Whether to refuse rather than to delete a room.
        deleted_alone: Whether to erase only who is deleted: they may just have come back.

    Raises:
        NotFound: There is no such person, or not any more.
        PreconditionFailed: The profile has changed.
        Conflict: A room was to be spared, and nobody else organizes it; says how many.
    """
    async with transaction():
        person = await fetchrow(
            f'SELECT email, "emailVerified", "deletedAt", {VERSION} FROM users '
            'WHERE id = $1 AND "erasedAt" IS NULL FOR NO KEY UPDATE',
            user_id,
        )
        if person is None or (deleted_alone and person["deletedAt"] is None):
            raise NotFound("There is no such person.")
        precondition.check(person)
        revoked = Revoked([], user_id)
        if person["deletedAt"] is None:
            revoked = await leave(user_id, spare_rooms=spare_rooms)
        seats = await _lock_seats(user_id, person)
        await fetch(_BLANK_PERSON, user_id)
        for statement in _OF_PERSON:
            await fetch(statement, user_id)
        if person["emailVerified"] is not None:
            for statement in _OF_ADDRESS:
                await fetch(statement, person["email"])
        await erase_seats(seats, user_id)
        records = [*await records_of_seats(seats), *await _records_of(user_id)]
        await redact(by, ERASE, "users", user_id, records)
    await spread(revoked)


async def _lock_seats(user_id: str, person: asyncpg.Record) -> Sequence[str]:
    """Lock the rows of rooms that are or were somebody's, and those that wait for their address."""
    rows = await fetch(
        """
        SELECT id FROM participants WHERE id IN (
            SELECT id FROM participants WHERE "userId" = $1
            UNION ALL SELECT id FROM participants WHERE "wasOf" = $1
            UNION ALL SELECT id FROM participants WHERE email = $2 AND "userId" IS NULL
        )
        ORDER BY id FOR NO KEY UPDATE
        """,
        user_id,
        person["email"] if person["emailVerified"] is not None else None,
    )
    return [row["id"] for row in rows]


async def _records_of(user_id: str) -> list[int]:
    rows = await fetch(
        """
        SELECT id FROM audit_log WHERE "tableName" = 'users' AND "rowId" = $1
        UNION ALL
        SELECT id FROM audit_log WHERE "tableName" IN ('sessions', 'token_blacklist')
          AND COALESCE(before, after) ->> 'userId' = $1
        """,
        user_id,
    )
    return [row["id"] for row in rows]
