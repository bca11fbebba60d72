"""Rounds: showing a question of the room's settings, and closing it again."""

from collections.abc import Sequence

import asyncpg
import msgspec

from app.database.engine import fetch, fetchrow, fetchval, jsonb, transaction
from app.database.ids import new_id
from app.database.listing import Listing, PageRequest
from app.database.versions import VERSION
from app.errors import NotFound
from app.participants.service import Membership, attendee
from app.rooms.service import lock_room
from app.rounds.questions import question_of
from app.rounds.quizzes import (
    QuizStatus,
    close_open_round,
    closed_at,
    lock_active_room,
    quiz_to_go_on,
    show_in_settings,
    written,
)

_JOINED = """
    JOIN quizzes q ON q.id = x."quizId"
    LEFT JOIN answers a ON a."roundId" = x.id AND a."isWinning"
    LEFT JOIN participants p ON p.id = a."participantId" LEFT JOIN users u ON u.id = p."userId"
"""


def _shown(*, to_moderator: bool) -> str:
    correct = ', x."correctIndex"' if to_moderator else ""
    return f"""
        x.id, x."roomId", x."quizId", q.number AS "quizNumber", x.question, x."questionIndex",
        x."totalQuestions", x."shownAt", x."endsAt", {closed_at("x")} AS "closedAt",
        x.{VERSION}, a."participantId", a."responseTimeMs", a."winnerId",
        p."userId", {attendee("p", to_moderator=to_moderator)}{correct}
    """


async def list_rounds(
    member: Membership, page: PageRequest
) -> tuple[Sequence[asyncpg.Record], int]:
    """List a room's rounds, newest first; one more than asked for when more follow."""
    listing = Listing(
        found=['FROM rounds x WHERE x."roomId" = $1'],
        shown=_shown(to_moderator=member.moderates),
        joined=f"JOIN rounds x ON x.id = page.id {_JOINED}",
        order_column='"shownAt"',
        newest_first=True,
    )
    return await listing.fetch(page, member.room_id)


async def find_round(member: Membership, round_id: str) -> asyncpg.Record:
    """Read a round of the room; the right answer to moderators alone.

    Raises:
        NotFound: The room has no such round.
    """
    row = await fetchrow(
        f"SELECT {_shown(to_moderator=member.moderates)} FROM rounds x {_JOINED} "
        'WHERE x.id = $1 AND x."roomId" = $2',
        round_id,
        member.room_id,
    )
    if row is None:
        raise NotFound("There is no such round in this room.")
    return row


async def shown_to_all(ids: Sequence[str]) -> Sequence[asyncpg.Record]:
    """Read rounds as anybody sees them who may see the room."""
    return await fetch(
        f"SELECT {_shown(to_moderator=False)} FROM rounds x {_JOINED} WHERE x.id = ANY($1)", ids
    )


async def show_question(member: Membership, question_id: str) -> asyncpg.Record:
    """Open a round with a question of the room's settings. Another one that is open is closed.

    Where no quiz is under way, one begins.

    Raises:
        NotFound: The settings have no such question, or the room was deleted meanwhile.
        ValidationFailed: It is not one that can be asked.
        RoomNotActive: Only ACTIVE rooms have quizzes.
        Conflict: It is being asked.
    """
    async with transaction():
        room = await lock_active_room(member.room_id)
        asked = question_of(msgspec.json.decode(room["appSettings"]), question_id)
        shown_at = await close_open_round(member.room_id, but=question_id)
        round_id = new_id()
        await fetch(
            """
            INSERT INTO rounds (id, "roomId", "quizId", question, "correctIndex", "questionIndex",
                "totalQuestions", "shownAt", "endsAt")
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8::timestamptz,
                $8::timestamptz + make_interval(secs => $9))
            """,
            *(round_id, member.room_id, await quiz_to_go_on(member.room_id), jsonb(asked.shown)),
            *(asked.correct_index, asked.index, asked.total, shown_at, asked.shown.timeLimit),
        )
        await show_in_settings(
            member.room_id,
            {
                "quizStatus": QuizStatus.QUESTION_ACTIVE,
                "currentQuestionIndex": asked.index,
                "questionShownAt": written(shown_at),
            },
        )
        return await find_round(member, round_id)


async def close_round(member: Membership, round_id: str) -> asyncpg.Record:
    """Close a round in which nobody has won. Repeating it changes nothing.

    Raises:
        NotFound: The room has no such round, or was deleted meanwhile.
    """
    async with transaction():
        await lock_room(member.room_id)
        is_open = await fetchval(
            'SELECT "closedAt" IS NULL FROM rounds WHERE id = $1 AND "roomId" = $2',
            round_id,
            member.room_id,
        )
        if is_open:
            await close_open_round(member.room_id)
            await show_in_settings(member.room_id, {"quizStatus": QuizStatus.BETWEEN_ROUNDS})
        return await find_round(member, round_id)
