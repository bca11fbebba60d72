r"""The computation `draw/1`: a plan, a secret and entrants become an order. Pure; the reference.

`‖` joins bytes, text is UTF-8, hex is lower case:

    entrants.txt = "{id} {weight}\n" for each entrant, sorted by the bytes of the id
    plan         = canonical JSON (RFC 8785)
    seed         = HMAC-SHA256(secret, "draw/1" ‖ 0x00 ‖ SHA-256(plan) ‖ SHA-256(public))
    key          = HMAC-SHA256(seed, "" when onePrizeEach, else the prize's id)
    ticket(id,j) = SHA-256(key ‖ j as 4 bytes, big-endian ‖ id)      j = 0 … weight - 1

An entrant's rank is the least of its tickets; ascending order wins. That equals drawing without
replacement in proportion to weight, without a modulo or a float. Compare RFC 3797, and Rivest's
sampler.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from typing import Annotated, Literal, NamedTuple

import msgspec
import rfc8785
from msgspec import Meta

SPEC: Literal["draw/1"] = "draw/1"
SECRET_BYTES = 32
HEAVIEST = 1_000
"""The largest weight of an entrant."""

Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""32 bytes, as a digest has."""
Units = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Id = Annotated[str, Meta(min_length=1, max_length=100)]


class NoEntropy(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="none", tag_field="kind"
):
    """Nothing public comes in: the outcome is fixed when the entries close."""


class TextEntropy(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="text", tag_field="kind"
):
    """A text that comes about in public after the close: dice, an audience's word."""

    label: Annotated[str, Meta(min_length=1, max_length=200, examples=["Three dice on stage"])]


class DrandEntropy(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="drand", tag_field="kind"
):
    """A round of a drand network that lies in the future when the draw closes."""

    chain: Hex32
    """Hash of the chain."""
    round: Annotated[int, Meta(ge=1, le=2**53 - 1)]


Entropy = NoEntropy | TextEntropy | DrandEntropy


class PlannedPrize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many units of a prize are drawn."""

    id: Id
    quantity: Units


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is fixed when a draw closes."""

    spec: Literal["draw/1"]
    drawId: Id
    roomId: Id
    app: str
    """`{appId}@{version}`."""
    commitment: Hex32
    entropy: Entropy
    prizes: tuple[PlannedPrize, ...]
    """In the order in which they are filled."""
    onePrizeEach: bool
    entrantCount: Annotated[int, Meta(ge=0)]
    entrantsDigest: Hex32

    def canonical(self) -> bytes:
        """Write the plan as canonical JSON."""
        return rfc8785.dumps(msgspec.to_builtins(self))


class Entrant(NamedTuple):
    """Who takes part, with how many tickets."""

    id: str
    weight: int


class Ranked(NamedTuple):
    """An entrant's place in an order is that of its least ticket, ties by id."""

    ticket: bytes
    id: str


class Win(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who gets a unit of which prize."""

    prizeId: Id
    participantId: Id
    place: Annotated[int, Meta(ge=1)]
    """In the order that decided, from 1."""
    ticket: Hex32


class Outcome(NamedTuple):
    """The winners in the plan's order, and how many units found none."""

    winners: list[Win]
    undrawn: int


def digest(content: bytes) -> str:
    """Return SHA-256 in hex: of the secret it is the commitment."""
    return hashlib.sha256(content).hexdigest()


def entrants_text(entrants: Iterable[Entrant]) -> bytes:
    """Write `entrants.txt`."""
    lines = sorted((entrant.id.encode(), entrant.weight) for entrant in entrants)
    return b"".join(b"%s %d\n" % line for line in lines)


def seed_of(secret: bytes, canonical_plan: bytes, public: bytes) -> bytes:
    """Mix the secret with what everybody saw."""
    plan_digest, public_digest = (
        hashlib.sha256(part).digest() for part in (canonical_plan, public)
    )
    message = SPEC.encode() + b"\x00" + plan_digest + public_digest
    return hmac.digest(secret, message, "sha256")


def key_of(seed: bytes, scope: str) -> bytes:
    """Return the key of an order: one for all prizes (scope ""), or one for each prize."""
    return hmac.digest(seed, scope.encode(), "sha256")


def least_ticket(key: bytes, entrant: Entrant) -> bytes:
    """Return the least of an entrant's tickets."""
    name = entrant.id.encode()
    return min(
        hashlib.sha256(key + j.to_bytes(4, "big") + name).digest() for j in range(entrant.weight)
    )


def first_ranked(key: bytes, entrants: Iterable[Entrant], count: int) -> list[Ranked]:
    """Return the first `count` of the order that a key makes."""
    ranked = (Ranked(least_ticket(key, entrant), entrant.id) for entrant in entrants)
    return nsmallest(count, ranked, key=lambda each: (each.ticket, each.id.encode()))


def scopes_of(plan: Plan) -> dict[str, int]:
    """Return the orders that a plan needs: each one's scope, and how many places of it."""
    if plan.onePrizeEach:
        return {"": sum(prize.quantity for prize in plan.prizes)}
    return {prize.id: prize.quantity for prize in plan.prizes}


def fill_prizes(plan: Plan, orders: Mapping[str, Sequence[Ranked]]) -> Outcome:
    """Give the prizes' units, in the plan's order, to the first of the order of their scope.

    Args:
        plan: What was fixed.
        orders: For each scope of the plan the beginning of its order, as long as there are
            entrants.
    """
    winners: list[Win] = []
    for prize in plan.prizes:
        start = len(winners) if plan.onePrizeEach else 0
        order = orders["" if plan.onePrizeEach else prize.id]
        winners += (
            Win(prize.id, ranked.id, place, ranked.ticket.hex())
            for place, ranked in enumerate(order[start : start + prize.quantity], start + 1)
        )
    return Outcome(winners, sum(prize.quantity for prize in plan.prizes) - len(winners))


def draw_winners(plan: Plan, seed: bytes, entrants: Sequence[Entrant]) -> Outcome:
    """Compute a whole draw."""
    orders = {
        scope: first_ranked(key_of(seed, scope), entrants, count)
        for scope, count in scopes_of(plan).items()
    }
    return fill_prizes(plan, orders)
