"""Bodies and answers of /rooms/{id}/prizes."""

from typing import Annotated, Any

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.http.bodies import Input, Metadata, PictureUrl, name_of, text_of
from app.http.envelopes import optional_timestamp, timestamp
from app.prizes.claims import ClaimTerms

PrizeName = Annotated[str, name_of(255, "Headphones")]
Description = Annotated[str, text_of(2000)]
Quantity = Annotated[int, Meta(ge=1, le=1_000_000)]


class PrizeInput(Input):
    """Something to put up."""

    name: PrizeName
    description: Description | None = None
    imageUrl: PictureUrl | None = None
    quantity: Quantity = 1
    claim: ClaimTerms | None = None
    """Winners have to claim it, and by when; null: it is theirs at once."""
    metadata: Metadata | None = None


class PrizeChange(Input):
    """What of a prize to change; what is missing stays."""

    name: PrizeName | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    imageUrl: PictureUrl | UnsetType | None = UNSET
    quantity: Quantity | UnsetType = UNSET
    claim: ClaimTerms | UnsetType | None = UNSET
    """For whoever wins it from now on."""
    metadata: Metadata | UnsetType | None = UNSET


class PrizeOut(msgspec.Struct):
    """A prize."""

    id: str
    roomId: str
    name: str
    description: str | None
    imageUrl: str | None
    quantity: int
    quantityRemaining: int
    claim: ClaimTerms | None
    metadata: dict[str, Any] | None
    createdAt: str
    updatedAt: str
    deletedAt: str | None

    @classmethod
    def of(cls, row: asyncpg.Record) -> "PrizeOut":
        """Show a row of prizes."""
        return cls(
            id=row["id"],
            roomId=row["roomId"],
            name=row["name"],
            description=row["description"],
            imageUrl=row["imageUrl"],
            quantity=row["quantity"],
            quantityRemaining=row["quantityRemaining"],
            claim=row["claim"] and msgspec.json.decode(row["claim"], type=ClaimTerms),
            metadata=row["metadata"] and msgspec.json.decode(row["metadata"]),
            createdAt=timestamp(row["createdAt"]),
            updatedAt=timestamp(row["updatedAt"]),
            deletedAt=optional_timestamp(row["deletedAt"]),
        )
