"""Answers of /events."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from app.http.envelopes import timestamp


class TicketOut(msgspec.Struct):
    """What opens one stream."""

    ticket: Annotated[str, Meta(description="For `?ticket=`, once.")]
    expiresAt: str

    @classmethod
    def of(cls, ticket: str, expires_at: datetime) -> "TicketOut":
        """Show a ticket."""
        return cls(ticket, timestamp(expires_at))
