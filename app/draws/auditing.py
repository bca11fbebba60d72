"""What happened to a room's draws, and in the room between their steps, from `audit_log`."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from app.database.engine import fetch, fetchval
from app.errors import NotFound

NAMES = {
    "participants": "participant(s)",
    "prizes": "prize(s)",
    "winners": "award(s)",
    "rooms": "room",
    "users": "account(s)",
}
VERBS = {"insert": "new", "update": "changed", "delete": "erased", "truncate": "erased"}


class Event(msgspec.Struct, frozen=True):
    """A step of a draw, or a change in its room between two steps."""

    at: datetime
    draw: int
    actor: str
    """Who did it; `database` where the database was not told."""
    what: str
    step: bool
    changes: tuple[str, ...] = ()
    """Of a change between steps: each row, in words; of more than a hundred the first hundred."""


async def audit_of(room_id: str, number: int | None = None) -> list[Event]:
    """List what happened to a room's draws, oldest first; of deleted rooms too.

    Args:
        room_id: The room.
        number: Only the draw of this number.

    Raises:
        NotFound: There is no such room.
    """
    if not await fetchval("SELECT 1 FROM rooms WHERE id = $1", room_id):
        raise NotFound("There is no such room.")
    rows = await fetch(
        """
        SELECT x.number, l.* FROM draws x JOIN audit_log l ON l."rowId" = x.id
        WHERE x."roomId" = $1 AND ($2::int IS NULL OR x.number = $2)
            AND l."tableName" IN ('draws', 'participants', 'prizes', 'winners', 'rooms', 'users')
        ORDER BY x.number, l.id
        """,
        room_id,
        number,
    )
    return [_event(row) for row in rows]


def _event(row: asyncpg.Record) -> Event:
    at, after = row["createdAt"].astimezone(UTC), msgspec.json.decode(row["after"] or "{}")
    if row["tableName"] == "draws":
        return Event(at, row["number"], row["actor"], row["action"], step=True)
    verb = VERBS[row["action"].split()[0]]
    what = f"{after['count']} {NAMES[row['tableName']]} {verb}"
    changes = tuple(_in_words(change) for change in after["rows"])
    return Event(at, row["number"], row["actor"], what, step=False, changes=changes)


def _in_words(change: Mapping[str, Any]) -> str:
    return f"{change['id']}: {', '.join(_differences(change['before'], change['after']))}"


def _differences(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> Iterator[str]:
    if before is None or after is None:
        yield from (f"{name} {value}" for name, value in (before or after or {}).items() if value)
        return
    for name, value in after.items():
        if value != before[name]:
            yield f"{name} {_word(before[name])} → {_word(value)}"


def _word(value: object) -> str:
    return "none" if value is None else str(value)
