"""Announcing a draw: what will be drawn is fixed, and the server commits to a secret."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import UNSET

from app.database.audit import acting
from app.database.columns import CLOCK
from app.database.engine import fetch, fetchrow, fetchval, jsonb, transaction
from app.database.ids import new_id
from app.draws.closing import close
from app.draws.drand import CHAINS, time_of
from app.draws.drawing import draw
from app.draws.ranking import (
    SECRET_BYTES,
    DrandEntropy,
    Entropy,
    NoEntropy,
    PlannedPrize,
    digest,
)
from app.draws.record import Exclusion
from app.draws.steps import actor_of, clock, let_changes_end, lock_active_room, step
from app.errors import AppError, Conflict, PrizeExhausted, ValidationFailed
from app.participants.service import Membership
from app.prizes.claims import ClaimTerms
from app.tables import Prize

LARGEST_DRAW = 100_000
"""Units in one draw, and who is in line for them: they are held in memory."""


HAS_HEIR = """EXISTS (
    SELECT FROM draw_claims c WHERE c."drawId" = w."drawId" AND c."prizeId" = w."prizeId"
      AND c."participantId" = w."participantId" AND c.next IS NOT NULL
)"""
"""Whether the unit of a row w of winners, who did not take it, is the next one's."""


class WantedPrize(msgspec.Struct, frozen=True):
    """A prize to draw; None for all that is left of it."""

    id: str
    quantity: int | None


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What an announcement fixes."""

    prizes: tuple[WantedPrize, ...] | None
    """In the order of the draw; None for all that is left, oldest first."""
    alternates: int
    """How many are in line for each prize that has to be claimed."""
    one_prize_each: bool
    weight_key: str | None
    exclusions: tuple[Exclusion, ...]
    entropy: Entropy
    replaces: str | None
    allow_revoked: bool
    immediate: bool


async def announce(member: Membership, terms: Terms, *, idempotency_key: str | None = None) -> int:
    """Fix what is drawn and commit to a secret; then go on at once when it is immediate.

    The announcement is committed first and stays, whatever follows: nobody tries twice unseen.

    Args:
        member: A moderator's.
        terms: What is drawn, and how.
        idempotency_key: Who announces again with the same one goes on with the same draw.

    Returns:
        The draw's number.

    Raises:
        RoomNotActive: Only ACTIVE rooms draw.
        ValidationFailed: The terms name what is not there, or contradict each other.
        PrizeExhausted: Fewer units are left than wanted.
        Conflict: Another draw of the room is open, or the unit was drawn again already.
        AppError: Of an immediate draw, as `close` and `draw`; details tell its number.
    """
    number = await _announced_before(member, idempotency_key)
    if number is None:
        async with step("announce"), transaction():
            _check_terms(terms, await clock())
            await lock_active_room(member)
            await let_changes_end(member.room_id)
            await _check_exclusions(member, terms.exclusions)
            prizes = await _planned_prizes(member, terms)
            async with acting(actor_of(member), "announce draw"):
                number = await _insert(member, terms, prizes, idempotency_key)
    if terms.immediate:
        await _go_on(member, number)
    return number


async def _announced_before(member: Membership, idempotency_key: str | None) -> int | None:
    number: int | None = await fetchval(
        'SELECT number FROM draws WHERE "roomId" = $1 AND "idempotencyKey" = $2',
        member.room_id,
        idempotency_key,
    )
    return number


async def _go_on(member: Membership, number: int) -> None:
    try:
        await close(member, number)
        await draw(member, number, text=None, signature=None)
    except AppError as error:
        # Where it has come to can be looked up, put right and gone on from; or be cancelled.
        error.details["number"] = number
        raise


def _check_terms(terms: Terms, now: datetime) -> None:
    faults = {}
    if terms.immediate and not isinstance(terms.entropy, NoEntropy):
        faults["$.immediate"] = "Public entropy comes about after the close, so not at once."
    if terms.allow_revoked and terms.replaces is None:
        faults["$.allowRevoked"] = "Only a redraw, with `replaces`, leaves revoked winners out."
    excluded = [exclusion.participantId for exclusion in terms.exclusions]
    if len(set(excluded)) < len(excluded):
        faults["$.exclusions"] = "Somebody is excluded twice."
    wanted = [prize.id for prize in terms.prizes or ()]
    if len(set(wanted)) < len(wanted):
        faults["$.prizes"] = "A prize is named twice."
    if isinstance(terms.entropy, DrandEntropy):
        if terms.entropy.chain not in CHAINS:
            faults["$.entropy.chain"] = f"Known chains: {', '.join(CHAINS)}."
        elif (due := time_of(terms.entropy.chain, terms.entropy.round)) is None:
            faults["$.entropy.round"] = "This round is too far in the future."
        elif due <= now:
            faults["$.entropy.round"] = (
                f"This round was published at {due:%Y-%m-%dT%H:%M:%SZ} already."
            )
    if faults:
        raise ValidationFailed.at(faults)


async def _check_exclusions(member: Membership, exclusions: Sequence[Exclusion]) -> None:
    excluded = [exclusion.participantId for exclusion in exclusions]
    found = {
        row["id"]
        for row in await fetch(
            'SELECT id FROM participants WHERE "roomId" = $1 AND id = ANY($2)',
            member.room_id,
            excluded,
        )
    }
    faults = {
        f"$.exclusions[{index}].participantId": "There is no such participant in this room."
        for index, participant_id in enumerate(excluded)
        if participant_id not in found
    }
    if faults:
        raise ValidationFailed.at(faults)


async def _planned_prizes(member: Membership, terms: Terms) -> list[PlannedPrize]:
    """Resolve the wanted prizes against what is left."""
    rows = await fetch(
        f'SELECT id, "quantityRemaining", claim FROM {Prize.alive()} p WHERE "roomId" = $1 '
        'ORDER BY "createdAt", id',
        member.room_id,
    )
    left: dict[str, int] = {row["id"]: row["quantityRemaining"] for row in rows}
    wanted = terms.prizes
    if terms.replaces is not None:
        wanted = (await _replaced_unit(member, terms),)
    if wanted is None:
        wanted = tuple(WantedPrize(id_, units) for id_, units in left.items() if units)
        if not wanted:
            raise PrizeExhausted("No prize of this room has a unit left.")
    claims = {
        row["id"]: row["claim"] and msgspec.json.decode(row["claim"], type=ClaimTerms)
        for row in rows
    }
    return _with_claims(_resolve(wanted, left), claims, terms.alternates)


def _with_claims(
    planned: list[PlannedPrize], claims: Mapping[str, ClaimTerms | None], alternates: int
) -> list[PlannedPrize]:
    """Fix what is asked of the winners of each prize; where nothing is, it is a draw/1."""
    claimed = sum(claims[prize.id] is not None for prize in planned)
    if alternates and not claimed:
        raise ValidationFailed.at(
            {"$.alternates": "No prize of this draw has to be claimed: nobody would take over."}
        )
    if sum(prize.quantity for prize in planned) + claimed * alternates > LARGEST_DRAW:
        raise ValidationFailed.at(
            {"$.prizes": f"More than {LARGEST_DRAW:,} units and alternates in one draw."}
        )
    if not claimed:
        return planned
    return [msgspec.structs.replace(prize, claim=claims[prize.id]) for prize in planned]


def _resolve(wanted: Sequence[WantedPrize], left: Mapping[str, int]) -> list[PlannedPrize]:
    unknown = {
        f"$.prizes[{index}].id": "There is no such prize in this room."
        for index, prize in enumerate(wanted)
        if prize.id not in left
    }
    if unknown:
        raise ValidationFailed.at(unknown)
    lacking = {
        prize.id: left[prize.id] for prize in wanted if left[prize.id] < (prize.quantity or 1)
    }
    if lacking:
        raise PrizeExhausted(
            "Fewer units are left than are to be drawn.", details={"left": lacking}
        )
    return [PlannedPrize(prize.id, prize.quantity or left[prize.id]) for prize in wanted]


async def _replaced_unit(member: Membership, terms: Terms) -> WantedPrize:
    """Return the one unit that a revoked winner gave back."""
    revoked = await fetchrow(
        f"""
        SELECT "prizeId", "deletedAt", {HAS_HEIR} AS "hasHeir" FROM winners w
        WHERE id = $1 AND "roomId" = $2
        """,
        terms.replaces,
        member.room_id,
    )
    if revoked is None:
        raise ValidationFailed.at({"$.replaces": "There is no such winner in this room."})
    if revoked["deletedAt"] is None:
        raise Conflict("This winner was not revoked. Revoke them first, by DELETE.")
    if revoked["hasHeir"]:
        raise Conflict("This winner's unit went to the next in line.")
    unit = WantedPrize(revoked["prizeId"], 1)
    if terms.prizes is not None and [(p.id, p.quantity or 1) for p in terms.prizes] != [
        (unit.id, 1)
    ]:
        raise ValidationFailed.at({"$.prizes": "A redraw has the revoked winner's unit alone."})
    return unit


async def _insert(
    member: Membership,
    terms: Terms,
    prizes: Sequence[PlannedPrize],
    idempotency_key: str | None,
) -> int:
    secret = secrets.token_bytes(SECRET_BYTES)
    number: int = await fetchval(
        f"""
        INSERT INTO draws (id, "roomId", number, secret, commitment, prizes, "onePrizeEach",
            alternates, "weightKey", exclusions, entropy, replaces, "allowRevoked", immediate,
            "idempotencyKey", "wasPublic", "announcedAt")
        SELECT $1, r.id, (SELECT coalesce(max(number), 0) + 1 FROM draws WHERE "roomId" = r.id),
            $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, r."isPublic",
            {CLOCK}
        FROM rooms r WHERE r.id = $2
        RETURNING number
        """,
        new_id(),
        member.room_id,
        secret,
        digest(secret),
        jsonb(prizes),
        terms.one_prize_each,
        None if prizes[0].claim is UNSET else terms.alternates,
        terms.weight_key,
        jsonb(terms.exclusions),
        jsonb(terms.entropy),
        terms.replaces,
        terms.allow_revoked,
        terms.immediate,
        idempotency_key,
    )
    return number
