"""The permission table: which role may do what in a room. Pure.

Each role has all the rights of those below it, so a right is told by the least role that has it.
"""

from collections.abc import Mapping
from enum import Enum, IntEnum, auto

from app.tables import ParticipantRole


class Rank(IntEnum):
    """How high somebody stands in a room."""

    OUTSIDER = 0
    VIEWER = 1
    PARTICIPANT = 2
    MODERATOR = 3
    ORGANIZER = 4
    ADMIN = 5
    PLATFORM_ADMINISTRATOR = 6
    """ADMIN in every room, and the only one who makes somebody else ADMIN."""


class Right(Enum):
    """What can be done in a room."""

    READ = auto()
    LEAVE = auto()
    WIN = auto()
    ANSWER = auto()
    READ_HIDDEN_SETTINGS = auto()
    MANAGE_PARTICIPANTS = auto()
    WRITE_PRIZES = auto()
    AWARD = auto()
    DRAW = auto()
    REVOKE = auto()
    SETTLE_CLAIMS = auto()
    CHANGE_ROOM = auto()
    RUN_QUIZ = auto()


HELD_FROM: Mapping[Right, ParticipantRole] = {
    Right.READ: ParticipantRole.VIEWER,
    Right.LEAVE: ParticipantRole.VIEWER,
    Right.WIN: ParticipantRole.PARTICIPANT,
    Right.ANSWER: ParticipantRole.PARTICIPANT,
    Right.READ_HIDDEN_SETTINGS: ParticipantRole.MODERATOR,
    Right.MANAGE_PARTICIPANTS: ParticipantRole.MODERATOR,
    Right.WRITE_PRIZES: ParticipantRole.MODERATOR,
    Right.AWARD: ParticipantRole.MODERATOR,
    Right.DRAW: ParticipantRole.MODERATOR,
    Right.REVOKE: ParticipantRole.ORGANIZER,
    Right.SETTLE_CLAIMS: ParticipantRole.MODERATOR,
    Right.CHANGE_ROOM: ParticipantRole.ORGANIZER,
    Right.RUN_QUIZ: ParticipantRole.ORGANIZER,
}
"""The least role with each right. Anybody else reads public rooms."""

GRANTS_UP_TO: Mapping[Rank, ParticipantRole] = {
    Rank.MODERATOR: ParticipantRole.PARTICIPANT,
    Rank.ORGANIZER: ParticipantRole.ORGANIZER,
    Rank.ADMIN: ParticipantRole.ORGANIZER,
    Rank.PLATFORM_ADMINISTRATOR: ParticipantRole.ADMIN,
}
"""The highest role that each gives, and takes away. Who is not named gives none."""


def rank_of(role: str | None) -> Rank:
    """Return where a role stands; None is somebody who is not in the room."""
    return Rank.OUTSIDER if role is None else Rank[role]


def reaches(rank: Rank, needed: ParticipantRole | None) -> bool:
    """Tell whether somebody has the rights of a role. None needs nothing."""
    return rank >= rank_of(needed)


def may_grant(granter: Rank, role: ParticipantRole) -> bool:
    """Tell whether somebody may give this role, or take it away, or manage those who have it."""
    highest = GRANTS_UP_TO.get(granter)
    return highest is not None and rank_of(role) <= rank_of(highest)


def may_invite(inviter: Rank, role: ParticipantRole) -> bool:
    """Tell whether somebody may let strangers in with this role: only with one below their own."""
    return may_grant(inviter, role) and rank_of(role) < inviter


def may_change(
    changer: Rank, present: ParticipantRole, wanted: ParticipantRole, *, is_self: bool
) -> bool:
    """Tell whether somebody may turn one role into another. Anybody may step down."""
    if is_self and rank_of(wanted) <= rank_of(present):
        return True
    return may_grant(changer, present) and may_grant(changer, wanted)


def may_win(role: str) -> bool:
    """Tell whether somebody with this role can be awarded a prize."""
    return reaches(rank_of(role), HELD_FROM[Right.WIN])
