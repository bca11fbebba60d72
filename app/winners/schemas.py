"""Bodies and answers of /rooms/{id}/winners."""

from typing import Any

import asyncpg
import msgspec

from app.http.bodies import Input, Metadata
from app.http.envelopes import optional_timestamp, timestamp
from app.participants.schemas import AttendeeOut, ParticipantOut, metadata_of
from app.tables import ParticipantRole


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


class WinnerOut(msgspec.Struct):
    """An award."""

    id: str
    roomId: str
    participantId: str
    prizeId: str
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
            metadata=row["metadata"] and msgspec.json.decode(row["metadata"]),
            createdAt=timestamp(row["createdAt"]),
            deletedAt=optional_timestamp(row["deletedAt"]),
            participant=ParticipantOut(
                id=row["participantId"],
                userId=row["userId"],
                roomId=row["roomId"],
                role=ParticipantRole(row["role"]),
                **metadata_of(row["participantMetadata"], row["ownMetadata"]),
                joinedAt=timestamp(row["joinedAt"]),
                updatedAt=timestamp(row["participantUpdatedAt"]),
                deletedAt=optional_timestamp(row["participantDeletedAt"]),
                user=AttendeeOut(row["userId"], row["userName"], row["userAvatar"]),
            ),
            prize=WinnerPrizeOut(
                row["prizeId"], row["prizeName"], row["prizeDescription"], row["prizeImageUrl"]
            ),
        )
