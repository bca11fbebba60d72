"""What clients of Socket.IO say of a quiz. Who they are and what time it is, they need not say."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec

from app.participants.roles import Right
from app.participants.service import Membership
from app.rounds import answering, quizzes, service
from app.rounds.questions import Index
from app.rounds.schemas import AnswerOut, QuizOut, RoundOut

Answered: TypeAlias = Mapping[str, Any]
"""What is acknowledged."""


class Wanted(msgspec.Struct):
    """The room that a client speaks of."""

    roomId: Annotated[str, msgspec.Meta(pattern="^[!-~]{1,100}$")]


class _Named(msgspec.Struct):
    id: str


class Asking(Wanted):
    """A question to ask: what is said of it besides its id stands in the room's settings."""

    question: _Named


class Answering(Wanted):
    """An answer to the question that was asked last with this id."""

    questionId: str
    answerIndex: Index


async def _start(member: Membership, _: Wanted) -> Answered:
    return {"quiz": QuizOut.of(await quizzes.start(member))}


async def _show_question(member: Membership, wanted: Asking) -> Answered:
    return {"round": RoundOut.of(await service.show_question(member, wanted.question.id))}


async def _answer(member: Membership, wanted: Answering) -> Answered:
    round_id = await answering.round_of_question(member, wanted.questionId)
    row = await answering.answer(member, round_id, wanted.answerIndex)
    return {"answer": AnswerOut.of(row, member)}


async def _finish(member: Membership, _: Wanted) -> Answered:
    return {"quiz": QuizOut.of(await quizzes.finish(member))}


class Action(NamedTuple):
    """Something that a client may want done in a room."""

    right: Right
    says: type[Wanted]
    do: Callable[[Membership, Any], Awaitable[Answered]]
    form: str
    """What to send, for who sent something else."""


ACTIONS: Mapping[str, Action] = {
    "quiz:start": Action(Right.RUN_QUIZ, Wanted, _start, "{roomId}"),
    "quiz:show_question": Action(
        Right.RUN_QUIZ, Asking, _show_question, "{roomId, question: {id}}"
    ),
    "quiz:answer": Action(Right.ANSWER, Answering, _answer, "{roomId, questionId, answerIndex}"),
    "quiz:finished": Action(Right.RUN_QUIZ, Wanted, _finish, "{roomId}"),
    "quiz:end": Action(Right.RUN_QUIZ, Wanted, _finish, "{roomId}"),
}
"""By the name of the message."""
