"""Winners: awarding a unit of a prize, and taking it back."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from app.database.caller import caller, told
from app.database.columns import CLOCK
from app.database.engine import fetch, fetchrow, fetchval, in_transaction, jsonb, transaction
from app.database.ids import new_id
from app.database.listing import Listing, PageRequest
from app.database.turns import Turns
from app.database.versions import ANY, VERSION, Precondition
from app.errors import AppError, Conflict, NotFound, PrizeExhausted, RoomNotActive
from app.metrics import AWARDS
from app.participants.roles import may_win
from app.participants.service import Membership, address, attendee, find_participant
from app.prizes.service import find_prize
from app.tables import ClaimStatus, Participant, Prize, Room, RoomStatus, Winner

_SHOWN = f"""
    x.id, x."roomId", x."participantId", x."prizeId", x.metadata, x."createdAt", x."deletedAt",
    x."claimStatus", x."claimBy", x."claimSettledAt", x."claimSettledBy",
    p."userId", p.role, p.metadata AS "participantMetadata", p."ownMetadata", p."joinedAt",
    p."showName",
    p."updatedAt" AS "participantUpdatedAt", p."deletedAt" AS "participantDeletedAt",
    u."guestOf" IS NOT NULL AS "isGuest",
    z.name AS "prizeName", z.description AS "prizeDescription", z."imageUrl" AS "prizeImageUrl",
    x.{VERSION}
"""
_TO_OTHERS = f"{_SHOWN}, {attendee('p', to_moderator=False)}"
_TO_MODERATORS = f"{_SHOWN}, {attendee('p', to_moderator=True)}"
_ADDRESS = f'CASE WHEN p."deletedAt" IS NULL THEN {address("p")} END AS email'
_JOINED = """
    JOIN participants p ON p.id = x."participantId"
    LEFT JOIN users u ON u.id = p."userId"
    JOIN prizes z ON z.id = x."prizeId"
"""


def waiting(claim: str, since: str) -> str:
    """Write the `claimStatus` and `claimBy` of a new win as SQL: two columns.

    Args:
        claim: The prize's `claim`; NULL where nothing is to be claimed.
        since: When the time begins.
    """
    within = f"extract(epoch FROM ({claim} ->> 'within')::interval)"
    return (
        f"CASE WHEN {claim} IS NOT NULL THEN '{ClaimStatus.PENDING}' END, "
        f"{since} + {within} * interval '1 second'"
    )


_ENDED = "('DECLINED', 'EXPIRED')"


async def list_winners(
    member: Membership,
    page: PageRequest,
    *,
    prize_id: str | None,
    participant_id: str | None,
    claim: ClaimStatus | None = None,
) -> tuple[Sequence[asyncpg.Record], int]:
    """List a room's live winners, newest first; one more than asked for when more follow.

    Args:
        member: The caller's.
        page: Which part of the list.
        prize_id: Only winners of this prize.
        participant_id: Only this participant's wins.
        claim: Only those whose claim has come to this; who declined or came too late is listed
            by this alone.
    """
    arguments = [member.room_id]
    conditions = ""
    for column, value in (
        ("prizeId", prize_id),
        ("participantId", participant_id),
        ("claimStatus", claim),
    ):
        if value is not None:
            arguments.append(value)
            conditions += f' AND x."{column}" = ${len(arguments)}'
    return await _listing(_shown(member), conditions, claim).fetch(page, *arguments)


def read_winners(member: Membership) -> AsyncIterator[Sequence[asyncpg.Record]]:
    """Read all live winners of a room, newest first, piece by piece.

    To moderators with the addresses of those who are still in the room.
    """
    shown = _shown(member)
    return _listing(f"{shown}, {_ADDRESS}" if member.moderates else shown).pieces(member.room_id)


def _shown(member: Membership) -> str:
    return _TO_MODERATORS if member.moderates else _TO_OTHERS


def _listing(shown: str, conditions: str = "", claim: ClaimStatus | None = None) -> Listing:
    is_ended = claim in (ClaimStatus.DECLINED, ClaimStatus.EXPIRED)
    alive = "" if is_ended else ' AND x."deletedAt" IS NULL'
    return Listing(
        found=[f'FROM winners x WHERE x."roomId" = $1{alive}{conditions}'],
        shown=shown,
        joined=f"JOIN winners x ON x.id = page.id {_JOINED}",
        newest_first=True,
    )


async def find_winner(member: Membership, winner_id: str) -> asyncpg.Record:
    """Read a winner of the room, who may have declined, or come too late.

    Raises:
        NotFound: The room has no such winner, or it was revoked.
    """
    row = await fetchrow(
        f"SELECT {_shown(member)} FROM winners x {_JOINED} WHERE x.id = $1 "
        f'AND x."roomId" = $2 AND (x."deletedAt" IS NULL OR x."claimStatus" IN {_ENDED})',
        winner_id,
        member.room_id,
    )
    if row is None:
        raise NotFound("There is no such winner in this room.")
    return row


async def shown_to_all(ids: Sequence[str]) -> Sequence[asyncpg.Record]:
    """Read winners as anybody sees them who may see the room, revoked ones too."""
    return await fetch(f"SELECT {_TO_OTHERS} FROM winners x {_JOINED} WHERE x.id = ANY($1)", ids)


# One statement, so one transaction and one round trip. The locks are taken in the order room,
# participant, prize: the room stays ACTIVE and the participant stays in it until the award is
# committed, and the prize's row decides who gets the last unit.
_AWARD = f"""
    WITH room AS (
        SELECT id FROM {Room.alive()} r
        WHERE id = $2 AND status = 'ACTIVE' AND {told("$6")} FOR SHARE
    ), participant AS (
        SELECT p.id, p."roomId" FROM {Participant.alive()} p, room
        WHERE p.id = $3 AND p."roomId" = room.id AND p.role <> 'VIEWER' FOR SHARE OF p
    ), prize AS (
        UPDATE prizes z
        SET "quantityRemaining" = z."quantityRemaining" - 1, "updatedAt" = now()
        FROM participant
        WHERE z.id = $4 AND z."roomId" = participant."roomId" AND z."deletedAt" IS NULL
          AND z."quantityRemaining" > 0
        RETURNING z.id, z.claim
    ), winner AS (
        INSERT INTO winners (id, "roomId", "participantId", "prizeId", metadata, "createdAt",
            "claimStatus", "claimBy")
        SELECT $1, participant."roomId", participant.id, prize.id, $5, now(),
            {waiting("prize.claim", CLOCK)}
        FROM participant, prize
        RETURNING *, xmin
    )
    SELECT {_TO_MODERATORS} FROM winner x {_JOINED}
"""


async def award(
    member: Membership, *, participant_id: str, prize_id: str, metadata: Mapping[str, Any] | None
) -> asyncpg.Record:
    """Give a unit of a prize to a participant, all of it or nothing. Returns what it shows.

    Alone while nobody else of this process awards in the room; else together with all who wait
    meanwhile, which spares each a transaction of its own, and those of one prize the wait for each
    other's commits. What comes with a transaction, such as that of an Idempotency-Key, stays in it.

    Raises:
        RoomNotActive: Only ACTIVE rooms award.
        NotFound: The room has no such participant or prize.
        PrizeExhausted: No unit is left.
        Conflict: The participant holds this prize already, or can't win.
    """
    wanted = _Wanted(new_id(), participant_id, prize_id, jsonb(metadata), caller())
    if in_transaction():
        return await _award_alone(member, wanted)
    return await awards.serve(member.room_id, wanted, lambda: _award_alone(member, wanted))


class _Wanted(NamedTuple):
    """An award that somebody asked for."""

    winner_id: str
    participant_id: str
    prize_id: str
    metadata: str | None
    caller: str


async def _award_alone(member: Membership, wanted: _Wanted) -> asyncpg.Record:
    won = await fetchrow(
        _AWARD,
        wanted.winner_id,
        member.room_id,
        wanted.participant_id,
        wanted.prize_id,
        wanted.metadata,
        wanted.caller,
    )
    if won is None:
        raise await _why_not(member, wanted.participant_id, wanted.prize_id)
    AWARDS.inc()
    return won


# The locks of `_AWARD`, in its order, and of each kind in the order of ids, so that no two of these
# wait for each other. What the next statement sees is settled then. The room is compared so that no
# index serves it: PostgreSQL would look for those who are named among all that are in the room.
_LOCK = f"""
    WITH room AS (
        SELECT id FROM {Room.alive()} r
        WHERE id = $1 AND status = 'ACTIVE' AND {told("$4")} FOR SHARE
    ), participant AS (
        SELECT p.id FROM {Participant.alive()} p
        WHERE p.id = ANY($2) AND p."roomId" || '' = $1 AND EXISTS (SELECT FROM room)
        ORDER BY p.id FOR SHARE OF p
    )
    SELECT z.id FROM {Prize.alive()} z
    WHERE z.id = ANY($3) AND z."roomId" || '' = $1 AND (SELECT count(*) FROM participant) > 0
    ORDER BY z.id FOR NO KEY UPDATE
"""
# OFFSET and count(*) keep PostgreSQL to the few who are named; it would go through the whole room,
# or all who hold the prize.
_AWARD_TOGETHER = f"""
    WITH able AS (
        SELECT DISTINCT ON (w.participant, w.prize) w.*, z."quantityRemaining", z.claim
        FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
            AS w (participant, prize, id, metadata, place)
        CROSS JOIN LATERAL (
            SELECT * FROM {Participant.alive()} p WHERE p.id = w.participant OFFSET 0
        ) p
        CROSS JOIN LATERAL (SELECT * FROM {Prize.alive()} z WHERE z.id = w.prize OFFSET 0) z
        WHERE p."roomId" = $1 AND p.role <> 'VIEWER' AND z."roomId" = $1 AND (
            SELECT count(*) FROM {Winner.alive()} held
            WHERE held."participantId" = p.id AND held."prizeId" = z.id
        ) = 0
        ORDER BY w.participant, w.prize, w.place
    ), chosen AS (
        SELECT * FROM (
            SELECT able.*, row_number() OVER (PARTITION BY prize ORDER BY place) AS turn FROM able
        ) queued
        WHERE turn <= "quantityRemaining"
    ), prize AS (
        UPDATE prizes z
        SET "quantityRemaining" = z."quantityRemaining" - taken.units, "updatedAt" = now()
        FROM (SELECT prize, count(*) AS units FROM chosen GROUP BY prize) taken
        WHERE z.id = taken.prize
    ), winner AS (
        INSERT INTO winners (id, "roomId", "participantId", "prizeId", metadata, "createdAt",
            "claimStatus", "claimBy")
        SELECT id, $1, participant, prize, metadata::jsonb, now(), {waiting("claim", CLOCK)}
        FROM chosen
        RETURNING *, xmin
    )
    SELECT {_TO_MODERATORS} FROM winner x {_JOINED}
"""


async def _award_together(room_id: str, turn: Sequence[_Wanted]) -> Sequence[asyncpg.Record | None]:
    """Award those who can be, in the order in which they asked, in one transaction."""
    winners, participants, prizes, metadata, callers = map(list, zip(*turn, strict=True))
    told_caller = ", ".join(sorted(set(callers)))
    won: Sequence[asyncpg.Record] = []
    async with transaction():
        if await fetch(_LOCK, room_id, participants, prizes, told_caller):
            won = await fetch(_AWARD_TOGETHER, room_id, participants, prizes, winners, metadata)
    AWARDS.inc(len(won))
    by_id = {row["id"]: row for row in won}
    return [by_id.get(wanted.winner_id) for wanted in turn]


awards: Turns[str, _Wanted, asyncpg.Record] = Turns(_award_together)
"""By room."""


async def _why_not(member: Membership, participant_id: str, prize_id: str) -> AppError:
    """Name the reason for which an award found nothing to do."""
    status = await fetchval(f"SELECT status FROM {Room.alive()} r WHERE id = $1", member.room_id)
    if status != RoomStatus.ACTIVE:
        return RoomNotActive()
    participant = await find_participant(member, participant_id)
    if not may_win(participant["role"]):
        return Conflict("A VIEWER can't win.")
    await find_prize(member, prize_id)
    return PrizeExhausted()


async def revoke(member: Membership, winner_id: str, precondition: Precondition = ANY) -> None:
    """Take a prize back; its unit can be awarded again. One statement.

    The prize is locked before the winner, as an award does: else the two could wait for each
    other.

    Raises:
        NotFound: The room has no such winner, or it was revoked already.
        PreconditionFailed: It is not the winner that the caller has seen.
    """
    revoked = await fetchrow(
        f"""
        WITH prize AS (
            SELECT z.id FROM prizes z JOIN winners w ON w."prizeId" = z.id
            WHERE w.id = $1 AND w."roomId" = $2 AND {told("$4")} FOR NO KEY UPDATE OF z
        ), winner AS (
            UPDATE winners w SET "deletedAt" = now() FROM prize
            WHERE w.id = $1 AND w."prizeId" = prize.id AND w."deletedAt" IS NULL
              AND ($3::text[] IS NULL OR w.xmin::text = ANY($3))
            RETURNING w."prizeId"
        )
        UPDATE prizes z SET "quantityRemaining" = "quantityRemaining" + 1, "updatedAt" = now()
        FROM winner WHERE z.id = winner."prizeId" RETURNING z.id
        """,
        winner_id,
        member.room_id,
        None if precondition.versions is None else list(precondition.versions),
        caller(),
    )
    if revoked is None:
        precondition.check(await find_winner(member, winner_id))
        raise NotFound("There is no such winner in this room.")
