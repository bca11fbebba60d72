"""Bodies and answers of /users."""

from typing import Annotated

import asyncpg
import msgspec
from msgspec import UNSET, UnsetType

from app.http.bodies import Input, PictureUrl, name_of
from app.http.envelopes import timestamp

Name = Annotated[str, name_of(100)]


class UserOut(msgspec.Struct, omit_defaults=True):
    """A profile. `email` is there for oneself and for moderators of a shared room."""

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

    name: Name | UnsetType | None = UNSET
    avatar: PictureUrl | UnsetType | None = UNSET
