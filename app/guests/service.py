"""How guests come into a room, and how what they have there becomes an account's."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from app.auth.revocation import spread
from app.auth.sessions import Device, TokenPair, end_sessions_within, open_session
from app.auth.tokens import token_hash
from app.database.engine import fetch, fetchrow, transaction
from app.database.ids import new_id
from app.errors import Forbidden, InvalidToken, NotFound, RoomClosed
from app.participants.roles import Rank
from app.participants.service import Membership
from app.tables import ParticipantRole, Room, RoomStatus

_NO_GUEST = NotFound("No guest has this refresh token any more.")
NO_ADDRESS = "guest.invalid"
"""A domain that there will never be (RFC 6761): of the addresses that stand for none."""
GUEST = "guest"
"""In place of a provider."""


async def admit(
    member: Membership, name: str, device: Device, now: datetime
) -> tuple[TokenPair, str]:
    """Let somebody without an account into a room as PARTICIPANT, on this device alone.

    Returns:
        Their tokens, and the id of the participant.

    Raises:
        NotFound: The room was deleted or made private meanwhile.
        RoomClosed: It is neither DRAFT nor ACTIVE.
        Forbidden: It admits no guests.
    """
    async with transaction():
        await _require_welcome(member)
        room_id, user_id, participant_id = member.room_id, new_id(), new_id()
        address = f"{user_id}@{NO_ADDRESS}"
        await fetch(
            'INSERT INTO users (id, email, name, provider, "guestOf", "updatedAt") '
            "VALUES ($1, $2, $3, $4, $5, now())",
            *(user_id, address, name, GUEST, room_id),
        )
        await fetch(
            'INSERT INTO participants (id, "userId", "roomId", role, "joinedAt", "acceptedAt", '
            "\"updatedAt\") VALUES ($1, $2, $3, 'PARTICIPANT', now(), now(), now())",
            *(participant_id, user_id, room_id),
        )
        pair = await open_session(user_id, address, device, now, guest_of=room_id)
    return pair, participant_id


async def _require_welcome(member: Membership) -> None:
    """Lock the room, so that it neither closes nor shuts its door before this is committed."""
    room = await fetchrow(
        f"SELECT status, guests FROM {Room.alive()} r "
        'WHERE id = $1 AND ("isPublic" OR $2) FOR SHARE',
        *(member.room_id, member.rank is not Rank.OUTSIDER),
    )
    if room is None:
        raise NotFound("There is no such room.")
    if not RoomStatus(room["status"]).is_open:
        raise RoomClosed
    if not room["guests"]:
        raise Forbidden("This room admits no guests. Sign in to join it.")


async def take_over(user_id: str, refresh_token: str) -> asyncpg.Record:
    """Give an account what it was as a guest: the seat in the room, and what it has won.

    Of two seats in the room one stays, and nobody is in a draw twice: the account's, unless the
    guest has won and the account has not. What the other one has won stays won, and in records.

    Args:
        user_id: The account.
        refresh_token: The guest's, which proves that it is the same person.

    Returns:
        The `id` and the `roomId` of the seat that stays.

    Raises:
        NotFound: No guest has this token any more.
        InvalidToken: The account was deleted.
    """
    async with transaction():
        guest = await _guest_of(refresh_token)
        people = await _locked_people(user_id, guest["id"])
        revoked = await end_sessions_within(guest["id"], reason="signed in", revoked_by=user_id)
        if not revoked.hashes:  # Somebody else was first.
            raise _NO_GUEST
        await fetch("SELECT 1 FROM rooms WHERE id = $1 FOR NO KEY UPDATE", guest["guestOf"])
        kept = await _unite(guest, people[user_id])
        await fetch(
            'UPDATE users SET name = COALESCE(name, $2), "updatedAt" = now() WHERE id = $1',
            *(user_id, people[guest["id"]]["name"]),
        )
        await fetch('UPDATE users SET name = NULL, "updatedAt" = now() WHERE id = $1', guest["id"])
    await spread(revoked)
    return kept


async def _guest_of(refresh_token: str) -> asyncpg.Record:
    guest = await fetchrow(
        'SELECT u.id, u."guestOf" FROM sessions s JOIN users u ON u.id = s."userId" '
        'WHERE s."refreshToken" = $1 AND s."expiresAt" > now() AND u."guestOf" IS NOT NULL',
        token_hash(refresh_token),
    )
    if guest is None:
        raise _NO_GUEST
    return guest


async def _locked_people(user_id: str, guest_id: str) -> dict[str, asyncpg.Record]:
    """Lock both, so that neither is deleted, joins a room or is taken over meanwhile."""
    rows = await fetch(
        'SELECT id, name, CASE WHEN "emailVerified" IS NOT NULL THEN email END AS address '
        'FROM users WHERE id = ANY($1) AND "deletedAt" IS NULL ORDER BY id FOR NO KEY UPDATE',
        [user_id, guest_id],
    )
    people = {row["id"]: row for row in rows}
    if user_id not in people:
        raise InvalidToken(private="the account was deleted")
    if guest_id not in people:
        raise _NO_GUEST
    return people


async def _unite(guest: asyncpg.Record, account: asyncpg.Record) -> asyncpg.Record:
    """Make one seat of the guest's and the one by which the room knows the account, if it does."""
    rows = await fetch(
        'SELECT p.*, EXISTS (SELECT FROM winners w WHERE w."participantId" = p.id '
        'AND w."deletedAt" IS NULL) AS "hasWon" FROM participants p WHERE "roomId" = $1 '
        'AND ("userId" = ANY($2) OR ("userId" IS NULL AND email = $3)) '
        "ORDER BY id FOR NO KEY UPDATE",
        *(guest["guestOf"], [guest["id"], account["id"]], account["address"]),
    )
    seats = {row["userId"]: row for row in rows}
    own = seats[guest["id"]]
    known = seats.get(account["id"]) or seats.get(None)
    kept, other = own, known
    if known is not None and (known["hasWon"] or not own["hasWon"]):
        kept, other = known, own
    if other is not None:
        await _give_up(other, account["id"])
    return await _give(kept, [row for row in (known, own) if row is not None], account)


async def _give_up(seat: asyncpg.Record, user_id: str) -> None:
    """Leave a seat to the prizes that it won, under the name that it had; else it is nobody's.

    Args:
        seat: The seat.
        user_id: Whose it is, with whom it is erased.
    """
    await fetch(
        """
        UPDATE participants p SET "userId" = NULL, email = NULL, "ownMetadata" = NULL,
            "wasOf" = $3,
            name = CASE WHEN $2 AND p."erasedAt" IS NULL THEN COALESCE(u.name, p.name) END,
            "deletedAt" = COALESCE(p."deletedAt", now()), "updatedAt" = now()
        FROM participants x LEFT JOIN users u ON u.id = x."userId"
        WHERE p.id = $1 AND x.id = p.id
        """,
        *(seat["id"], seat["hasWon"], user_id),
    )


async def _give(
    kept: asyncpg.Record, seats: Sequence[asyncpg.Record], account: asyncpg.Record
) -> asyncpg.Record:
    """Make a seat an account's.

    Args:
        kept: The seat.
        seats: All that there were: as what, with which metadata, and how they want to be called,
            is told by the first.
        account: Whose it is from now on.
    """
    alive = [row for row in seats if row["deletedAt"] is None]
    given = await fetchrow(
        """
        UPDATE participants p SET "userId" = $2, role = $3, name = NULL,
            metadata = CASE WHEN "erasedAt" IS NULL THEN $4::jsonb END,
            "showName" = $7, "acceptedAt" = COALESCE("acceptedAt", now()), "deletedAt" = $5,
            "updatedAt" = now(), email = CASE WHEN "erasedAt" IS NOT NULL THEN NULL WHEN EXISTS (
                SELECT FROM participants x
                WHERE x."roomId" = p."roomId" AND x.email = $6 AND x.id <> p.id
            ) THEN email ELSE COALESCE($6, email) END
        WHERE id = $1 RETURNING id, "roomId"
        """,
        kept["id"],
        account["id"],
        alive[0]["role"] if alive else ParticipantRole.PARTICIPANT,
        next((row["metadata"] for row in seats if row["metadata"] is not None), None),
        None if alive else kept["deletedAt"],
        account["address"],
        next((row["showName"] for row in seats if row["showName"] is not None), None),
    )
    if given is None:
        raise AssertionError("the seat is locked")
    return given
