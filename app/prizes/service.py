"""Prizes: what can be won in a room, and how much of it is left."""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from app.database.caller import caller, told
from app.database.engine import fetch, fetchrow, fetchval, jsonb, transaction
from app.database.ids import new_id
from app.database.listing import Listing, PageRequest
from app.database.versions import ANY, VERSION, Precondition
from app.errors import Conflict, NotFound, PrizeHasWinners, RoomClosed
from app.participants.service import Membership, lock_open
from app.prizes.claims import ClaimTerms
from app.tables import Prize, Room, Winner

_ALIVE = 'FROM prizes x WHERE x."roomId" = $1 AND x."deletedAt" IS NULL'
_LISTING = Listing(found=[_ALIVE], shown="x.*", joined="JOIN prizes x ON x.id = page.id")
_LEFT = msgspec.structs.replace(_LISTING, found=[f'{_ALIVE} AND x."quantityRemaining" > 0'])


async def list_prizes(
    member: Membership, page: PageRequest, *, include_exhausted: bool = True
) -> tuple[Sequence[asyncpg.Record], int]:
    """List a room's prizes, oldest first; one more than asked for when more follow."""
    return await (_LISTING if include_exhausted else _LEFT).fetch(page, member.room_id)


async def find_prize(
    member: Membership, prize_id: str, *, for_update: bool = False
) -> asyncpg.Record:
    """Read a prize of the room, locking its stock if it is going to change.

    Raises:
        NotFound: The room has no such prize.
    """
    row = await fetchrow(
        f'SELECT *, {VERSION} FROM prizes WHERE id = $1 AND "roomId" = $2 AND "deletedAt" IS NULL'
        f"{' FOR NO KEY UPDATE' if for_update else ''}",
        prize_id,
        member.room_id,
    )
    if row is None:
        raise NotFound("There is no such prize in this room.")
    return row


async def shown_to_all(ids: Sequence[str]) -> Sequence[asyncpg.Record]:
    """Read prizes, deleted ones too."""
    return await fetch("SELECT * FROM prizes WHERE id = ANY($1)", ids)


async def add_prize(
    member: Membership,
    *,
    name: str,
    quantity: int,
    description: str | None = None,
    image_url: str | None = None,
    claim: ClaimTerms | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> asyncpg.Record:
    """Put something up to be won. One statement, during which the room can't close.

    Raises:
        RoomClosed: The room is COMPLETED or CANCELLED, or was deleted meanwhile.
    """
    row = await fetchrow(
        'INSERT INTO prizes (id, "roomId", name, description, "imageUrl", quantity, '
        '"quantityRemaining", claim, metadata, "createdAt", "updatedAt") '
        "SELECT $1, r.id, $3, $4, $5, $6, $6, $7, $8, now(), now() "
        f"FROM {Room.alive()} r WHERE r.id = $2 AND r.status IN ('DRAFT', 'ACTIVE') "
        f"AND {told('$9')} FOR SHARE RETURNING *, {VERSION}",
        new_id(),
        member.room_id,
        name,
        description,
        image_url,
        quantity,
        jsonb(claim),
        jsonb(metadata),
        caller(),
    )
    if row is None:
        raise RoomClosed
    return row


async def change_prize(
    member: Membership,
    prize_id: str,
    changes: Mapping[str, Any],
    precondition: Precondition = ANY,
) -> asyncpg.Record:
    """Change a prize; what is not named stays. A new quantity keeps what was awarded.

    Raises:
        NotFound: The room has no such prize.
        PreconditionFailed: It has changed.
        RoomClosed: The room is COMPLETED or CANCELLED.
        Conflict: More units are awarded than the new quantity has.
    """
    async with transaction():
        await lock_open(member.room_id)
        present = await find_prize(member, prize_id, for_update=True)
        precondition.check(present)
        values = dict(changes)
        for name in values.keys() & {"claim", "metadata"}:
            values[name] = jsonb(values[name])
        if "quantity" in values:
            awarded = present["quantity"] - present["quantityRemaining"]
            if values["quantity"] < awarded:
                raise Conflict(
                    f"{awarded} unit(s) are awarded already; revoke winners first.",
                    details={"awarded": awarded},
                )
            values["quantityRemaining"] = values["quantity"] - awarded
        if values:
            await Prize.update(**values).where(Prize.id == prize_id)
        return await find_prize(member, prize_id)


async def delete_prize(member: Membership, prize_id: str, precondition: Precondition = ANY) -> None:
    """Soft-delete a prize that nobody holds.

    Raises:
        NotFound: The room has no such prize.
        PreconditionFailed: It has changed.
        RoomClosed: The room is COMPLETED or CANCELLED.
        PrizeHasWinners: It has live winners; says how many.
    """
    async with transaction():
        await lock_open(member.room_id)
        # The lock first: an award that is under way has taken its unit from this row.
        precondition.check(await find_prize(member, prize_id, for_update=True))
        winners = await fetchval(
            f'SELECT count(*) FROM {Winner.alive()} w WHERE "prizeId" = $1', prize_id
        )
        if winners:
            raise PrizeHasWinners(
                f"{winners} winner(s) hold this prize. Revoke them first.",
                details={"winners": winners},
            )
        await fetch(
            'UPDATE prizes SET "deletedAt" = now(), "updatedAt" = now() WHERE id = $1', prize_id
        )
