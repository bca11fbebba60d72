"""Bodies and answers of /rooms/{id}/draws."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypeVar

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.draws.announcing import Terms, WantedPrize
from app.draws.ranking import (
    DrandEntropy,
    Entropy,
    Id,
    NoEntropy,
    Passed,
    Plan,
    PlannedPrize,
    Spec,
    TextEntropy,
    TextFormat,
    Units,
    Win,
)
from app.draws.record import (
    LONGEST_REASON,
    Exclusion,
    LeftOut,
    Record,
    Unawarded,
    Unclaimed,
    sealed,
)
from app.draws.steps import spec_of
from app.http.bodies import Input, name_of, text_of
from app.http.envelopes import optional_timestamp, timestamp
from app.tables import DrawStatus
from app.winners.schemas import ClaimOut

MOST_PRIZES = 1_000
MOST_ALTERNATES = 100
MOST_EXCLUSIONS = 10_000
LONG_MEMBERS: Mapping[str, Any] = {
    "winners": tuple[Win, ...],
    "leftOut": LeftOut,
    "passed": tuple[Passed, ...],
    "unawarded": tuple[Unawarded, ...],
}
"""What may name very many."""
LONG_CHARACTERS = 100_000
"""Of these, in JSON: what is made of them takes 2 ms. 100,000 winners take half a second."""

MadeT = TypeVar("MadeT")

# One after the other, so that the server's own thread always gets its turn soon.
_maker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="records")

Reason = Annotated[str, text_of(LONGEST_REASON, shortest=1, example="The prize broke.")]


class PrizeIn(Input):
    """A prize to draw; without a quantity all that is left of it."""

    id: Id
    quantity: Units | None = None


class AnnouncedText(TextEntropy, frozen=True, forbid_unknown_fields=True, tag="text", kw_only=True):
    """A text that comes about in public after the close, and the one spelling that it will have."""

    label: Annotated[str, name_of(200, "Five dice on stage")]
    format: TextFormat
    """Digits, or capital letters of ASCII, without spaces: nothing else will be taken."""


class AnnouncementInput(Input):
    """What a draw is going to be. It can't be changed afterwards."""

    prizes: Annotated[list[PrizeIn], Meta(min_length=1, max_length=MOST_PRIZES)] | None = None
    """In the order of the draw; all that is left, oldest first, when missing."""
    alternates: Annotated[int, Meta(ge=0, le=MOST_ALTERNATES)] = 0
    """How many are in line for each prize that has to be claimed, and take over one after the other
    what is declined or not claimed in time."""
    onePrizeEach: bool = True
    weightKey: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    """Member of the participants' metadata that says how many tickets each has, 1 to 1000."""
    exclusions: Annotated[tuple[Exclusion, ...], Meta(max_length=MOST_EXCLUSIONS)] = ()
    entropy: NoEntropy | AnnouncedText | DrandEntropy = NoEntropy()
    replaces: Id | None = None
    """A revoked winner, whose unit is drawn again."""
    allowRevoked: bool = False
    """Whether revoked winners of this prize take part again, with `replaces`."""
    immediate: bool = False
    """Announce, close and draw at once; nobody can check the commitment beforehand."""

    def terms(self) -> Terms:
        """Hand the announcement to the service."""
        wanted = self.prizes and tuple(WantedPrize(each.id, each.quantity) for each in self.prizes)
        return Terms(
            prizes=wanted or None,
            alternates=self.alternates,
            one_prize_each=self.onePrizeEach,
            weight_key=self.weightKey,
            exclusions=self.exclusions,
            entropy=self.entropy,
            replaces=self.replaces,
            allow_revoked=self.allowRevoked,
            immediate=self.immediate,
        )


class DrawInput(Input):
    """The public entropy, of the kind that was announced."""

    public: Annotated[str, Meta(min_length=1, max_length=10_000, examples=["42615"])] | None = None
    signature: (
        Annotated[
            str,
            Meta(
                pattern=r"^([0-9a-f]{2}){1,96}\Z",
                description="The drand round's signature, as hexadecimal digits in lower case.",
            ),
        ]
        | None
    ) = None


class CancellationInput(Input):
    """Why a draw is given up; it is published."""

    reason: Reason


class DrawOut(msgspec.Struct, kw_only=True):
    """A draw: what was announced, and how far it has come."""

    id: str
    roomId: str
    number: int
    spec: Spec
    """How it is computed: `draw/2` where something has to be claimed."""
    status: DrawStatus
    commitment: str
    prizes: list[PlannedPrize]
    alternates: int
    """How many are in line for each prize that has to be claimed."""
    onePrizeEach: bool
    weightKey: str | None
    entropy: Entropy
    replaces: str | None
    allowRevoked: bool
    immediate: bool
    entrantCount: int | None
    entrantsDigest: str | None
    planDigest: str | None
    announcedAt: str
    closedAt: str | None
    readyAt: str | None
    """When the public input was fixed."""
    drawnAt: str | None
    cancelledAt: str | None
    reason: str | None
    public: str | None
    """Hex."""
    signature: str | None
    secret: str | None
    """Revealed when the draw is over."""
    seed: str | None
    undrawn: int | None
    guests: int | None
    """How many of the entrants came in without an account: one person may have been several."""
    exclusions: list[Exclusion] | UnsetType = UNSET
    """Left out of lists and events, as what follows."""
    winners: tuple[Win, ...] | UnsetType | None = UNSET
    leftOut: LeftOut | UnsetType | None = UNSET
    passed: tuple[Passed, ...] | UnsetType | None = UNSET
    unawarded: tuple[Unawarded, ...] | UnsetType | None = UNSET

    @classmethod
    def of(cls, row: asyncpg.Record) -> "DrawOut":
        """Show a row of draws."""
        plan = _plan_of(row)
        return cls(
            id=row["id"],
            roomId=row["roomId"],
            number=row["number"],
            spec=spec_of(row),
            status=DrawStatus(row["status"]),
            commitment=row["commitment"],
            prizes=_prizes(row),
            alternates=row["alternates"] or 0,
            onePrizeEach=row["onePrizeEach"],
            weightKey=row["weightKey"],
            entropy=msgspec.json.decode(row["entropy"], type=Entropy),
            replaces=row["replaces"],
            allowRevoked=bool(row["allowRevoked"]),
            immediate=row["immediate"],
            entrantCount=None if plan is None else plan.entrantCount,
            entrantsDigest=None if plan is None else plan.entrantsDigest,
            planDigest=row["planDigest"],
            announcedAt=timestamp(row["announcedAt"]),
            closedAt=optional_timestamp(row["closedAt"]),
            readyAt=optional_timestamp(row["readyAt"]),
            drawnAt=optional_timestamp(row["drawnAt"]),
            cancelledAt=optional_timestamp(row["cancelledAt"]),
            reason=row["reason"],
            public=_hex(row["public"]),
            signature=row["signature"],
            secret=_hex(row["secret"]),
            seed=_hex(row["seed"]),
            undrawn=row["undrawn"],
            guests=row["guests"],
            **({} if "winners" not in row else {**_exclusions(row), **_long_members(row)}),
        )


async def made(make: Callable[[asyncpg.Record], MadeT], row: asyncpg.Record) -> MadeT:
    """Make an answer of a draw; a long one beside the requests of others, one after the other."""
    names = ("exclusions", "nextInLine", "claims", *LONG_MEMBERS)
    if sum(len(row[name] or "") for name in names) < LONG_CHARACTERS:
        return make(row)
    return await asyncio.get_running_loop().run_in_executor(_maker, make, row)


class WinOut(msgspec.Struct, kw_only=True):
    """A win as the room's lists name it, and what became of it."""

    participantId: str
    name: str | None
    """What the winner is called; null where nobody has said a name."""
    prizeId: str
    prizeName: str | None
    drawnIn: int | None
    """Number of the draw; null for what was awarded by hand."""
    winnerId: str | None
    """Of the award; null where nothing was awarded."""
    claim: ClaimOut | None
    """Null where nothing has to be claimed."""
    takesOverFrom: str | None
    """The participant who did not take this unit; null for who was drawn first."""
    revokedAt: str | None
    """When it was taken back."""
    redrawnIn: int | None
    """Number of the draw that draws its unit again."""

    @classmethod
    def of(cls, row: asyncpg.Record) -> "WinOut":
        """Show a row of a draw's wins."""
        return cls(
            participantId=row["participantId"],
            name=row["userName"],
            prizeId=row["prizeId"],
            prizeName=row["prizeName"],
            drawnIn=row["drawnIn"],
            winnerId=row["winnerId"],
            claim=ClaimOut.of(row),
            takesOverFrom=row["takesOverFrom"],
            revokedAt=optional_timestamp(row["revokedAt"]),
            redrawnIn=row["redrawnIn"],
        )


class WinsOut(msgspec.Struct, kw_only=True):
    """Whom a draw's wins went to."""

    replaced: WinOut | None
    """The win that was taken back and that this draw draws again."""
    wins: list[WinOut]
    """In the order of `winners`, at most 1,000; none before the draw is drawn. Then who took over
    what was not claimed, as it came, at most 1,000 as well."""

    @classmethod
    def of(cls, rows: Sequence[asyncpg.Record]) -> "WinsOut":
        """Show what `name_wins` has read."""
        return cls(
            replaced=next((WinOut.of(row) for row in rows if row["turn"] == 0), None),
            wins=[WinOut.of(row) for row in rows if row["turn"]],
        )


def record_of(row: asyncpg.Record) -> Record:
    """Make the public record of a row of draws."""
    record = Record(
        spec=spec_of(row),
        drawId=row["id"],
        roomId=row["roomId"],
        number=row["number"],
        status=DrawStatus(row["status"]),
        commitment=row["commitment"],
        plan=_plan_of(row),
        planDigest=row["planDigest"],
        exclusions=msgspec.json.decode(row["exclusions"], type=tuple[Exclusion, ...]),
        replaces=row["replaces"],
        immediate=row["immediate"],
        announcedAt=timestamp(row["announcedAt"]),
        closedAt=optional_timestamp(row["closedAt"]),
        drawnAt=optional_timestamp(row["drawnAt"]),
        cancelledAt=optional_timestamp(row["cancelledAt"]),
        reason=row["reason"],
        public=_hex(row["public"]),
        signature=row["signature"],
        secret=_hex(row["secret"]),
        seed=_hex(row["seed"]),
        undrawn=row["undrawn"],
        recordDigest="",
        **_late_members(row),
    )
    return sealed(record)


def _late_members(row: asyncpg.Record) -> dict[str, Any]:
    """Return the members that records did not always have.

    Of a draw that was announced before, those are left out that it has no value for: its record
    stays what it was.
    """
    late = {
        "allowRevoked": row["allowRevoked"],
        "readyAt": optional_timestamp(row["readyAt"]),
        **_long_members(row),
    }
    is_older = row["allowRevoked"] is None
    present = {
        name: value
        for name, value in late.items()
        if not is_older or value is not None or name == "winners"
    }
    return present if spec_of(row) == "draw/1" else present | _members_of_claims(row)


def _members_of_claims(row: asyncpg.Record) -> dict[str, Any]:
    """Return the members that draw/2 has alone."""
    if row["nextInLine"] is None:
        return {"nextInLine": None, "claims": None}
    claims = msgspec.json.decode(row["claims"] or "[]", type=list[Unclaimed])
    place = {prize.id: place for place, prize in enumerate(_prizes(row))}
    return {
        "nextInLine": msgspec.json.decode(row["nextInLine"], type=tuple[Win, ...]),
        "claims": tuple(sorted(claims, key=lambda each: place[each.prizeId])),
    }


def _long_members(row: asyncpg.Record) -> dict[str, Any]:
    """Return what lists leave out."""
    return {
        name: None if row[name] is None else msgspec.json.decode(row[name], type=type_)
        for name, type_ in LONG_MEMBERS.items()
    }


def _prizes(row: asyncpg.Record) -> list[PlannedPrize]:
    return msgspec.json.decode(row["prizes"], type=list[PlannedPrize])


def _exclusions(row: asyncpg.Record) -> dict[str, Any]:
    return {"exclusions": msgspec.json.decode(row["exclusions"], type=list[Exclusion])}


def _plan_of(row: asyncpg.Record) -> Plan | None:
    return None if row["plan"] is None else msgspec.json.decode(row["plan"], type=Plan)


def _hex(content: bytes | None) -> str | None:
    return None if content is None else content.hex()
