"""Drawing: the public entropy comes in, the winners are awarded, the secret is revealed."""

from collections.abc import Sequence

import asyncpg
import msgspec

from app.database.audit import acting
from app.database.engine import fetch, jsonb, transaction
from app.draws.awarding import award_winners
from app.draws.beacon import fetch_signature
from app.draws.drand import is_signed, randomness_of, time_of
from app.draws.ranking import (
    DrandEntropy,
    Entropy,
    Plan,
    Ranked,
    TextEntropy,
    fill_prizes,
    key_of,
    scopes_of,
    seed_of,
)
from app.draws.reading import find_draw
from app.draws.steps import actor_of, clock, lock_active_room, lock_draw, step
from app.draws.tickets import first_ranked
from app.errors import Conflict, ValidationFailed
from app.participants.service import Membership
from app.tables import DrawStatus


async def draw(member: Membership, number: int, *, text: str | None, signature: str | None) -> None:
    """Let the public entropy in, award the winners and reveal the secret, all of it or nothing.

    A draw that was drawn with the same public entropy stays as it is.

    Args:
        member: A moderator's.
        number: The draw's.
        text: What came about in public, for a plan with a text.
        signature: The drand round's, in hex; without it DRAND_URL is asked.

    Raises:
        NotFound: The room has no such draw.
        ValidationFailed: The public entropy is not of the announced kind, or not genuine.
        RoomNotActive: Only ACTIVE rooms draw.
        Conflict: It is not closed, it was drawn with other entropy, another step is under way,
            a prize lacks units, or a winner holds the prize already.
        ServiceUnavailable: The drand relay does not answer.
    """
    async with step("draw"):
        announced = await find_draw(member, number)
        public, signature = await _public_entropy(announced, text, signature)
        await _draw_with(member, number, public, signature)


async def _draw_with(member: Membership, number: int, public: bytes, signature: str | None) -> None:
    async with transaction():
        present = await lock_draw(member, number)
        if present["status"] == DrawStatus.DRAWN:
            if present["public"] != public:
                raise Conflict("This draw was drawn with other public entropy.")
            return
        if present["status"] != DrawStatus.CLOSED:
            raise Conflict(f"This draw is {present['status']}; only a CLOSED one can be drawn.")
        plan = msgspec.json.decode(present["plan"], type=Plan)
        seed = seed_of(present["secret"], present["plan"].encode(), public)
        outcome = fill_prizes(plan, await _orders(present, plan, seed))
        await lock_active_room(member)
        await award_winners(member, number, outcome)
        drawn_at = await clock()
        async with acting(actor_of(member), "draw winners"):
            await fetch(
                "UPDATE draws SET status = $2, public = $3, signature = $4, seed = $5, "
                'winners = $6, undrawn = $7, "drawnAt" = $8 WHERE id = $1',
                present["id"],
                DrawStatus.DRAWN,
                public,
                signature,
                seed,
                jsonb(outcome.winners),
                outcome.undrawn,
                drawn_at,
            )


async def _public_entropy(
    announced: asyncpg.Record, text: str | None, signature: str | None
) -> tuple[bytes, str | None]:
    """Return the public bytes, and for drand the signature that they come from."""
    entropy: Entropy = msgspec.json.decode(announced["entropy"], type=Entropy)
    faults = {}
    if text is not None and not isinstance(entropy, TextEntropy):
        faults["$.public"] = "This draw was announced without a text."
    if signature is not None and not isinstance(entropy, DrandEntropy):
        faults["$.signature"] = "This draw was announced without a drand round."
    if text is None and isinstance(entropy, TextEntropy):
        faults["$.public"] = f"Required: {entropy.label}."
    if faults:
        raise ValidationFailed.at(faults)
    if isinstance(entropy, DrandEntropy):
        return await _drand_entropy(announced, entropy, signature)
    return (text or "").encode(), None


async def _drand_entropy(
    announced: asyncpg.Record, entropy: DrandEntropy, signature: str | None
) -> tuple[bytes, str]:
    if announced["status"] == DrawStatus.DRAWN and signature is None:
        return announced["public"], announced["signature"]
    due = time_of(entropy.chain, entropy.round)
    if due is None or await clock() < due:
        raise Conflict(
            "The drand round is not published yet.",
            details={"dueAt": due and due.isoformat(timespec="milliseconds")[:-6] + "Z"},
        )
    if signature is None:
        fetched = await fetch_signature(entropy)
        if fetched is None:
            raise ValidationFailed.at({"$.signature": "Required: this server has no DRAND_URL."})
        return randomness_of(fetched), fetched.hex()
    given = bytes.fromhex(signature)
    if not is_signed(entropy.chain, entropy.round, given):
        raise ValidationFailed.at({"$.signature": "Not the network's signature of this round."})
    return randomness_of(given), signature


async def _orders(present: asyncpg.Record, plan: Plan, seed: bytes) -> dict[str, Sequence[Ranked]]:
    weighted = present["weightKey"] is not None
    return {
        scope: await first_ranked(
            present["id"], key_of(seed, scope), min(count, plan.entrantCount), weighted=weighted
        )
        for scope, count in scopes_of(plan).items()
    }
