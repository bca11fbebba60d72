"""What happens in a room, as clients of Socket.IO are told it."""

import asyncio
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
from engineio.packet import MESSAGE, Packet
from socketio.packet import EVENT
from socketio.packet import Packet as SocketPacket

from app.events.catalogue import kind_of
from app.events.hub import Heard
from app.rooms import service as rooms
from app.rooms.schemas import RoomOut
from app.rounds.quizzes import QuizStatus

Told: TypeAlias = Mapping[str, Any]
"""An event as the log has it."""
RECENT = 256
QUIZ_STATUS = "quiz:status_changed"
WINNER_MEMBERS = ("participantId", "participantName", "questionId", "responseTimeMs")
LEADER_MEMBERS = ("participantId", "participantName", "wins")


class Message(NamedTuple):
    """What a client is told."""

    name: str
    content: Mapping[str, Any]


def _whole(told: Told) -> Told:
    """Show what it happened to."""
    return {kind_of(told["type"]): told["data"]}


def _changed(told: Told) -> Told:
    """Show it with what changed, and the new values of that."""
    kind, data = kind_of(told["type"]), told["data"]
    named = {} if kind == "room" else {f"{kind}Id": data["id"]}
    changes = {name: data[name] for name in told["changed"] if name in data}
    return {**named, "changes": changes, kind: data}


def _ids(**members: str) -> Callable[[Told], Told]:
    """Name what is gone; of what an operator took out, its id is all there is."""
    return lambda told: {name: told["data"].get(member) for name, member in members.items()}


def _members(*names: str) -> Callable[[Told], Told]:
    """Show some members of what it happened to."""
    return lambda told: _only(told["data"], names)


def _only(shown: Told, names: Iterable[str]) -> Told:
    return {name: shown[name] for name in names if name in shown}


def _round_winner(told: Told) -> Told:
    """Show who was first. Nothing where nobody was."""
    winner = told["data"].get("winner")
    return {"winner": _only(winner, WINNER_MEMBERS)} if winner else {}


def _leaderboard(told: Told) -> Told:
    leaders = told["data"].get("leaderboard", ())
    return {"leaderboard": [_only(each, LEADER_MEMBERS) for each in leaders]}


def _status(status: QuizStatus) -> Told:
    return {"quizStatus": status}


_REMOVED = (
    "winner:removed",
    _ids(winnerId="id", prizeId="prizeId", participantId="participantId"),
)
MESSAGES: Mapping[str, tuple[str, Callable[[Told], Told]]] = {
    "room.updated": ("room:updated", _changed),
    "room.status_changed": (
        "room:status_changed",
        lambda told: {"oldStatus": told["before"], "newStatus": told["after"]},
    ),
    "room.deleted": ("room:deleted", lambda _: {}),
    "participant.joined": ("participant:joined", _whole),
    "participant.updated": ("participant:updated", _changed),
    "participant.left": ("participant:left", _ids(participantId="id", userId="userId")),
    "prize.created": ("prize:created", _whole),
    "prize.updated": ("prize:updated", _changed),
    "prize.deleted": ("prize:deleted", _ids(prizeId="id")),
    "winner.awarded": ("winner:selected", _whole),
    "winner.claimed": ("winner:claimed", _whole),
    "winner.declined": _REMOVED,
    "winner.expired": _REMOVED,
    "winner.revoked": _REMOVED,
    "draw.announced": ("draw:announced", _whole),
    "draw.closed": ("draw:closed", _whole),
    "draw.drawn": ("draw:drawn", _whole),
    "draw.cancelled": ("draw:cancelled", _whole),
    "quiz.started": (QUIZ_STATUS, lambda _: _status(QuizStatus.WAITING)),
    "round.opened": (
        "quiz:question_shown",
        _members("question", "questionIndex", "totalQuestions"),
    ),
    "answer.submitted": (
        "quiz:answer_submitted",
        _members("participantId", "participantName", "questionId"),
    ),
    "round.closed": ("quiz:round_winner", _round_winner),
    "quiz.finished": ("quiz:finished", _leaderboard),
}
"""Each event's name there, and what is said besides `roomId` and `timestamp`."""


STATUS_AFTER: Mapping[str, QuizStatus] = {
    "round.opened": QuizStatus.QUESTION_ACTIVE,
    "round.closed": QuizStatus.BETWEEN_ROUNDS,
    "quiz.finished": QuizStatus.FINISHED,
}
"""What a quiz has come to by an event, which is told after it."""
KINDS_OF_QUIZ = {"quiz", "round", "answer"}


async def packets_of(event: Heard) -> Sequence[Packet]:
    """Write an event once for everybody. Nothing if clients could do nothing with it."""
    return await asyncio.shield(_writing(event))


@functools.lru_cache(RECENT)
def _writing(event: Heard) -> asyncio.Task[Sequence[Packet]]:
    return asyncio.create_task(_write(event))


async def _write(event: Heard) -> Sequence[Packet]:
    told = event.told()
    found = [await _many_joined(told)] if told["data"] is None else messages_of(told)
    return [written(message) for message in found if message is not None]


def messages_of(told: Told) -> Sequence[Message | None]:
    """Say an event as clients know it, and what a quiz has come to by it."""
    found = [message_of(told)]
    if status := STATUS_AFTER.get(told["type"]):
        found.append(_message(QUIZ_STATUS, told, _status(status)))
    return found


def message_of(told: Told) -> Message | None:
    """Say an event as clients know it. None if it is not for them.

    What only an id is left of, they could not show.
    """
    if told["type"] not in MESSAGES:
        return None
    name, content_of = MESSAGES[told["type"]]
    content = content_of(told)
    is_gone = told["data"].keys() == {"id"} and told["data"] in content.values()
    is_nothing = not content and kind_of(told["type"]) in KINDS_OF_QUIZ
    return None if is_gone or is_nothing else _message(name, told, content)


async def _many_joined(told: Told) -> Message | None:
    """Tell how many are in the room by now: they have no event each."""
    found = await rooms.shown_to_all([told["roomId"]])
    if not found:
        return None
    room = msgspec.to_builtins(RoomOut.of(found[0]))
    changes = {"_count": room["_count"]}
    return _message("room:updated", told, {"changes": changes, "room": room})


def _message(name: str, told: Told, content: Told) -> Message:
    return Message(name, {"roomId": told["roomId"], "timestamp": told["time"], **content})


def written(message: Message) -> Packet:
    """Write a message for any number of clients."""
    return Packet(MESSAGE, SocketPacket(EVENT, data=list(message)).encode())
