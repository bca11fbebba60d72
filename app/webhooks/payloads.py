"""What is sent: what happened, when, and the ids of what it happened to. No more.

What an app may read is decided when it reads.
"""

from typing import Any

import asyncpg
import msgspec

from app.http.envelopes import timestamp

TEST = "webhook.test"
"""The event that is sent when somebody asks for one."""


class Payload(msgspec.Struct):
    """The body of a webhook."""

    type: str
    timestamp: str
    """When it happened."""
    data: dict[str, Any]
    """Ids: of the room, and of what it happened to, such as `winnerId`."""


def payload(row: asyncpg.Record) -> Payload:
    """Say what a delivery tells."""
    data = msgspec.json.decode(row["data"])
    return Payload(row["type"], timestamp(row["occurredAt"]), data)
