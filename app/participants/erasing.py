"""Blanking what says who somebody in a room is. Their ids stay: draws go on being verifiable.

All of it is part of the caller's transaction. What the log of events says is forgotten by who moves
events, after what was told before (`person.deleted`).
"""

from collections.abc import Sequence
from datetime import datetime

from app.database.engine import fetch, fetchrow, fetchval, transaction
from app.database.versions import ANY, VERSION, Precondition
from app.errors import Conflict, Forbidden, NotFound
from app.participants.roles import HELD_FROM, Right, may_grant
from app.participants.service import Membership, read_again
from app.tables import ParticipantRole

ERASE, FORGET = "erase", "forget"
"""What the audit log calls it."""
MOST_AT_ONCE = 1_000


def digest_of(address: str) -> str:
    """Write what is kept of an address where its mails have to go on counting."""
    return f"encode(sha256(convert_to({address}, 'UTF8')), 'hex')"


MAILS_OF_WINS = "unnest(ARRAY['decision', 'reminder', 'you-won'])"
"""The kinds of mails about a win, in SQL."""

_BLANK = """
    UPDATE participants SET email = NULL, name = NULL, metadata = NULL, "ownMetadata" = NULL,
        "erasedAt" = now(), "updatedAt" = now()
    WHERE id = ANY($1::text[])
"""
_LEAVE = """
    UPDATE participants SET "deletedAt" = now() WHERE id = ANY($1::text[]) AND "deletedAt" IS NULL
"""
# A draw's own award says by its ticket that it is the draw's, and nothing that anybody typed.
_BLANK_WINS = """
    UPDATE winners SET metadata = NULL
    WHERE "participantId" = ANY($1::text[]) AND metadata IS NOT NULL AND (
        metadata ->> 'ticket' ~ '^[0-9a-f]{64}$' AND jsonb_typeof(metadata -> 'draw') = 'number'
        AND jsonb_typeof(metadata -> 'place') = 'number'
        AND metadata - ARRAY['draw', 'place', 'ticket'] = '{}'
    ) IS NOT TRUE
"""
_BLANK_ANSWERS = """
    UPDATE answers SET "answerIndex" = NULL
    WHERE "participantId" = ANY($1::text[]) AND "answerIndex" IS NOT NULL
"""
# What was counted goes on counting against the limits of mails, without the address. Else an
# organizer could write to a stranger without end, erasing them each time.
_BLANK_MAILS = f"""
    WITH causes AS (
        SELECT 'invitation' AS kind, unnest($1::text[]) AS id
        UNION ALL SELECT kind, w.id FROM winners w, {MAILS_OF_WINS} kind
        WHERE w."participantId" = ANY($1::text[])
    ), uncounted AS (
        DELETE FROM mails m USING causes c
        WHERE m.kind = c.kind AND m.cause = c.id AND m."countedAt" IS NULL
    )
    UPDATE mails m SET "lastError" = NULL,
        status = CASE m.status WHEN 'PENDING' THEN 'DROPPED' ELSE m.status END,
        recipient = CASE WHEN strpos(m.recipient, '@') > 0 THEN {digest_of("m.recipient")}
            ELSE m.recipient END
    FROM causes c WHERE m.kind = c.kind AND m.cause = c.id AND m."countedAt" IS NOT NULL
"""
# What others were answered may show the person. PostgreSQL would take so many ids for most of all
# there are, and read all answers: it doesn't see them in a subquery.
_BLANK_KEPT_ANSWERS = """
    UPDATE idempotency_keys SET body = NULL, summary = NULL
    WHERE body IS NOT NULL AND ids_in(body) && ARRAY(SELECT unnest($1::text[]))
"""
# Whose account is erased is told by that.
_FORGET_EVENTS = """
    INSERT INTO outbox (type, subject)
    SELECT 'person.deleted', id FROM participants WHERE id = ANY($1::text[]) AND "userId" IS NULL
"""


# Of guests nothing is known but what the room knows.
_BLANK_GUESTS = """
    UPDATE users u SET name = NULL, "updatedAt" = now() FROM participants p
    WHERE p.id = ANY($1::text[]) AND u.id = p."userId" AND u."guestOf" IS NOT NULL
        AND u.name IS NOT NULL
"""


async def erase_seats(ids: Sequence[str], *person: str) -> None:
    """Blank locked rows of rooms and all that tells of whom they were; they leave their rooms.

    Args:
        ids: Of participants.
        person: The id of whose rows they are.
    """
    for statement in (_LEAVE, _BLANK_ANSWERS, _FORGET_EVENTS):
        await fetch(statement, ids)
    await _blank(ids, *person)


async def _blank(ids: Sequence[str], *person: str) -> None:
    for statement in (_BLANK, _BLANK_GUESTS, _BLANK_WINS, _BLANK_MAILS):
        await fetch(statement, ids)
    await fetch(_BLANK_KEPT_ANSWERS, [*ids, *person])


async def redact(actor: str, action: str, table: str, row_id: str, records: Sequence[int]) -> None:
    """Blank the details of records of who is erased by now, and record that.

    Args:
        actor: Who does so.
        action: ERASE or FORGET.
        table: Of what is erased.
        row_id: Its id.
        records: The audit log's ids.
    """
    await fetch(
        "SELECT redact_audit_log($1, $2, $3, $4, $5)", records, actor, action, table, row_id
    )


async def records_of_seats(ids: Sequence[str]) -> list[int]:
    """Find what the audit log has of rows of rooms, and of what they won."""
    rows = await fetch(
        """
        SELECT id FROM audit_log WHERE "tableName" = 'participants' AND "rowId" = ANY($1::text[])
        UNION ALL
        SELECT l.id FROM winners w
        JOIN audit_log l ON l."tableName" = 'winners' AND l."rowId" = w.id
        WHERE w."participantId" = ANY($1::text[])
        """,
        ids,
    )
    return [row["id"] for row in rows]


async def erase_participant(
    member: Membership, participant_id: str, precondition: Precondition = ANY
) -> None:
    """Take somebody who was brought in by an address out of the room, and blank who it was.

    Also who has left. What they won stays won, by nobody who is known.

    Raises:
        NotFound: There is nobody of this id in the room, or they were erased.
        PreconditionFailed: The row has changed.
        Forbidden: The caller may not grant the role that they have.
        Conflict: They have joined with an account, which only they or the platform erase; a
            draw is between its closing and its result; or they have a prize to claim, or may have.
    """
    async with transaction():
        await fetch("SELECT 1 FROM rooms WHERE id = $1 FOR NO KEY UPDATE", member.room_id)
        member = await read_again(member, at_least=HELD_FROM[Right.MANAGE_PARTICIPANTS])
        row = await fetchrow(
            f'SELECT role, "userId", {VERSION} FROM participants WHERE id = $1 AND "roomId" = $2 '
            'AND "erasedAt" IS NULL FOR NO KEY UPDATE',
            participant_id,
            member.room_id,
        )
        if row is None:
            raise NotFound("There is no such participant in this room.")
        precondition.check(row)
        if not may_grant(member.rank, ParticipantRole(row["role"])):
            raise Forbidden(f"You may not remove somebody who is {row['role']}.")
        if row["userId"] is not None:
            raise Conflict(
                "They have joined with an account, which they erase themselves. "
                "Take them out of the room without erasing them."
            )
        await _require_no_closed_draw(member.room_id)
        await _require_no_turn(member.room_id, participant_id)
        await erase_seats([participant_id])
        records = await records_of_seats([participant_id])
        await redact(member.actor, ERASE, "participants", participant_id, records)


async def _require_no_closed_draw(room_id: str) -> None:
    """Keep who is nobody any more from passing their turn: entrants would be picked by that.

    The room is locked, and a draw that closes locks it too.
    """
    if await fetchval(
        "SELECT true FROM draws WHERE \"roomId\" = $1 AND status IN ('CLOSED', 'READY')", room_id
    ):
        raise Conflict(
            "A draw of this room is closed and not drawn yet, and its entrants stay as they are. "
            "Draw or cancel it first, then erase them."
        )


_HAS_TURN = """
    SELECT EXISTS (
        SELECT FROM winners WHERE "roomId" = $1 AND "participantId" = $2
            AND "claimStatus" = 'PENDING' AND "deletedAt" IS NULL
    ) AS now, EXISTS (
        SELECT FROM draws x, jsonb_to_recordset(x."nextInLine")
            AS each ("prizeId" text, "participantId" text)
        WHERE x."roomId" = $1 AND each."participantId" = $2 AND EXISTS (
            SELECT FROM winners w WHERE w."drawId" = x.id AND w."roomId" = $1
                AND w."prizeId" = each."prizeId" AND w."claimStatus" = 'PENDING'
                AND w."deletedAt" IS NULL
        ) AND NOT EXISTS (
            SELECT FROM draw_claims c WHERE c."drawId" = x.id AND c."prizeId" = each."prizeId"
                AND (c.next = $2 OR jsonb_path_exists(c.passed, '$[*] ? (@.participantId == $id)',
                    jsonb_build_object('id', $2)))
        )
    ) AS later
"""


async def _require_no_turn(room_id: str, participant_id: str) -> None:
    """Keep a prize from going past somebody, or away from them, since nobody can claim it any more.

    The room is locked, and who ends a win locks it too.
    """
    has_turn = await fetchrow(_HAS_TURN, room_id, participant_id)
    if has_turn is not None and has_turn["now"]:
        raise Conflict(
            "They have won a prize that is still to be claimed. Confirm or decline it for them "
            "first, then erase them."
        )
    if has_turn is not None and has_turn["later"]:
        raise Conflict(
            "They are in line for a prize that somebody has still to claim, and keep their turn. "
            "Erase them when it is claimed; they can themselves, at any time, by signing in."
        )


TO_FORGET = """
    "forgetAfter" IS NOT NULL AND "forgottenAt" IS NULL
    AND "endedAt" <= least(now(), $1::timestamptz) - "forgetAfter"::interval
    AND NOT EXISTS (
        SELECT FROM draws WHERE "roomId" = rooms.id AND status NOT IN ('DRAWN', 'CANCELLED'))
    AND ("deletedAt" IS NOT NULL OR NOT EXISTS (
        SELECT FROM winners w
        WHERE w."roomId" = rooms.id AND w."claimStatus" = 'PENDING' AND w."deletedAt" IS NULL))
"""
"""What holds for a room that is over for long enough.

An open draw still needs the weights, and a win that is to be claimed whose it is.
"""


async def forget_people(room_id: str, now: datetime, *, by: str) -> int:
    """Blank what a room that is over knows of its people, of a number of them. One transaction.

    They stay in it, as do those who have an account and their wins.

    Args:
        room_id: The room; if it is not `TO_FORGET` any more, nothing is done.
        now: The time by this server's clock.
        by: The job's name, for the audit log.

    Returns:
        How many; fewer than MOST_AT_ONCE are the last.
    """
    async with transaction():
        if not await fetch(
            f"SELECT 1 FROM rooms WHERE {TO_FORGET} AND id = $2 FOR NO KEY UPDATE", now, room_id
        ):
            return 0
        rows = await fetch(
            'SELECT id FROM participants WHERE "roomId" = $1 AND "erasedAt" IS NULL '
            "ORDER BY id LIMIT $2 FOR NO KEY UPDATE",
            room_id,
            MOST_AT_ONCE,
        )
        ids = [row["id"] for row in rows]
        if ids:
            await _blank(ids)
            await redact(by, FORGET, "rooms", room_id, await records_of_seats(ids))
    return len(ids)
