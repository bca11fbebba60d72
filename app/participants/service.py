"""Who is in a room: the door to it, joining, adding, changing and leaving."""

from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from app.auth.revocation import is_known_to_redis
from app.auth.service import in_force, not_in_force
from app.auth.tokens import VerifiedToken
from app.database.engine import fetch, fetch_shared, fetchrow, fetchval, jsonb, transaction
from app.database.listing import Listing, PageRequest
from app.database.versions import ANY, VERSION, Precondition
from app.errors import (
    Conflict,
    Forbidden,
    NotFound,
    RoomClosed,
    Unauthorized,
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
from app.tables import Participant, ParticipantRole, Room, RoomStatus, ShowName, User


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
    def actor(self) -> str:
        """Who acts, for `audit_log`."""
        return self.user_id or "staff"

    @property
    def moderates(self) -> bool:
        """Whether addresses, and the names of deleted people, are shown to them.

        Of addresses only those of who agreed to be in the room, or was brought in by them.
        """
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


def joined_as(room: str) -> str:
    """Write the joins that find what the person $2 is in a room, whatever became of it.

    `p` is who joined it, `i` who was brought in by the person's address, `u` the person.
    """
    return (
        f"LEFT JOIN {User.alive()} u ON u.id = $2 "
        f'LEFT JOIN {Participant.alive()} p ON p."roomId" = {room}.id AND p."userId" = $2 '
        f'LEFT JOIN {Participant.alive()} i ON i."roomId" = {room}.id AND i."userId" IS NULL '
        'AND i.email = u.email AND u."emailVerified" IS NOT NULL'
    )


def is_or_was(participant: str, person: str) -> str:
    """Write whether somebody's row in a room, of whom it may be out by now, is a person's.

    Or was, until they gave it up for another one.
    """
    return (
        f'({person}.id IN ({participant}."userId", {participant}."wasOf") '
        f'OR {participant}."userId" IS NULL AND {participant}.email = {person}.email '
        f'AND {person}."emailVerified" IS NOT NULL)'
    )


async def membership(
    user_id: str | None,
    room_id: str,
    *,
    at_least: ParticipantRole | None = None,
    still_signed_in_by: VerifiedToken | None = None,
    winner_id: str | None = None,
    is_invited: bool = False,
) -> Membership:
    """Open the only door to a room. One statement.

    Who was brought in by an address is whoever has signed in with it, before they join as well.

    Args:
        user_id: Who asks; None for anonymous visitors.
        room_id: The room.
        at_least: The role that is needed; None for what anybody may do in a public room.
        still_signed_in_by: A token of theirs that the database has to confirm as well.
        winner_id: A win there, whose winner is let in though they have left or were taken out.
        is_invited: They have the room's code, and know of it.

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
    has_won = "false"
    if winner_id is not None:
        arguments = (*arguments, winner_id)
        has_won = f"""u.id IS NOT NULL AND EXISTS (
            SELECT FROM winners w JOIN participants o ON o.id = w."participantId"
            WHERE w.id = ${len(arguments)} AND w."roomId" = r.id AND {is_or_was("o", "u")})"""
    rows = await fetch_shared(
        f'SELECT r.status, r."isPublic", COALESCE(p.id, i.id) AS id, '
        f'COALESCE(p.role, i.role) AS role, u."isAdmin", {confirmed} AS confirmed, '
        f'{has_won} AS "hasWon" '
        f"FROM {Room.alive()} r {joined_as('r')} WHERE r.id = $1",
        *arguments,
    )
    row = rows[0] if rows else None
    let_in = ("isPublic", "id", "isAdmin", "hasWon")
    if row is None or not (is_invited or any(row[name] for name in let_in)):
        raise NotFound("There is no such room.")
    member = _member(room_id, user_id, row)
    if at_least is not None:
        member.require(at_least)
    if token is not None and not row["confirmed"]:
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


async def lock_open(room_id: str) -> None:
    """Keep a room from closing or going until the transaction ends.

    Raises:
        NotFound: It was deleted meanwhile.
        RoomClosed: It is COMPLETED or CANCELLED.
    """
    status = await fetchval(f"SELECT status FROM {Room.alive()} r WHERE id = $1 FOR SHARE", room_id)
    if status is None:
        raise NotFound("There is no such room.")
    if not RoomStatus(status).is_open:
        raise RoomClosed


DELETED_PERSON = "Deleted person"
"""What somebody who deleted the account is called before who does not moderate the room."""


def unless_deleted(person: str, value: str, instead: str) -> str:
    """Write a value of somebody's which is not shown once they have deleted the account."""
    return f'CASE WHEN {person}."deletedAt" IS NULL THEN {value} ELSE {instead} END'


def by_default(room: str) -> str:
    """Write how people of a room are called who choose nothing.

    Args:
        room: What the row of rooms is called.
    """
    return (
        f'COALESCE({room}."showName", '
        f"CASE WHEN {room}.\"isPublic\" THEN '{ShowName.INITIALS}' ELSE '{ShowName.FULL}' END)"
    )


def called(person: str, name: str, how: str, *, to_moderator: bool) -> str:
    """Write what somebody of a room, who may be missing, is called. Every name goes out by this.

    Args:
        person: What the row of users is called.
        name: What they are called.
        how: How they are shown, a ShowName as SQL.
        to_moderator: Whether for a moderator of the room, who sees full names, the deleted's too.
    """
    if to_moderator:
        return f"CASE WHEN {person}.\"erasedAt\" IS NULL THEN {name} ELSE '{DELETED_PERSON}' END"
    return unless_deleted(person, f"shown_name({name}, {how})", f"'{DELETED_PERSON}'")


def pictured(person: str, how: str, *, to_moderator: bool) -> str:
    """Write the address of somebody's picture, which is shown with full names alone.

    Args:
        person: What the row of users is called.
        how: How they are shown, a ShowName as SQL.
        to_moderator: Whether for a moderator of the room.
    """
    picture = f"{person}.avatar"
    if to_moderator:
        return picture
    shown = f"CASE WHEN {how} = '{ShowName.FULL}' THEN {picture} END"
    return unless_deleted(person, shown, "NULL")


def attendee(participant: str, *, to_moderator: bool) -> str:
    """Select `userName` and `userAvatar` of a participant and the person u, who may be missing."""
    how = (
        f'COALESCE({participant}."showName", '
        f'(SELECT {by_default("r")} FROM rooms r WHERE r.id = {participant}."roomId"))'
    )
    name = called("u", f"COALESCE(u.name, {participant}.name)", how, to_moderator=to_moderator)
    picture = pictured("u", how, to_moderator=to_moderator)
    erased = f'{participant}."erasedAt" IS NOT NULL AND {participant}."userId" IS NULL'
    return (
        f"CASE WHEN {erased} THEN '{DELETED_PERSON}' ELSE {name} END AS \"userName\", "
        f'{picture} AS "userAvatar"'
    )


def address(participant: str) -> str:
    """Write the address by which a room knows a participant, who may be the person u."""
    return (
        f'CASE WHEN {participant}."erasedAt" IS NOT NULL THEN NULL '
        f'WHEN {participant}."acceptedAt" IS NULL THEN {participant}.email '
        'WHEN u."guestOf" IS NULL THEN u.email END'
    )


def _shown(*, to_moderator: bool) -> str:
    shown = f"""
        x.id, x."userId", x."roomId", x.role, x.metadata, x."ownMetadata", x."showName",
        x."joinedAt",
        x."updatedAt", x."deletedAt", x.{VERSION},
        u."guestOf" IS NOT NULL AS "isGuest", {attendee("x", to_moderator=to_moderator)}
    """
    return f"{shown}, {address('x')} AS email" if to_moderator else shown


_JOINED = 'LEFT JOIN users u ON u.id = x."userId"'


_ALIVE = 'FROM participants x WHERE x."roomId" = $1 AND x."deletedAt" IS NULL'
_WITH_ROLE = f'{_ALIVE} AND x.role = $2::text::"ParticipantRole"'


def _listing(member: Membership, found: str = _ALIVE) -> Listing:
    return Listing(
        found=[found],
        shown=_shown(to_moderator=member.moderates),
        joined=f"JOIN participants x ON x.id = page.id {_JOINED}",
        order_column='"joinedAt"',
    )


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
        return await _listing(member).fetch(page, member.room_id)
    return await _listing(member, _WITH_ROLE).fetch(page, member.room_id, role)


def read_participants(member: Membership) -> AsyncIterator[Sequence[asyncpg.Record]]:
    """Read everybody who is in the room, oldest first, piece by piece."""
    return _listing(member).pieces(member.room_id)


def read_expected(member: Membership) -> AsyncIterator[Sequence[asyncpg.Record]]:
    """Read who was brought in by an address and has not joined, oldest first, piece by piece."""
    return _listing(member, f'{_ALIVE} AND x."userId" IS NULL').pieces(member.room_id)


async def find_participant(member: Membership, participant_id: str) -> asyncpg.Record:
    """Read one participant of the room. To moderators with the address, where it is for them.

    Raises:
        NotFound: Nobody alive in the room has this id.
    """
    row = await fetchrow(
        f"SELECT {_shown(to_moderator=member.moderates)} FROM participants x {_JOINED} "
        'WHERE x.id = $1 AND x."roomId" = $2 AND x."deletedAt" IS NULL',
        participant_id,
        member.room_id,
    )
    if row is None:
        raise NotFound("There is no such participant in this room.")
    return row


async def shown_to_all(ids: Sequence[str]) -> Sequence[asyncpg.Record]:
    """Read participants as anybody sees them who may see the room, also those who have left."""
    return await fetch(
        f"SELECT {_shown(to_moderator=False)} FROM participants x {_JOINED} WHERE x.id = ANY($1)",
        ids,
    )


async def change_participant(
    member: Membership,
    participant_id: str,
    changes: Mapping[str, Any],
    precondition: Precondition = ANY,
) -> asyncpg.Record:
    """Change somebody's role or metadata, or how one is called oneself; what is not named stays.

    What they said of themselves stays theirs as long as it is the same. How they are called, they
    choose in a closed room too.

    Raises:
        NotFound: Nobody alive in the room has this id.
        PreconditionFailed: It has changed.
        RoomClosed: The room is COMPLETED or CANCELLED.
        Forbidden: The caller does not moderate the room, or the role, present or wanted, is above
            what they may grant; or somebody else chooses how they are called.
        Conflict: The room would lose its last ORGANIZER, or has forgotten its people.
    """
    async with transaction():
        if changes.get("role") is ParticipantRole.ORGANIZER:
            await _lock_person_of(participant_id)
        member, present = await _locked(member, participant_id)
        is_self = participant_id == member.participant_id
        if "showName" in changes and not (is_self or member.is_staff):
            raise Forbidden("How somebody is called here, only they choose.")
        if changes.keys() != {"showName"}:
            member.require(HELD_FROM[Right.MANAGE_PARTICIPANTS])
            member.require_open()
        precondition.check(present)
        role = ParticipantRole(present["role"])
        wanted = changes.get("role", role)
        if not may_change(member.rank, role, wanted, is_self=is_self):
            raise Forbidden(f"You may not change the role {role} to {wanted}.")
        if wanted is not ParticipantRole.ORGANIZER:
            await _keep_an_organizer(present)
        metadata, own = present["metadata"], present["ownMetadata"]
        if changes.get("metadata") is not None and present["erasedAt"] is not None:
            raise Conflict("What the room knew of its people is forgotten, and stays so.")
        if "metadata" in changes:
            metadata, own = divided(changes["metadata"], metadata, own)
        await fetch(
            'UPDATE participants SET role = $2, metadata = $3, "ownMetadata" = $4, '
            '"showName" = $5, "updatedAt" = now() WHERE id = $1',
            *(participant_id, wanted, metadata, own),
            changes.get("showName", present["showName"]),
        )
        return await find_participant(member, participant_id)


def divided(
    wanted: Mapping[str, Any] | None, given: str | None, own: str | None
) -> tuple[str | None, str | None]:
    """Tell what moderators say of somebody from what that person says themselves.

    Who moderates sees both as one, and sends back what they did not touch: it must not become a
    weight by that.

    Args:
        wanted: Both together, from now on.
        given: What moderators have said, as JSON.
        own: What the person has said, as JSON.

    Returns:
        Of `wanted` the first and the second, as JSON.
    """
    told = msgspec.json.decode(given or "{}")
    said = {
        name: value
        for name, value in msgspec.json.decode(own or "{}").items()
        if name not in told and name in (wanted or {}) and (wanted or {})[name] == value
    }
    rest = wanted and {name: value for name, value in wanted.items() if name not in said}
    return jsonb(rest), jsonb(said or None)


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
    """Refuse to take the last one; who has never come may be nobody at all, and does not count."""
    if leaving["role"] != ParticipantRole.ORGANIZER:
        return
    others = await fetchval(
        f"SELECT count(*) FROM {Participant.alive()} p "
        'WHERE "roomId" = $1 AND role = \'ORGANIZER\' AND id <> $2 AND "userId" IS NOT NULL',
        leaving["roomId"],
        leaving["id"],
    )
    if not others:
        raise Conflict("The room would lose its last ORGANIZER; name another one first.")


async def leave_everywhere(user_id: str) -> None:
    """Take a person out of every room, within the caller's transaction. Prizes won stay won.

    No room knows them by an address or a given name any more, or keeps what they said of
    themselves.
    """
    await fetch(
        'UPDATE participants SET "deletedAt" = COALESCE("deletedAt", now()), email = NULL, '
        'name = NULL, "ownMetadata" = NULL, "updatedAt" = now() '
        'WHERE "userId" = $1 AND ("deletedAt" IS NULL '
        'OR COALESCE(email, name, "ownMetadata"::text) IS NOT NULL)',
        user_id,
    )
