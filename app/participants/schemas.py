"""Bodies and answers of /rooms/{id}/participants."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Annotated, Any

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.errors import AppError
from app.http.bodies import EmailAddress, Input, Metadata, name_of
from app.http.envelopes import optional_timestamp, timestamp
from app.participants.bulk import Line, Newcomer, Outcome, Result
from app.participants.columns import Meaning
from app.tables import ParticipantRole, ShowName

PersonName = Annotated[str, name_of(100)]


class ParticipantInput(Input):
    """Somebody to bring in; without userId and email oneself."""

    userId: Annotated[str, Meta(max_length=100)] | None = None
    email: EmailAddress | None = None
    """Waits for whoever signs in with it: whether anybody has an account with it is not told."""
    name: PersonName | None = None
    """What they are called here until they have a name of their own."""
    role: ParticipantRole = ParticipantRole.PARTICIPANT
    metadata: Metadata | None = None
    """What one says of oneself counts in no draw."""
    showName: ShowName | None = None
    """How one is called before who does not moderate the room; null: as the room has it."""

    @property
    def is_oneself(self) -> bool:
        """Whether nobody is named."""
        return self.userId is None and self.email is None


class ParticipantChange(Input):
    """What of a participant to change; what is missing stays."""

    role: ParticipantRole | UnsetType = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    showName: ShowName | UnsetType | None = UNSET
    """Only one's own: how one is called before who does not moderate the room."""


class Removal(Input):
    """How to remove somebody."""

    erase: bool = False
    """Whether what says who they were becomes blank, for good."""


class PersonOut(msgspec.Struct):
    """A person, as others see them beside something else."""

    id: str
    name: str | None
    avatar: str | None


class AttendeeOut(msgspec.Struct):
    """Who somebody in a room is; without an id as long as they were only asked by an address."""

    id: str | None
    name: str | None
    avatar: str | None


def metadata_of(given: str | None, own: str | None) -> dict[str, Any]:
    """Show what moderators say of somebody, and what they say themselves.

    Args:
        given: The first, as JSON.
        own: The second, as JSON.
    """
    said = own and msgspec.json.decode(own)
    metadata = given and msgspec.json.decode(given)
    return {"metadata": {**said, **(metadata or {})} if said else metadata, "ownMetadata": said}


def show_name_of(kept: str | None) -> ShowName | None:
    """Show how somebody chose to be called."""
    return None if kept is None else ShowName(kept)


class ParticipantOut(msgspec.Struct):
    """Somebody in a room."""

    id: str
    userId: str | None
    roomId: str
    role: ParticipantRole
    metadata: Annotated[
        dict[str, Any] | None,
        Meta(description="What moderators say of them, and of the rest what they say themselves."),
    ]
    ownMetadata: Annotated[
        dict[str, Any] | None,
        Meta(description="What they said of themselves on joining. It counts in no draw."),
    ]
    showName: Annotated[
        ShowName | None,
        Meta(description="How they chose to be called before who does not moderate the room."),
    ]
    joinedAt: str
    updatedAt: str
    deletedAt: str | None
    user: AttendeeOut
    isGuest: Annotated[bool, Meta(description="Whether they came in without an account.")]
    email: Annotated[
        str | UnsetType | None,
        Meta(
            description="For moderators alone, and not beside a winner: of who joined theirs, of "
            "others the one that they were brought in by, or null."
        ),
    ] = UNSET

    @classmethod
    def of(cls, row: asyncpg.Record) -> "ParticipantOut":
        """Show a row of participants with the person."""
        return cls(
            id=row["id"],
            userId=row["userId"],
            roomId=row["roomId"],
            role=ParticipantRole(row["role"]),
            **metadata_of(row["metadata"], row["ownMetadata"]),
            showName=show_name_of(row["showName"]),
            joinedAt=timestamp(row["joinedAt"]),
            updatedAt=timestamp(row["updatedAt"]),
            deletedAt=optional_timestamp(row["deletedAt"]),
            user=AttendeeOut(row["userId"], row["userName"], row["userAvatar"]),
            email=row.get("email", UNSET),
            isGuest=row["isGuest"],
        )


MOST_SHOWN_FAULTS = 100
MOST_SHOWN_LINES = 20
PLACE_OF_LINE = "In JSON its place, from 1; in CSV and workbooks as the file is numbered."


class LineError(msgspec.Struct):
    """Why a line failed; as an error of a request of its own."""

    code: str
    message: str
    details: dict[str, Any]

    @classmethod
    def of(cls, error: AppError | None) -> "LineError | None":
        """Show why."""
        return None if error is None else cls(error.code, error.message, error.details)


class LineOut(msgspec.Struct):
    """What became of a line."""

    line: Annotated[int, Meta(description=PLACE_OF_LINE)]
    outcome: Outcome
    participantId: str | None
    userId: str | None
    error: LineError | None

    @classmethod
    def of(cls, result: Result) -> "LineOut":
        """Show a result."""
        return cls(
            result.line,
            result.outcome,
            result.participant_id,
            result.user_id,
            LineError.of(result.error),
        )


Faults = Annotated[
    list[LineOut], Meta(description=f"The first {MOST_SHOWN_FAULTS} lines that fail.")
]


class LinesOut(msgspec.Struct):
    """How many lines fared alike, which failed, and what became of each, in their order."""

    added: int
    cameBack: int
    alreadyIn: int
    failed: int
    faults: Faults
    lines: list[LineOut]

    @classmethod
    def of(cls, results: Sequence[Result]) -> "LinesOut":
        """Count and show the results."""
        counts = Counter(each.outcome for each in results)
        return cls(
            counts[Outcome.ADDED],
            counts[Outcome.CAME_BACK],
            counts[Outcome.ALREADY_IN],
            counts[Outcome.FAILED],
            faults_of(results),
            [LineOut.of(each) for each in results],
        )


def faults_of(results: Iterable[Result]) -> list[LineOut]:
    """Show the first lines that fail."""
    failed = (each for each in results if each.outcome is Outcome.FAILED)
    return [LineOut.of(each) for each in islice(failed, MOST_SHOWN_FAULTS)]


class ColumnOut(msgspec.Struct):
    """A column of a spreadsheet, and what it is read as."""

    name: str
    readAs: Annotated[
        Meaning,
        Meta(
            description="`metadataMember`: a member of the metadata, called as the column is; "
            "`nothing`: it is left out."
        ),
    ]
    examples: Annotated[list[str], Meta(description="Some of its first cells.")]
    isWeight: Annotated[
        bool,
        Meta(
            description="Whether all of its cells are whole numbers from 1 to 1000, or blank, so "
            "that a draw can weigh by it (`weightKey`)."
        ),
    ]


class LineForeseen(msgspec.Struct):
    """What would become of a line, and as what it is read; nulls where it fails."""

    line: Annotated[int, Meta(description=PLACE_OF_LINE)]
    outcome: Outcome
    userId: str | None
    email: str | None
    name: str | None
    role: ParticipantRole | None
    metadata: dict[str, Any] | None

    @classmethod
    def of(cls, line: Line, result: Result) -> "LineForeseen":
        """Show a line."""
        said = line.content
        if not isinstance(said, Newcomer):
            return cls(line.number, result.outcome, None, None, None, None, None)
        return cls(
            line.number,
            result.outcome,
            said.user_id,
            said.email,
            said.name,
            said.role,
            None if said.metadata is None else dict(said.metadata),
        )


class LinesForeseen(msgspec.Struct):
    """What bringing in would do: how many lines would fare alike, and how they are read."""

    added: int
    cameBack: int
    alreadyIn: int
    failed: int
    refusal: Annotated[
        LineError | None, Meta(description="Why the file would be refused whole, by its columns.")
    ]
    columns: Annotated[list[ColumnOut], Meta(description="As in the file; none of JSON.")]
    faults: Faults
    lines: Annotated[list[LineForeseen], Meta(description=f"The first {MOST_SHOWN_LINES}.")]
