"""Bodies and answers of /auth."""

from typing import Annotated

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.auth.sessions import TokenPair
from app.http.bodies import EmailAddress, Input, text_of
from app.http.envelopes import timestamp


class Login(Input):
    """Development sign-in of a demo person."""

    email: Annotated[EmailAddress, Meta(examples=["alice@example.com"])]
    password: Annotated[str, Meta(max_length=1024, examples=["password123"])]


class Refresh(Input):
    """The refresh token that was received last, or where the next one goes."""

    refreshToken: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    """Required, unless `cookie` is true and the browser has it."""
    cookie: bool = False
    """Whether the browser keeps the next one in a cookie; for a page at this server's address."""


class Refreshed(msgspec.Struct):
    """The next pair of tokens."""

    accessToken: str
    """Goes into `Authorization: Bearer …`; short-lived."""
    expiresIn: int
    """Seconds until the access token expires."""
    refreshToken: str | UnsetType = UNSET
    """Buys the next pair; left out where the browser keeps it in a cookie."""

    @classmethod
    def of(cls, pair: TokenPair, *, is_kept: bool) -> "Refreshed":
        """Show a pair of tokens, of which a cookie may keep one."""
        return cls(pair.accessToken, pair.expiresIn, UNSET if is_kept else pair.refreshToken)


class Revocation(Input):
    """Whose sessions to end, and why."""

    userId: Annotated[str, Meta(min_length=1, max_length=100)]
    reason: Annotated[str, text_of(500, shortest=1, example="stolen device")]


class Ended(msgspec.Struct):
    """How many sessions were ended."""

    sessions: int


class SignInUrl(msgspec.Struct):
    """Where to send the browser."""

    url: str


class Profile(msgspec.Struct):
    """Oneself."""

    id: str
    email: str
    name: str | None
    avatar: str | None
    createdAt: str
    updatedAt: str

    @classmethod
    def of(cls, row: asyncpg.Record) -> "Profile":
        """Show a row of users."""
        return cls(
            id=row["id"],
            email=row["email"],
            name=row["name"],
            avatar=row["avatar"],
            createdAt=timestamp(row["createdAt"]),
            updatedAt=timestamp(row["updatedAt"]),
        )


class SignedIn(TokenPair, frozen=True):
    """What a client keeps after signing in, and who it is."""

    user: Profile

    @classmethod
    def of(cls, pair: TokenPair, row: asyncpg.Record) -> "SignedIn":
        """Show a pair of tokens with the row of users that they speak for."""
        return cls(pair.accessToken, pair.refreshToken, pair.expiresIn, Profile.of(row))


class SessionOut(msgspec.Struct):
    """A device that is signed in."""

    id: str
    deviceInfo: str | None
    """Its User-Agent."""
    ipAddress: str | None
    lastUsedAt: str
    """When it was opened or last refreshed."""
    createdAt: str
    expiresAt: str
    current: bool
    """Whether it is the one that asks."""

    @classmethod
    def of(cls, row: asyncpg.Record, current: str) -> "SessionOut":
        """Show a row of sessions.

        Args:
            row: The row.
            current: The session that asks.
        """
        return cls(
            id=row["id"],
            deviceInfo=row["deviceInfo"],
            ipAddress=row["ipAddress"],
            lastUsedAt=timestamp(row["lastUsedAt"]),
            createdAt=timestamp(row["createdAt"]),
            expiresAt=timestamp(row["expiresAt"]),
            current=row["id"] == current,
        )
