"""Bodies and answers of /rooms."""

from collections.abc import Mapping
from typing import Annotated, Any, cast

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.applications.schemas import Deprecation
from app.http.bodies import Input, name_of, text_of
from app.http.envelopes import optional_timestamp, timestamp
from app.participants.schemas import PersonOut
from app.tables import RoomStatus, ShowName

RoomName = Annotated[str, name_of(255, "New Year Lottery")]
Description = Annotated[str, text_of(2000)]
SendsMail = Annotated[
    bool,
    Meta(description="Whether winners are told by mail, where the platform has a mail server."),
]

ForgetAfter = Annotated[
    str,
    Meta(
        pattern=r"^P[1-9][0-9]{0,3}D\Z",
        description="How long after the room's end its people are forgotten, an ISO 8601 duration "
        "in days; null: never. Draws stay verifiable.",
        examples=["P30D"],
    ),
]
Guests = Annotated[
    bool,
    Meta(description="Whether who has no account may come in, while the room is public and open."),
]

ShownNames = Annotated[
    ShowName | None,
    Meta(
        description="How people are called before who does not moderate the room, unless they "
        "choose themselves: FULL, INITIALS (A. J.) or NONE; null: INITIALS where the room is "
        "public, else FULL."
    ),
]


class RoomInput(Input):
    """A room to open."""

    name: RoomName
    appId: Annotated[str, Meta(max_length=100, examples=["app_lottery_v1"])]
    appSettings: dict[str, Any] = msgspec.field(default_factory=dict)
    description: Description | None = None
    isPublic: bool = True
    sendsMail: SendsMail = True
    showName: ShownNames = None
    forgetAfter: ForgetAfter | None = None
    guests: Guests = False


class RoomChange(Input):
    """What of a room to change; what is missing stays."""

    name: RoomName | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    appSettings: dict[str, Any] | UnsetType = UNSET
    """Replaces the settings whole."""
    isPublic: bool | UnsetType = UNSET
    sendsMail: SendsMail | UnsetType = UNSET
    showName: ShownNames | UnsetType = UNSET
    forgetAfter: ForgetAfter | UnsetType | None = UNSET
    guests: Guests | UnsetType = UNSET
    status: RoomStatus | UnsetType = UNSET
    createdBy: Annotated[str, Meta(max_length=100)] | UnsetType = UNSET
    """Another ORGANIZER of the room, whose it is from now on."""


class UpgradeInput(Input):
    """The version to move a room up to, and what its settings need for that."""

    targetVersion: Annotated[str, Meta(max_length=100, examples=["2.0.0"])]
    settings: Annotated[
        dict[str, Any],
        Meta(
            description="Merged into the present settings by JSON Merge Patch (RFC 7396): objects "
            "member by member, anything else whole; null removes a member.",
            examples=[{"drawDate": "2026-12-31T23:00:00Z", "color": None}],
        ),
    ] = msgspec.field(default_factory=dict)
    preview: Annotated[
        bool, Meta(description="Change nothing, and show the room as it would be.")
    ] = False


class Counts(msgspec.Struct):
    """How many alive ones there are in the room."""

    participants: int
    prizes: int
    winners: int


class RoomAppOut(msgspec.Struct, omit_defaults=True):
    """The app of a room: its present version, and for a single room the locked manifest."""

    appId: str
    manifestVersion: str
    manifest: dict[str, Any] | UnsetType = UNSET
    deprecation: Deprecation | UnsetType = UNSET
    """Of the locked version, where it is deprecated; for a single room."""


class RoomOut(msgspec.Struct):
    """A room."""

    id: str
    name: str
    description: str | None
    appId: str
    appSettings: dict[str, Any]
    appManifestVersion: str
    status: RoomStatus
    isPublic: bool
    sendsMail: SendsMail
    showName: ShownNames
    forgetAfter: ForgetAfter | None
    guests: Guests
    createdBy: str
    createdAt: str
    updatedAt: str
    deletedAt: str | None
    organizer: PersonOut
    app: RoomAppOut
    counts: Counts = msgspec.field(name="_count")

    @classmethod
    def of(cls, row: asyncpg.Record | Mapping[str, Any]) -> "RoomOut":
        """Show a row of rooms with what was joined to it."""
        manifest = row.get("manifest")
        return cls(
            id=row["id"],
            name=row["name"],
            description=row["description"],
            appId=row["appId"],
            appSettings=msgspec.json.decode(row["appSettings"]),
            appManifestVersion=row["appManifestVersion"],
            status=RoomStatus(row["status"]),
            isPublic=row["isPublic"],
            sendsMail=row["sendsMail"],
            showName=row["showName"] and ShowName(row["showName"]),
            forgetAfter=row["forgetAfter"],
            guests=row["guests"],
            createdBy=row["createdBy"],
            createdAt=timestamp(row["createdAt"]),
            updatedAt=timestamp(row["updatedAt"]),
            deletedAt=optional_timestamp(row["deletedAt"]),
            organizer=PersonOut(row["createdBy"], row["organizerName"], row["organizerAvatar"]),
            app=RoomAppOut(
                row["appId"],
                row["currentVersion"],
                UNSET if manifest is None else msgspec.json.decode(manifest),
                Deprecation.of(row.get("deprecatedAt"), row.get("deprecationReason")) or UNSET,
            ),
            counts=Counts(row["participants"], row["prizes"], row["winners"]),
        )

    @classmethod
    def listed(cls, row: asyncpg.Record | Mapping[str, Any]) -> "RoomOut":
        """Show a row of a list, which is JSON already: encoding it again would be half the work."""
        return cast("RoomOut", msgspec.Raw(row["shown"]))
