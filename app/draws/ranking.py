r"""The computations `draw/1` and `draw/2`: a plan, a secret and entrants become an order.

Pure; the reference.

`‖` joins bytes, text is UTF-8, hex is lower case:

    entrants.txt = "{id} {weight}\n" for each entrant, sorted by the bytes of the id
    plan         = canonical JSON (RFC 8785)
    seed         = HMAC-SHA256(secret, spec ‖ 0x00 ‖ SHA-256(plan) ‖ SHA-256(public))
    key          = HMAC-SHA256(seed, "" when onePrizeEach, else the prize's id)
    ticket(id,j) = SHA-256(key ‖ j as 4 bytes, big-endian ‖ id)      j = 0 … weight - 1

An entrant's rank is the least of its tickets; ascending order wins. That equals drawing without
replacement in proportion to weight, without a modulo or a float. Compare RFC 3797, and Rivest's
sampler.

`draw/2` is for prizes that have to be claimed. Its plan says of each prize what is asked of its
winners (`claim`), and how many alternates each prize has of which something is asked. When all
prizes have their winners, the same orders go on: prize by prize, as the plan has them, the next
`alternates` of the order are in line for it, so that nobody is there twice in one order.
"""

import hashlib
import hmac
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from heapq import nsmallest
from typing import Annotated, Literal, NamedTuple

import msgspec
import rfc8785
from msgspec import UNSET, Meta, UnsetType

from app.prizes.claims import ClaimTerms

Spec = Literal["draw/1", "draw/2"]
"""The computation, and with it what a plan and a record have in them."""
SECRET_BYTES = 32
HEAVIEST = 1_000
"""The largest weight of an entrant."""

Hex32 = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{64}\Z", description="64 hexadecimal digits in lower case.")
]
"""32 bytes, as a digest has."""
Units = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Id = Annotated[str, Meta(min_length=1, max_length=100)]


class NoEntropy(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="none", tag_field="kind"
):
    """Nothing public comes in: the outcome is fixed when the entries close."""


ALPHABETS: Mapping[str, str] = {
    "0-9": "0123456789",
    "1-6": "123456",
    "A-Z": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
}


class TextFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one spelling that a public text has: so many characters of this alphabet, in a row."""

    alphabet: Literal["0-9", "1-6", "A-Z"]
    length: Annotated[int, Meta(ge=1, le=1_000, examples=[5])]

    def fits(self, text: str) -> bool:
        """Tell whether a text is spelled so."""
        return len(text) == self.length and set(text) <= set(ALPHABETS[self.alphabet])


class TextEntropy(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="text", tag_field="kind"
):
    """A text that comes about in public after the close: dice, numbers from the audience."""

    label: Annotated[str, Meta(min_length=1, max_length=200, examples=["Five dice on stage"])]
    format: TextFormat | UnsetType = UNSET
    """Not in draws that were announced before there were formats; these took any text."""


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
    claim: ClaimTerms | UnsetType | None = UNSET
    """What is asked of its winners; not in draw/1."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is fixed when a draw closes."""

    spec: Spec
    drawId: Id
    roomId: Id
    app: str
    """`{appId}@{version}`."""
    commitment: Hex32
    entropy: Entropy
    prizes: tuple[PlannedPrize, ...]
    """In the order in which they are filled."""
    alternates: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    """How many are in line for each prize that has to be claimed; not in draw/1."""
    onePrizeEach: bool
    entrantCount: Annotated[int, Meta(ge=0)]
    entrantsDigest: Hex32

    def canonical(self) -> bytes:
        """Write the plan as canonical JSON."""
        return rfc8785.dumps(msgspec.to_builtins(self))

    def alternates_of(self, prize: PlannedPrize) -> int:
        """Return how many are in line for a prize, if there are so many."""
        return self.alternates if self.alternates and prize.claim else 0


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


class Passed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose turn went to the next in the order, for a unit of which prize."""

    prizeId: Id
    participantId: Id
    place: Annotated[int, Meta(ge=1)]
    reason: Literal["GONE"]
    """Nobody's any more: the account was deleted between the close and the draw, for example."""


class Outcome(NamedTuple):
    """What a draw gives."""

    winners: list[Win]
    """In the plan's order."""
    passed: list[Passed]
    """In the order in which it was their turn."""
    undrawn: int
    """Units that found nobody."""
    next_in_line: list[Win]
    """Who takes over what is not claimed: prize by prize in the plan's order, the first first."""


def digest(content: bytes) -> str:
    """Return SHA-256 in hex: of the secret it is the commitment."""
    return hashlib.sha256(content).hexdigest()


def entrants_text(entrants: Iterable[Entrant]) -> bytes:
    """Write `entrants.txt`."""
    lines = sorted((entrant.id.encode(), entrant.weight) for entrant in entrants)
    return b"".join(b"%s %d\n" % line for line in lines)


class _Specified(msgspec.Struct):
    """What says by which computation a plan is meant."""

    spec: Spec


def seed_of(secret: bytes, canonical_plan: bytes, public: bytes) -> bytes:
    """Mix the secret with what everybody saw."""
    spec = msgspec.json.decode(canonical_plan, type=_Specified).spec
    plan_digest, public_digest = (
        hashlib.sha256(part).digest() for part in (canonical_plan, public)
    )
    message = spec.encode() + b"\x00" + plan_digest + public_digest
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


def scopes_of(plan: Plan, *, with_line: bool = True) -> dict[str, int]:
    """Return the orders that a plan needs: each one's scope, and how many places of it.

    Args:
        plan: What was fixed.
        with_line: Whether also for those who are in line.
    """
    places = {
        prize.id: prize.quantity + (plan.alternates_of(prize) if with_line else 0)
        for prize in plan.prizes
    }
    return {"": sum(places.values())} if plan.onePrizeEach else places


def fill_prizes(
    plan: Plan, orders: Mapping[str, Sequence[Ranked]], gone: Container[str] = ()
) -> Outcome:
    """Give the prizes' units, in the plan's order, to the first of the order of their scope.

    Then the next of it stand in line.

    Args:
        plan: What was fixed.
        orders: For each scope of the plan the beginning of its order, as long as there are
            entrants: so many that enough of them are not gone.
        gone: Entrants who are passed over.
    """
    outcome = Outcome([], [], 0, [])
    turns = {scope: iter(enumerate(order, 1)) for scope, order in orders.items()}

    def take(prize: PlannedPrize, count: int, taken: list[Win]) -> int:
        """Take the next of the prize's order; return how many there were not."""
        while count and (turn := next(turns["" if plan.onePrizeEach else prize.id], None)):
            place, (ticket, id_) = turn
            if id_ in gone:
                outcome.passed.append(Passed(prize.id, id_, place, "GONE"))
            else:
                taken.append(Win(prize.id, id_, place, ticket.hex()))
                count -= 1
        return count

    undrawn = sum(take(prize, prize.quantity, outcome.winners) for prize in plan.prizes)
    for prize in plan.prizes:
        take(prize, plan.alternates_of(prize), outcome.next_in_line)
    return outcome._replace(undrawn=undrawn)


def draw_winners(
    plan: Plan, seed: bytes, entrants: Sequence[Entrant], gone: Collection[str] = ()
) -> Outcome:
    """Compute a whole draw."""
    orders = {
        scope: first_ranked(key_of(seed, scope), entrants, count + len(gone))
        for scope, count in scopes_of(plan).items()
    }
    return fill_prizes(plan, orders, gone)
