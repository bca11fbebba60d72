"""Bodies and answers of /rooms/{id}/draws."""

from typing import Annotated

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.draws.announcing import Terms, WantedPrize
from app.draws.ranking import SPEC, Entropy, Id, NoEntropy, Plan, PlannedPrize, Units, Win
from app.draws.record import LONGEST_REASON, Exclusion, Record, sealed
from app.http.bodies import Input
from app.http.envelopes import optional_timestamp, timestamp
from app.tables import DrawStatus

MOST_PRIZES = 1_000
MOST_EXCLUSIONS = 10_000

Reason = Annotated[
    str, Meta(min_length=1, max_length=LONGEST_REASON, examples=["The prize broke."])
]


class PrizeIn(Input):
    """A prize to draw; without a quantity all that is left of it."""

    id: Id
    quantity: Units | None = None


class AnnouncementInput(Input):
    """What a draw is going to be. It can't be changed afterwards."""

    prizes: Annotated[list[PrizeIn], Meta(min_length=1, max_length=MOST_PRIZES)] | None = None
    """In the order of the draw; all that is left, oldest first, when missing."""
    onePrizeEach: bool = True
    weightKey: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    """Member of the participants' metadata that says how many tickets each has, 1 to 1000."""
    exclusions: Annotated[tuple[Exclusion, ...], Meta(max_length=MOST_EXCLUSIONS)] = ()
    entropy: Entropy = NoEntropy()
    replaces: Id | None = None
    """A revoked winner, whose unit is drawn again."""
    immediate: bool = False
    """Announce, close and draw at once; nobody can check the commitment beforehand."""

    def terms(self) -> Terms:
        """Hand the announcement to the service."""
        wanted = self.prizes and tuple(WantedPrize(each.id, each.quantity) for each in self.prizes)
        return Terms(
            prizes=wanted or None,
            one_prize_each=self.onePrizeEach,
            weight_key=self.weightKey,
            exclusions=self.exclusions,
            entropy=self.entropy,
            replaces=self.replaces,
            immediate=self.immediate,
        )


class DrawInput(Input):
    """The public entropy, of the kind that was announced."""

    public: Annotated[str, Meta(min_length=1, max_length=10_000, examples=["4 2 6"])] | None = None
    signature: Annotated[str, Meta(pattern=r"^([0-9a-f]{2}){1,96}\Z")] | None = None
    """Of the drand round, in hex."""


class CancellationInput(Input):
    """Why a draw is given up; it is published."""

    reason: Reason


class DrawOut(msgspec.Struct, kw_only=True):
    """A draw: what was announced, and how far it has come."""

    id: str
    roomId: str
    number: int
    status: DrawStatus
    commitment: str
    prizes: list[PlannedPrize]
    onePrizeEach: bool
    weightKey: str | None
    exclusions: list[Exclusion]
    entropy: Entropy
    replaces: str | None
    immediate: bool
    entrantCount: int | None
    entrantsDigest: str | None
    planDigest: str | None
    announcedAt: str
    closedAt: str | None
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
    winners: list[Win] | UnsetType | None = UNSET
    """Left out of lists."""

    @classmethod
    def of(cls, row: asyncpg.Record) -> "DrawOut":
        """Show a row of draws."""
        plan = _plan_of(row)
        return cls(
            id=row["id"],
            roomId=row["roomId"],
            number=row["number"],
            status=DrawStatus(row["status"]),
            commitment=row["commitment"],
            prizes=msgspec.json.decode(row["prizes"], type=list[PlannedPrize]),
            onePrizeEach=row["onePrizeEach"],
            weightKey=row["weightKey"],
            exclusions=msgspec.json.decode(row["exclusions"], type=list[Exclusion]),
            entropy=msgspec.json.decode(row["entropy"], type=Entropy),
            replaces=row["replaces"],
            immediate=row["immediate"],
            entrantCount=None if plan is None else plan.entrantCount,
            entrantsDigest=None if plan is None else plan.entrantsDigest,
            planDigest=row["planDigest"],
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
            winners=_winners_of(row) if "winners" in row else UNSET,
        )


def record_of(row: asyncpg.Record) -> Record:
    """Make the public record of a row of draws."""
    winners = _winners_of(row)
    record = Record(
        spec=SPEC,
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
        winners=None if winners is None else tuple(winners),
        undrawn=row["undrawn"],
        recordDigest="",
    )
    return sealed(record)


def _plan_of(row: asyncpg.Record) -> Plan | None:
    return None if row["plan"] is None else msgspec.json.decode(row["plan"], type=Plan)


def _winners_of(row: asyncpg.Record) -> list[Win] | None:
    found = row["winners"]
    return None if found is None else msgspec.json.decode(found, type=list[Win])


def _hex(content: bytes | None) -> str | None:
    return None if content is None else content.hex()
