"""A draw's public record, and the check of it step by step, with nothing but the two files. Pure.

The steps stand in the order in which a draw went. Each compares what the record claims with what
follows from the rest of it; the first that fails tells where the record departs from the truth.

The last step compares the digest of the whole record, which no change of any value survives. Who
forges a whole record can compute that anew, and choose the members in `UNCOVERED`, as far as these
contradict neither each other nor the rest: so the digest is to be compared with the one that was
shown when the draw was over.
"""

import hmac
import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
import rfc8785
from msgspec import UNSET, Meta, UnsetType

from app.draws.drand import CHAINS, is_signed, randomness_of, time_of
from app.draws.ranking import (
    HEAVIEST,
    DrandEntropy,
    Entrant,
    Entropy,
    Hex32,
    Id,
    NoEntropy,
    Passed,
    Plan,
    Spec,
    TextEntropy,
    Win,
    digest,
    draw_winners,
    entrants_text,
    seed_of,
)
from app.prizes.claims import fault_of_within, time_to_claim
from app.tables import DrawStatus
from app.visible_text import fault_of_words

Time = Annotated[str, Meta(pattern=r"^[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}\.[0-9]{3}Z\Z")]
Hex = Annotated[str, Meta(pattern=r"^([0-9a-f]{2})*\Z")]

LONGEST_REASON = 500

UNCOVERED = (
    "number",
    "announcedAt",
    "closedAt",
    "readyAt",
    "drawnAt",
    "cancelledAt",
    "exclusions",
    "replaces",
    "allowRevoked",
    "leftOut",
    "immediate",
    "reason",
    "passed",
    "unawarded",
    "claims",
)
"""Members that enter no digest but that of the whole record, so that a forger may choose them."""


class Exclusion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who doesn't take part, and why."""

    participantId: Id
    reason: Annotated[
        str, Meta(min_length=1, max_length=LONGEST_REASON, extra={"check": fault_of_words})
    ]
    """Who announces a draw may write what can be shown; records of before stay as they are."""


class Revoked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who had won the prize that is drawn again, and has it no longer."""

    participantId: Id
    winnerId: Id
    reason: Annotated[str, Meta(min_length=1, max_length=LONGEST_REASON)]


class LeftOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who did not take part, apart from exclusions: fixed with the entrants, sorted by id."""

    holders: tuple[Id, ...]
    """Participants who held a prize of the room, where each gets one."""
    revoked: tuple[Revoked, ...]
    """Participants of whom a prize was taken back that is drawn again, unless they are allowed."""
    left: tuple[Id, ...]
    """Who was a participant after the announcement, and was gone at the close."""
    otherRole: tuple[Id, ...]
    """Who was a participant after the announcement, and had another role at the close."""

    def everybody(self) -> list[str]:
        """Return all ids."""
        revoked = [each.participantId for each in self.revoked]
        return [*self.holders, *revoked, *self.left, *self.otherRole]


class Unawarded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A win that could not be awarded, and was not passed on either."""

    prizeId: Id
    participantId: Id
    place: Annotated[int, Meta(ge=1)]
    reason: Literal["NO_STOCK", "HOLDS_PRIZE", "ROOM_CLOSED"]


class Skipped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who was next in line for a unit, and can't have it."""

    participantId: Id
    reason: Literal["GONE", "HOLDS_PRIZE"]
    """The account was deleted, for example; or they were given this prize by hand meanwhile."""


class Unclaimed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A unit that somebody did not take, and who has it next."""

    prizeId: Id
    participantId: Id
    status: Literal["DECLINED", "EXPIRED"]
    settledBy: Literal["WINNER", "STAFF"] | None
    """Who declined: the winner, or a moderator for them; None where the time was over."""
    at: Time
    """From here on the next has as long to claim as the plan says."""
    passed: tuple[Skipped, ...]
    """Whose turn in the line it was before, in its order."""
    next: Id | None
    """None: nobody is left in line, and the unit is back in stock."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that the public may know of a draw; None where it is not yet known or not yet public.

    What may be missing altogether is missing in draws that were over before it was recorded; the
    last ones of these, in draw/1.
    """

    spec: Spec
    drawId: Id
    roomId: Id
    number: Annotated[int, Meta(ge=1)]
    status: DrawStatus
    commitment: Hex32
    plan: Plan | None
    planDigest: Hex32 | None
    exclusions: tuple[Exclusion, ...]
    replaces: Id | None
    immediate: bool
    announcedAt: Time
    closedAt: Time | None
    drawnAt: Time | None
    readyAt: Time | UnsetType | None = UNSET
    """When the public input was fixed, before anything was computed from it."""
    cancelledAt: Time | None
    reason: str | None
    public: Hex | None
    signature: Hex | None
    secret: Hex32 | None
    seed: Hex32 | None
    winners: tuple[Win, ...] | None
    undrawn: Annotated[int, Meta(ge=0)] | None
    allowRevoked: bool | UnsetType = UNSET
    leftOut: LeftOut | UnsetType | None = UNSET
    passed: tuple[Passed, ...] | UnsetType | None = UNSET
    unawarded: tuple[Unawarded, ...] | UnsetType | None = UNSET
    nextInLine: tuple[Win, ...] | UnsetType | None = UNSET
    """Who takes over what is not claimed: prize by prize in the plan's order, the first first."""
    recordDigest: Hex32
    """SHA-256 of the canonical JSON of all other members but those that follow."""
    claims: tuple[Unclaimed, ...] | UnsetType | None = UNSET
    """What was not taken until now: of each prize, in the plan's order, one after the other."""
    claimsDigest: Hex32 | UnsetType = UNSET
    """SHA-256 of the canonical JSON of `{claims, recordDigest}`."""


LATER = ("claims", "claimsDigest")
"""Members that change after the draw, so that the digest of the record does not have them."""


def sealed(record: Record) -> Record:
    """Return a record with its digests. msgspec writes what a record holds as RFC 8785 does."""
    document = msgspec.to_builtins(record)
    record_digest = digest(msgspec.json.encode(_digested(document), order="sorted"))
    claims_digest: str | UnsetType = UNSET
    if record.claims is not UNSET:
        later = {"claims": document["claims"], "recordDigest": record_digest}
        claims_digest = digest(msgspec.json.encode(later, order="sorted"))
    return msgspec.structs.replace(record, recordDigest=record_digest, claimsDigest=claims_digest)


def _digested(document: dict[str, Any]) -> dict[str, Any]:
    not_digested = ("recordDigest", *LATER)
    return {name: value for name, value in document.items() if name not in not_digested}


class Wrong(Exception):
    """A step of the check fails; the message says what differs."""


class ListMissing(Exception):
    """The draw has a list of entrants, which was not given."""


class Step(NamedTuple):
    """One step of a check."""

    name: str
    promise: str
    """What holds when the step passes."""
    fault: str | None
    """What is wrong; None when it holds."""
    void: str | None
    """Why there was nothing that could be checked."""


class Check(NamedTuple):
    """The steps that were taken, up to and with the first that failed."""

    steps: list[Step]
    record: Record | None
    """None when it could not even be read."""

    @property
    def passed(self) -> bool:
        """Whether everything holds."""
        return self.steps[-1].fault is None


class _Evidence:
    """What the steps know of each other."""

    record: Record
    digest: str
    """Of the record as it was read."""
    claims_digest: str
    """Of its claims as they were read."""
    plan: Plan
    entrants: list[Entrant]
    secret: bytes

    def __init__(self, record_json: bytes, entrants_txt: bytes | None) -> None:
        self.record_json = record_json
        self.entrants_txt = entrants_txt


def check(record_json: bytes, entrants_txt: bytes | None) -> Check:
    """Check a record with its list of entrants, as far as the first step that fails.

    Raises:
        ListMissing: There is a list that somebody is on, and None was given.
    """
    evidence = _Evidence(record_json, entrants_txt)
    steps: list[Step] = []
    for name, promise, take in _STEPS:
        if name in _STEPS_OF_DRAWN and evidence.record.status is DrawStatus.CANCELLED:
            continue
        if take is _check_claims and evidence.record.spec == "draw/1":
            continue
        fault, void = _result_of(take, evidence)
        steps.append(Step(name, promise, fault, void))
        if fault is not None:
            break
    return Check(steps, getattr(evidence, "record", None))


_Take = Callable[[_Evidence], str | None]
"""A step; it returns why there was nothing that it could check."""


def _result_of(take: _Take, evidence: _Evidence) -> tuple[str | None, str | None]:
    try:
        return None, take(evidence)
    except Wrong as wrong:
        return str(wrong), None


def _read_record(evidence: _Evidence) -> None:
    try:
        document = json.loads(evidence.record_json.decode(), object_pairs_hook=_members)
        evidence.record = msgspec.convert(document, Record)
        evidence.digest = digest(rfc8785.dumps(_digested(document)))
        claims = {name: document.get(name) for name in ("claims", "recordDigest")}
        evidence.claims_digest = digest(rfc8785.dumps(claims))
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise Wrong(f"not a record of draw/1 or draw/2: {error}") from error


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a member is there twice")
    return document


def _check_status(evidence: _Evidence) -> None:
    """A record shows what its status makes public, and nothing else."""
    record = evidence.record
    drawn, cancelled = (
        record.status is status for status in (DrawStatus.DRAWN, DrawStatus.CANCELLED)
    )
    if not (drawn or cancelled):
        raise Wrong(f"the draw is only {record.status}; nothing was drawn yet")
    shown = {
        name: getattr(record, name) is not None
        for name in ("drawnAt", "seed", "winners", "undrawn", "public")
    }
    for name, is_there in shown.items():
        if is_there is not drawn:
            raise Wrong(
                f"{name} is {'there' if is_there else 'missing'}, but it is {record.status}"
            )
    if cancelled and record.signature is not None:
        raise Wrong("it has a signature, but it is CANCELLED")
    if (record.cancelledAt is None) is cancelled or (record.reason is None) is cancelled:
        raise Wrong(f"cancelledAt and reason do not go with {record.status}")
    if record.secret is None:
        raise Wrong(f"the secret is missing, but it is {record.status}")
    if not (record.closedAt is None) is (record.plan is None) is (record.planDigest is None):
        raise Wrong("closedAt, plan and planDigest come together")
    if drawn and record.plan is None:
        raise Wrong("there is no plan, but it is DRAWN")
    _check_members(record, drawn=drawn)


def _check_members(record: Record, *, drawn: bool) -> None:
    """What came into records later is there as a whole, and when its time has come."""
    late = [record.readyAt, record.passed, record.unawarded]
    if len({value is UNSET for value in late}) > 1:
        raise Wrong("readyAt, passed and unawarded come together")
    if UNSET not in late and {value is not None for value in late} != {drawn}:
        raise Wrong(f"readyAt, passed and unawarded do not go with {record.status}")
    _check_members_of_spec(record, drawn=drawn)
    if record.leftOut and record.plan is None:
        raise Wrong("leftOut is there, but the draw was never closed")
    if record.allowRevoked is UNSET:
        return
    if UNSET in late or (not record.leftOut and record.plan is not None):
        raise Wrong("readyAt, leftOut, passed or unawarded is missing")
    if record.allowRevoked and record.replaces is None:
        raise Wrong("revoked winners are allowed, but it replaces nobody")


def _check_members_of_spec(record: Record, *, drawn: bool) -> None:
    """What came with draw/2 is there in it, as a whole, and nowhere else."""
    of_draw_2 = (record.nextInLine, record.claims, record.claimsDigest)
    if {value is not UNSET for value in of_draw_2} != {record.spec == "draw/2"}:
        raise Wrong(f"nextInLine, claims and claimsDigest do not go with {record.spec}")
    if record.spec == "draw/1":
        return
    if record.allowRevoked is UNSET:
        raise Wrong("allowRevoked is missing")
    if {value is not None for value in (record.nextInLine, record.claims)} != {drawn}:
        raise Wrong(f"nextInLine and claims do not go with {record.status}")


def _check_times(evidence: _Evidence) -> None:
    record = evidence.record
    times = [
        *(record.announcedAt, record.closedAt, record.readyAt, record.drawnAt),
        record.cancelledAt,
    ]
    try:
        moments = [datetime.fromisoformat(text) for text in times if text]
    except ValueError as error:
        raise Wrong(f"a time that is none: {error}") from error
    if moments != sorted(moments):
        raise Wrong("the steps are not in the order announced, closed, ready, drawn or cancelled")


def _check_commitment(evidence: _Evidence) -> None:
    record = evidence.record
    evidence.secret = bytes.fromhex(record.secret or "")
    _same("SHA-256 of the secret", digest(evidence.secret), record.commitment)


def _check_entrants(evidence: _Evidence) -> str | None:
    excluded = {exclusion.participantId for exclusion in evidence.record.exclusions}
    if len(excluded) < len(evidence.record.exclusions):
        raise Wrong("somebody is excluded twice")
    if evidence.record.plan is None:
        if evidence.entrants_txt:
            raise Wrong("there is a list, but the draw was never closed")
        return "no list was fixed: it was cancelled before the close"
    entrants_txt = evidence.entrants_txt
    if entrants_txt is None:
        if evidence.record.plan.entrantCount:
            raise ListMissing
        entrants_txt = b""
    evidence.entrants = list(read_entrants(entrants_txt))
    # Whatever reads differently but means the same, such as "01" for 1, shows here.
    if entrants_text(evidence.entrants) != entrants_txt:
        raise Wrong("entrants.txt is not in its one canonical form")
    listed = {entrant.id for entrant in evidence.entrants}
    if len(listed) < len(evidence.entrants):
        raise Wrong("entrants.txt names somebody twice")
    if both := sorted(excluded & listed):
        raise Wrong(f"{both[0]} is excluded, and yet an entrant")
    _check_left_out(evidence.record, listed)
    plan = evidence.record.plan
    _same("the number of entrants", len(evidence.entrants), plan.entrantCount)
    _same("SHA-256 of entrants.txt", digest(entrants_txt), plan.entrantsDigest)
    return None


def _check_left_out(record: Record, listed: AbstractSet[str]) -> None:
    left_out = record.leftOut
    if not left_out:
        return
    everybody = left_out.everybody()
    if len(set(everybody)) < len(everybody):
        raise Wrong("somebody is left out twice")
    if both := sorted(listed & set(everybody)):
        raise Wrong(f"{both[0]} is left out, and yet an entrant")
    if left_out.revoked and (record.replaces is None or record.allowRevoked is True):
        raise Wrong("somebody is left out as a revoked winner, which is none here")
    if left_out.holders and record.plan is not None and not record.plan.onePrizeEach:
        raise Wrong("somebody is left out who holds a prize, but one may win several")


def read_entrants(entrants_txt: bytes) -> Iterator[Entrant]:
    """Read `entrants.txt`.

    Raises:
        Wrong: A line is not an id, a space and a weight from 1 to 1000.
    """
    try:
        text = entrants_txt.decode()
    except UnicodeDecodeError as error:
        raise Wrong(f"entrants.txt is not UTF-8: {error}") from error
    for number, line in enumerate(text.split("\n")[:-1], 1):
        name, _, weight = line.rpartition(" ")
        if not (name and weight.isascii() and weight.isdecimal() and len(weight) <= len("1000")):
            raise Wrong(f"entrants.txt, line {number}: not an id and a weight")
        if not 1 <= int(weight) <= HEAVIEST:
            raise Wrong(f"entrants.txt, line {number}: the weight is not 1 to {HEAVIEST}")
        yield Entrant(name, int(weight))


def _check_plan(evidence: _Evidence) -> str | None:
    record, plan = evidence.record, evidence.record.plan
    if plan is None:
        return "no plan was fixed: it was cancelled before the close"
    evidence.plan = plan
    _same("the plan's spec", plan.spec, record.spec)
    _same("the plan's drawId", plan.drawId, record.drawId)
    _same("the plan's roomId", plan.roomId, record.roomId)
    _same("the plan's commitment", plan.commitment, record.commitment)
    if len({prize.id for prize in plan.prizes}) < len(plan.prizes):
        raise Wrong("the plan names a prize twice")
    terms = (plan.alternates, *(prize.claim for prize in plan.prizes))
    if {value is not UNSET for value in terms} != {plan.spec == "draw/2"}:
        raise Wrong(f"what the plan says of claims does not go with {plan.spec}")
    if any(prize.claim and fault_of_within(prize.claim.within) for prize in plan.prizes):
        raise Wrong("the plan gives a time to claim that is none")
    if record.replaces is not None and [prize.quantity for prize in plan.prizes] != [1]:
        raise Wrong("it replaces a winner, but the plan has more than that unit")
    if record.immediate and not isinstance(plan.entropy, NoEntropy):
        raise Wrong("it is immediate, but the plan has public entropy")
    if isinstance(plan.entropy, DrandEntropy) and _time(record.closedAt) >= _due(plan.entropy):
        raise Wrong("the drand round was published before the close")
    _same("SHA-256 of the canonical plan", digest(plan.canonical()), record.planDigest)
    return None


def _due(entropy: DrandEntropy) -> datetime:
    if entropy.chain not in CHAINS:
        raise Wrong(f"the drand chain {entropy.chain} is not known")
    due = time_of(entropy.chain, entropy.round)
    if due is None:
        raise Wrong("the drand round lies beyond the calendar")
    return due


def _time(text: str | None) -> datetime:
    return datetime.fromisoformat(text or "")


def _check_public(evidence: _Evidence) -> None:
    record, entropy = evidence.record, evidence.plan.entropy
    public = bytes.fromhex(record.public or "")
    if isinstance(entropy, DrandEntropy):
        _check_drand(evidence, entropy, public)
        return
    if record.signature is not None:
        raise Wrong("there is a signature, but the plan names no drand round")
    if isinstance(entropy, NoEntropy) and public:
        raise Wrong("there is public entropy, but the plan has none")
    if isinstance(entropy, TextEntropy):
        _check_text(entropy, public)


def _check_text(entropy: TextEntropy, public: bytes) -> None:
    if not public:
        raise Wrong("the text that the plan announces is missing")
    try:
        text = public.decode()
    except UnicodeDecodeError as error:
        raise Wrong(f"the public text is not UTF-8: {error}") from error
    form = entropy.format
    if form and not form.fits(text):
        raise Wrong(f"the public text is not {form.length} characters {form.alphabet}")


def _check_drand(evidence: _Evidence, entropy: DrandEntropy, public: bytes) -> None:
    signature = bytes.fromhex(evidence.record.signature or "")
    if not is_signed(entropy.chain, entropy.round, signature):
        raise Wrong(f"the network did not sign round {entropy.round} so")
    _same("SHA-256 of the signature", randomness_of(signature).hex(), public.hex())
    if _time(evidence.record.readyAt or evidence.record.drawnAt) < _due(entropy):
        raise Wrong("the drand round was published after the draw")


def _check_seed(evidence: _Evidence) -> None:
    public = bytes.fromhex(evidence.record.public or "")
    seed = seed_of(evidence.secret, evidence.plan.canonical(), public)
    _same("the seed", seed.hex(), evidence.record.seed)


def _check_winners(evidence: _Evidence) -> None:
    seed = bytes.fromhex(evidence.record.seed or "")
    passed = evidence.record.passed or ()
    gone = {each.participantId for each in passed}
    winners, skipped, undrawn, in_line = draw_winners(evidence.plan, seed, evidence.entrants, gone)
    said = evidence.record.winners or ()
    _same_wins("winner", winners, said)
    _same("the number of undrawn units", undrawn, evidence.record.undrawn)
    _same_wins("alternate", in_line, evidence.record.nextInLine or ())
    if tuple(skipped) != passed:
        raise Wrong("passed does not name exactly those who were passed over, in their order")
    _check_unawarded(evidence.record.unawarded or (), said)


def _same_wins(what: str, right: Sequence[Win], said: Sequence[Win]) -> None:
    for index, (computed, claimed) in enumerate(zip(right, said, strict=False), 1):
        if computed != claimed:
            raise Wrong(f"{what} {index} is {_told(computed)}, the record says {_told(claimed)}")
    _same(f"the number of {what}s", len(right), len(said))


def _check_unawarded(unawarded: Sequence[Unawarded], winners: Sequence[Win]) -> None:
    """Every win that was not awarded is a win; in the order of the winners, each once."""
    wins = iter((win.prizeId, win.participantId, win.place) for win in winners)
    for each in unawarded:
        if (each.prizeId, each.participantId, each.place) not in wins:
            raise Wrong(f"{each.participantId} ({each.prizeId}) is unawarded, but did not win so")


def _check_record(evidence: _Evidence) -> None:
    _same("SHA-256 of the record", evidence.digest, evidence.record.recordDigest)


def _check_claims(evidence: _Evidence) -> None:
    """Each unit goes to the next in the line of its prize, from who had it and did not take it."""
    record, claims = evidence.record, _by_prize(evidence.record.claims or ())
    planned = () if record.plan is None else record.plan.prizes
    in_order = [each for prize in planned if prize.claim for each in claims.get(prize.id, ())]
    if in_order != [*(record.claims or ())]:
        raise Wrong("claims are not of prizes that have to be claimed, in the plan's order")
    winners, line = _by_prize(record.winners or ()), _by_prize(record.nextInLine or ())
    lacking = {(each.prizeId, each.participantId) for each in record.unawarded or ()}
    try:
        for prize in planned:
            if prize.claim and prize.id in claims:
                won = [each.participantId for each in winners.get(prize.id, ())]
                drawn_at = _time(record.drawnAt)
                _follow_line(
                    claims[prize.id],
                    {id_: drawn_at for id_ in won if (prize.id, id_) not in lacking},
                    deque(each.participantId for each in line.get(prize.id, ())),
                    time_to_claim(prize.claim.within),
                )
    except (ValueError, OverflowError) as error:
        raise Wrong(f"a time of claims that is none: {error}") from error
    _same("SHA-256 of the claims", evidence.claims_digest, record.claimsDigest)


_Of = TypeVar("_Of", Win, Unclaimed)


def _by_prize(each_of: Sequence[_Of]) -> Mapping[str, Sequence[_Of]]:
    found: dict[str, list[_Of]] = {}
    for each in each_of:
        found.setdefault(each.prizeId, []).append(each)
    return found


def _follow_line(
    claims: Sequence[Unclaimed],
    since: dict[str, datetime],
    line: deque[str],
    within: timedelta,
) -> None:
    """Follow the units of a prize from who did not take them to who is next.

    Args:
        claims: What was not taken of it, one after the other.
        since: Who has a unit of it, and since when; changed.
        line: Who is next; changed.
        within: How long each has to claim it.
    """
    last = max(since.values(), default=None)
    for each in claims:
        at, who = _time(each.at), f"{each.participantId} ({each.prizeId})"
        won_at = since.pop(each.participantId, None)
        if won_at is None or last is None:
            raise Wrong(f"{who} did not take what they had not won, or had given up")
        if at < last:
            raise Wrong(f"{who} stands after what came later")
        if (each.settledBy is None) != (each.status == "EXPIRED"):
            raise Wrong(f"settledBy of {who} does not go with {each.status}")
        if each.status == "EXPIRED" and at < won_at + within:
            raise Wrong(f"{who} is EXPIRED before the time was over")
        for skipped in each.passed:
            _same("who is next in line", line.popleft() if line else None, skipped.participantId)
        heir = line.popleft() if line else None
        _same(f"who takes over from {who}", heir, each.next)
        if heir is not None:
            since[heir] = at
        last = at


def _told(win: Win) -> str:
    return f"{win.participantId} ({win.prizeId}, place {win.place}, ticket {win.ticket[:8]}…)"


def _same(what: str, computed: Any, claimed: Any) -> None:
    if not hmac.compare_digest(str(computed).encode(), str(claimed).encode()):
        raise Wrong(f"{what} is {computed}, the record says {claimed}")


def remarks_on(record: Record) -> list[str]:
    """Say of a draw that was drawn what its winners alone don't tell."""
    plan, remarks = record.plan, []
    if plan is not None and record.public is not None:
        remarks.append(_came_in(plan.entropy, bytes.fromhex(record.public)))
    if record.immediate:
        remarks.append("Drawn at once: nobody could check the commitment beforehand.")
    if record.replaces is not None:
        remarks.append(f"It draws again what was taken back from the winner {record.replaces}.")
    if record.exclusions:
        remarks.append(f"{len(record.exclusions)} excluded: {_reasons_of(record.exclusions)}.")
    if record.passed:
        remarks.append(f"{len(record.passed)} turn(s) went to the next: the account was deleted.")
    if record.undrawn:
        remarks.append(f"{record.undrawn} unit(s) found nobody.")
    if record.claims:
        what = _what_of(record.claims)
        remarks.append(f"{len(record.claims)} time(s) a unit was not taken: {what}.")
    return remarks


def _came_in(entropy: Entropy, public: bytes) -> str:
    match entropy:
        case TextEntropy():
            return f"{entropy.label}: “{public.decode()}”"
        case DrandEntropy():
            return f"drand round {entropy.round}: {public.hex()}"
        case NoEntropy():
            return "Nothing came in from outside."


def _reasons_of(exclusions: Sequence[Exclusion]) -> str:
    """Name each reason once, with how many it is told of."""
    counts = Counter(exclusion.reason for exclusion in exclusions)
    return ", ".join(f"“{reason}” ({count})" for reason, count in counts.items())


def _what_of(claims: Sequence[Unclaimed]) -> str:
    """Count what became of units, and who said so."""
    told = Counter(
        "not claimed in time"
        if each.settledBy is None
        else f"declined by {'the winner' if each.settledBy == 'WINNER' else 'staff for the winner'}"
        for each in claims
    )
    to_the_next = sum(each.next is not None for each in claims)
    ways = ", ".join(f"{what} ({count})" for what, count in sorted(told.items()))
    return f"{ways}; {to_the_next} went to the next in line"


_STEPS: tuple[tuple[str, str, _Take], ...] = (
    ("form", "record.json is a record of draw/1 or draw/2", _read_record),
    ("status", "it shows what its status makes public", _check_status),
    ("times", "the steps were taken in order", _check_times),
    ("commitment", "the secret is the one that was committed to", _check_commitment),
    ("entrants", "entrants.txt is the list that the plan fixed", _check_entrants),
    ("plan", "the plan is the one whose digest was published", _check_plan),
    ("public", "the public entropy is of the announced kind and genuine", _check_public),
    ("seed", "the seed follows from the secret, the plan and the public entropy", _check_seed),
    ("winners", "the winners follow from the seed and the entrants", _check_winners),
    ("record", "nothing in the record was changed since its digest was shown", _check_record),
    ("claims", "who took over follows from who did not take it", _check_claims),
)
_STEPS_OF_DRAWN = ("public", "seed", "winners")
