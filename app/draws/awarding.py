"""Giving a draw's winners what they won, as far as there is something to give."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal

from app.database.engine import fetch, fetchrow, jsonb
from app.database.ids import new_id
from app.draws.ranking import Plan, Win
from app.draws.record import Unawarded
from app.metrics import AWARDS
from app.tables import Prize, RoomStatus, Winner
from app.winners.service import waiting

AWARDING = (RoomStatus.ACTIVE, RoomStatus.COMPLETED)
"""A room that was completed meanwhile still gives what was drawn."""


async def award_winners(
    plan: Plan, number: int, winners: Sequence[Win], drawn_at: datetime
) -> list[Unawarded]:
    """Give the winners what they won; return what could not be given, in their order.

    Where units lack, the last places go without; nothing is passed on to others. What has to be
    claimed is pending from `drawn_at` on, for as long as the plan says.
    """
    room_id = plan.roomId
    room = await fetchrow('SELECT status, "deletedAt" FROM rooms WHERE id = $1 FOR SHARE', room_id)
    if room is None or room["deletedAt"] is not None or room["status"] not in AWARDING:
        return [_unawarded(win, "ROOM_CLOSED") for win in winners]
    left = await _lock_prizes(room_id, {win.prizeId for win in winners})
    held = await _held_of(winners)
    awards, unawarded = [], []
    for win in winners:
        if (win.participantId, win.prizeId) in held:
            unawarded.append(_unawarded(win, "HOLDS_PRIZE"))
        elif not left.get(win.prizeId):
            unawarded.append(_unawarded(win, "NO_STOCK"))
        else:
            left[win.prizeId] -= 1
            awards.append(win)
    await _take_units(Counter(win.prizeId for win in awards))
    await _insert(plan, number, awards, drawn_at)
    AWARDS.inc(len(awards))
    return unawarded


def _unawarded(win: Win, reason: Literal["NO_STOCK", "HOLDS_PRIZE", "ROOM_CLOSED"]) -> Unawarded:
    return Unawarded(win.prizeId, win.participantId, win.place, reason)


async def _lock_prizes(room_id: str, prizes: Collection[str]) -> dict[str, int]:
    """Return what is left of each, until the transaction ends."""
    rows = await fetch(
        f'SELECT id, "quantityRemaining" FROM {Prize.alive()} p '
        'WHERE "roomId" = $1 AND id = ANY($2) ORDER BY id FOR NO KEY UPDATE',
        room_id,
        [*prizes],
    )
    return {row["id"]: row["quantityRemaining"] for row in rows}


async def _held_of(winners: Sequence[Win]) -> set[tuple[str, str]]:
    """Return who of them holds the prize already: whom, and which.

    The prizes are locked, so nobody is given one of them meanwhile.
    """
    rows = await fetch(
        f'SELECT w."participantId", w."prizeId" FROM {Winner.alive()} w '
        "JOIN unnest($1::text[], $2::text[]) AS a (participant, prize) "
        'ON a.participant = w."participantId" AND a.prize = w."prizeId"',
        [win.participantId for win in winners],
        [win.prizeId for win in winners],
    )
    return {(row["participantId"], row["prizeId"]) for row in rows}


async def _take_units(units: Mapping[str, int]) -> None:
    """Take units of prizes that are locked."""
    await fetch(
        'UPDATE prizes z SET "quantityRemaining" = z."quantityRemaining" - taken.units, '
        '"updatedAt" = now() '
        "FROM unnest($1::text[], $2::int[]) AS taken (id, units) WHERE z.id = taken.id",
        [*units],
        [*units.values()],
    )


async def _insert(plan: Plan, number: int, awards: Sequence[Win], drawn_at: datetime) -> None:
    claims = {prize.id: jsonb(prize.claim) for prize in plan.prizes if prize.claim}
    await fetch(
        'INSERT INTO winners (id, "roomId", "participantId", "prizeId", metadata, "createdAt", '
        '"claimStatus", "claimBy", "drawId") '
        "SELECT a.id, $1, a.participant, a.prize, a.metadata::jsonb, now(), "
        f"{waiting('a.claim', '$8::timestamptz')}, CASE WHEN a.claim IS NOT NULL THEN $7 END "
        "FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[]) "
        "AS a (id, participant, prize, metadata, claim)",
        plan.roomId,
        [new_id() for _ in awards],
        [win.participantId for win in awards],
        [win.prizeId for win in awards],
        [jsonb({"draw": number, "place": win.place, "ticket": win.ticket}) for win in awards],
        [claims.get(win.prizeId) for win in awards],
        plan.drawId,
        drawn_at,
    )
