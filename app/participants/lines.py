"""The lines of a bulk request, of JSON, CSV or a workbook; one that is faulty spoils no other."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from litestar import Request
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Reference,
    RequestBody,
    Schema,
)

from app.email_addresses import canonical_address
from app.errors import AppError, UnsupportedMediaType, ValidationFailed
from app.http.bodies import MOST_CONTAINERS, checked, decode_json, is_json, require_storable
from app.http.spreadsheets import XLSX
from app.participants.bulk import Line, Newcomer
from app.participants.columns import Header, Wishes, document_of, header_of
from app.participants.csv_lines import LARGEST_LINE_BYTES, records_of_csv
from app.participants.schemas import ParticipantInput
from app.participants.xlsx_lines import records_of_xlsx

LARGEST_LINES_BYTES = 5_000_000
MOST_LINES = 10_000

CSV = "text/csv"
CSV_EXAMPLE = (
    'email,name,role,metadata\r\ndiana@example.com,Diana,PARTICIPANT,"{""ticket"": ""A-17""}"\r\n'
)


@dataclass
class TakesLines(Operation):
    """An operation of the API's description whose body is lines: JSON, CSV or a workbook."""

    def __post_init__(self) -> None:
        """Describe the body."""
        line = Reference(ref=f"#/components/schemas/{ParticipantInput.__name__}")
        lines = Schema(type=OpenAPIType.ARRAY, items=line, min_items=1, max_items=MOST_LINES)
        whole = Schema(
            type=OpenAPIType.OBJECT, properties={"participants": lines}, required=["participants"]
        )
        text = Schema(type=OpenAPIType.STRING)
        self.request_body = RequestBody(
            {
                "application/json": OpenAPIMediaType(schema=whole),
                # Before CSV: generated clients in Python send a file as the last kind of them.
                XLSX: OpenAPIMediaType(
                    schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
                ),
                CSV: OpenAPIMediaType(schema=text, example=CSV_EXAMPLE),
            },
            required=True,
        )


Record = tuple[int, list[str]]
"""Where it stands in the file, from 1, and its cells."""


@dataclass(frozen=True)
class Table:
    """A spreadsheet: its header, and the records below it."""

    header: Header
    records: Sequence[Record]


@dataclass(frozen=True)
class Reading:
    """What a body says."""

    lines: Sequence[Line]
    """None of a table whose header is faulty."""
    table: Table | None = None

    def require_lines(self) -> None:
        """Let nothing on whose header is faulty.

        Raises:
            ValidationFailed: Names the columns.
        """
        if self.table is not None and self.table.header.faults:
            raise ValidationFailed.at(self.table.header.faults)


_NO_WISHES = Wishes({})


async def lines_of(request: Request[Any, Any, Any], wishes: Wishes = _NO_WISHES) -> Reading:
    """Read a request's lines in a thread, which ends when the request does or its client leaves.

    Args:
        request: Has the lines as its body.
        wishes: What it says of the columns of a spreadsheet.
    """
    body = await request.body()
    gone = threading.Event()
    watching = asyncio.create_task(_watch(request, gone))
    content_type = request.headers.get("content-type") or ""
    try:
        found = await records_of_xlsx(body) if _media_type(content_type) == XLSX else None
        return await asyncio.to_thread(
            read_lines, content_type, body, gone.is_set, wishes, rows=found
        )
    finally:
        gone.set()
        watching.cancel()


async def _watch(request: Request[Any, Any, Any], gone: threading.Event) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()


def read_lines(
    content_type: str,
    body: bytes,
    is_gone: Callable[[], bool],
    wishes: Wishes = _NO_WISHES,
    *,
    rows: Iterable[Record] | None = None,
) -> Reading:
    """Read the body of a bulk request.

    Args:
        content_type: What the body is said to be.
        body: The body.
        is_gone: Whether nobody waits for it any more.
        wishes: What the request says of the columns of a spreadsheet.
        rows: What the body says as a workbook, if it is one.

    Raises:
        ValidationFailed: It can't be divided into lines, there are none or too many, or nobody
            waits for them any more.
        UnsupportedMediaType: It is of another kind.
    """
    table: Table | None = None
    media_type = _media_type(content_type)
    if rows is not None:
        table = table_of(_while_wanted(rows, is_gone), wishes)
    elif media_type == CSV:
        table = _table_of_csv(content_type, body, is_gone, wishes)
    elif not is_json(content_type or None):
        raise UnsupportedMediaType(_unknown(media_type))
    found = _documents_of_json(body) if table is None else documents_of(table)
    documents = list(islice(_while_wanted(found, is_gone), MOST_LINES + 1))
    if table is not None and table.header.faults:
        return Reading([], table)
    if not 1 <= len(documents) <= MOST_LINES:
        raise ValidationFailed.at({"$": f"Expected 1 to {MOST_LINES:,} lines."})
    wanted = _while_wanted(documents, is_gone)
    return Reading([Line(number, _newcomer(document)) for number, document in wanted], table)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _unknown(media_type: str) -> str:
    if media_type == "application/x-www-form-urlencoded":
        return f"Say what it is, as with curl -H 'Content-Type: {CSV}' --data-binary @people.csv."
    return f"Send application/json, {CSV} or {XLSX}."


def _table_of_csv(
    content_type: str, body: bytes, is_gone: Callable[[], bool], wishes: Wishes
) -> Table:
    table = table_of(_while_wanted(records_of_csv(content_type, body), is_gone), wishes)
    if body and not table.records and not {b"\n"[0], b"\r"[0]} & set(body):
        message = (
            "The file is a single line. Sent by curl -d it loses its line breaks: "
            "send it with --data-binary."
        )
        raise ValidationFailed.at({**table.header.faults, "$": message})
    return table


def table_of(found: Iterator[Record], wishes: Wishes) -> Table:
    """Divide a file into its header and its records.

    Raises:
        ValidationFailed: It has too many of them, blank ones too, or too much in them.
    """
    _, first = next(found, (1, []))
    header = header_of(first, wishes)
    records = list(islice(found, MOST_LINES + 1))
    if len(records) > MOST_LINES:
        raise ValidationFailed.at({"$": f"Expected 1 to {MOST_LINES:,} lines, blank ones too."})
    if (
        sum(cell.count("{") + cell.count("[") for _, row in records for cell in row)
        > MOST_CONTAINERS
    ):
        raise ValidationFailed.at({"$": f"More than {MOST_CONTAINERS:,} objects and arrays."})
    return Table(header, records)


def documents_of(table: Table) -> Iterator[tuple[int, Any]]:
    """Yield where each record begins, and what its JSON would be; blank ones not."""
    for begin, record in [] if table.header.faults else table.records:
        if document := document_of(table.header, record):
            yield begin, document


Numbered = TypeVar("Numbered", bound=tuple[int, Any])


def _while_wanted(documents: Iterable[Numbered], is_gone: Callable[[], bool]) -> Iterator[Numbered]:
    for each in documents:
        if is_gone():
            raise ValidationFailed("The client went away.")
        yield each


def _documents_of_json(body: bytes) -> Iterator[tuple[int, Any]]:
    """Yield each line's place, from 1, and what it says."""
    document = decode_json(body)
    if not isinstance(document, dict):
        raise ValidationFailed.at({"$": "Expected an object."})
    faults = {f"$.{name}": "Unknown field." for name in document if name != "participants"}
    lines = document.get("participants")
    if "participants" not in document:
        faults["$.participants"] = "Required."
    elif not isinstance(lines, list):
        faults["$.participants"] = "Expected `array`."
    if faults or not isinstance(lines, list):
        raise ValidationFailed.at(faults)
    yield from enumerate(lines, 1)


def _newcomer(document: Any) -> Newcomer | AppError:
    if isinstance(document, ValidationFailed):
        return document
    try:
        require_storable(document, max_bytes=LARGEST_LINE_BYTES)
        given = checked(document, ParticipantInput)
        return newcomer_of(given)
    except ValidationFailed as fault:
        return fault


def newcomer_of(given: ParticipantInput) -> Newcomer:
    """Read whom a body names, by id or by address.

    Raises:
        ValidationFailed: It names nobody or both.
    """
    if given.is_oneself:
        raise ValidationFailed.at({"$": "Give userId or email."})
    if given.userId is not None and given.email is not None:
        raise ValidationFailed.at({"$.email": "Give either userId or email."})
    email = None if given.email is None else canonical_address(given.email)
    return Newcomer(given.userId, email, given.name, given.role, given.metadata)
