"""People: profiles, and leaving for good."""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from app.auth.revocation import Revoked, spread
from app.auth.sessions import end_sessions_within
from app.database.engine import fetch, fetchrow, fetchval, transaction
from app.database.versions import ANY, VERSION, Precondition
from app.email_addresses import canonical_address
from app.errors import Conflict, NotFound
from app.participants.service import by_default, leave_everywhere
from app.rooms.organizers import LeftRoom, leave_rooms, rooms_left_by
from app.tables import Participant, Room, User

# Where the person $1 moderates and the person u is.
_MODERATED = f"""
    FROM {Participant.alive()} theirs
    JOIN {Room.alive()} r ON r.id = theirs."roomId"
    JOIN {User.alive()} me ON me.id = $1
    LEFT JOIN {Participant.alive()} mine ON mine."roomId" = r.id AND mine."userId" = me.id
    WHERE theirs."userId" = u.id
      AND (me."isAdmin" OR mine.role IN ('MODERATOR', 'ORGANIZER', 'ADMIN'))
"""
# Who is in rooms alone that $1 may not see is shown by initials, and who is in none by the name.
_SHOWN_MOST = f"""(
    SELECT CASE WHEN bool_or(seen AND how = 'FULL') THEN 'FULL'
        WHEN bool_or(seen AND how = 'INITIALS') THEN 'INITIALS'
        WHEN bool_or(seen) THEN 'NONE' ELSE 'INITIALS' END
    FROM (
        SELECT COALESCE(theirs."showName", {by_default("r")}) AS how, r."isPublic" OR EXISTS (
            SELECT FROM {Participant.alive()} mine
            WHERE mine."roomId" = r.id AND mine."userId" = $1) AS seen
        FROM {Participant.alive()} theirs JOIN {Room.alive()} r ON r.id = theirs."roomId"
        WHERE theirs."userId" = u.id
    ) shown HAVING count(*) > 0
)"""


async def find_user(viewer: str, user_id: str) -> asyncpg.Record:
    """Read somebody's profile. `seesEmail`: it is oneself, or one moderates a room with them.

    A room that they agreed to be in, or one that knows them by this very address. Name and picture
    are shown as the rooms do that one may see them in, of which one shows the most.

    Raises:
        NotFound: There is no such person.
    """
    row = await fetchrow(
        f"""
        SELECT u.id, u.email, shown_name(u.name, how.they) AS name, u."createdAt", u."updatedAt",
               CASE WHEN how.they = 'FULL' THEN u.avatar END AS avatar, u.{VERSION},
               u."guestOf" IS NULL AND (u.id = $1 OR EXISTS (
                   SELECT {_MODERATED} AND theirs."erasedAt" IS NULL
                     AND (theirs."acceptedAt" IS NOT NULL OR theirs.email = u.email)
               )) AS "seesEmail"
        FROM users u CROSS JOIN LATERAL (
            SELECT CASE WHEN u.id = $1 OR EXISTS (SELECT {_MODERATED}) THEN 'FULL'
                ELSE COALESCE({_SHOWN_MOST}, 'FULL') END AS they
        ) how
        WHERE u.id = $2 AND u."deletedAt" IS NULL
        """,
        viewer,
        user_id,
    )
    if row is None:
        raise NotFound("There is no such person.")
    return row


async def change_user(
    user_id: str, changes: Mapping[str, Any], precondition: Precondition = ANY
) -> asyncpg.Record:
    """Change a profile; what is not named stays.

    Raises:
        NotFound: There is no such person.
        PreconditionFailed: It has changed.
    """
    async with transaction():
        precondition.check(await _locked(user_id))
        if changes:
            await User.update(**changes).where(User.id == user_id)
        return await find_user(user_id, user_id)


async def preview_deletion(
    user_id: str, precondition: Precondition = ANY
) -> tuple[asyncpg.Record, Sequence[LeftRoom]]:
    """Read what `delete_user` would do: the person, and what would become of their rooms.

    Raises:
        NotFound: There is no such person.
        PreconditionFailed: The profile has changed.
    """
    person = await find_user(user_id, user_id)
    precondition.check(person)
    return person, await rooms_left_by(user_id)


async def delete_user(
    user_id: str,
    precondition: Precondition = ANY,
    *,
    by_oneself: bool = False,
    spare_rooms: bool = False,
) -> None:
    """Soft-delete a person; end all sessions and memberships.

    Rooms that somebody else organizes too pass to the one who has been in them for longest, the
    others are soft-deleted. One transaction. Prizes won stay won. Access tokens stop working with
    their sessions.

    Args:
        user_id: The person's.
        precondition: The versions of the profile that the caller accepts.
        by_oneself: Whether signing in brings the account back, until it is erased.
        spare_rooms: Whether to refuse rather than to delete a room.

    Raises:
        NotFound: There is no such person.
        PreconditionFailed: The profile has changed.
        Conflict: A room was to be spared, and nobody else organizes it; says how many.
    """
    async with transaction():
        precondition.check(await _locked(user_id))
        revoked = await leave(user_id, spare_rooms=spare_rooms)
        await leave_everywhere(user_id)
        await fetch(
            'UPDATE users SET "deletedAt" = now(), "mayReturn" = $2, "updatedAt" = now() '
            "WHERE id = $1",
            user_id,
            by_oneself,
        )
    await spread(revoked)


async def leave(user_id: str, *, spare_rooms: bool) -> Revoked:
    """Pass on or delete the rooms of a person who is locked, and end the sessions.

    In the caller's transaction, which spreads the answer afterwards.

    Raises:
        Conflict: As `delete_user` has it.
    """
    ended = sum(room.successor is None for room in await leave_rooms(user_id))
    if ended and spare_rooms:
        raise Conflict(
            f"{ended} live room(s) are organized by this person alone. Delete those, or name "
            "another ORGANIZER, first."
        )
    return await end_sessions_within(user_id, reason="account deleted", revoked_by=user_id)


async def set_platform_administrator(email: str, *, is_administrator: bool) -> None:
    """Make somebody a platform administrator, or no longer one.

    Raises:
        NotFound: There is no such person.
        NotAnAddress: The address is none.
    """
    found = await fetchval(
        'UPDATE users SET "isAdmin" = $2, "updatedAt" = now() '
        'WHERE email = $1 AND "deletedAt" IS NULL RETURNING id',
        canonical_address(email),
        is_administrator,
    )
    if found is None:
        raise NotFound("There is no such person.")


async def _locked(user_id: str) -> asyncpg.Record:
    row = await fetchrow(
        f'SELECT id, {VERSION} FROM users WHERE id = $1 AND "deletedAt" IS NULL FOR NO KEY UPDATE',
        user_id,
    )
    if row is None:
        raise NotFound("There is no such person.")
    return row
