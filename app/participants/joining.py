"""Joining a room: entering it, coming back, or taking up what one was brought in for."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg
import msgspec

from app.database.engine import fetch, fetchrow, fetchval, jsonb, transaction
from app.database.ids import new_id
from app.errors import Conflict, InvalidToken, Unauthorized, ValidationFailed
from app.participants.roles import Rank
from app.participants.service import Membership, find_participant, membership
from app.tables import ParticipantRole, Room, ShowName, User

MOST_SAID_BYTES = 16 * 1024
"""Of what somebody says of themselves, however often they come back."""


async def join(
    member: Membership,
    metadata: Mapping[str, Any] | None = None,
    *,
    show_name: ShowName | None = None,
    invited_as: ParticipantRole | None = None,
) -> tuple[asyncpg.Record, bool]:
    """Enter a public room as PARTICIPANT, or come back to it. True when it is the first time.

    Who was brought in takes that up: the row, its role and metadata become theirs, in a closed or
    private room too.

    Args:
        member: Who joins.
        metadata: What they say of themselves, beside what they said before.
        show_name: How they want to be called; None: as they chose before, or as the room has it.
        invited_as: The role that an invitation gives them; it lets into private rooms, too.

    Raises:
        NotFound: The room was deleted or made private meanwhile.
        RoomClosed: It is neither DRAFT nor ACTIVE.
        ValidationFailed: They have said too much, all in all.
        Conflict: One has joined it already.
        InvalidToken: The person was deleted meanwhile.
    """
    if member.user_id is None:
        raise Unauthorized
    async with transaction():
        address = await lock_person(member.user_id)
        said = _Said(jsonb(metadata), show_name)
        entered = await _enter(member, address, said, invited_as)
        if entered is None:
            taken_up = await _take_up(member, member.user_id, address, said, invited_as)
            if taken_up is not None:
                return await find_participant(member, taken_up), False
            entered = await _enter(member, None, said, invited_as)
        if entered is None:
            raise _IN_ALREADY
        return await find_participant(member, entered), True


class _Said(NamedTuple):
    """What somebody who joins says of themselves."""

    metadata: str | None
    """As JSON."""
    show_name: ShowName | None


_IN_ALREADY = Conflict("This person is in the room already.")


async def lock_person(user_id: str) -> str | None:
    """Keep a person from being deleted while they enter: who deletes them ends memberships.

    Returns:
        Their address, if it is known to be theirs.

    Raises:
        InvalidToken: The person was deleted.
    """
    row = await fetchrow(
        'SELECT CASE WHEN "emailVerified" IS NOT NULL THEN email END AS address '
        f"FROM {User.alive()} u WHERE id = $1 FOR SHARE",
        user_id,
    )
    if row is None:
        raise InvalidToken(private="the person was deleted")
    address: str | None = row["address"]
    return address


async def _enter(
    member: Membership, address: str | None, said: _Said, invited_as: ParticipantRole | None
) -> str | None:
    """Insert the membership of who has none yet, and is expected by nobody; None otherwise.

    The room is locked, so that it neither closes nor turns private before this is committed.
    """
    row_id: str | None = await fetchval(
        'INSERT INTO participants (id, "userId", "roomId", role, email, "ownMetadata", '
        '"showName", "joinedAt", "acceptedAt", "updatedAt") '
        'SELECT $1, $2, r.id, $8::text::"ParticipantRole", $4, $6, $7, now(), now(), now() '
        f"FROM {Room.alive()} r WHERE r.id = $3 AND r.status IN ('DRAFT', 'ACTIVE') "
        'AND (r."isPublic" OR $5) FOR SHARE ON CONFLICT DO NOTHING RETURNING id',
        new_id(),
        member.user_id,
        member.room_id,
        address,
        member.rank is not Rank.OUTSIDER or invited_as is not None,
        *said,
        invited_as or ParticipantRole.PARTICIPANT,
    )
    return row_id


async def _take_up(
    member: Membership,
    user_id: str,
    address: str | None,
    said: _Said,
    invited_as: ParticipantRole | None,
) -> str | None:
    """Join by the row that one has in the room already, or that waits for one's address.

    Of both one's own is kept. None where there is neither: somebody else joined with the address.
    """
    await fetch("SELECT 1 FROM rooms WHERE id = $1 FOR SHARE", member.room_id)
    rows = await fetch(
        'SELECT * FROM participants WHERE "roomId" = $1 AND ("userId" = $2 OR email = $3) '
        "ORDER BY id FOR NO KEY UPDATE",
        member.room_id,
        user_id,
        address,
    )
    own = next((row for row in rows if row["userId"] == user_id), None)
    waiting = next((row for row in rows if row["userId"] is None), None)
    present = await membership(user_id, member.room_id, is_invited=invited_as is not None)
    if present.participant_id is None:
        present.require_open()
    if own is not None and own["deletedAt"] is None and own["acceptedAt"] is not None:
        raise _IN_ALREADY
    if own is not None and waiting is not None:
        await _give_up(waiting, user_id)
    kept = own or waiting
    if kept is None:
        return None
    if kept["erasedAt"] is not None:
        present.require_open()  # a room that has forgotten its people learns nothing of them anew
    if any(row["userId"] not in {user_id, None} for row in rows):
        address = None  # Somebody else has joined with it, and has had another one since.
    alive = [row for row in (own, waiting) if row is not None and row["deletedAt"] is None]
    role = invited_as or ParticipantRole.PARTICIPANT
    return await _accept(kept, [*alive, kept], user_id, address, said, role)


async def _give_up(waiting: asyncpg.Record, user_id: str) -> None:
    """Leave a row to the prizes that it won; it is erased with whose it was."""
    await fetch(
        'UPDATE participants SET email = NULL, "deletedAt" = COALESCE("deletedAt", now()), '
        '"wasOf" = $2, "updatedAt" = now() WHERE id = $1',
        waiting["id"],
        user_id,
    )


async def _accept(
    kept: asyncpg.Record,
    given: Sequence[asyncpg.Record],
    user_id: str,
    address: str | None,
    said: _Said,
    role: ParticipantRole,
) -> str:
    """Make a row somebody's who is in the room by their own will.

    Args:
        kept: The row.
        given: The rows that say as what, those before the others; the kept one is the last.
        user_id: Whose it is.
        address: What the room knows them by from now on; None leaves that as it is.
        said: What they say of themselves.
        role: As what, if no row that is alive says it.
    """
    row_id: str = kept["id"]
    await fetch(
        'UPDATE participants SET "userId" = $2, role = $3, metadata = $4, '
        'email = COALESCE($5, email), "ownMetadata" = $6, '
        '"showName" = COALESCE($7, "showName"), '
        '"acceptedAt" = now(), "deletedAt" = NULL, "erasedAt" = NULL, "updatedAt" = now() '
        "WHERE id = $1",
        row_id,
        user_id,
        given[0]["role"] if given[0]["deletedAt"] is None else role,
        given[0]["metadata"] or kept["metadata"],
        address,
        _said_by_now(said.metadata, kept["ownMetadata"]),
        said.show_name,
    )
    return row_id


def _said_by_now(said: str | None, before: str | None) -> str | None:
    """Add what somebody says to what they said, which stays as it was until a moderator changes it.

    Else they could change it after a moderator has read it: who saves both as they were would make
    a moderator's word of it.
    """
    if said is None or before is None:
        return said or before
    both = jsonb({**msgspec.json.decode(said), **msgspec.json.decode(before)}) or ""
    if len(both.encode()) > MOST_SAID_BYTES:
        raise ValidationFailed.at(
            {"$.metadata": f"With what you said before, more than {MOST_SAID_BYTES:,} bytes."}
        )
    return both
