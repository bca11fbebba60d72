"""Everything that can happen in a room, and what is told of it.

An event shows what it happened to as a GET of somebody without special rights would: without
addresses, without the settings that only moderators see, without the names of deleted people.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import asyncpg
import msgspec

from app.draws import reading
from app.draws.schemas import DrawOut
from app.participants import service as participants
from app.participants.schemas import ParticipantOut
from app.prizes import service as prizes
from app.prizes.schemas import PrizeOut
from app.rooms import service as rooms
from app.rooms.schemas import RoomOut
from app.rounds import answering, quizzes
from app.rounds import service as rounds
from app.rounds.schemas import AnswerOut, QuizOut, RoundOut
from app.winners import service as winners
from app.winners.schemas import WinnerOut

PERSON_DELETED = "person.deleted"
"""In the outbox alone: what names the person in the log is to be forgotten."""


Row: TypeAlias = asyncpg.Record | Mapping[str, Any]


class Kind(NamedTuple):
    """Something that events happen to."""

    shown: Any
    """Makes what REST shows of a row; a struct with `of`."""
    read: Callable[[Sequence[str]], Awaitable[Sequence[Row]]]
    """Reads rows by their ids, for anybody who may see the room."""
    person: str | None = None
    """The column that says whom an event concerns."""


KINDS: Mapping[str, Kind] = {
    "room": Kind(RoomOut, rooms.shown_to_all, "createdBy"),
    "participant": Kind(ParticipantOut, participants.shown_to_all, "userId"),
    "prize": Kind(PrizeOut, prizes.shown_to_all),
    "winner": Kind(WinnerOut, winners.shown_to_all, "userId"),
    "draw": Kind(DrawOut, reading.shown_to_all),
    "quiz": Kind(QuizOut, quizzes.shown_to_all),
    "round": Kind(RoundOut, rounds.shown_to_all, "userId"),
    "answer": Kind(AnswerOut, answering.shown_to_all, "userId"),
}

EVENTS: Mapping[str, str] = {
    "room.created": "A room was opened.",
    "room.updated": "A room was changed; `changed` names the members.",
    "room.status_changed": "A room went from the status `before` to `after`.",
    "room.deleted": "A room was deleted, with all that is in it but its draws.",
    "participant.joined": (
        "Somebody joined, came back or was brought in. Of more than a hundred at once there is one "
        "event: `count` says how many, `range` which ids they have, the first and the last, and "
        "`data` is null."
    ),
    "participant.updated": "A role, metadata or name changed; `changed` names the members.",
    "participant.left": "Somebody left, was taken out, or deleted the account.",
    "prize.created": "Something was put up to be won.",
    "prize.updated": (
        "A prize was changed; `changed` names the members. What is left of it changes with each "
        "winner, which is told by `winner.awarded`, and by `winner.revoked`, `winner.declined` and "
        "`winner.expired`, alone."
    ),
    "prize.deleted": "A prize was taken back.",
    "winner.awarded": "Somebody won a unit of a prize.",
    "winner.claimed": "A winner took what they won, where that had to be said.",
    "winner.declined": "A winner did not want what they won; it was taken back.",
    "winner.expired": "A winner did not claim in time what they won; it was taken back.",
    "winner.revoked": "A prize was taken from a winner.",
    "draw.announced": "A draw was announced, with the commitment to its secret.",
    "draw.closed": "A draw was closed: who takes part is fixed.",
    "draw.drawn": "A draw was drawn. Its winners are told one by one, and by its record.",
    "draw.cancelled": "A draw was given up.",
    "quiz.started": "A quiz began, with an empty leaderboard; one before it is over.",
    "round.opened": (
        "A question was asked. Its time begins at `shownAt`; of a round whose time has passed "
        "`endsAt` is all that tells it."
    ),
    "answer.submitted": (
        "Somebody answered. What, and whether it is right, is told to nobody; who was first, by "
        "`round.closed`."
    ),
    "round.closed": (
        "A round is over: `winner` was first, or it is null. What was won besides is told by "
        "`winner.awarded`."
    ),
    "quiz.finished": "A quiz was finished, with its leaderboard.",
}
"""Each event, and when it is told."""


class Gone(msgspec.Struct):
    """What is left to say of something that an operator took out of the database."""

    id: str


def kind_of(event_type: str) -> str:
    """Return what an event happens to: `winner` for `winner.awarded`."""
    return event_type.partition(".")[0]
