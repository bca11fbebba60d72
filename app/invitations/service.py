"""Inviting with a code, and coming in with one.

The locks are taken in the order of those who join: the person, the room, the seat; the invitation
comes last, and is held no longer than it takes to commit.
"""

from collections.abc import Sequence
from datetime import MAXYEAR, MINYEAR, datetime

import asyncpg
import msgspec

from app.auth.sessions import token_policy
from app.database.audit import acting
from app.database.engine import fetchrow, fetchval, transaction
from app.database.ids import new_id
from app.database.listing import Listing, PageRequest
from app.database.versions import ANY, VERSION, Precondition
from app.errors import Conflict, Forbidden, NotFound, Unauthorized, ValidationFailed
from app.invitations.codes import hash_of, new_code
from app.participants.joining import join
from app.participants.roles import may_invite
from app.participants.service import Membership, find_participant, lock_open, membership
from app.tables import ParticipantRole, Room, User

_SHOWN = f"""
    x.id, x."roomId", x.role, x."maxUses", x.uses, x."expiresAt", x."revokedAt", x."createdBy",
    x."createdAt", x.{VERSION}
"""
_LISTING = Listing(
    found=['FROM invitations x WHERE x."roomId" = $1'],
    shown=_SHOWN,
    joined="JOIN invitations x ON x.id = page.id",
    newest_first=True,
)
_IN_FORCE = 'x."revokedAt" IS NULL AND (x."expiresAt" IS NULL OR x."expiresAt" > now())'
_HAS_USES = '(x."maxUses" IS NULL OR x.uses < x."maxUses")'


class Found(msgspec.Struct, frozen=True):
    """What somebody with a code is invited to."""

    room_id: str
    room_name: str
    role: ParticipantRole


def _none() -> NotFound:
    """Say the same of a code that never was and of one that does not hold any more."""
    return NotFound("There is no such invitation: it is mistyped, was revoked, or is over.")


async def invite(
    member: Membership,
    *,
    role: ParticipantRole,
    max_uses: int | None,
    expires_at: datetime | None,
) -> tuple[asyncpg.Record, str]:
    """Make an invitation, and return it with its code, which nobody learns again.

    Raises:
        Unauthorized: It is nobody with an account.
        Forbidden: The role is not below the caller's own.
        ValidationFailed: It would be over already.
        NotFound: The room was deleted meanwhile.
        RoomClosed: It is COMPLETED or CANCELLED.
    """
    if member.user_id is None:
        raise Unauthorized
    if not may_invite(member.rank, role):
        raise Forbidden(f"You may not invite as {role}: only with a role below your own.")
    # In UTC, the first and the last year may be none that there is.
    is_storable = expires_at is None or MINYEAR < expires_at.year < MAXYEAR
    code = new_code()
    async with transaction():
        await lock_open(member.room_id)
        if not (is_storable and await fetchval("SELECT COALESCE($1 > now(), true)", expires_at)):
            raise ValidationFailed.at(
                {"$.expiresAt": f"Has to be in the future, before the year {MAXYEAR}."}
            )
        async with acting(member.user_id, "invite with a code"):
            row = await fetchrow(
                'INSERT INTO invitations AS x (id, "roomId", role, "codeHash", "maxUses", '
                '"expiresAt", "createdBy") '
                f'VALUES ($1, $2, $3::text::"ParticipantRole", $4, $5, $6, $7) RETURNING {_SHOWN}',
                new_id(),
                member.room_id,
                role,
                hash_of(code, token_policy().keys[0].invitation),
                max_uses,
                expires_at,
                member.user_id,
            )
    assert row is not None  # noqa: S101 - an INSERT returns its row
    return row, code


async def list_invitations(
    member: Membership, page: PageRequest
) -> tuple[Sequence[asyncpg.Record], int]:
    """List a room's invitations, newest first; one more than asked for when more follow."""
    return await _LISTING.fetch(page, member.room_id)


async def find_invitation(
    member: Membership, invitation_id: str, *, for_update: bool = False
) -> asyncpg.Record:
    """Read an invitation of the room, locking it if it is going to change.

    Raises:
        NotFound: The room has no such invitation.
    """
    row = await fetchrow(
        f'SELECT {_SHOWN} FROM invitations x WHERE id = $1 AND "roomId" = $2'
        f"{' FOR NO KEY UPDATE' if for_update else ''}",
        invitation_id,
        member.room_id,
    )
    if row is None:
        raise NotFound("There is no such invitation in this room.")
    return row


async def revoke(member: Membership, invitation_id: str, precondition: Precondition = ANY) -> None:
    """Let nobody in by an invitation any more; once or again.

    Raises:
        NotFound: The room has no such invitation.
        PreconditionFailed: It has changed.
        Forbidden: It has a role that the caller may not give.
    """
    async with transaction():
        row = await find_invitation(member, invitation_id, for_update=True)
        precondition.check(row)
        if not may_invite(member.rank, ParticipantRole(row["role"])):
            raise Forbidden(f"You may not revoke an invitation as {row['role']}.")
        async with acting(member.actor, "revoke invitation"):
            await fetchval(
                'UPDATE invitations SET "revokedAt" = now() WHERE id = $1 '
                'AND "revokedAt" IS NULL RETURNING id',
                invitation_id,
            )


async def find(code: str) -> Found:
    """Tell what a code invites to, while it does.

    Raises:
        NotFound: It is nobody's, or does not hold any more.
        Conflict: It was used as often as it may.
    """
    row = await _holding(await _known(code))
    return Found(row["roomId"], row["room"], ParticipantRole(row["role"]))


async def accept(user_id: str, code: str) -> asyncpg.Record:
    """Come in by a code. Who is in stays as they are, and takes no use.

    Raises:
        NotFound: The code is nobody's, or does not hold any more.
        Conflict: It was used as often as it may.
        RoomClosed: The room is COMPLETED or CANCELLED.
        InvalidToken: The person was deleted meanwhile.
    """
    try:
        return await _accept(user_id, code)
    except Conflict:
        # Perhaps it was they themselves who came in meanwhile, by another request.
        return await _accept(user_id, code)


async def _accept(user_id: str, code: str) -> asyncpg.Record:
    async with transaction():
        known = await _known(code)
        member = await membership(user_id, known["roomId"], is_invited=True)
        if member.participant_id is not None:
            return await _taken_up(member, member.participant_id)
        row = await _holding(known)
        seat, _ = await join(member, invited_as=ParticipantRole(row["role"]))
        await _use(row["id"])
        return seat


async def _known(code: str) -> asyncpg.Record:
    """Find the invitation of a code, in a room that is there."""
    row = await fetchrow(
        f"SELECT {_SHOWN}, r.name AS room, {_IN_FORCE} AND u.id IS NOT NULL AS holds, "
        f'{_HAS_USES} AS "hasUses" FROM invitations x JOIN {Room.alive()} r ON r.id = x."roomId" '
        f'LEFT JOIN {User.alive()} u ON u.id = x."createdBy" '
        'WHERE x."codeHash" = ANY($1)',
        [hash_of(code, key.invitation) for key in token_policy().keys],
    )
    if row is None:
        raise _none()
    return row


async def _holding(row: asyncpg.Record) -> asyncpg.Record:
    """Pass an invitation that lets somebody in, as long as who made it may give its role."""
    inviter = await membership(row["createdBy"], row["roomId"], is_invited=True)
    if not row["holds"] or not may_invite(inviter.rank, ParticipantRole(row["role"])):
        raise _none()
    if not row["hasUses"]:
        raise _used_up()
    return row


async def _taken_up(member: Membership, seat_id: str) -> asyncpg.Record:
    """Return the seat of somebody who is in the room, or is expected and joins by this."""
    has_joined = await fetchval(
        'SELECT "userId" IS NOT NULL AND "acceptedAt" IS NOT NULL FROM participants WHERE id = $1',
        seat_id,
    )
    if not has_joined:
        seat, _ = await join(member)
        return seat
    return await find_participant(member, seat_id)


async def _use(invitation_id: str) -> None:
    """Count a use. Of many at once no more are counted than there may be."""
    used = await fetchval(
        "UPDATE invitations x SET uses = uses + 1 "
        f"WHERE id = $1 AND {_IN_FORCE} AND {_HAS_USES} RETURNING id",
        invitation_id,
    )
    if used is None:
        raise _used_up()


def _used_up() -> Conflict:
    return Conflict("This invitation was used as often as it may be.")
