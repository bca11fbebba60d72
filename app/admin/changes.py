"""What may be changed in the page: each table's columns and the services that change them.

Nothing else writes. What changes, by whom, is recorded by the database's own triggers, in the same
transaction (see the migration `audit_log`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg
import msgspec
from msgspec import UNSET, UnsetType
from piccolo.columns import JSONB
from piccolo.table import Table

from app.applications.publishing import change_app, delete_app
from app.auth.sessions import end_sessions
from app.database.audit import acting
from app.database.engine import fetch, fetchrow, transaction
from app.errors import Conflict, NotFound, ValidationFailed
from app.http.bodies import Input, decode_body
from app.http.bodies import given as body_members
from app.invitations.service import revoke as revoke_invitation
from app.participants.schemas import ParticipantChange
from app.participants.service import change_participant, remove_participant, staff_membership
from app.prizes.schemas import PrizeChange
from app.prizes.service import change_prize, delete_prize
from app.rooms.organizers import keep_organized
from app.rooms.schemas import RoomChange
from app.rooms.service import change_room, delete_room
from app.tables import App, Invitation, Participant, Prize, Room, Session, User, Winner
from app.users.schemas import UserChange
from app.users.service import change_user, delete_user
from app.winners.service import revoke

Changes: TypeAlias = Mapping[str, Any]
"""Columns to new values; documents are decoded."""


ENDED_BY_STAFF = "ended by an administrator"


class AppOpening(Input):
    """Whether an app takes new rooms. A manifest is published by the form of its own."""

    isActive: bool | UnsetType = UNSET


class Rules(msgspec.Struct, frozen=True):
    """What the page may do to a table's rows. Each function takes the row as it is."""

    body: type[Input] = Input
    """The API's body of a change: which columns there are, and what they may hold."""
    change: Callable[[asyncpg.Record, Changes], Awaitable[object]] | None = None
    delete: Callable[[asyncpg.Record, str], Awaitable[object]] | None = None
    """Takes the actor's name, too."""

    @property
    def columns(self) -> frozenset[str]:
        """Those that can be changed."""
        return frozenset(self.body.__struct_fields__)


async def _change_user(row: asyncpg.Record, changes: Changes) -> None:
    await change_user(row["id"], changes)


async def _change_room(row: asyncpg.Record, changes: Changes) -> None:
    await change_room(await staff_membership(row["id"]), changes)


async def _change_participant(row: asyncpg.Record, changes: Changes) -> None:
    await change_participant(await staff_membership(row["roomId"]), row["id"], changes)


async def _change_prize(row: asyncpg.Record, changes: Changes) -> None:
    await change_prize(await staff_membership(row["roomId"]), row["id"], changes)


async def _change_app(row: asyncpg.Record, changes: Changes) -> None:
    await change_app(row["appId"], is_active=changes["isActive"])


async def _end_session(row: asyncpg.Record, actor: str) -> None:
    await end_sessions(row["userId"], session_id=row["id"], reason=ENDED_BY_STAFF, revoked_by=actor)


async def _delete_user(row: asyncpg.Record, _: str) -> None:
    """Delete a person, who may take their own rooms along, but not have them taken by a click."""
    await delete_user(row["id"], spare_rooms=True)


async def _delete_app(row: asyncpg.Record, _: str) -> None:
    await delete_app(row["appId"])


async def _delete_room(row: asyncpg.Record, _: str) -> None:
    await delete_room(await staff_membership(row["id"]))


async def _remove_participant(row: asyncpg.Record, _: str) -> None:
    await remove_participant(await staff_membership(row["roomId"]), row["id"])


async def _delete_prize(row: asyncpg.Record, _: str) -> None:
    await delete_prize(await staff_membership(row["roomId"]), row["id"])


async def _revoke_winner(row: asyncpg.Record, _: str) -> None:
    await revoke(await staff_membership(row["roomId"]), row["id"])


async def _revoke_invitation(row: asyncpg.Record, _: str) -> None:
    await revoke_invitation(await staff_membership(row["roomId"]), row["id"])


RULES: Mapping[type[Table], Rules] = {
    User: Rules(UserChange, _change_user, _delete_user),
    Session: Rules(delete=_end_session),
    App: Rules(AppOpening, _change_app, _delete_app),
    Room: Rules(RoomChange, _change_room, _delete_room),
    Participant: Rules(ParticipantChange, _change_participant, _remove_participant),
    Invitation: Rules(delete=_revoke_invitation),
    Prize: Rules(PrizeChange, _change_prize, _delete_prize),
    Winner: Rules(delete=_revoke_winner),
}
READ_ONLY = Rules()


def rules_of(table: type[Table]) -> Rules:
    """Return what may be done to a table's rows: without a rule, nothing."""
    return RULES.get(table, READ_ONLY)


@asynccontextmanager
async def recorded(actor: str, action: str) -> AsyncIterator[None]:
    """Do something in a transaction in which every row that changes is recorded."""
    async with transaction(), acting(actor, action):
        yield


async def change_row(actor: str, table: type[Table], row_id: object, given: Changes) -> None:
    """Change what is given and differs; the other columns aren't written.

    Args:
        actor: The administrator's name.
        table: The row's.
        row_id: Its primary key.
        given: Columns to values, such as a form posts them: all that it shows.

    Raises:
        NotFound: There is no such row.
        ValidationFailed: Columns that can't be changed here, or not to this; names them.
        Conflict: The row was deleted.
        AppError: The service refuses.
    """
    rules = rules_of(table)
    async with recorded(actor, "change"):
        present = await _present(table, row_id)
        wanted = _differing(table, present, given)
        fixed = wanted.keys() - rules.columns
        if fixed:
            raise ValidationFailed.at({f"$.{name}": "can't be changed here." for name in fixed})
        if wanted and present.get("deletedAt") is not None:
            raise Conflict("This was deleted. Restore it first.")
        if wanted and rules.change is not None:
            body = decode_body(msgspec.json.encode(wanted), rules.body)
            await rules.change(present, body_members(body))


async def delete_row(actor: str, table: type[Table], row_id: object) -> None:
    """Delete a row as the plan wants it: where it knows soft delete, the row stays.

    Raises:
        NotFound: There is no such row.
        Conflict: Nobody deletes rows of this table by hand, or it was deleted already.
        AppError: The service refuses.
    """
    rules = rules_of(table)
    if rules.delete is None:
        raise Conflict("Rows of this table are not deleted by hand.")
    async with recorded(actor, "delete"):
        present = await _present(table, row_id)
        if present.get("deletedAt") is not None:
            raise Conflict("This was deleted already.")
        await rules.delete(present, actor)


# What a row belongs to has to be alive for it to come back, and is locked in this order: people
# before rooms, as everywhere. A revoked win does not: its unit may be
# somebody else's by now.
PARENTS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "users": {},
    "apps": {},
    "rooms": {"appId": ("apps", "appId"), "createdBy": ("users", "id")},
    "participants": {"userId": ("users", "id"), "roomId": ("rooms", "id")},
    "prizes": {"roomId": ("rooms", "id")},
}


async def restore_row(actor: str, table: str, row_id: str) -> None:
    """Bring a soft-deleted row back, as it was; not what went with it, but a room's ORGANIZER.

    Raises:
        NotFound: There is no such row among the deleted, or no such table.
        Conflict: What it belongs to was deleted; names it.
    """
    if table not in PARENTS:
        raise NotFound(f"Rows come back to: {', '.join(PARENTS)}.")
    async with recorded(actor, "restore"):
        row = await fetchrow(
            f'SELECT * FROM {table} WHERE id = $1 AND "deletedAt" IS NOT NULL', row_id
        )
        if row is None:
            raise NotFound("There is no such row among the deleted.")
        if row.get("erasedAt") is not None:
            raise Conflict("They were erased: nothing is left to bring back.")
        for column, (parent, key) in PARENTS[table].items():
            if row[column] is None:
                continue
            alive = await fetchrow(
                f'SELECT 1 FROM {parent} WHERE "{key}" = $1 AND "deletedAt" IS NULL FOR SHARE',
                row[column],
            )
            if alive is None:
                raise Conflict(f"It belongs to {parent} {row[column]}: restore that first.")
        await fetch(
            f'UPDATE {table} SET "deletedAt" = NULL, "updatedAt" = now() WHERE id = $1', row_id
        )
        if table == "rooms":
            await keep_organized(row_id)


async def _present(table: type[Table], row_id: object) -> asyncpg.Record:
    name = table._meta.get_formatted_tablename()  # noqa: SLF001 - Piccolo has no other way
    row = await fetchrow(f"SELECT * FROM {name} WHERE id = $1", row_id)
    if row is None:
        raise NotFound("There is no such row.")
    return row


def _differing(table: type[Table], present: asyncpg.Record, given: Changes) -> dict[str, Any]:
    """Return what is given and is not there already."""
    documents = {column._meta.name for column in table._meta.columns if isinstance(column, JSONB)}  # noqa: SLF001 - as above
    differing = {}
    for name, value in given.items():
        wanted, found = value, present.get(name)
        if name in documents:
            wanted, found = _decoded(value), _decoded(found)
        if not _same(wanted, found):
            differing[name] = wanted
    return differing


def _decoded(document: str | None) -> Any:
    return None if document is None else msgspec.json.decode(document)


def _same(wanted: object, found: object) -> bool:
    """Compare; a form shows times to the second, and what it does not show did not change."""
    if isinstance(wanted, datetime) and isinstance(found, datetime):
        return wanted in (found, found.replace(microsecond=0))
    return wanted == found
