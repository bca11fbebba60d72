"""Bringing people in, one or thousands: one transaction, few statements, an outcome for each.

Somebody who is named by an address is a row of the room that waits for whoever signs in with it.
Whether anybody has an account with it is not looked at: neither the answer nor its time can tell.

The locks are taken in one order: the people, sorted by their ids, then the room, then its rows by
theirs. New rows come last, those of people before those of addresses, each sorted. So no two of
them wait for each other.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeAlias

import asyncpg
import msgspec

from app.database.engine import fetch, jsonb, transaction
from app.database.ids import new_id
from app.errors import AppError, Conflict, Forbidden, NotFound
from app.participants.roles import may_grant
from app.participants.service import Membership, find_participant, lock_open
from app.tables import Participant, ParticipantRole, User


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
    name: str | None
    """What somebody with the address is called until they join."""
    role: ParticipantRole
    metadata: Mapping[str, Any] | None

    @property
    def key(self) -> str:
        """The id or the address, which never looks like an id."""
        return self.email or self.user_id or ""


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


class _Presence(msgspec.Struct, frozen=True):
    """Somebody's row in the room, and what the first line that names them did."""

    outcome: Outcome
    participant_id: str | None
    user_id: str | None


_Rows: TypeAlias = Mapping[str, asyncpg.Record]
"""Rows of the room, by the person's id and by the address too."""


@dataclass(frozen=True)
class _Plan:
    """What is to become of lines."""

    faults: Sequence[AppError | None]
    known: _Rows
    first: Mapping[str, Newcomer]
    """Whom the lines name, each once, by what is the same for all that name the same person."""

    @cached_property
    def rows(self) -> Mapping[str, asyncpg.Record]:
        """Rows of those who are in the room or were, by their ids."""
        return {row["id"]: row for row in self.known.values() if row["id"] in self.first}

    @cached_property
    def left(self) -> Mapping[str, Newcomer]:
        """Who comes back."""
        gone = (id_ for id_, row in self.rows.items() if row["deletedAt"] is not None)
        return {id_: self.first[id_] for id_ in gone}

    @cached_property
    def new(self) -> Sequence[Newcomer]:
        """Who was never here."""
        return [each for identity, each in self.first.items() if identity not in self.rows]


def count_addresses(lines: Sequence[Line]) -> int:
    """Tell how many lines name somebody by an address."""
    contents = (each.content for each in lines)
    return sum(isinstance(each, Newcomer) and each.email is not None for each in contents)


async def add_participant(member: Membership, newcomer: Newcomer) -> tuple[asyncpg.Record, bool]:
    """Bring one person in. True when it is the first time.

    Raises:
        Forbidden: The role is higher than the caller may grant.
        NotFound: There is no such person, or the room was deleted meanwhile.
        RoomClosed: It is neither DRAFT nor ACTIVE.
        Conflict: They are in the room already.
    """
    async with transaction():
        [result] = await add_participants(member, [Line(1, newcomer)])
        if result.error is not None:
            raise result.error
        if result.outcome is Outcome.ALREADY_IN or result.participant_id is None:
            raise Conflict("This person is in the room already.")
        row = await find_participant(member, result.participant_id)
        return row, result.outcome is Outcome.ADDED


async def add_participants(member: Membership, lines: Sequence[Line]) -> list[Result]:
    """Bring in everybody whose line allows it, as if one line came after the other.

    Returns:
        A result for each line, in their order.

    Raises:
        NotFound: The room was deleted meanwhile.
        RoomClosed: It is neither DRAFT nor ACTIVE.
    """
    async with transaction():
        plan = await _plan(member, lines)
        await _bring_back(plan.left)
        presences = {**_present_as_planned(plan), **await _bring_in(member.room_id, plan.new)}
    return list(_results(lines, plan, presences))


async def foresee_participants(member: Membership, lines: Sequence[Line]) -> list[Result]:
    """Tell what `add_participants` would do, and do nothing.

    Raises:
        NotFound: The room was deleted meanwhile.
        RoomClosed: It is neither DRAFT nor ACTIVE.
    """
    async with transaction():
        plan = await _plan(member, lines, lock=False)
    new = {each.key: _Presence(Outcome.ADDED, None, each.user_id) for each in plan.new}
    return list(_results(lines, plan, {**_present_as_planned(plan), **new}))


async def _plan(member: Membership, lines: Sequence[Line], *, lock: bool = True) -> _Plan:
    newcomers = [each.content for each in lines if isinstance(each.content, Newcomer)]
    people = await _find_people(member.room_id, newcomers, lock="FOR SHARE" if lock else "")
    await lock_open(member.room_id)
    known = await _find_rows(member.room_id, newcomers, lock="FOR NO KEY UPDATE" if lock else "")
    faults = [_fault(member, each.content, people) for each in lines]
    first: dict[str, Newcomer] = {}
    for each, fault in zip(lines, faults, strict=True):
        if isinstance(each.content, Newcomer) and fault is None:
            first.setdefault(_identity(each.content, known), each.content)
    return _Plan(faults, known, first)


async def _find_people(room_id: str, newcomers: Sequence[Newcomer], *, lock: str) -> frozenset[str]:
    """Find who exists of those who are named by id; locked, nobody deletes them meanwhile.

    Guests of other rooms are there for nobody.
    """
    rows = await fetch(
        f"SELECT id FROM {User.alive()} u WHERE id = ANY($2::text[]) "
        f'AND COALESCE("guestOf", $1) = $1 ORDER BY id {lock}',
        room_id,
        [each.user_id for each in newcomers if each.user_id is not None],
    )
    return frozenset(row["id"] for row in rows)


async def _find_rows(room_id: str, newcomers: Sequence[Newcomer], *, lock: str) -> _Rows:
    """Find who of them is in the room or was."""
    rows = await fetch(
        f"""
        SELECT id, "userId", email, "deletedAt" FROM participants WHERE id IN (
            SELECT id FROM participants WHERE "roomId" = $1 AND "userId" = ANY($2::text[])
            UNION SELECT id FROM participants WHERE "roomId" = $1 AND email = ANY($3::text[])
        )
        ORDER BY id {lock}
        """,
        room_id,
        [each.user_id for each in newcomers if each.user_id is not None],
        [each.email for each in newcomers if each.email is not None],
    )
    return {key: row for row in rows for key in (row["userId"], row["email"]) if key is not None}


def _fault(
    member: Membership, content: Newcomer | AppError, people: Collection[str]
) -> AppError | None:
    if isinstance(content, AppError):
        return content
    if not may_grant(member.rank, content.role):
        return Forbidden(f"You may not grant the role {content.role}.")
    if content.user_id is not None and content.user_id not in people:
        return NotFound("There is no such person.")
    return None


def _identity(newcomer: Newcomer, known: _Rows) -> str:
    """Return what is the same for all who name the same person."""
    row = known.get(newcomer.key)
    return newcomer.key if row is None else str(row["id"])


def _present_as_planned(plan: _Plan) -> dict[str, _Presence]:
    """Tell who comes back, and who is in already and stays as they are."""
    return {
        id_: _Presence(
            Outcome.CAME_BACK if id_ in plan.left else Outcome.ALREADY_IN, id_, row["userId"]
        )
        for id_, row in plan.rows.items()
    }


async def _bring_back(left: Mapping[str, Newcomer]) -> None:
    """Revive rows: as somebody who is known by the address now given, or by none."""
    await fetch(
        """
        UPDATE participants p SET "deletedAt" = NULL, "erasedAt" = NULL, "acceptedAt" = NULL,
            email = given.email, name = COALESCE(given.name, p.name),
            role = given.role::"ParticipantRole",
            metadata = COALESCE(given.metadata::jsonb, p.metadata), "updatedAt" = now()
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
            AS given (id, email, name, role, metadata)
        WHERE p.id = given.id
        """,
        list(left),
        *_columns(left.values()),
    )


async def _bring_in(room_id: str, new: Sequence[Newcomer]) -> dict[str, _Presence]:
    """Insert rows; who has come in meanwhile is passed over."""
    ids = {newcomer.key: new_id() for newcomer in new}
    rows = await fetch(
        """
        INSERT INTO participants
            (id, "userId", "roomId", email, name, role, metadata, "joinedAt", "updatedAt")
        SELECT given.id, given.person, $1, given.email, given.name,
            given.role::"ParticipantRole", given.metadata::jsonb, now(), now()
        FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
            AS given (id, person, email, name, role, metadata)
        ORDER BY given.person, given.email
        ON CONFLICT DO NOTHING RETURNING id
        """,
        room_id,
        list(ids.values()),
        [each.user_id for each in new],
        *_columns(new),
    )
    inserted = {row["id"] for row in rows}
    presences = {
        each.key: _Presence(Outcome.ADDED, ids[each.key], each.user_id)
        for each in new
        if ids[each.key] in inserted
    }
    met = [each for each in new if each.key not in presences]
    return {**presences, **await _met(room_id, met)}


async def _met(room_id: str, newcomers: Sequence[Newcomer]) -> dict[str, _Presence]:
    """Find the rows of those who have come in meanwhile."""
    rows = await _present(room_id, newcomers) if newcomers else []
    found = {key: row for row in rows for key in (row["userId"], row["email"])}
    return {
        each.key: _Presence(
            Outcome.ALREADY_IN,
            found[each.key]["id"] if each.key in found else None,
            found[each.key]["userId"] if each.key in found else None,
        )
        for each in newcomers
    }


async def _present(room_id: str, newcomers: Sequence[Newcomer]) -> Sequence[asyncpg.Record]:
    keys = [each.key for each in newcomers]
    return await fetch(
        f'SELECT id, "userId", email FROM {Participant.alive()} p WHERE "roomId" = $1 '
        'AND ("userId" = ANY($2::text[]) OR email = ANY($2::text[]))',
        room_id,
        keys,
    )


def _columns(newcomers: Collection[Newcomer]) -> list[list[str | None]]:
    return [
        [each.email for each in newcomers],
        [each.name for each in newcomers],
        [each.role for each in newcomers],
        [jsonb(each.metadata) for each in newcomers],
    ]


def _results(
    lines: Sequence[Line],
    plan: _Plan,
    presences: Mapping[str, _Presence],
) -> Iterator[Result]:
    """Tell what became of each line: the first one that names somebody lets them in."""
    told = set()
    for each, fault in zip(lines, plan.faults, strict=True):
        if fault is not None or isinstance(each.content, AppError):
            yield Result(each.number, Outcome.FAILED, error=fault)
            continue
        identity = _identity(each.content, plan.known)
        found = presences[identity]
        outcome = Outcome.ALREADY_IN if identity in told else found.outcome
        told.add(identity)
        yield Result(each.number, outcome, found.participant_id, found.user_id)
