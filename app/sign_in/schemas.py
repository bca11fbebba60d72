"""Bodies and answers of /auth/email."""

from typing import Annotated

import msgspec
from msgspec import Meta

from app.auth.codes import CODE_TTL, Challenge
from app.http.bodies import EmailAddress, Input
from app.settings import Language


class ProviderWay(msgspec.Struct):
    """A provider that people sign in with."""

    name: str
    """Its sign-in begins at `/auth/{name}`."""
    title: str
    """What people know it by."""


class Ways(msgspec.Struct):
    """How people sign in here."""

    providers: list[ProviderWay]
    email: bool
    """Whether a code is sent by mail."""
    demo: bool
    """Whether the demo people sign in with their password; in development."""


class CodeWish(Input):
    """Where to send a code."""

    email: EmailAddress
    language: Annotated[
        Language | None, Meta(description="Of the mail; else the server's MAIL_LANGUAGE.")
    ] = None


class EmailLogin(Input):
    """The code that was sent, from who asked for it."""

    challenge: Annotated[
        str, Meta(min_length=43, max_length=43, pattern="^[A-Za-z0-9_-]*$", examples=["x" * 43])
    ]
    """What was answered to who asked."""
    code: Annotated[str, Meta(min_length=6, max_length=6, pattern="^[0-9]*$", examples=["012345"])]


class CodeSent(msgspec.Struct):
    """How to go on."""

    challenge: str
    """A secret of this client: together with it the code counts, and with no other."""
    expiresIn: int
    """Seconds in which the code has to be used."""

    @classmethod
    def of(cls, challenge: Challenge) -> "CodeSent":
        """Show a challenge to who asked."""
        return cls(challenge.secret, int(CODE_TTL.total_seconds()))
