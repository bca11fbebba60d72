"""Bodies and answers of guests."""

from typing import Annotated

import asyncpg
import msgspec
from msgspec import Meta

from app.auth.sessions import TokenPair
from app.http.bodies import Input, name_of


class GuestInput(Input):
    """Who comes in."""

    name: Annotated[str, name_of(100, "Ann")]


class GuestOut(TokenPair, frozen=True):
    """What a guest keeps on this device, and the seat in the room."""

    roomId: str
    participantId: str

    @classmethod
    def of(cls, pair: TokenPair, room_id: str, participant_id: str) -> "GuestOut":
        """Show a guest's tokens."""
        tokens = (pair.accessToken, pair.refreshToken, pair.expiresIn)
        return cls(*tokens, roomId=room_id, participantId=participant_id)


class GuestTakenOver(Input):
    """Whom one was as a guest."""

    refreshToken: (
        Annotated[
            str, Meta(min_length=1, max_length=4096, description="The guest's, received last.")
        ]
        | None
    ) = None
    """Null: the one in the cookie, of a page at this server's own address."""


class SeatOut(msgspec.Struct):
    """The seat that one has from now on."""

    roomId: str
    participantId: str

    @classmethod
    def of(cls, row: asyncpg.Record) -> "SeatOut":
        """Show a row of participants."""
        return cls(row["roomId"], row["id"])
