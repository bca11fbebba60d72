"""Who is in a room: the door to it, joining, adding, changing and leaving."""

from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from app.auth.revocation import is_known_to_redis
from app.auth.service import in_force, not_in_force
from app.auth.tokens import VerifiedToken
from app.database.engine import fetch, fetch_shared, fetchrow, fetchval, jsonb, transaction
from app.database.ids import new_id
from app.database.listing import Listing, PageRequest
from app.database.versions import ANY, VERSION, Precondition
from app.errors import (
    Conflict,
    Forbidden,
    InvalidToken,
    NotFound,
    RoomClosed,
    Unauthorized,
    ValidationFailed,
)
from app.participants.roles import (
    HELD_FROM,
    Rank,
    Right,
    may_change,
    may_grant,
    rank_of,
    reaches,
)
from app.tables import Participant, ParticipantRole, Room, RoomStatus, User


class Membership(msgspec.Struct, frozen=True):
    """What somebody is in a room: the proof that services ask for before they touch it."""

    room_id: str
    status: RoomStatus
    is_public: bool
    user_id: str | None
    participant_id: str | None
    role: ParticipantRole | None
    """ADMIN for platform administrators, whatever they joined as."""
    rank: Rank

    @property
    def is_staff(self) -> bool:
        """Whether it is no user, but somebody at the administrators' page."""
        return self.user_id is None and self.rank is Rank.PLATFORM_ADMINISTRATOR

    @property
    def sees_addresses(self) -> bool:
        """Whether the e-mail addresses of those who are in the room are shown to them."""
        return reaches(self.rank, HELD_FROM[Right.MANAGE_PARTICIPANTS])

    def require(self, role: ParticipantRole) -> None:
        """Allow what a role may do.

        Raises:
            Unauthorized: Nobody is signed in, and a role is needed.
            Forbidden: The person's role is lower.
        """
        if reaches(self.rank, role):
            return
        if self.user_id is None:
            raise Unauthorized
        raise Forbidden(f"This needs the role {role} in the room.")

    def require_open(self) -> None:
        """Allow changes only while the room is open.

        Raises:
            RoomClosed: It is COMPLETED or CANCELLED.
        """
        if not self.status.is_open:
            raise RoomClosed


async def membership(
    user_id: str | None,
    room_id: str,
    *,
    at_least: ParticipantRole | None = None,
    still_signed_in_by: VerifiedToken | None = None,
) -> Membership:
    """Open the only door to a room. One statement.

    Args:
        user_id: Who asks; None for anonymous visitors.
        room_id: The room.
        at_least: The role that is needed; None for what anybody may do in a public room.
        still_signed_in_by: A token of theirs that the database has to confirm as well.

    Raises:
        NotFound: There is no such room for this person: private rooms don't exist for outsiders.
        Unauthorized: Nobody is signed in, and a role is needed.
        Forbidden: The person's role is lower than needed.
        InvalidToken: The token does not hold any more.
    """
    token = still_signed_in_by
    arguments: tuple[Hashable, ...] = (room_id, user_id)
    confirmed = "true"
    if token is not None:
        if await is_known_to_redis(token.hashes):
            raise not_in_force(token)
        arguments = (*arguments, token.claims.sid, token.hashes)
        confirmed = in_force("$2", "$3", "$4")
    rows = await fetch_shared(
        f'SELECT r.status, r."isPublic", p.id, p.role, u."isAdmin", {confirmed} AS confirmed '
        f"FROM {Room.alive()} r "
        f'LEFT JOIN {Participant.alive()} p ON p."roomId" = r.id AND p."userId" = $2 '
        f"LEFT JOIN {User.alive()} u ON u.id = $2 "
        "WHERE r.id = $1",
        *arguments,
    )
    if not rows or not (rows[0]["isPublic"] or rows[0]["id"] or rows[0]["isAdmin"]):
        raise NotFound("There is no such room.")
    member = _member(room_id, user_id, rows[0])
    if at_least is not None:
        member.require(at_least)
    if token is not None and not rows[0]["confirmed"]:
        raise not_in_force(token)
    return member


def _member(
    room_id: str, user_id: str | None, row: asyncpg.Record | Mapping[str, Any]
) -> Membership:
    is_admin = bool(row["isAdmin"])
    role = ParticipantRole.ADMIN if is_admin else row["role"] and ParticipantRole(row["role"])
    return Membership(
        room_id,
        RoomStatus(row["status"]),
        row["isPublic"],
        user_id,
        row["id"],
        role,
        Rank.PLATFORM_ADMINISTRATOR if is_admin else rank_of(role),
    )


async def staff_membership(room_id: str) -> Membership:
    """Open the door for the staff of the administrators' page, who are in no room.

    Raises:
        NotFound: There is no such room.
    """
    row = await fetchrow(f'SELECT status, "isPublic" FROM {Room.alive()} r WHERE id = $1', room_id)
    if row is None:
        raise NotFound("There is no such room, or it was deleted.")
    return _member(room_id, None, {**row, "id": None, "role": None, "isAdmin": True})


async def read_again(member: Membership, *, at_least: ParticipantRole) -> Membership:
    """Open the door once more: somebody's role may have changed while they waited for a lock.

    Raises:
        NotFound, Unauthorized, Forbidden: As for `membership`.
    """
    if member.is_staff:
        return await staff_membership(member.room_id)
    return await membership(member.user_id, member.room_id, at_least=at_least)


_SHOWN = f"""
    x.id, x."userId", x."roomId", x.role, x.metadata, x."joinedAt", x."updatedAt",
    x."deletedAt", x.{VERSION},
    u.name AS "userName", u.avatar AS "userAvatar"
"""
_JOINED = 'JOIN users u ON u.id = x."userId"'
_ALIVE = 'FROM participants x WHERE x."roomId" = $1 AND x."deletedAt" IS NULL'
_LISTING = Listing(
    found=[_ALIVE],
    shown=_SHOWN,
    joined=f"JOIN participants x ON x.id = page.id {_JOINED}",
    order_column='"joinedAt"',
)
_WITH_ROLE = msgspec.structs.replace(
    _LISTING, found=[f'{_ALIVE} AND x.role = $2::text::"ParticipantRole"']
)
_WITH_ADDRESSES = msgspec.structs.replace(_LISTING, shown=f"{_SHOWN}, u.email")


async def list_participants(
    member: Membership, page: PageRequest, role: ParticipantRole | None = None
) -> tuple[Sequence[asyncpg.Record], int]:
    """List who is in the room, oldest first; one more than asked for when more follow.

    Args:
        member: The caller's.
        page: Which part of the list.
        role: Only those who have exactly this role.
    """
    if role is None:
        return await _LISTING.fetch(page, member.room_id)
    return await _WITH_ROLE.fetch(page, member.room_id, role)


def read_participants(member: Membership) -> AsyncIterator[Sequence[asyncpg.Record]]:
    """Read everybody who is in the room, oldest first, piece by piece; with e-mail addresses."""
    return _WITH_ADDRESSES.pieces(member.room_id)


async def find_participant(member: Membership, participant_id: str) -> asyncpg.Record:
    """Read one participant of the room.

    Raises:
        NotFound: Nobody alive in the room has this id.
    """
    row = await fetchrow(
        f"SELECT {_SHOWN} FROM participants x {_JOINED} "
        'WHERE x.id = $1 AND x."roomId" = $2 AND x."deletedAt" IS NULL',
        participant_id,
        member.room_id,
    )
    if row is None:
        raise NotFound("There is no such participant in this room.")
    return row


async def join(member: Membership) -> tuple[asyncpg.Record, bool]:
    """Enter a public room as PARTICIPANT, or come back to it. True when it is the first time.

    Raises:
        NotFound: The room was deleted or made private meanwhile.
        RoomClosed: It is neither DRAFT nor ACTIVE.
        Conflict: One is in it already.
        InvalidToken: The person was deleted meanwhile.
    """
    if member.user_id is None:
        raise Unauthorized
    async with transaction():
        await _lock_person(member.user_id)
        return await _enter(member, member.user_id, ParticipantRole.PARTICIPANT, metadata=None)


async def _lock_person(user_id: str) -> None:
    """Keep a person from being deleted while they enter: who deletes them ends memberships."""
    if not await fetchval(f"SELECT 1 FROM {User.alive()} u WHERE id = $1 FOR SHARE", user_id):
        raise InvalidToken(private="the person was deleted")


async def add_participant(
    member: Membership,
    *,
    user_id: str | None,
    email: str | None,
    role: ParticipantRole,
    metadata: Mapping[str, Any] | None,
) -> tuple[asyncpg.Record, bool]:
    """Bring somebody in, by id or e-mail address. True when it is the first time.

    Raises:
        ValidationFailed: Both are given.
        Forbidden: The role is higher than the caller may grant.
        NotFound: There is no such person.
        RoomClosed, Conflict: As for `join`.
    """
    if user_id is not None and email is not None:
        raise ValidationFailed.at({"$.email": "Give either userId or email."})
    if not may_grant(member.rank, role):
        raise Forbidden(f"You may not grant the role {role}.")
    async with transaction():
        found = await fetchval(
            f"SELECT id FROM {User.alive()} u WHERE id = $1 OR email = $2 FOR SHARE",
            user_id,
            email and email.strip().lower(),
        )
        if found is None:
            raise NotFound("There is no such person.")
        return await _enter(member, found, role, metadata=metadata)


async def _enter(
    member: Membership,
    user_id: str,
    role: ParticipantRole,
    *,
    metadata: Mapping[str, Any] | None,
) -> tuple[asyncpg.Record, bool]:
    """Insert the membership, or revive the one that was left: same row, metadata kept.

    The room is locked, so that it neither closes nor turns private before this is committed.
    """
    is_guest = member.rank is Rank.OUTSIDER
    row = await fetchrow(
        'INSERT INTO participants AS p (id, "userId", "roomId", role, metadata, "joinedAt", '
        '"updatedAt") SELECT $1, $2, r.id, $4, $5, now(), now() '
        f"FROM {Room.alive()} r WHERE r.id = $3 AND r.status IN ('DRAFT', 'ACTIVE') "
        'AND (r."isPublic" OR NOT $6) FOR SHARE '
        'ON CONFLICT ("userId", "roomId") DO UPDATE SET "deletedAt" = NULL, role = $4, '
        'metadata = COALESCE($5, p.metadata), "updatedAt" = now() '
        'WHERE p."deletedAt" IS NOT NULL RETURNING p.id',
        (participant_id := new_id()),
        user_id,
        member.room_id,
        role,
        jsonb(metadata),
        is_guest,
    )
    if row is None:
        raise await _why_not_entered(member, user_id)
    return await find_participant(member, row["id"]), row["id"] == participant_id


async def _why_not_entered(member: Membership, user_id: str) -> Exception:
    present = await membership(member.user_id, member.room_id)
    if await fetchval(
        f'SELECT 1 FROM {Participant.alive()} p WHERE "userId" = $1 AND "roomId" = $2',
        user_id,
        present.room_id,
    ):
        return Conflict("This person is in the room already.")
    return RoomClosed()


async def change_participant(
    member: Membership,
    participant_id: str,
    changes: Mapping[str, Any],
    precondition: Precondition = ANY,
) -> asyncpg.Record:
    """Change somebody's role or metadata; what is not named stays.

    Raises:
        NotFound: Nobody alive in the room has this id.
        PreconditionFailed: It has changed.
        RoomClosed: The room is COMPLETED or CANCELLED.
        Forbidden: The role, present or wanted, is above what the caller may grant.
        Conflict: The room would lose its last ORGANIZER.
    """
    async with transaction():
        if changes.get("role") is ParticipantRole.ORGANIZER:
            await _lock_person_of(participant_id)
        member, present = await _locked(member, participant_id)
        member.require_open()
        precondition.check(present)
        role = ParticipantRole(present["role"])
        wanted = changes.get("role", role)
        is_self = participant_id == member.participant_id
        if not may_change(member.rank, role, wanted, is_self=is_self):
            raise Forbidden(f"You may not change the role {role} to {wanted}.")
        if wanted is not ParticipantRole.ORGANIZER:
            await _keep_an_organizer(present)
        await fetch(
            'UPDATE participants SET role = $2, metadata = $3, "updatedAt" = now() WHERE id = $1',
            participant_id,
            wanted,
            jsonb(changes["metadata"]) if "metadata" in changes else present["metadata"],
        )
        return await find_participant(member, participant_id)


async def _lock_person_of(participant_id: str) -> None:
    """Keep a person from being deleted while they are made ORGANIZER, and perhaps the only one.

    Who deletes them has looked already for the rooms that they organize.
    """
    await fetch(
        'SELECT 1 FROM users WHERE id = (SELECT "userId" FROM participants WHERE id = $1) '
        "FOR SHARE",
        participant_id,
    )


async def remove_participant(
    member: Membership, participant_id: str, precondition: Precondition = ANY
) -> None:
    """Take somebody out of the room, or leave it. Prizes won stay won.

    Raises:
        NotFound: Nobody alive in the room has this id.
        PreconditionFailed: It has changed.
        Forbidden: Somebody else, and the caller may not grant the role that they have.
        Conflict: It is the last ORGANIZER.
    """
    async with transaction():
        member, present = await _locked(member, participant_id)
        precondition.check(present)
        role = ParticipantRole(present["role"])
        if participant_id != member.participant_id and not may_grant(member.rank, role):
            raise Forbidden(f"You may not remove somebody who is {role}.")
        await _keep_an_organizer(present)
        await fetch(
            'UPDATE participants SET "deletedAt" = now(), "updatedAt" = now() WHERE id = $1',
            participant_id,
        )


async def _locked(member: Membership, participant_id: str) -> tuple[Membership, asyncpg.Record]:
    """Lock the room, then the participant: roles in a room change one at a time."""
    await fetch("SELECT 1 FROM rooms WHERE id = $1 FOR NO KEY UPDATE", member.room_id)
    member = await read_again(member, at_least=ParticipantRole.VIEWER)
    row = await fetchrow(
        f'SELECT *, {VERSION} FROM participants WHERE id = $1 AND "roomId" = $2 '
        'AND "deletedAt" IS NULL FOR NO KEY UPDATE',
        participant_id,
        member.room_id,
    )
    if row is None:
        raise NotFound("There is no such participant in this room.")
    return member, row


async def _keep_an_organizer(leaving: asyncpg.Record) -> None:
    if leaving["role"] != ParticipantRole.ORGANIZER:
        return
    others = await fetchval(
        f"SELECT count(*) FROM {Participant.alive()} p "
        "WHERE \"roomId\" = $1 AND role = 'ORGANIZER' AND id <> $2",
        leaving["roomId"],
        leaving["id"],
    )
    if not others:
        raise Conflict("The room would lose its last ORGANIZER; name another one first.")


async def leave_everywhere(user_id: str) -> None:
    """Take a person out of every room, within the caller's transaction. Prizes won stay won."""
    await fetch(
        'UPDATE participants SET "deletedAt" = now(), "updatedAt" = now() '
        'WHERE "userId" = $1 AND "deletedAt" IS NULL',
        user_id,
    )
