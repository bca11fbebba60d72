"""Reading the log: which one it is, how far it goes, and what somebody has missed."""

import re
import secrets
from collections.abc import Sequence

import asyncpg
import msgspec

from app.database.engine import fetch, fetch_shared, fetchrow
from app.errors import ServiceUnavailable, ValidationFailed

MOST_READ = 200
"""Events that one statement reads."""
MOST_READ_BYTES = 500_000
"""And no more than these, but for one that is larger."""
EPOCH_BYTES = 6
LARGEST_POSITION = 2**63 - 1
PLACE = re.compile(r"(?P<epoch>[0-9A-Za-z.]{1,40})-(?P<position>[0-9]{1,19})", re.ASCII)

_SHOWN = 'position, id, type, "roomId", audience, subject, person, content, "createdAt"'
# A standby that took over may lack the last events: its timeline is another one.
_EPOCH = "epoch || '.' || ltrim(left(pg_walfile_name(pg_current_wal_lsn()), 8), '0')"
_STATE = f"""
    SELECT {_EPOCH} AS epoch, COALESCE((SELECT max(position) FROM events), 0) AS position
    FROM event_log
"""


class Place(msgspec.Struct, frozen=True):
    """How far somebody has read: a position of an epoch."""

    epoch: str
    position: int

    def __lt__(self, other: "Place") -> bool:
        """Tell whether it is before another place of the same log."""
        return self.epoch == other.epoch and self.position < other.position

    def __str__(self) -> str:
        """Write it as clients send it back."""
        return f"{self.epoch}-{self.position}"


def place_of(text: str) -> Place:
    """Read what `str` wrote.

    Raises:
        ValidationFailed: It is not a place.
    """
    place = PLACE.fullmatch(text)
    if place is None or int(place["position"]) > LARGEST_POSITION:
        raise ValidationFailed.at({"after": "Not the id of an event, nor an Event-Position."})
    return Place(place["epoch"], int(place["position"]))


async def end_of_log(connection: asyncpg.Connection) -> Place:
    """Find the end of the log; begins the log if nobody has."""
    row = await connection.fetchrow(_STATE)
    if row is None:
        await connection.fetch(
            "INSERT INTO event_log (id, epoch) VALUES (1, $1) ON CONFLICT DO NOTHING",
            secrets.token_hex(EPOCH_BYTES),
        )
        return await end_of_log(connection)
    return Place(row["epoch"], row["position"])


async def last_place() -> Place:
    """Find the end of the log, for who asks now and then.

    Raises:
        ServiceUnavailable: Nobody has begun the log yet.
    """
    row = await fetchrow(_STATE)
    if row is None:
        raise ServiceUnavailable
    return Place(row["epoch"], row["position"])


async def begin_anew(connection: asyncpg.Connection, end: Place) -> Place:
    """Give the log another epoch, unless somebody has, and find its end."""
    await connection.execute(
        "UPDATE event_log SET epoch = $1 WHERE epoch = $2",
        secrets.token_hex(EPOCH_BYTES),
        end.epoch.partition(".")[0],
    )
    return await end_of_log(connection)


async def read_from(position: int) -> Sequence[asyncpg.Record]:
    """Read what comes after a position, of all rooms."""
    return await fetch(
        f"SELECT {_SHOWN} FROM events WHERE position > $1 ORDER BY position LIMIT $2",
        position,
        MOST_READ,
    )


async def missed(column: str, value: str, position: int) -> Sequence[asyncpg.Record]:
    """Read what comes after a position of one room, or of what concerns one person.

    Args:
        column: `roomId` or `person`.
        value: Whose.
        position: How far has been read.
    """
    return await fetch(
        f"""
        SELECT {_SHOWN} FROM (
            SELECT {_SHOWN}, sum(octet_length(content::text)) OVER (ORDER BY position)
                - octet_length(content::text) AS bytes_before
            FROM (
                SELECT {_SHOWN} FROM events WHERE "{column}" = $1 AND position > $2
                ORDER BY position LIMIT $3
            ) next
        ) few WHERE bytes_before < $4 ORDER BY position
        """,
        value,
        position,
        MOST_READ,
        MOST_READ_BYTES,
    )


async def has_all_after(position: int) -> bool:
    """Tell whether nothing that came after a position is forgotten, and it is not made up."""
    [row] = await fetch_shared(
        "SELECT COALESCE((SELECT min(position) FROM events), 1) AS first, "
        "COALESCE((SELECT max(position) FROM events), 0) AS last"
    )
    return bool(row["first"] - 1 <= position <= row["last"])
