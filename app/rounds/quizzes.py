"""A room's quiz: from its start over its rounds to its leaderboard.

Steps of it lock the room first and then its open round, as answers do. So they come one after the
other, whichever server they reach.

The rows are the truth. Clients that exist read a quiz's state in the room's settings as well: there
it is shown, in the same transaction, where the settings have these members. Nothing is read there
but the questions.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from typing import Any

import asyncpg
import msgspec

from app.applications.service import check_room_settings
from app.database.columns import CLOCK
from app.database.engine import fetch, fetchrow, fetchval, jsonb, transaction
from app.database.ids import new_id
from app.database.versions import VERSION
from app.errors import Conflict, NotFound, RoomNotActive, ValidationFailed
from app.participants.service import Membership, attendee
from app.rooms.service import lock_room
from app.tables import RoomStatus

MOST_LEADERS = 100
"""That are shown."""


class QuizStatus(StrEnum):
    """How far a quiz has come."""

    WAITING = "WAITING"
    QUESTION_ACTIVE = "QUESTION_ACTIVE"
    BETWEEN_ROUNDS = "BETWEEN_ROUNDS"
    FINISHED = "FINISHED"


def closed_at(round_: str) -> str:
    """Write when a round was over, if it is: also one whose time has passed."""
    ends = f'{round_}."endsAt"'
    return f'COALESCE({round_}."closedAt", CASE WHEN {ends} <= now() THEN {ends} END)'


def _shown(*, to_moderator: bool) -> str:
    return f"""
        q.id, q."roomId", q.number, q."startedAt", q."finishedAt", q.{VERSION},
        CASE WHEN q."finishedAt" IS NOT NULL THEN 'FINISHED' WHEN x.id IS NULL THEN 'WAITING'
            WHEN {closed_at("x")} IS NULL THEN 'QUESTION_ACTIVE' ELSE 'BETWEEN_ROUNDS'
        END AS status,
        COALESCE(x."questionIndex", -1) AS "currentQuestionIndex", x.id AS "currentRoundId",
        (SELECT COALESCE(jsonb_agg(to_jsonb(l) ORDER BY l.wins DESC, l.ms, l."participantId"), '[]')
        FROM (
            SELECT a."participantId", p."userId", {attendee("p", to_moderator=to_moderator)},
                count(*) AS wins, sum(a."responseTimeMs") AS ms
            FROM rounds r JOIN answers a ON a."roundId" = r.id AND a."isWinning"
            JOIN participants p ON p.id = a."participantId" LEFT JOIN users u ON u.id = p."userId"
            WHERE r."quizId" = q.id GROUP BY a."participantId", p.id, u.id
            ORDER BY wins DESC, ms, a."participantId" LIMIT {MOST_LEADERS}
        ) l) AS leaderboard
        FROM quizzes q LEFT JOIN LATERAL (
            SELECT * FROM rounds WHERE "quizId" = q.id ORDER BY "shownAt" DESC, id DESC LIMIT 1
        ) x ON true
    """


async def find_quiz(member: Membership) -> asyncpg.Record:
    """Read the room's present quiz with its leaderboard: the last that was started.

    Raises:
        NotFound: None was started.
    """
    row = await fetchrow(
        f'SELECT {_shown(to_moderator=member.moderates)} WHERE q."roomId" = $1 '
        "ORDER BY q.number DESC LIMIT 1",
        member.room_id,
    )
    if row is None:
        raise NotFound("No quiz was started in this room.")
    return row


async def shown_to_all(ids: Sequence[str]) -> Sequence[asyncpg.Record]:
    """Read quizzes as anybody sees them who may see the room."""
    return await fetch(f"SELECT {_shown(to_moderator=False)} WHERE q.id = ANY($1)", ids)


async def start(member: Membership) -> asyncpg.Record:
    """Start a quiz. One that waits starts anew; one that has had rounds is over.

    Raises:
        NotFound: The room was deleted meanwhile.
        RoomNotActive: Only ACTIVE rooms have quizzes.
    """
    async with transaction():
        await lock_active_room(member.room_id)
        await close_open_round(member.room_id)
        restarted = await fetchval(
            f"""
            UPDATE quizzes q SET "startedAt" = {CLOCK}
            WHERE q.id = (SELECT id FROM quizzes WHERE "roomId" = $1 ORDER BY number DESC LIMIT 1)
              AND "finishedAt" IS NULL AND NOT EXISTS (SELECT FROM rounds WHERE "quizId" = q.id)
            RETURNING q.id
            """,
            member.room_id,
        )
        if restarted is None:
            await begin(member.room_id)
        await show_in_settings(
            member.room_id, {"quizStatus": QuizStatus.WAITING, "currentQuestionIndex": -1}
        )
        return await find_quiz(member)


async def finish(member: Membership) -> asyncpg.Record:
    """End the present quiz, and with it its open round. Repeating it changes nothing.

    Raises:
        NotFound: No quiz was started, or the room was deleted meanwhile.
    """
    async with transaction():
        await lock_room(member.room_id)
        quiz = await find_quiz(member)
        if quiz["finishedAt"] is not None:
            return quiz
        await close_open_round(member.room_id)
        await fetch(
            f'UPDATE quizzes SET "finishedAt" = GREATEST("startedAt", {CLOCK}) WHERE id = $1',
            quiz["id"],
        )
        await show_in_settings(member.room_id, {"quizStatus": QuizStatus.FINISHED})
        return await find_quiz(member)


async def lock_active_room(room_id: str) -> asyncpg.Record:
    """Lock a room for a step of its quiz.

    Raises:
        NotFound: It was deleted meanwhile.
        RoomNotActive: It is not ACTIVE.
    """
    room = await lock_room(room_id)
    if room["status"] != RoomStatus.ACTIVE:
        raise RoomNotActive
    return room


async def quiz_to_go_on(room_id: str) -> str:
    """Return the id of the quiz of a locked room that takes rounds; one is begun if none does."""
    row = await fetchrow(
        'SELECT id, "finishedAt" FROM quizzes WHERE "roomId" = $1 ORDER BY number DESC LIMIT 1',
        room_id,
    )
    if row is None or row["finishedAt"] is not None:
        return await begin(room_id)
    quiz_id: str = row["id"]
    return quiz_id


async def begin(room_id: str) -> str:
    """Begin the next quiz of a locked room, and return its id."""
    quiz_id: str = await fetchval(
        f"""
        INSERT INTO quizzes (id, "roomId", number, "startedAt")
        SELECT $1, $2, COALESCE(max(number), 0) + 1, {CLOCK} FROM quizzes WHERE "roomId" = $2
        RETURNING id
        """,
        new_id(),
        room_id,
    )
    return quiz_id


async def close_open_round(room_id: str, *, but: str | None = None) -> datetime:
    """Close the open round of a locked room, if there is one: now, or when its time had passed.

    Args:
        room_id: The room.
        but: A question whose round must not be open.

    Returns:
        The time from which on another round may be open.

    Raises:
        Conflict: It is a round of this question, and its time has not passed.
    """
    await fetch(
        'SELECT FROM rounds WHERE "roomId" = $1 AND "closedAt" IS NULL FOR NO KEY UPDATE', room_id
    )
    moment: datetime = await fetchval(f"SELECT {CLOCK}")
    row = await fetchrow(
        """
        UPDATE rounds SET "closedAt" = LEAST(GREATEST("shownAt", $2), "endsAt")
        WHERE "roomId" = $1 AND "closedAt" IS NULL
        RETURNING question ->> 'id' = $3 AND ("endsAt" IS NULL OR "endsAt" > $2) AS "isAsked",
            GREATEST("shownAt", $2) AS moment
        """,
        room_id,
        moment,
        but,
    )
    if row is None:
        return moment
    if row["isAsked"]:
        raise Conflict("This question is being asked; close its round first.")
    later: datetime = row["moment"]
    return later


def written(moment: datetime) -> str:
    """Write a time of the database's as answers do."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def show_in_settings(room_id: str, shown: Mapping[str, Any]) -> None:
    """Show a quiz's state in the settings of a locked room that has such members, while it is open.

    A member that is not there, or has another type, is left alone; and so are all of them where
    the schema of the room's app takes no such state.
    """
    room = await fetchrow(
        """
        SELECT "appId", "appManifestVersion", "appSettings" || (
            SELECT COALESCE(jsonb_object_agg(key, value), '{}') FROM jsonb_each($2)
            WHERE jsonb_typeof("appSettings" -> key) IN (jsonb_typeof(value), 'null')
        ) AS settings
        FROM rooms
        WHERE id = $1 AND status IN ('DRAFT', 'ACTIVE') AND "appSettings" ->> 'quizStatus' = ANY($3)
        """,
        room_id,
        jsonb(shown),
        [*QuizStatus],
    )
    if room is None:
        return
    with suppress(ValidationFailed, NotFound, Conflict):
        await check_room_settings(
            room["appId"], room["appManifestVersion"], msgspec.json.decode(room["settings"])
        )
        await fetch(
            'UPDATE rooms SET "updatedAt" = now(), "appSettings" = $2 WHERE id = $1',
            *(room_id, room["settings"]),
        )
