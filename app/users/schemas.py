"""Bodies and answers of /users."""

from collections.abc import Sequence

import asyncpg
import msgspec
from msgspec import UNSET, UnsetType

from app.http.bodies import Input, PictureUrl
from app.http.envelopes import timestamp
from app.participants.schemas import PersonName, PersonOut
from app.rooms.organizers import LeftRoom


class UserOut(msgspec.Struct, omit_defaults=True):
    """A profile. `email` is there for oneself, and for moderators of a room whom it is told."""

    id: str
    name: str | None
    avatar: str | None
    createdAt: str
    updatedAt: str
    email: str | UnsetType = UNSET

    @classmethod
    def of(cls, row: asyncpg.Record) -> "UserOut":
        """Show a row of users."""
        return cls(
            id=row["id"],
            name=row["name"],
            avatar=row["avatar"],
            createdAt=timestamp(row["createdAt"]),
            updatedAt=timestamp(row["updatedAt"]),
            email=row["email"] if row["seesEmail"] else UNSET,
        )


class UserChange(Input):
    """What of one's profile to change; what is missing stays."""

    name: PersonName | UnsetType | None = UNSET
    avatar: PictureUrl | UnsetType | None = UNSET


class DeletedRoomOut(msgspec.Struct):
    """A room that nobody else organizes."""

    id: str
    name: str


class PassedRoomOut(msgspec.Struct):
    """A room that passes to another of its ORGANIZERs."""

    id: str
    name: str
    to: PersonOut


class DeletionPreview(msgspec.Struct):
    """What becomes of somebody's rooms when the account is deleted."""

    deletes: list[DeletedRoomOut]
    passesOn: list[PassedRoomOut]

    @classmethod
    def of(cls, rooms: Sequence[LeftRoom]) -> "DeletionPreview":
        """Sort the rooms by what becomes of them."""
        return cls(
            [DeletedRoomOut(room.id, room.name) for room in rooms if room.successor is None],
            [
                PassedRoomOut(room.id, room.name, PersonOut(to.id, to.name, to.avatar))
                for room in rooms
                if (to := room.successor) is not None
            ],
        )
