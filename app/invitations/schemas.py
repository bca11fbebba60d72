"""Bodies and answers of invitations."""

from datetime import datetime
from typing import Annotated, Any

import asyncpg
import msgspec
from msgspec import Meta

from app.http.bodies import Input
from app.http.envelopes import optional_timestamp, timestamp
from app.invitations.service import Found
from app.tables import ParticipantRole

MOST_USES = 1_000_000


class InvitationInput(Input):
    """How to invite."""

    role: ParticipantRole = ParticipantRole.PARTICIPANT
    """As what people come in; below one's own role."""
    maxUses: Annotated[int, Meta(ge=1, le=MOST_USES)] | None = None
    """How many people it lets in; any number without it."""
    expiresAt: Annotated[datetime, Meta(tz=True, examples=["2027-12-31T23:00:00Z"])] | None = None
    """Until when; until it is revoked without it."""


class CodeInput(Input):
    """The code of an invitation, as somebody has typed it."""

    code: Annotated[str, Meta(min_length=1, max_length=40, examples=["7K2MX-9QD4R"])]


class InvitationOut(msgspec.Struct, kw_only=True):
    """An invitation. Its code is not shown again."""

    id: str
    roomId: str
    role: ParticipantRole
    maxUses: int | None
    uses: int
    expiresAt: str | None
    revokedAt: str | None
    createdBy: str
    createdAt: str

    @classmethod
    def of(cls, row: asyncpg.Record) -> "InvitationOut":
        """Show a row of invitations."""
        return cls(**_members(row))


class NewInvitationOut(InvitationOut, kw_only=True):
    """An invitation that was made just now, with its code."""

    code: Annotated[
        str, Meta(description="Keep it: it is shown this once, and only a hash of it is kept here.")
    ]
    link: Annotated[str, Meta(description="Leads to our page, with the code behind the #.")]
    qrCode: Annotated[
        str, Meta(description="The link to scan, as SVG: black on nothing, for a white ground.")
    ]

    @classmethod
    def shown(cls, row: asyncpg.Record, code: str, link: str, qr_code: str) -> "NewInvitationOut":
        """Show a row of invitations with what is known now alone."""
        return cls(**_members(row), code=code, link=link, qrCode=qr_code)


def _members(row: asyncpg.Record) -> dict[str, Any]:
    names = ("id", "roomId", "maxUses", "uses", "createdBy")
    return {
        **{name: row[name] for name in names},
        "role": ParticipantRole(row["role"]),
        "expiresAt": optional_timestamp(row["expiresAt"]),
        "revokedAt": optional_timestamp(row["revokedAt"]),
        "createdAt": timestamp(row["createdAt"]),
    }


class InvitedTo(msgspec.Struct):
    """What a code invites to."""

    roomId: str
    roomName: str
    role: ParticipantRole

    @classmethod
    def of(cls, found: Found) -> "InvitedTo":
        """Show it."""
        return cls(found.room_id, found.room_name, found.role)
