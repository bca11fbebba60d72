"""Bodies and answers of /rooms/{id}/winners."""

from typing import Any

import asyncpg
import msgspec

from app.http.bodies import Input, Metadata
from app.http.envelopes import optional_timestamp, timestamp
from app.participants.schemas import AttendeeOut, ParticipantOut, metadata_of, show_name_of
from app.tables import ClaimStatus, ParticipantRole, Settler


class AwardInput(Input):
    """Who gets a unit of which prize."""

    participantId: str
    prizeId: str
    metadata: Metadata | None = None


class WinnerPrizeOut(msgspec.Struct):
    """What was won."""

    id: str
    name: str
    description: str | None
    imageUrl: str | None


class ClaimOut(msgspec.Struct):
    """What a win that has to be claimed has come to."""

    status: ClaimStatus
    by: str
    """By when it has to be claimed; fixed when it was won."""
    settledAt: str | None
    settledBy: Settler | None
    """Who said so: the winner, or a moderator for them; null where nobody did in time."""

    @classmethod
    def of(cls, row: asyncpg.Record) -> "ClaimOut | None":
        """Show the claim of a row of winners; None where nothing is to be claimed."""
        if row["claimStatus"] is None:
            return None
        return cls(
            status=ClaimStatus(row["claimStatus"]),
            by=timestamp(row["claimBy"]),
            settledAt=optional_timestamp(row["claimSettledAt"]),
            settledBy=row["claimSettledBy"] and Settler(row["claimSettledBy"]),
        )


class WinnerOut(msgspec.Struct):
    """An award."""

    id: str
    roomId: str
    participantId: str
    prizeId: str
    claim: ClaimOut | None
    """Null where nothing is to be claimed."""
    metadata: dict[str, Any] | None
    createdAt: str
    deletedAt: str | None
    participant: ParticipantOut
    prize: WinnerPrizeOut

    @classmethod
    def of(cls, row: asyncpg.Record) -> "WinnerOut":
        """Show a row of winners with the participant and the prize."""
        return cls(
            id=row["id"],
            roomId=row["roomId"],
            participantId=row["participantId"],
            prizeId=row["prizeId"],
            claim=ClaimOut.of(row),
            metadata=row["metadata"] and msgspec.json.decode(row["metadata"]),
            createdAt=timestamp(row["createdAt"]),
            deletedAt=optional_timestamp(row["deletedAt"]),
            participant=ParticipantOut(
                id=row["participantId"],
                userId=row["userId"],
                roomId=row["roomId"],
                role=ParticipantRole(row["role"]),
                **metadata_of(row["participantMetadata"], row["ownMetadata"]),
                showName=show_name_of(row["showName"]),
                joinedAt=timestamp(row["joinedAt"]),
                updatedAt=timestamp(row["participantUpdatedAt"]),
                deletedAt=optional_timestamp(row["participantDeletedAt"]),
                user=AttendeeOut(row["userId"], row["userName"], row["userAvatar"]),
                isGuest=row["isGuest"],
            ),
            prize=WinnerPrizeOut(
                row["prizeId"], row["prizeName"], row["prizeDescription"], row["prizeImageUrl"]
            ),
        )
