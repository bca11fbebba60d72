"""Whose a room is: handed over to another ORGANIZER, and left by who deletes their account.

A room's own lock decides between all of these and every change of a role in it. Who deletes an
account has locked the person before, so that nobody makes them ORGANIZER of another room meanwhile.
"""

from collections.abc import Mapping, Sequence

import asyncpg
import msgspec

from app.database.audit import acting
from app.database.engine import fetch
from app.database.ids import new_id
from app.errors import Conflict, Forbidden
from app.participants.roles import Rank
from app.participants.service import Membership, read_again
from app.tables import Participant, ParticipantRole, Room, User

_ORGANIZERS = f"""
    SELECT u.id, u.name, u.avatar, p."acceptedAt"
    FROM {Participant.alive()} p JOIN {User.alive()} u ON u.id = p."userId"
    WHERE p.role = 'ORGANIZER'
"""


class Successor(msgspec.Struct, frozen=True):
    """Whose a room becomes."""

    id: str
    name: str | None
    avatar: str | None


class LeftRoom(msgspec.Struct, frozen=True):
    """A room that somebody organizes, and whose it becomes without them: nobody's deletes it."""

    id: str
    name: str
    successor: Successor | None


async def hand_over(member: Membership, room: asyncpg.Record, receiver_id: str) -> None:
    """Give a locked room to another of its ORGANIZERs, within the caller's transaction.

    The room's organizer does so; any ORGANIZER where the one who is named is none any more; and
    who is above them.

    Raises:
        Forbidden: It is not the caller's to give.
        Conflict: The receiver is not an ORGANIZER of the room, or never agreed to be in it: mails
            count against whose it is.
    """
    if receiver_id == room["createdBy"]:
        return
    member = await read_again(member, at_least=ParticipantRole.ORGANIZER)
    rows = await fetch(f'{_ORGANIZERS} AND p."roomId" = $1', room["id"])
    organizers = {row["id"]: row["acceptedAt"] for row in rows}
    is_theirs = room["createdBy"] not in organizers or room["createdBy"] == member.user_id
    if not is_theirs and member.rank < Rank.ADMIN:
        raise Forbidden("Only the room's organizer hands it over.")
    if receiver_id not in organizers:
        raise Conflict("A room is handed over to another of its ORGANIZERs.")
    agreed = organizers[receiver_id] is not None or receiver_id == member.user_id
    if not agreed and member.rank < Rank.ADMIN:
        raise Conflict("They were brought in: have them join the room first.")
    async with acting(member.actor, "hand over room"):
        await _pass_on({room["id"]: receiver_id})


async def rooms_left_by(user_id: str) -> Sequence[LeftRoom]:
    """Find the rooms that change hands, or end, when a person deletes the account; oldest first.

    A room is left to who has been in it for longest of its other ORGANIZERs.
    """
    rows = await fetch(
        f"""
        SELECT r.id, r.name, o.id AS "successorId", o.name AS "successorName", o.avatar
        FROM {Room.alive()} r LEFT JOIN LATERAL (
            {_ORGANIZERS} AND p."roomId" = r.id AND u.id <> $1 ORDER BY p."joinedAt", p.id LIMIT 1
        ) o ON true
        WHERE r.id IN {_ORGANIZED} AND (o.id IS NULL OR r."createdBy" = $1)
        ORDER BY r."createdAt", r.id
        """,
        user_id,
    )
    return [LeftRoom(row["id"], row["name"], _successor(row)) for row in rows]


_ORGANIZED = """(
    SELECT id FROM rooms WHERE "createdBy" = $1
    UNION SELECT "roomId" FROM participants
    WHERE "userId" = $1 AND role = 'ORGANIZER' AND "deletedAt" IS NULL
)"""


def _successor(row: asyncpg.Record) -> Successor | None:
    if row["successorId"] is None:
        return None
    return Successor(row["successorId"], row["successorName"], row["avatar"])


async def leave_rooms(user_id: str) -> Sequence[LeftRoom]:
    """Pass on or soft-delete the rooms of a person who is locked, in the caller's transaction.

    Returns:
        What became of them.
    """
    await fetch(
        f"SELECT 1 FROM {Room.alive()} r WHERE id IN {_ORGANIZED} ORDER BY id FOR NO KEY UPDATE",
        user_id,
    )
    left = await rooms_left_by(user_id)
    await fetch(
        'UPDATE rooms SET "deletedAt" = now(), "updatedAt" = now() WHERE id = ANY($1)',
        [room.id for room in left if room.successor is None],
    )
    async with acting(user_id, "leave room to another"):
        await _pass_on({room.id: room.successor.id for room in left if room.successor is not None})
    return left


async def _pass_on(rooms: Mapping[str, str]) -> None:
    """Write down whose rooms are now; all are locked."""
    await fetch(
        'UPDATE rooms r SET "createdBy" = given.organizer, "updatedAt" = now() '
        "FROM unnest($1::text[], $2::text[]) AS given (id, organizer) WHERE r.id = given.id",
        list(rooms),
        list(rooms.values()),
    )


async def keep_organized(room_id: str) -> None:
    """Make who opened a room its ORGANIZER again where it has none, as after an undone deletion."""
    await fetch(
        f"""
        INSERT INTO participants AS p (id, "userId", "roomId", role, "joinedAt", "updatedAt")
        SELECT $2, r."createdBy", r.id, 'ORGANIZER', now(), now() FROM rooms r
        WHERE r.id = $1 AND NOT EXISTS ({_ORGANIZERS} AND p."roomId" = r.id)
        ON CONFLICT ("userId", "roomId") DO UPDATE
        SET role = 'ORGANIZER', "deletedAt" = NULL, "updatedAt" = now()
        """,
        room_id,
        new_id(),
    )
