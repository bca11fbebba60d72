"""Bringing in thousands of people at once: one transaction, four statements, an outcome for each.

The locks are taken as for one person: the people, sorted by their ids, then the room, then the
memberships in the order of the people. So no two of them wait for each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from app.database.engine import fetch, fetchval, jsonb, transaction
from app.database.ids import new_id
from app.errors import AppError, Forbidden, NotFound, RoomClosed
from app.participants.roles import may_grant
from app.participants.service import Membership
from app.tables import Participant, ParticipantRole, Room, RoomStatus, User


class Outcome(StrEnum):
    """What became of a line."""

    ADDED = "ADDED"
    CAME_BACK = "CAME_BACK"
    ALREADY_IN = "ALREADY_IN"
    FAILED = "FAILED"


class Newcomer(msgspec.Struct, frozen=True):
    """Somebody to bring in, by id or by e-mail address."""

    user_id: str | None
    email: str | None
    role: ParticipantRole
    metadata: Mapping[str, Any] | None


class Line(msgspec.Struct, frozen=True):
    """A line of the request: somebody, or why it can't be read."""

    number: int
    content: Newcomer | AppError


class Result(msgspec.Struct, frozen=True):
    """What became of a line, and of whom."""

    line: int
    outcome: Outcome
    participant_id: str | None = None
    user_id: str | None = None
    error: AppError | None = None


class _People(msgspec.Struct, frozen=True):
    """The people of a request who exist, locked: nobody deletes them before it is committed."""

    ids: frozenset[str]
    by_email: Mapping[str, str]

    def find(self, wanted: Newcomer) -> str | None:
        """Return a person's id."""
        if wanted.email is not None:
            return self.by_email.get(wanted.email)
        return wanted.user_id if wanted.user_id in self.ids else None


async def add_participants(member: Membership, lines: Sequence[Line]) -> list[Result]:
    """Bring in everybody whose line allows it, as if one line came after the other.

    Returns:
        A result for each line, in their order.

    Raises:
        NotFound: The room was deleted meanwhile.
        RoomClosed: It is neither DRAFT nor ACTIVE.
    """
    newcomers = [each.content for each in lines if isinstance(each.content, Newcomer)]
    async with transaction():
        people = await _lock_people(newcomers)
        await _lock_open_room(member.room_id)
        chosen: dict[str, Newcomer] = {}
        for each in newcomers:
            if (person := people.find(each)) and _fault(member, each) is None:
                chosen.setdefault(person, each)
        entered = await _enter(member.room_id, chosen)
        present = await _present(member.room_id, chosen.keys() - entered.keys())
    return list(_results(member, lines, people, entered, present))


async def _lock_people(newcomers: Sequence[Newcomer]) -> _People:
    rows = await fetch(
        f"""
        SELECT u.id, u.email FROM {User.alive()} u
        WHERE u.id IN (
            SELECT id FROM users WHERE id = ANY($1::text[])
            UNION SELECT id FROM users WHERE email = ANY($2::text[])
        )
        ORDER BY u.id FOR SHARE
        """,
        [each.user_id for each in newcomers if each.user_id is not None],
        [each.email for each in newcomers if each.email is not None],
    )
    return _People(frozenset(row["id"] for row in rows), {row["email"]: row["id"] for row in rows})


async def _lock_open_room(room_id: str) -> None:
    """Keep the room from closing before the transaction ends."""
    status = await fetchval(f"SELECT status FROM {Room.alive()} r WHERE id = $1 FOR SHARE", room_id)
    if status is None:
        raise NotFound("There is no such room.")
    if not RoomStatus(status).is_open:
        raise RoomClosed


async def _enter(room_id: str, chosen: Mapping[str, Newcomer]) -> Mapping[str, tuple[str, Outcome]]:
    """Insert memberships and revive those that were left; who is in already is passed over.

    Returns:
        The people who entered: their participant ids, and whether they had been there before.
    """
    ids = {person: new_id() for person in chosen}
    rows = await fetch(
        """
        INSERT INTO participants AS p
            (id, "userId", "roomId", role, metadata, "joinedAt", "updatedAt")
        SELECT given.id, given.person, $1, given.role::"ParticipantRole", given.metadata::jsonb,
            now(), now()
        FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
            AS given(person, id, role, metadata)
        ORDER BY given.person
        ON CONFLICT ("userId", "roomId") DO UPDATE SET "deletedAt" = NULL, role = EXCLUDED.role,
            metadata = COALESCE(EXCLUDED.metadata, p.metadata), "updatedAt" = now()
            WHERE p."deletedAt" IS NOT NULL
        RETURNING p.id, p."userId"
        """,
        room_id,
        list(ids),
        list(ids.values()),
        [each.role for each in chosen.values()],
        [jsonb(each.metadata) for each in chosen.values()],
    )
    return {
        row["userId"]: (
            row["id"],
            Outcome.ADDED if row["id"] == ids[row["userId"]] else Outcome.CAME_BACK,
        )
        for row in rows
    }


async def _present(room_id: str, people: set[str]) -> Mapping[str, str]:
    rows = await fetch(
        f'SELECT "userId", id FROM {Participant.alive()} p '
        'WHERE "roomId" = $1 AND "userId" = ANY($2::text[])',
        room_id,
        list(people),
    )
    return {row["userId"]: row["id"] for row in rows}


def _results(
    member: Membership,
    lines: Sequence[Line],
    people: _People,
    entered: Mapping[str, tuple[str, Outcome]],
    present: Mapping[str, str],
) -> Iterator[Result]:
    """Tell what became of each line: the first one that names somebody lets them in."""
    told = set()
    for each in lines:
        error = _fault(member, each.content)
        person = None if isinstance(each.content, AppError) else people.find(each.content)
        if error is not None or person is None:
            error = error or NotFound("There is no such person.")
            yield Result(each.number, Outcome.FAILED, error=error)
        elif person in entered and person not in told:
            told.add(person)
            participant, outcome = entered[person]
            yield Result(each.number, outcome, participant, person)
        else:
            there = entered[person][0] if person in entered else present.get(person)
            yield Result(each.number, Outcome.ALREADY_IN, there, person)


def _fault(member: Membership, content: Newcomer | AppError) -> AppError | None:
    if isinstance(content, AppError):
        return content
    if not may_grant(member.rank, content.role):
        return Forbidden(f"You may not grant the role {content.role}.")
    return None
