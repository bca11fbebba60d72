"""The lines of a bulk request, read from JSON or CSV; one that is faulty spoils no other."""

import asyncio
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from litestar import Request
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Reference,
    RequestBody,
    Schema,
)

from app.applications.documents import Fault
from app.errors import AppError, UnsupportedMediaType, ValidationFailed
from app.http.bodies import checked, decode_json, is_json, require_storable
from app.participants.bulk import Line, Newcomer
from app.participants.schemas import ParticipantInput

MOST_LINES = 10_000
LARGEST_LINES_BYTES = 5_000_000
LARGEST_LINE_BYTES = 100_000
COLUMNS = ("userId", "email", "name", "role", "metadata")

ADDRESS_FORM = re.compile(r"[^@\s]+@[^@\s]+")

CSV = "text/csv"
CSV_EXAMPLE = (
    'email,name,role,metadata\r\ndiana@example.com,Diana,PARTICIPANT,"{""ticket"": ""A-17""}"\r\n'
)


@dataclass
class TakesLines(Operation):
    """An operation of the API's description whose body is lines: JSON or CSV."""

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
                CSV: OpenAPIMediaType(schema=text, example=CSV_EXAMPLE),
            },
            required=True,
        )


async def lines_of(request: Request[Any, Any, Any]) -> list[Line]:
    """Read a request's lines in a thread: 10,000 take a good part of a second."""
    body = await request.body()
    return await asyncio.to_thread(read_lines, request.headers.get("content-type"), body)


def read_lines(content_type: str | None, body: bytes) -> list[Line]:
    """Read the body of a bulk request.

    Raises:
        ValidationFailed: It can't be divided into lines, or there are none or too many.
        UnsupportedMediaType: It is neither JSON nor CSV.
    """
    media_type, _, parameters = (content_type or "").partition(";")
    if media_type.strip().lower() == CSV:
        if "charset" in parameters.lower() and "utf-8" not in parameters.lower():
            raise UnsupportedMediaType("Send CSV in UTF-8.")
        found = _documents_of_csv(body)
    elif is_json(content_type):
        found = _documents_of_json(body)
    else:
        raise UnsupportedMediaType("Send application/json or text/csv.")
    documents = list(islice(found, MOST_LINES + 1))
    if not 1 <= len(documents) <= MOST_LINES:
        raise ValidationFailed.at({"$": f"Expected 1 to {MOST_LINES:,} lines."})
    return [Line(number, _newcomer(document)) for number, document in documents]


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


def _documents_of_csv(body: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the line on which each record begins, and what its JSON would be; blank ones not."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValidationFailed.at({"$": "Not UTF-8."}) from error
    first = text.partition("\n")[0]
    separator = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    begin = 1
    try:
        header = _header(next(reader, []))
        begin = reader.line_num + 1
        for record in reader:
            if document := _document_of(header, record):
                yield begin, document
            begin = reader.line_num + 1
    except csv.Error as error:
        raise ValidationFailed.at({"$": f"Line {begin}: {error}."}) from error


def _header(record: list[str]) -> list[str]:
    names = ",".join(name.strip() for name in record).rstrip(",").split(",")
    faults = {}
    for name in filter(None, names):
        if name not in COLUMNS:
            faults[Fault((name,), "").json_path()] = "Unknown column."
        elif names.count(name) > 1:
            faults[Fault((name,), "").json_path()] = "Give it once."
    if faults or "" in names or not {"userId", "email"} & set(names):
        faults["$"] = "The first line names the columns: userId or email; name; role; metadata."
    if faults:
        raise ValidationFailed.at(faults)
    return names


def _document_of(header: list[str], record: list[str]) -> dict[str, Any]:
    names = [*header, *(f"column {number}" for number in range(len(header) + 1, len(record) + 1))]
    document: dict[str, Any] = {
        name: cell.strip() for name, cell in zip(names, record, strict=False) if cell.strip()
    }
    if "metadata" in document:
        try:
            document["metadata"] = decode_json(document["metadata"].encode())
        except ValidationFailed:
            return document  # Text is no metadata, and refused as such.
    return document


def _newcomer(document: Any) -> Newcomer | AppError:
    try:
        require_storable(document, max_bytes=LARGEST_LINE_BYTES)
        given = checked(document, ParticipantInput)
        return newcomer_of(given)
    except ValidationFailed as fault:
        return fault


def newcomer_of(given: ParticipantInput) -> Newcomer:
    """Read whom a body names, by id or by address.

    Raises:
        ValidationFailed: It names nobody or both, or the address is none.
    """
    if given.is_oneself:
        raise ValidationFailed.at({"$": "Give userId or email."})
    if given.userId is not None and given.email is not None:
        raise ValidationFailed.at({"$.email": "Give either userId or email."})
    email = given.email and given.email.strip().lower()
    if email is not None and not ADDRESS_FORM.fullmatch(email):
        raise ValidationFailed.at({"$.email": "Not an e-mail address."})
    return Newcomer(given.userId, email, given.name, given.role, given.metadata)
