"""HTTP of /rooms/{id}/quiz and /rooms/{id}/rounds."""

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from app.auth.guards import FOR_GUESTS
from app.database.listing import PageRequest
from app.errors import Conflict, NotFound, RoomNotActive
from app.http.envelopes import Data
from app.http.openapi import refusals
from app.http.pagination import Page, page_of
from app.http.preconditions import Resource
from app.participants.guards import DEPENDENCIES, in_room
from app.participants.roles import Right
from app.participants.service import Membership
from app.rounds import answering, quizzes, service
from app.rounds.schemas import AnswerInput, AnswerOut, QuizOut, RoundInput, RoundOut


class QuizController(Controller):
    """A room's quiz, from its start to its leaderboard."""

    path = "/rooms/{room_id:str}/quiz"
    tags = ("quiz",)
    dependencies = DEPENDENCIES

    @get(
        guards=[in_room()], operation_id="getQuiz", summary="The room's quiz, with its leaderboard"
    )
    async def show(self, member: NamedDependency[Membership]) -> Resource[Data[QuizOut]]:
        """Show how far the quiz has come that was started last, and who has won its rounds."""
        row = await quizzes.find_quiz(member)
        return Resource(Data(QuizOut.of(row)), row["version"])

    @post(
        guards=[in_room(Right.RUN_QUIZ, strictly=True)],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        responses=refusals(RoomNotActive),
        operation_id="startQuiz",
        summary="Start a quiz",
    )
    async def start(self, member: NamedDependency[Membership]) -> Resource[Data[QuizOut]]:
        """Start a quiz in an ACTIVE room that one organizes, with an empty leaderboard.

        One that is under way is over, and its open round with it. Showing a question starts a quiz
        as well, where none is under way.
        """
        row = await quizzes.start(member)
        return Resource(Data(QuizOut.of(row)), row["version"])

    @post(
        "/finish",
        guards=[in_room(Right.RUN_QUIZ, strictly=True)],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        operation_id="finishQuiz",
        summary="Finish the quiz",
    )
    async def finish(self, member: NamedDependency[Membership]) -> Resource[Data[QuizOut]]:
        """End the quiz of a room that one organizes, whatever the room's status.

        An open round is closed. Repeating it changes nothing.
        """
        row = await quizzes.finish(member)
        return Resource(Data(QuizOut.of(row)), row["version"])


class RoundController(Controller):
    """Questions that are asked, and who is first."""

    path = "/rooms/{room_id:str}/rounds"
    tags = ("quiz",)
    dependencies = DEPENDENCIES

    @get(guards=[in_room()], operation_id="listRounds", summary="The room's rounds")
    async def list_(
        self, member: NamedDependency[Membership], paging: NamedDependency[PageRequest]
    ) -> Page[RoundOut]:
        """List the rounds of all quizzes of the room, newest first."""
        rows, total = await service.list_rounds(member, paging)
        return page_of(rows, total, paging, RoundOut.of, order_column="shownAt")

    @post(
        guards=[in_room(Right.RUN_QUIZ, strictly=True)],
        security=[{"bearer": []}],
        responses=refusals(NotFound, RoomNotActive, Conflict),
        operation_id="askQuestion",
        summary="Ask a question",
    )
    async def show_question(
        self, member: NamedDependency[Membership], data: JSONBody[RoundInput]
    ) -> Resource[Data[RoundOut]]:
        """Ask a question of the settings of an ACTIVE room that one organizes.

        It is shown as it stands there, without the right answer. Its time begins now by the
        server's clock, and ends after `timeLimit` seconds if there are any. A round of another
        question that is open is closed; one of the same question is refused.
        """
        row = await service.show_question(member, data.questionId)
        return Resource(Data(RoundOut.of(row)), row["version"], created=row["id"])

    @get("/{round_id:str}", guards=[in_room()], operation_id="getRound", summary="A round")
    async def show(
        self, member: NamedDependency[Membership], round_id: FromPath[str]
    ) -> Resource[Data[RoundOut]]:
        """Show a round with its winner, if it has one; the right answer to moderators alone."""
        row = await service.find_round(member, round_id)
        return Resource(Data(RoundOut.of(row)), row["version"])

    @post(
        "/{round_id:str}/close",
        guards=[in_room(Right.RUN_QUIZ, strictly=True)],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        operation_id="closeRound",
        summary="Close a round",
    )
    async def close(
        self, member: NamedDependency[Membership], round_id: FromPath[str]
    ) -> Resource[Data[RoundOut]]:
        """Close a round that nobody has won, whatever the room's status. Then nobody wins it.

        Repeating it changes nothing. A round that was won is closed by that.
        """
        row = await service.close_round(member, round_id)
        return Resource(Data(RoundOut.of(row)), row["version"])

    @get(
        "/{round_id:str}/answers",
        guards=[in_room()],
        operation_id="listAnswers",
        summary="Who has answered",
    )
    async def list_answers(
        self,
        member: NamedDependency[Membership],
        round_id: FromPath[str],
        paging: NamedDependency[PageRequest],
    ) -> Page[AnswerOut]:
        """List the answers of a round, the first ones first.

        What others answered, and whether it is right, is shown to moderators alone.
        """
        rows, total = await answering.list_answers(member, round_id, paging)
        return page_of(
            rows,
            total,
            paging,
            lambda row: AnswerOut.of(row, member),
            order_column="answeredAt",
        )

    @post(
        "/{round_id:str}/answers",
        guards=[in_room(Right.ANSWER, strictly=True)],
        opt=FOR_GUESTS,
        security=[{"bearer": []}],
        responses=refusals(RoomNotActive, Conflict),
        operation_id="answerQuestion",
        summary="Answer a question",
    )
    async def answer(
        self,
        member: NamedDependency[Membership],
        round_id: FromPath[str],
        data: JSONBody[AnswerInput],
    ) -> Resource[Data[AnswerOut]]:
        """Answer as a PARTICIPANT of an ACTIVE room: once, while the round is open.

        The first right answer wins the round and closes it (`isWinning`). First is whom the
        database takes up first, on whichever server; nothing that a client says of its time counts.
        The winner is awarded the oldest prize of the room of which something is left and which they
        don't hold yet; if there is none, they have won the round all the same.
        """
        row = await answering.answer(member, round_id, data.answerIndex)
        return Resource(Data(AnswerOut.of(row, member)), row["version"], created=row["id"])

    @get(
        "/{round_id:str}/answers/{answer_id:str}",
        guards=[in_room()],
        operation_id="getAnswer",
        summary="An answer",
    )
    async def show_answer(
        self,
        member: NamedDependency[Membership],
        round_id: FromPath[str],
        answer_id: FromPath[str],
    ) -> Resource[Data[AnswerOut]]:
        """Show an answer, as the list does."""
        row = await answering.find_answer(member, round_id, answer_id)
        return Resource(Data(AnswerOut.of(row, member)), row["version"])
