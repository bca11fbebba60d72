"""Answers: one of each participant in a round, and the first right one wins it.

First is whose answer the database takes up first: an answer locks its round and then reads the
clock, so that of two the one with the lock is the earlier one, on whichever server they came in,
and the next sees what became of it. A right answer that is committed closes the round. So none that
is earlier by this clock loses to a later one; how long it took to reach the database counts, and
what a client says of its time does not.
"""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import asyncpg
import msgspec

from app.database.columns import CLOCK
from app.database.engine import fetch, fetchrow, fetchval, in_transaction, transaction
from app.database.ids import new_id
from app.database.listing import Listing, PageRequest
from app.database.versions import VERSION
from app.errors import AppError, Conflict, Forbidden, NotFound, RoomNotActive, ValidationFailed
from app.participants.service import Membership, attendee, read_again
from app.rounds.questions import ShownQuestion
from app.rounds.quizzes import QuizStatus, closed_at, show_in_settings, written
from app.rounds.service import find_round
from app.tables import Participant, ParticipantRole, Prize, Room, RoomStatus, Winner
from app.winners.service import award

WIN_TYPE = "quiz_round_win"
OVER = "This round is over."
MOST_AT_ONCE = 4
"""Of a process: they wait for each other anyway, and leave connections to other requests."""

_answering = asyncio.Semaphore(MOST_AT_ONCE)

_FOUND = """
    FROM answers x JOIN rounds y ON y.id = x."roundId" WHERE x."roundId" = $1 AND y."roomId" = $2
"""
_JOINED = """
    JOIN rounds r ON r.id = x."roundId" JOIN participants p ON p.id = x."participantId"
    LEFT JOIN users u ON u.id = p."userId"
"""


def _shown(*, to_moderator: bool) -> str:
    return f"""
        x.id, x."roundId", r."roomId", r.question ->> 'id' AS "questionId", x."participantId",
        x."answerIndex", x."isCorrect", x."isWinning", x."responseTimeMs", x."answeredAt",
        x."winnerId", x.{VERSION}, p."userId",
        {attendee("p", to_moderator=to_moderator)},
        {closed_at("r")} IS NOT NULL AS "isOver"
    """


async def list_answers(
    member: Membership, round_id: str, page: PageRequest
) -> tuple[Sequence[asyncpg.Record], int]:
    """List a round's answers, oldest first; one more than asked for when more follow.

    Raises:
        NotFound: The room has no such round.
    """
    listing = Listing(
        found=[_FOUND],
        shown=_shown(to_moderator=member.moderates),
        joined=f"JOIN answers x ON x.id = page.id {_JOINED}",
        order_column='"answeredAt"',
    )
    rows, total = await listing.fetch(page, round_id, member.room_id)
    if not rows:
        await find_round(member, round_id)
    return rows, total


async def find_answer(member: Membership, round_id: str, answer_id: str) -> asyncpg.Record:
    """Read an answer of a round of the room.

    Raises:
        NotFound: The round has no such answer.
    """
    row = await fetchrow(
        f"SELECT {_shown(to_moderator=member.moderates)} FROM answers x {_JOINED} "
        'WHERE x.id = $1 AND r.id = $2 AND r."roomId" = $3',
        answer_id,
        round_id,
        member.room_id,
    )
    if row is None:
        raise NotFound("There is no such answer in this round.")
    return row


async def shown_to_all(ids: Sequence[str]) -> Sequence[asyncpg.Record]:
    """Read answers as anybody sees them who may see the room."""
    return await fetch(
        f"SELECT {_shown(to_moderator=False)} FROM answers x {_JOINED} WHERE x.id = ANY($1)", ids
    )


async def round_of_question(member: Membership, question_id: str) -> str:
    """Return the id of the last round of the room in which a question was asked.

    Raises:
        NotFound: It was not asked.
    """
    found: str | None = await fetchval(
        """
        SELECT id FROM rounds WHERE "roomId" = $1 AND question ->> 'id' = $2
        ORDER BY "shownAt" DESC, id DESC LIMIT 1
        """,
        member.room_id,
        question_id,
    )
    if found is None:
        raise NotFound("This question was not asked in this room.")
    return found


async def answer(member: Membership, round_id: str, answer_index: int) -> asyncpg.Record:
    """Answer the question of a round. The first right answer wins it.

    Raises:
        Forbidden: They are no PARTICIPANT; who sees the right answers can't answer.
        NotFound: The room has no such round.
        RoomNotActive: Only ACTIVE rooms have quizzes.
        ValidationFailed: The question has no such option.
        Conflict: The round is over, or they have answered.
    """
    _require_player(member)
    # A transaction that is open already has its connection, which those who wait would need.
    async with nullcontext() if in_transaction() else _answering:
        may_win = await _may_win(member, round_id, answer_index)
        async with transaction():
            round_ = await _lock(member, round_id, alone=may_win)
            options = msgspec.json.decode(round_["question"], type=ShownQuestion).options
            if answer_index >= len(options):
                raise ValidationFailed.at({"$.answerIndex": "There is no such option."})
            row = await _record(member, round_, answer_index)
            if row["isWinning"]:
                await _win(member, round_, row)
            return await find_answer(member, round_id, row["id"])


def _require_player(member: Membership) -> None:
    if member.role is not ParticipantRole.PARTICIPANT or member.participant_id is None:
        raise Forbidden("Only who is PARTICIPANT in the room answers.")


async def _may_win(member: Membership, round_id: str, answer_index: int) -> bool:
    """Tell whether an answer is right.

    Raises:
        Conflict: The round was closed, which nothing undoes: no lock need be waited for.
    """
    row = await fetchrow(
        'SELECT "correctIndex", "closedAt" FROM rounds WHERE id = $1 AND "roomId" = $2',
        round_id,
        member.room_id,
    )
    if row is not None and row["closedAt"] is not None:
        raise Conflict(OVER)
    return row is not None and row["correctIndex"] == answer_index


async def _lock(member: Membership, round_id: str, *, alone: bool) -> asyncpg.Record:
    """Lock a round, after its room: alone where the room is to show that it was won."""
    row = await fetchrow(
        f"""
        WITH room AS (
            SELECT id FROM {Room.alive()} r WHERE id = $1 AND status = 'ACTIVE'
            FOR {"NO KEY UPDATE" if alone else "SHARE"}
        )
        SELECT x.* FROM rounds x, room WHERE x.id = $2 AND x."roomId" = room.id
        FOR NO KEY UPDATE OF x
        """,
        member.room_id,
        round_id,
    )
    if row is not None:
        return row
    status = await fetchval(f"SELECT status FROM {Room.alive()} r WHERE id = $1", member.room_id)
    if status is not None and status != RoomStatus.ACTIVE:
        raise RoomNotActive
    raise NotFound("There is no such round in this room.")


def _is_second(person: str) -> str:
    """Write whether a participant p waits for the address of somebody who has another row there."""
    return (
        '(p."userId" IS NULL AND EXISTS (SELECT FROM participants own '
        f'WHERE own."roomId" = p."roomId" AND own."userId" = {person}))'
    )


async def _record(member: Membership, round_: asyncpg.Record, answer_index: int) -> asyncpg.Record:
    """Keep an answer to a locked round, if it is in time and its participant still is one."""
    row = await fetchrow(
        f"""
        WITH moment AS MATERIALIZED (SELECT GREATEST($6::timestamptz, {CLOCK}) AS now), seat AS (
            SELECT id FROM {Participant.alive()} p
            WHERE id = $3 AND "roomId" = $4 AND role = 'PARTICIPANT'
              AND NOT {_is_second("$10")} FOR SHARE
        )
        INSERT INTO answers (id, "roundId", "participantId", "answerIndex", "isCorrect",
            "isWinning", "responseTimeMs", "answeredAt")
        SELECT $1, $2, seat.id, $5, $8, $8,
            round(extract(epoch FROM moment.now - $6::timestamptz) * 1000), moment.now
        FROM moment, seat
        WHERE $9::timestamptz IS NULL AND moment.now < COALESCE($7::timestamptz, 'infinity')
        RETURNING *
        """,
        *(new_id(), round_["id"], member.participant_id, member.room_id, answer_index),
        *(round_["shownAt"], round_["endsAt"], answer_index == round_["correctIndex"]),
        *(round_["closedAt"], member.user_id),
    )
    if row is None:
        raise await _why_not(member)
    return row


async def _why_not(member: Membership) -> AppError:
    member = await read_again(member, at_least=ParticipantRole.PARTICIPANT)
    _require_player(member)
    is_second = await fetchval(
        f"SELECT {_is_second('$2')} FROM participants p WHERE id = $1",
        member.participant_id,
        member.user_id,
    )
    if is_second:
        return Conflict("You have been in this room before; join it again, and answer then.")
    return Conflict(OVER)


async def _win(member: Membership, round_: asyncpg.Record, row: asyncpg.Record) -> None:
    """Close a locked round with its winner, who is awarded a prize if there is one left."""
    prize_id = await _oldest_prize(member.room_id, row["participantId"])
    if prize_id is not None:
        won = await award(
            member,
            participant_id=row["participantId"],
            prize_id=prize_id,
            metadata=_metadata(round_, row),
        )
        await fetch('UPDATE answers SET "winnerId" = $2 WHERE id = $1', row["id"], won["id"])
    await fetch('UPDATE rounds SET "closedAt" = $2 WHERE id = $1', round_["id"], row["answeredAt"])
    await show_in_settings(member.room_id, {"quizStatus": QuizStatus.BETWEEN_ROUNDS})


async def _oldest_prize(room_id: str, participant_id: str) -> str | None:
    """Find the oldest prize of a locked room with something left that somebody does not hold."""
    found: str | None = await fetchval(
        f"""
        SELECT z.id FROM {Prize.alive()} z
        WHERE z."roomId" = $1 AND z."quantityRemaining" > 0 AND NOT EXISTS (
            SELECT FROM {Winner.alive()} w WHERE w."prizeId" = z.id AND w."participantId" = $2
        )
        ORDER BY z."createdAt", z.id LIMIT 1 FOR NO KEY UPDATE OF z
        """,
        room_id,
        participant_id,
    )
    return found


def _metadata(round_: asyncpg.Record, row: asyncpg.Record) -> dict[str, Any]:
    return {
        "questionId": msgspec.json.decode(round_["question"], type=ShownQuestion).id,
        "responseTimeMs": row["responseTimeMs"],
        "answerIndex": row["answerIndex"],
        "submittedAt": written(row["answeredAt"]),
        "type": WIN_TYPE,
    }
