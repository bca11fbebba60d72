"""Bodies and answers of webhooks."""

from datetime import datetime
from typing import Annotated, Any, Self

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.http.bodies import Input
from app.http.envelopes import optional_timestamp, timestamp
from app.tables import DeliveryStatus, DisabledReason
from app.webhooks.addresses import LONGEST_URL
from app.webhooks.payloads import payload
from app.webhooks.pulling import Pulled

MOST_OVERLAP_HOURS = 7 * 24
DEFAULT_OVERLAP_HOURS = 24

Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST_URL,
        description="An https address of the internet. On a development server also http, and this "
        "machine.",
        examples=["https://raffle.example.com/hooks"],
    ),
]
Types = Annotated[
    list[Annotated[str, Meta(max_length=100)]],
    Meta(
        max_length=100,
        description="Which events are sent; none named: all of them.",
        examples=[["winner.awarded", "winner.revoked"]],
    ),
]
Secret = Annotated[
    str,
    Meta(
        description="What signatures are verified with. Keep it: it is shown this once.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    ),
]


class WebhookInput(Input):
    """An endpoint to add."""

    url: Url
    types: Types = msgspec.field(default_factory=list)


class WebhookChange(Input):
    """What of an endpoint to change; what is missing stays."""

    url: Url | UnsetType = UNSET
    types: Types | UnsetType = UNSET
    isActive: bool | UnsetType = UNSET
    """Whether anything is sent."""


class RotationInput(Input):
    """How to change the secret."""

    overlapHours: Annotated[int, Meta(ge=0, le=MOST_OVERLAP_HOURS)] = DEFAULT_OVERLAP_HOURS
    """How long the secret before signs as well; 0 after a leak."""


class RecoveryInput(Input):
    """What to send."""

    since: Annotated[datetime, Meta(tz=True, examples=["2026-11-29T12:00:00Z"])]
    """When the first of it happened."""


class WebhookOut(msgspec.Struct, kw_only=True):
    """Where an app is told what happens in its rooms."""

    id: str
    appId: str
    url: str
    """Where to."""
    types: list[str]
    """Which events are sent; none named: all of them."""
    isActive: bool
    """Whether anything is sent."""
    disabledAt: str | None
    """Since when nothing is sent; null where it is not disabled."""
    disabledReason: DisabledReason | None
    """ASKED: by the app or an administrator; GONE: it has answered 410; FAILING: for five days."""
    failingSince: str | None
    """Since when nothing could be delivered."""
    formerSecretUntil: str | None
    """Until when the secret before the last rotation signs, too."""
    createdAt: str

    @classmethod
    def of(cls, row: asyncpg.Record, **more: Any) -> Self:
        """Show a row of webhooks."""
        reason = row["disabledReason"]
        return cls(
            **{name: row[name] for name in ("id", "appId", "url", "types")},
            isActive=row["disabledAt"] is None,
            disabledAt=optional_timestamp(row["disabledAt"]),
            disabledReason=None if reason is None else DisabledReason(reason),
            failingSince=optional_timestamp(row["failingSince"]),
            formerSecretUntil=optional_timestamp(row["formerUntil"]),
            createdAt=timestamp(row["createdAt"]),
            **more,
        )


class WebhookWithSecretOut(WebhookOut, kw_only=True):
    """An endpoint whose secret is new."""

    secret: Secret


class DeliveryOut(msgspec.Struct, kw_only=True):
    """An event that is sent to an endpoint."""

    id: str
    webhookId: str
    """The webhook's id."""
    eventId: str
    """What the header `webhook-id` says, the same each time."""
    type: str
    """What happened."""
    timestamp: str
    """When it happened."""
    data: dict[str, Any]
    """Ids: of the room, and of what it happened to."""
    status: DeliveryStatus
    """What has become of it."""
    attempts: int
    """How often it was sent."""
    nextAttemptAt: str | None
    """When it is sent again; null where it is not."""
    lastStatus: int | None
    """Of the endpoint's last answer."""
    lastError: str | None
    """Why it was not delivered, or not yet; null where it was."""
    deliveredAt: str | None
    """When it was taken; null where it was not."""
    createdAt: str

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        """Show a row of deliveries."""
        names = ("id", "webhookId", "eventId", "attempts", "lastStatus", "lastError")
        return cls(
            **{name: row[name] for name in names},
            **msgspec.structs.asdict(payload(row)),
            status=DeliveryStatus(row["status"]),
            nextAttemptAt=optional_timestamp(row["nextAttemptAt"]),
            deliveredAt=optional_timestamp(row["deliveredAt"]),
            createdAt=timestamp(row["createdAt"]),
        )


class RecoveredOut(msgspec.Struct):
    """How much is sent now."""

    count: int
    """How many events."""


class PulledEvent(msgspec.Struct):
    """What a webhook says, with its `webhook-id` as `id`."""

    id: str
    type: str
    """What happened."""
    timestamp: str
    """When it happened."""
    data: dict[str, Any]
    """Ids: of the room, and of what it happened to."""


class PulledMeta(msgspec.Struct):
    """Where to go on."""

    after: str
    """`after` of the next request."""
    hasMore: bool
    """Whether there is more already."""
    hasGap: bool
    """Whether events that came after the given place are forgotten: read afresh what you keep."""


class PulledOut(msgspec.Struct):
    """What happened in the rooms of an app, in one order."""

    data: list[PulledEvent]
    """The events, the oldest first."""
    meta: PulledMeta
    """Where to go on."""

    @classmethod
    def of(cls, pulled: Pulled) -> Self:
        """Show a piece of the log."""
        events = [
            PulledEvent(row["id"], **msgspec.structs.asdict(payload(row))) for row in pulled.events
        ]
        return cls(events, PulledMeta(str(pulled.after), pulled.has_more, pulled.has_gap))
