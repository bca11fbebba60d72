"""Records of small draws, made by the reference."""

import json
import random
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from app.draws.drand import randomness_of
from app.draws.ranking import (
    DrandEntropy,
    Plan,
    PlannedPrize,
    TextEntropy,
    TextFormat,
    digest,
    draw_winners,
    entrants_text,
    seed_of,
)
from app.draws.record import (
    Exclusion,
    LeftOut,
    Record,
    Revoked,
    Skipped,
    Unawarded,
    Unclaimed,
    sealed,
)
from app.tables import DrawStatus
from tests.draws import vectors

ENTRANTS_TXT = entrants_text(vectors.ENTRANTS)
DRAND = vectors.plan(DrandEntropy(vectors.QUICKNET, vectors.ROUND), one_prize_each=True)


LEFT_OUT = LeftOut(("ike",), (), ("lou", "mia"), ("ned",))


def drawn(plan: Plan = vectors.FIRST, public: bytes = b"", signature: str | None = None) -> Record:
    """Return a record as draws left it before there was a status READY."""
    seed = seed_of(vectors.SECRET, plan.canonical(), public)
    winners, _, undrawn, in_line = draw_winners(plan, seed, vectors.ENTRANTS)
    record = Record(
        spec=plan.spec,
        drawId=plan.drawId,
        roomId=plan.roomId,
        number=1,
        status=DrawStatus.DRAWN,
        commitment=plan.commitment,
        plan=plan,
        planDigest=digest(plan.canonical()),
        exclusions=(Exclusion("mallory", "works here"),),
        replaces=None,
        immediate=False,
        # Around the round of the drand vector.
        announcedAt="2023-09-15T10:00:00.000Z",
        closedAt="2023-09-15T10:30:00.000Z",
        drawnAt="2023-09-16T12:00:00.000Z",
        cancelledAt=None,
        reason=None,
        public=public.hex(),
        signature=signature,
        secret=vectors.SECRET.hex(),
        seed=seed.hex(),
        winners=tuple(winners),
        undrawn=undrawn,
        nextInLine=UNSET if plan.spec == "draw/1" else tuple(in_line),
        recordDigest="",
        claims=UNSET if plan.spec == "draw/1" else (),
    )
    return sealed(record)


def complete(record: Record, **changes: Any) -> Record:
    """Return a record with the members that came later."""
    is_drawn = record.status is DrawStatus.DRAWN
    later: dict[str, Any] = {
        "allowRevoked": False,
        "leftOut": None if record.plan is None else LEFT_OUT,
        "readyAt": record.drawnAt,
        "passed": () if is_drawn else None,
        "unawarded": () if is_drawn else None,
    }
    if record.plan is not None and not record.plan.onePrizeEach:
        later["leftOut"] = replace(LEFT_OUT, holders=())
    return changed(record, **(later | changes))


def passed_over(gone: set[str], plan: Plan = vectors.FIRST, public: bytes = b"") -> Record:
    """Return the record of a draw that passed over those who were gone."""
    seed = seed_of(vectors.SECRET, plan.canonical(), public)
    winners, passed, undrawn, _ = draw_winners(plan, seed, vectors.ENTRANTS, gone)
    return complete(
        drawn(plan, public), winners=tuple(winners), passed=tuple(passed), undrawn=undrawn
    )


def unawarded() -> Record:
    """Return the record of a draw in which two of three winners got nothing."""
    _, second, third = drawn().winners or ()
    why = (
        Unawarded(second.prizeId, second.participantId, second.place, "HOLDS_PRIZE"),
        Unawarded(third.prizeId, third.participantId, third.place, "NO_STOCK"),
    )
    return complete(drawn(), unawarded=why)


def unclaimed(prize: str, who: str, at: str, heir: str | None, **changes: Any) -> Unclaimed:
    """Return what somebody let pass; declined by themselves."""
    said: dict[str, Any] = {"status": "DECLINED", "settledBy": "WINNER", "passed": ()}
    return Unclaimed(prizeId=prize, participantId=who, at=at, next=heir, **said | changes)


EXPIRED: dict[str, Any] = {"status": "EXPIRED", "settledBy": None}


def claiming() -> Record:
    """Return the record of a draw of which every unit that can be was passed on."""
    claims = (
        unclaimed("p1", "bob", "2023-09-16T12:30:00.000Z", "carol"),
        # A week after that, to the millisecond.
        unclaimed("p1", "carol", "2023-09-23T12:30:00.000Z", None, **EXPIRED),
        unclaimed("p2", "éva", "2023-09-18T00:00:00.000Z", "dave", **EXPIRED),
    )
    return complete(drawn(vectors.FIRST_CLAIMING), claims=claims)


def claiming_dice() -> Record:
    """Return the record of a draw in which somebody in line was passed over."""
    skipped = (Skipped("éva", "HOLDS_PRIZE"), Skipped("dave", "GONE"))
    at = "2023-09-17T12:00:00.000Z"
    claims = (unclaimed("p1", "carol", at, "bob", settledBy="STAFF", passed=skipped),)
    return complete(drawn(vectors.SECOND_CLAIMING, vectors.DRAWS[1][1]), claims=claims)


def claiming_cancelled(*, early: bool = False) -> Record:
    """Return the record of a draw/2 that was cancelled."""
    record = complete(
        cancelled(), spec="draw/2", nextInLine=None, claims=None, plan=vectors.FIRST_CLAIMING
    )
    record = changed(record, planDigest=digest(vectors.FIRST_CLAIMING.canonical()))
    return (
        changed(record, closedAt=None, plan=None, planDigest=None, leftOut=None)
        if early
        else record
    )


def dice() -> Record:
    """Return the record of a draw with a text that has a format."""
    plan = replace(vectors.SECOND, entropy=TextEntropy("dice", TextFormat("1-6", 5)))
    return complete(drawn(plan, b"42615"))


def redrawn() -> Record:
    """Return the record of a redraw that leaves out who won before."""
    revoked = (Revoked("zac", "w1", "Has won this prize before."),)
    return complete(drawn_again(), leftOut=replace(LEFT_OUT, revoked=revoked))


def of_every_later_kind() -> list[tuple[Record, bytes]]:
    """Return records with the members that came later, with their `entrants.txt`."""
    listed = (
        *map(complete, all_drawn()),
        *(passed_over({"bob"}), passed_over({"bob", "éva", "dave", "carol"})),
        passed_over({"bob", "éva"}, vectors.SECOND, vectors.DRAWS[1][1]),
        *(unawarded(), dice(), redrawn()),
        complete(drawn_again(), allowRevoked=True),
        *(complete(cancelled()), complete(cancelled(), immediate=True)),
        *(claiming(), claiming_dice(), complete(drawn(vectors.FIRST_CLAIMING))),
        claiming_cancelled(),
    )
    unlisted = (
        *(complete(short_of_entrants()), complete(cancelled_early())),
        claiming_cancelled(early=True),
    )
    return [(record, ENTRANTS_TXT) for record in listed] + [(record, b"") for record in unlisted]


def short_of_entrants() -> Record:
    """Return the record of a draw that nobody took part in."""
    plan = msgspec.structs.replace(vectors.FIRST, entrantCount=0, entrantsDigest=digest(b""))
    return changed(
        drawn(),
        plan=plan,
        planDigest=digest(plan.canonical()),
        seed=seed_of(vectors.SECRET, plan.canonical(), b"").hex(),
        winners=(),
        undrawn=3,
    )


def changed(record: Record, **changes: Any) -> Record:
    """Change a record and its digest, as who forges a whole record does."""
    return sealed(msgspec.structs.replace(record, **changes))


def closed() -> Record:
    return changed(
        cancelled(), status=DrawStatus.CLOSED, cancelledAt=None, reason=None, secret=None
    )


def cancelled_early() -> Record:
    """Return the record of a draw that was cancelled before its close."""
    return changed(cancelled(), closedAt=None, plan=None, planDigest=None)


def drawn_again() -> Record:
    """Return the record of a redraw with another reason than ASCII knows."""
    plan = msgspec.structs.replace(vectors.FIRST, prizes=(PlannedPrize("p2", 1),))
    exclusions = (Exclusion("zoe", 'Said "nein"\n\x1f, naïve 🎲'),)
    return changed(drawn(plan), replaces="w1", exclusions=exclusions)


def of_every_kind() -> list[tuple[Record, bytes]]:
    """Return records with their `entrants.txt`."""
    listed = (*all_drawn(), drawn_again(), changed(drawn(), immediate=True), cancelled())
    unlisted = (short_of_entrants(), cancelled_early())
    return [(record, ENTRANTS_TXT) for record in listed] + [(record, b"") for record in unlisted]


def mutations(
    record_json: bytes, entrants_txt: bytes, chance: random.Random
) -> Iterator[tuple[bytes, bytes]]:
    """Change each byte of both files once, and lose, double or add one here and there.

    What leaves the same data, such as \\u001F for \\u001f, is no mutation; of `entrants.txt` every
    byte is data.
    """
    for place in range(len(record_json)):
        if data_of(forged := _mutated(record_json, place, chance)) != data_of(record_json):
            yield forged, entrants_txt
    for place in range(len(entrants_txt) + 1):
        if (forged := _mutated(entrants_txt, place, chance)) != entrants_txt:
            yield record_json, forged


def _mutated(content: bytes, place: int, chance: random.Random) -> bytes:
    before, byte, after = content[:place], content[place : place + 1], content[place + 1 :]
    other = bytes([(byte or b"\x00")[0] ^ chance.randrange(1, 256)])
    middle = chance.choice([other, other, other, b"", byte + byte, byte + other])
    return before + middle + after


def data_of(record_json: bytes) -> str | None:
    """Tell what a document says, whatever its spaces, escapes and order; None for no document."""
    try:
        return repr(json.loads(record_json.decode(), object_pairs_hook=sorted))
    except (ValueError, TypeError):
        return None


def all_drawn() -> list[Record]:
    randomness = randomness_of(bytes.fromhex(vectors.SIGNATURE))
    return [
        *(drawn(plan, public) for plan, public, *_ in vectors.DRAWS),
        drawn(DRAND, randomness, vectors.SIGNATURE),
    ]


def cancelled() -> Record:
    return changed(
        drawn(),
        status=DrawStatus.CANCELLED,
        drawnAt=None,
        cancelledAt="2023-09-16T12:00:00.000Z",
        reason="The prize broke.",
        public=None,
        seed=None,
        winners=None,
        undrawn=None,
    )
