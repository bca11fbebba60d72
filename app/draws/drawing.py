"""Drawing: the public input is fixed, then the winners follow, are awarded, and the secret is told.

Two transactions. The first commits the input and nothing else: from then on no other is accepted,
so that nobody learns what one input would give and then sends another. The second computes what
follows from it and records that whole, whatever became of the room, its prizes and its people
meanwhile. Where it did not come to that, a job finishes the draw.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

import asyncpg
import msgspec
from msgspec import UNSET

from app.database.audit import acting
from app.database.engine import fetch, jsonb, transaction
from app.draws.awarding import award_winners
from app.draws.beacon import fetch_signature
from app.draws.drand import is_signed, randomness_of, time_of
from app.draws.ranking import (
    DrandEntropy,
    Entropy,
    Outcome,
    Plan,
    Ranked,
    TextEntropy,
    fill_prizes,
    key_of,
    scopes_of,
    seed_of,
)
from app.draws.reading import Readable, find_draw
from app.draws.steps import actor_of, clock, lock_active_room, lock_draw, step
from app.draws.tickets import first_ranked, turn_to_rank
from app.errors import Conflict, ValidationFailed
from app.participants.service import Membership
from app.tables import DrawStatus

FINISHING_JOB = "finish-draws"
"""Who finishes what a server left READY, in `audit_log`."""


async def draw(member: Membership, number: int, *, text: str | None, signature: str | None) -> None:
    """Fix the public input, award the winners that follow from it, and reveal the secret.

    A draw that was drawn with the same public input stays as it is.

    Args:
        member: A moderator's.
        number: The draw's.
        text: What came about in public, for a plan with a text.
        signature: The drand round's, in hex; without it DRAND_URL is asked.

    Raises:
        NotFound: The room has no such draw.
        ValidationFailed: The public input is not of the announced kind, or not genuine.
        RoomNotActive: Only ACTIVE rooms draw.
        Conflict: It is not closed, another input was fixed, or another step is under way.
        ServiceUnavailable: The drand relay does not answer.
    """
    async with step("draw"):
        announced = await find_draw(Readable(member.room_id), number)
        public, signature = await _public_entropy(announced, text, signature)
        await _fix_input(member, number, public, signature)
        # Whoever is about it now, to close or to cancel it, finds that they can't any more.
        await _finish(member.room_id, number, actor_of(member), patiently=True)


async def _fix_input(member: Membership, number: int, public: bytes, signature: str | None) -> None:
    async with transaction():
        present = await lock_draw(member.room_id, number)
        if present["status"] in (DrawStatus.READY, DrawStatus.DRAWN):
            if present["public"] != public:
                raise Conflict(
                    "This draw has another public input already, which its answer shows."
                )
            return
        if present["status"] != DrawStatus.CLOSED:
            raise Conflict(
                f"This draw is {present['status']}; only a CLOSED one can be drawn. "
                "Close it first, by POST …/close."
            )
        await lock_active_room(member)
        ready_at = await clock(after=_before_input(present))
        async with acting(actor_of(member), "fix public input"):
            await fetch(
                'UPDATE draws SET status = $2, public = $3, signature = $4, "readyAt" = $5 '
                "WHERE id = $1",
                present["id"],
                DrawStatus.READY,
                public,
                signature,
                ready_at,
            )


def _before_input(present: asyncpg.Record) -> datetime | None:
    """Return what came before the input is fixed: a drand round was published, else the close."""
    entropy: Entropy = msgspec.json.decode(present["entropy"], type=Entropy)
    if isinstance(entropy, DrandEntropy):
        return time_of(entropy.chain, entropy.round)
    closed_at: datetime = present["closedAt"]
    return closed_at


async def finish(room_id: str, number: int) -> None:
    """Draw what follows from the input that is fixed, whoever left it at that.

    Raises:
        Conflict: Somebody is about it.
    """
    async with step("draw"):
        await _finish(room_id, number, FINISHING_JOB, patiently=False)


async def _finish(room_id: str, number: int, actor: str, *, patiently: bool) -> None:
    async with turn_to_rank(), transaction():
        present = await lock_draw(room_id, number, patiently=patiently)
        if present["status"] != DrawStatus.READY:
            return
        plan = msgspec.json.decode(present["plan"], type=Plan)
        seed = seed_of(present["secret"], present["plan"].encode(), present["public"])
        outcome = await _outcome(present, plan, seed)
        drawn_at = await clock(after=present["readyAt"])
        # The database records what changes while a draw is open, but for what the draw itself does.
        await fetch("SELECT set_config('draws.awarding', 'on', true)")
        unawarded = await award_winners(plan, number, outcome.winners, drawn_at)
        in_line = None if plan.alternates is UNSET else jsonb(outcome.next_in_line)
        async with acting(actor, "draw winners"):
            await fetch(
                "UPDATE draws SET status = $2, seed = $3, winners = $4, passed = $5, "
                'unawarded = $6, undrawn = $7, "drawnAt" = $8, "nextInLine" = $9 WHERE id = $1',
                present["id"],
                DrawStatus.DRAWN,
                seed,
                jsonb(outcome.winners),
                jsonb(outcome.passed),
                jsonb(unawarded),
                outcome.undrawn,
                drawn_at,
                in_line,
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
    if isinstance(entropy, TextEntropy) and (fault := _fault_of(entropy, text)):
        faults["$.public"] = fault
    if faults:
        raise ValidationFailed.at(faults)
    if isinstance(entropy, DrandEntropy):
        return await _drand_entropy(announced, entropy, signature)
    return (text or "").encode(), None


def _fault_of(entropy: TextEntropy, text: str | None) -> str | None:
    form = entropy.format
    told = f", {form.length} characters {form.alphabet}" if form else ""
    if text is None:
        return f"Required: {entropy.label}{told}."
    if form and not form.fits(text):
        return f"Not as announced: {entropy.label}{told}, and nothing else."
    return None


async def _drand_entropy(
    announced: asyncpg.Record, entropy: DrandEntropy, signature: str | None
) -> tuple[bytes, str]:
    if announced["public"] is not None and signature is None:
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


async def _outcome(present: asyncpg.Record, plan: Plan, seed: bytes) -> Outcome:
    """Rank as many as are needed, so that nobody's unit is left to somebody who is gone.

    Who is in line is looked for when their turn comes.
    """
    gone: set[str] = set()
    while True:
        # As many again as are gone: so it takes few turns, though many be.
        orders = await _orders(present, plan, seed, spare=2 * len(gone))
        winning = {
            each.id
            for scope, count in scopes_of(plan, with_line=False).items()
            for each in orders[scope][: count + 2 * len(gone)]
        }
        found = await _gone_among(winning, present["readyAt"])
        if found <= gone:
            return fill_prizes(plan, orders, gone)
        gone |= found


async def _orders(
    present: asyncpg.Record, plan: Plan, seed: bytes, *, spare: int
) -> dict[str, Sequence[Ranked]]:
    weighted = present["weightKey"] is not None
    return {
        scope: await first_ranked(
            present["id"],
            key_of(seed, scope),
            min(count + spare, plan.entrantCount),
            weighted=weighted,
        )
        for scope, count in scopes_of(plan).items()
    }


async def _gone_among(people: Collection[str], ready_at: datetime) -> set[str]:
    """Find those whose account was deleted before the input was fixed, and rows that are nobody's.

    The others can't be erased before the transaction ends. Who left the room, or was removed from
    it, is not gone: an organizer could remove whom they don't want to win.
    """
    present = await fetch(
        """
        SELECT p.id FROM participants p LEFT JOIN users u ON u.id = p."userId"
        WHERE p.id = ANY($1) AND (u."deletedAt" IS NULL OR u."deletedAt" > $2)
          AND num_nonnulls(p."userId", p.email) > 0
        ORDER BY p.id FOR KEY SHARE OF p
        """,
        sorted(people),
        ready_at,
    )
    return set(people) - {row["id"] for row in present}
