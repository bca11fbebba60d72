"""Bodies and answers of /rooms/{id}/quiz and /rooms/{id}/rounds."""

from collections.abc import Mapping
from typing import Annotated, Any

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.http.bodies import Input
from app.http.envelopes import optional_timestamp, timestamp
from app.participants.service import Membership
from app.rounds.questions import Index, ShownQuestion
from app.rounds.quizzes import QuizStatus


class RoundInput(Input):
    """What to ask."""

    questionId: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=1000,
            description="The `id` of one of `appSettings.questions`.",
            examples=["reindeer"],
        ),
    ]


class AnswerInput(Input):
    """What somebody answers."""

    answerIndex: Annotated[Index, Meta(description="Which of the options, from 0.")]


class RoundWinnerOut(msgspec.Struct):
    """Who was first."""

    participantId: str
    participantName: str | None
    questionId: str
    responseTimeMs: int
    winnerId: str | None
    """The award; null where no prize was left."""


class RoundOut(msgspec.Struct):
    """A question that was asked."""

    id: str
    roomId: str
    quizId: str
    quizNumber: int
    question: ShownQuestion
    questionIndex: int
    totalQuestions: int
    shownAt: str
    endsAt: str | None
    closedAt: str | None
    winner: RoundWinnerOut | None
    correctIndex: Annotated[int, Meta(description="To moderators alone.")] | UnsetType = UNSET

    @classmethod
    def of(cls, row: asyncpg.Record) -> "RoundOut":
        """Show a row of rounds with its winner."""
        question = msgspec.json.decode(row["question"], type=ShownQuestion)
        winner = row["participantId"] and RoundWinnerOut(
            row["participantId"],
            row["userName"],
            question.id,
            row["responseTimeMs"],
            row["winnerId"],
        )
        return cls(
            id=row["id"],
            roomId=row["roomId"],
            quizId=row["quizId"],
            quizNumber=row["quizNumber"],
            question=question,
            questionIndex=row["questionIndex"],
            totalQuestions=row["totalQuestions"],
            shownAt=timestamp(row["shownAt"]),
            endsAt=optional_timestamp(row["endsAt"]),
            closedAt=optional_timestamp(row["closedAt"]),
            winner=winner,
            correctIndex=row.get("correctIndex", UNSET),
        )


class AnswerOut(msgspec.Struct):
    """An answer."""

    id: str
    roomId: str
    roundId: str
    questionId: str
    participantId: str
    participantName: str | None
    responseTimeMs: int
    answeredAt: str
    isWinning: bool
    answerIndex: (
        Annotated[
            int | None,
            Meta(description="One's own, or to moderators; null once the person is erased."),
        ]
        | UnsetType
    ) = UNSET
    isCorrect: (
        Annotated[bool, Meta(description="One's own once the round is over, or to moderators.")]
        | UnsetType
    ) = UNSET

    @classmethod
    def of(cls, row: asyncpg.Record, member: Membership | None = None) -> "AnswerOut":
        """Show a row of answers to somebody in the room, or to anybody who may see the room."""
        is_moderator = member is not None and member.moderates
        is_own = member is not None and member.participant_id == row["participantId"]
        shows_index = is_moderator or is_own
        shows_rightness = is_moderator or (is_own and row["isOver"])
        return cls(
            id=row["id"],
            roomId=row["roomId"],
            roundId=row["roundId"],
            questionId=row["questionId"],
            participantId=row["participantId"],
            participantName=row["userName"],
            responseTimeMs=row["responseTimeMs"],
            answeredAt=timestamp(row["answeredAt"]),
            isWinning=row["isWinning"],
            answerIndex=row["answerIndex"] if shows_index else UNSET,
            isCorrect=row["isCorrect"] if shows_rightness else UNSET,
        )


class LeaderOut(msgspec.Struct):
    """How many rounds somebody has won."""

    participantId: str
    userId: str | None
    participantName: str | None
    wins: int


class _Leader(msgspec.Struct):
    participantId: str
    userId: str | None
    userName: str | None
    wins: int


class QuizOut(msgspec.Struct):
    """A quiz: how far it has come, and who has won how often."""

    id: str
    roomId: str
    number: Annotated[int, Meta(description="In the room, from 1.")]
    status: QuizStatus
    currentQuestionIndex: Annotated[int, Meta(description="Of the last round; -1 before any.")]
    currentRoundId: str | None
    startedAt: str
    finishedAt: str | None
    leaderboard: Annotated[
        list[LeaderOut],
        Meta(
            description="Whoever has won a round, the most first, of those with as many the fastest"
            " first; a hundred at most."
        ),
    ]

    @classmethod
    def of(cls, row: asyncpg.Record | Mapping[str, Any]) -> "QuizOut":
        """Show a row of quizzes with its leaderboard."""
        leaders = msgspec.json.decode(row["leaderboard"], type=list[_Leader])
        return cls(
            id=row["id"],
            roomId=row["roomId"],
            number=row["number"],
            status=QuizStatus(row["status"]),
            currentQuestionIndex=row["currentQuestionIndex"],
            currentRoundId=row["currentRoundId"],
            startedAt=timestamp(row["startedAt"]),
            finishedAt=optional_timestamp(row["finishedAt"]),
            leaderboard=[
                LeaderOut(each.participantId, each.userId, each.userName, each.wins)
                for each in leaders
            ],
        )
