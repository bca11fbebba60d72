"""Giving a draw's winners what they won."""

from collections.abc import Mapping

from app.database.engine import fetch, jsonb
from app.database.ids import new_id
from app.draws.ranking import Outcome
from app.errors import Conflict
from app.metrics import AWARDS
from app.participants.service import Membership
from app.tables import Prize, Winner


async def award_winners(member: Membership, number: int, outcome: Outcome) -> None:
    """Give the winners what they won.

    Somebody who was erased since the close stays in the record, but gets no unit.
    """
    people = sorted({win.participantId for win in outcome.winners})
    existing = {
        row["id"]
        for row in await fetch(
            "SELECT id FROM participants WHERE id = ANY($1) ORDER BY id FOR KEY SHARE", people
        )
    }
    awards = [win for win in outcome.winners if win.participantId in existing]
    units: dict[str, int] = {}
    for win in awards:
        units[win.prizeId] = units.get(win.prizeId, 0) + 1
    await _take_units(member, units)
    columns = [
        [new_id() for _ in awards],
        [win.participantId for win in awards],
        [win.prizeId for win in awards],
        [jsonb({"draw": number, "place": win.place, "ticket": win.ticket}) for win in awards],
    ]
    # The prizes are locked, so nobody is given one of them meanwhile.
    held = await fetch(
        f'SELECT w."participantId", w."prizeId" FROM {Winner.alive()} w '
        "JOIN unnest($1::text[], $2::text[]) AS a (participant, prize) "
        'ON a.participant = w."participantId" AND a.prize = w."prizeId"',
        *columns[1:3],
    )
    if held:
        raise Conflict(
            "A winner holds the prize already. Revoke that award, or cancel this draw.",
            details={"winners": [dict(row) for row in held]},
        )
    await fetch(
        'INSERT INTO winners (id, "roomId", "participantId", "prizeId", metadata, "createdAt") '
        "SELECT a.id, $1, a.participant, a.prize, a.metadata::jsonb, now() "
        "FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) "
        "AS a (id, participant, prize, metadata)",
        member.room_id,
        *columns,
    )
    AWARDS.inc(len(awards))


async def _take_units(member: Membership, units: Mapping[str, int]) -> None:
    taken = await fetch(
        f"""
        WITH wanted AS (
            SELECT * FROM unnest($2::text[], $3::int[]) AS w (id, units)
        ), locked AS (
            SELECT id FROM {Prize.alive()} p WHERE "roomId" = $1 AND id = ANY($2)
            ORDER BY id FOR NO KEY UPDATE
        )
        UPDATE prizes z SET "quantityRemaining" = z."quantityRemaining" - wanted.units,
            "updatedAt" = now()
        FROM wanted JOIN locked USING (id)
        WHERE z.id = wanted.id AND z."quantityRemaining" >= wanted.units RETURNING z.id
        """,
        member.room_id,
        [*units],
        [*units.values()],
    )
    lacking = sorted(units.keys() - {row["id"] for row in taken})
    if lacking:
        raise Conflict(
            "Fewer units are left than the plan draws. Give the units back, or cancel this draw.",
            details={"prizes": lacking},
        )
