"""What an event says: made of what it happened to, as it is when the event is moved."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg
import msgspec

from app.database.engine import fetch
from app.events.catalogue import KINDS, Gone, Row, kind_of

logger = logging.getLogger(__name__)

READERS, MEMBERS = "readers", "members"
"""Who may hear an event: who may read the room, or only who is in it. It was private then."""

UNREADABLE = (TypeError, ValueError, RecursionError)
"""What is raised for what somebody wrote into the database by hand; msgspec's are ValueErrors."""

Details: TypeAlias = dict[str, Any]
"""What a row of the outbox says besides."""
Since: TypeAlias = Mapping[str, int]
"""The rooms that are public, and since which row of the outbox."""


class Entry(msgspec.Struct, frozen=True):
    """An event as the log keeps it."""

    id: str
    type: str
    room_id: str
    audience: str
    subject: str | None
    person: str | None
    content: str
    """JSON: `data`, and what else an event of this type says."""
    created_at: datetime


async def entries_of(rows: Sequence[asyncpg.Record]) -> list[Entry]:
    """Write what rows of the outbox tell, in their order.

    What can't be shown, because of what somebody wrote into the database by hand, is told without
    `data`: no event keeps the others from being told.
    """
    details = {row["seq"]: _details(row) for row in rows}
    public = await _public_rooms(rows, details)
    found = await _seen(rows)
    return [
        _entry(row, details[row["seq"]], _in_room(row, found.get(_key(row))), public)
        for row in rows
    ]


def _entry(row: asyncpg.Record, details: Details, seen: Row | None, public: Since) -> Entry:
    named = details.pop("person", None)
    column = KINDS[kind_of(row["type"])].person
    return Entry(
        id=row["id"],
        type=row["type"],
        room_id=row["roomId"],
        audience=_audience(row, public),
        subject=row["subject"],
        person=column and (named if seen is None else seen[column]),
        content=msgspec.json.encode({"data": _data(row, seen), **details}).decode(),
        created_at=row["createdAt"],
    )


def _in_room(row: asyncpg.Record, found: Row | None) -> Row | None:
    """Return what was found unless it is in another room by now, which is not for this one."""
    if found is None or found.get("roomId", found["id"]) != row["roomId"]:
        return None
    return found


def _key(row: asyncpg.Record) -> tuple[str, str]:
    return kind_of(row["type"]), row["subject"]


async def _public_rooms(
    rows: Sequence[asyncpg.Record], details: Mapping[int, Details]
) -> dict[str, int]:
    """Find the rooms that are public, and since which of the rows."""
    ids = {row["roomId"] for row in rows}
    found = await fetch('SELECT id FROM rooms WHERE id = ANY($1) AND "isPublic"', list(ids))
    public = dict.fromkeys((row["id"] for row in found), 0)
    for row in rows:
        if row["roomId"] in public and "isPublic" in details[row["seq"]].get("changed", ()):
            public[row["roomId"]] = row["seq"]
    return public


def _audience(row: asyncpg.Record, public: Since) -> str:
    """Tell who may hear: what happened before a room turned public stays among its members."""
    since = public.get(row["roomId"])
    return MEMBERS if since is None or row["seq"] < since else READERS


async def _seen(rows: Sequence[asyncpg.Record]) -> dict[tuple[str, str], Row]:
    """Read what the events happened to, each kind by one statement."""
    subjects: dict[str, set[str]] = {}
    for kind, subject in map(_key, rows):
        if subject is not None:
            subjects.setdefault(kind, set()).add(subject)
    return {
        (kind, row["id"]): row
        for kind, ids in subjects.items()
        for row in await _read(kind, [*ids])
    }


async def _read(kind: str, ids: Sequence[str]) -> Sequence[Row]:
    """Read rows, but for those that can't be read."""
    try:
        return await KINDS[kind].read(ids)
    except UNREADABLE as error:
        if len(ids) == 1:
            logger.warning("can't read %s %s: %r", kind, ids[0], error)
            return []
        return [row for each in ids for row in await _read(kind, [each])]


def _data(row: asyncpg.Record, seen: Row | None) -> Any:
    if row["subject"] is None:
        return None
    if seen is None:
        return Gone(row["subject"])
    try:
        return msgspec.to_builtins(KINDS[kind_of(row["type"])].shown.of(seen))
    except UNREADABLE as error:
        logger.warning("can't show %s %s: %r", row["type"], row["subject"], error)
        return Gone(row["subject"])


def _details(row: asyncpg.Record) -> Details:
    details = None if row["details"] is None else msgspec.json.decode(row["details"])
    return details if isinstance(details, dict) else {}
