"""What becomes of a win that has to be claimed, decided once: by the database's clock and row.

Locks are taken in the order room, prize, who is in line, winners. Who confirms changes the winner
alone; who ends a win has its prize as well, as an award and a revocation have: so a unit is
somebody's or in stock, and never both. A unit of a draw goes to the next in line (`passing`) in the
same transaction. Of two who settle one win, the second finds it settled.
"""

from collections.abc import Sequence

from app.claims.passing import pass_on
from app.database.audit import acting
from app.database.columns import CLOCK
from app.database.engine import fetch, fetchrow, fetchval, transaction
from app.errors import Conflict, Forbidden, NotFound
from app.participants.roles import HELD_FROM, Right, reaches
from app.participants.service import Membership, is_or_was
from app.tables import ClaimStatus, Room, Settler, User

EXPIRING_JOB = "expire-claims"
MOST_AT_ONCE = 200
"""Wins that expire in one transaction, during which nobody else is awarded the prize."""

# By the clock, and yet not before what it follows from: the clock may have been set back, and a
# record in which steps go backwards would not check out.
_NOW = f"""GREATEST({CLOCK}, CASE WHEN $2 = 'EXPIRED' THEN w."claimBy" END,
    (SELECT d."drawnAt" FROM draws d WHERE d.id = w."drawId"),
    (SELECT max(c.at) FROM draw_claims c
     WHERE c."drawId" = w."drawId" AND c."prizeId" = w."prizeId"))"""
_PENDING = '"claimStatus" = \'PENDING\' AND "deletedAt" IS NULL'
# Of the transaction's time, which an index can be searched by; it is asked again when it is ended.
_IS_OVERDUE = f'{_PENDING} AND "claimBy" <= now()'


async def confirm(member: Membership, winner_id: str) -> None:
    """Let a winner have what they won. Confirmed once more, it stays as it is.

    Raises:
        NotFound: The room has no such winner, or it was revoked.
        Forbidden: Somebody else won it, and the caller does not moderate the room.
        Conflict: There is nothing to claim, it was declined, or the time is over.
    """
    async with transaction():
        settler, _ = await _settler_of(member, winner_id)
        async with acting(member.actor, "confirm win"):
            confirmed = await fetchval(
                f"""
                UPDATE winners SET "claimStatus" = 'CONFIRMED', "claimSettledAt" = {CLOCK},
                    "claimSettledBy" = $2
                WHERE id = $1 AND {_PENDING} AND "claimBy" > {CLOCK} RETURNING id
                """,
                winner_id,
                settler,
            )
        if confirmed is None:
            await _require(ClaimStatus.CONFIRMED, winner_id)


async def decline(member: Membership, winner_id: str) -> None:
    """Take back what somebody won and does not want. Declined once more, it stays as it is.

    Raises:
        NotFound: The room has no such winner, or it was revoked.
        Forbidden: Somebody else won it, and the caller does not moderate the room.
        Conflict: There is nothing to claim, it was confirmed, or the time is over.
    """
    async with transaction():
        settler, prize_id = await _settler_of(member, winner_id)
        if not await _lock_prize(prize_id):
            raise NotFound("There is no such room.")
        async with acting(member.actor, "decline win"):
            ended = await _end(
                prize_id, [winner_id], f'"claimBy" > {CLOCK}', ClaimStatus.DECLINED, settler
            )
        if not ended:
            await _require(ClaimStatus.DECLINED, winner_id)


async def _settler_of(member: Membership, winner_id: str) -> tuple[Settler, str]:
    """Tell as who somebody may settle a win, and of which prize it is."""
    won = await fetchrow(
        'SELECT w."claimStatus", w."deletedAt", w."prizeId", u.id IS NOT NULL AS "isTheirs" '
        'FROM winners w JOIN participants p ON p.id = w."participantId" '
        f"LEFT JOIN {User.alive()} u ON u.id = $3 AND {is_or_was('p', 'u')} "
        'WHERE w.id = $1 AND w."roomId" = $2',
        winner_id,
        member.room_id,
        member.user_id,
    )
    if won is None or (
        won["deletedAt"] is not None
        and won["claimStatus"] not in (ClaimStatus.DECLINED, ClaimStatus.EXPIRED)
    ):
        raise NotFound("There is no such winner in this room.")
    # Also who has left; and who was brought in by an address, once they have signed in with it.
    if won["isTheirs"]:
        settler = Settler.WINNER
    elif reaches(member.rank, HELD_FROM[Right.SETTLE_CLAIMS]):
        settler = Settler.STAFF
    else:
        raise Forbidden("Only the winner says so, or who moderates the room.")
    if won["claimStatus"] is None:
        raise Conflict("This prize did not ask to be claimed: the win holds as it is.")
    return settler, won["prizeId"]


async def _require(status: ClaimStatus, winner_id: str) -> None:
    """Let a win stay that has come to this already; say why it comes to it no more.

    What somebody settled meanwhile is committed by now, and seen.
    """
    row = await fetchrow(
        'SELECT "claimStatus", "claimBy", "deletedAt" FROM winners WHERE id = $1', winner_id
    )
    found = None if row is None else row["claimStatus"]
    if found == status:
        return
    if row is None or (found == ClaimStatus.PENDING and row["deletedAt"] is not None):
        raise NotFound("There is no such winner in this room.")
    if found == ClaimStatus.CONFIRMED:
        raise Conflict("This win was confirmed; who organizes the room can revoke it.")
    if found == ClaimStatus.DECLINED:
        raise Conflict("This win was declined.")
    by = f"{row['claimBy']:%Y-%m-%dT%H:%M:%SZ}"
    raise Conflict(f"The time to claim this win was over at {by}.", details={"by": by})


async def _lock_prize(prize_id: str) -> bool:
    """Keep a prize's units as they are, and its room from being deleted; tell whether it was."""
    is_there = await fetchval(
        f'SELECT 1 FROM {Room.alive()} r JOIN prizes z ON z."roomId" = r.id '
        "WHERE z.id = $1 FOR SHARE OF r",
        prize_id,
    )
    await fetch("SELECT FROM prizes WHERE id = $1 FOR NO KEY UPDATE", prize_id)
    return is_there is not None


async def _end(
    prize_id: str, winners: Sequence[str], when: str, status: ClaimStatus, settler: Settler | None
) -> int:
    """End wins of a locked prize that are pending; their units go to who is next, or into stock.

    Args:
        prize_id: The prize's.
        winners: Their ids.
        when: What of the time has to hold, in SQL.
        status: What they come to.
        settler: Who says so.

    Returns:
        How many it were: those that nobody has settled, or revoked, meanwhile.
    """
    rows = await fetch(
        f"""
        UPDATE winners w SET "claimStatus" = $2, "claimSettledBy" = $3, "claimSettledAt" = {_NOW},
            "deletedAt" = {_NOW}
        WHERE id = ANY($1) AND {_PENDING} AND {when}
        RETURNING id, "participantId", "drawId", "claimStatus", "claimSettledAt", "claimSettledBy"
        """,
        winners,
        status,
        settler,
    )
    ended = sorted(rows, key=lambda row: (row["claimSettledAt"], row["id"]))
    units = len(ended)
    for draw_id in sorted({row["drawId"] for row in ended if row["drawId"] is not None}):
        of_draw = [row for row in ended if row["drawId"] == draw_id]
        units -= await pass_on(draw_id, prize_id, of_draw)
    await fetch(
        'UPDATE prizes SET "quantityRemaining" = "quantityRemaining" + $2, "updatedAt" = now() '
        "WHERE id = $1 AND $2 > 0",
        prize_id,
        units,
    )
    return len(ended)


async def overdue_prizes() -> list[str]:
    """Find the prizes of which wins were not claimed in time, unless their room was deleted."""
    rows = await fetch(
        f"""
        SELECT DISTINCT w."prizeId" FROM (SELECT * FROM winners WHERE {_IS_OVERDUE}) w
        JOIN {Room.alive()} r ON r.id = w."roomId" ORDER BY 1
        """
    )
    return [row["prizeId"] for row in rows]


async def expire(prize_id: str) -> int:
    """End wins of a prize that were not claimed in time, and return how many: some at a time.

    Who confirms or declines at the last moment is waited for, and what they did stays.
    """
    async with transaction():
        if not await _lock_prize(prize_id):
            return 0
        rows = await fetch(
            f'SELECT id FROM winners WHERE "prizeId" = $1 AND {_IS_OVERDUE} '
            f'ORDER BY "claimBy", id LIMIT {MOST_AT_ONCE}',
            prize_id,
        )
        winners, when = [row["id"] for row in rows], f'"claimBy" <= {CLOCK}'
        async with acting(EXPIRING_JOB, "expire win"):
            return await _end(prize_id, winners, when, ClaimStatus.EXPIRED, None)
