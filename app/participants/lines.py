"""The lines of a bulk request, read from JSON or CSV; one that is faulty spoils no other."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
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

from app.email_addresses import canonical_address
from app.errors import AppError, UnsupportedMediaType, ValidationFailed
from app.http.bodies import checked, decode_json, is_json, require_storable
from app.participants.bulk import Line, Newcomer
from app.participants.csv_lines import LARGEST_LINE_BYTES, MOST_LINES, documents_of_csv
from app.participants.schemas import ParticipantInput

LARGEST_LINES_BYTES = 5_000_000

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


async def lines_of(request: Request[Any, Any, Any], *, keep_extra: bool) -> list[Line]:
    """Read a request's lines in a thread, which ends when the request does or its client leaves.

    Args:
        request: Has the lines as its body.
        keep_extra: Columns of CSV that have no meaning are metadata.
    """
    body = await request.body()
    gone = threading.Event()
    watching = asyncio.create_task(_watch(request, gone))
    content_type = request.headers.get("content-type")
    try:
        return await asyncio.to_thread(
            read_lines, content_type, body, gone.is_set, keep_extra=keep_extra
        )
    finally:
        gone.set()
        watching.cancel()


async def _watch(request: Request[Any, Any, Any], gone: threading.Event) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()


def read_lines(
    content_type: str | None, body: bytes, is_gone: Callable[[], bool], *, keep_extra: bool = False
) -> list[Line]:
    """Read the body of a bulk request.

    Raises:
        ValidationFailed: It can't be divided into lines, there are none or too many, or nobody
            waits for them any more.
        UnsupportedMediaType: It is neither JSON nor CSV.
    """
    if (content_type or "").partition(";")[0].strip().lower() == CSV:
        found = documents_of_csv(content_type or "", body, keep_extra=keep_extra)
    elif is_json(content_type):
        found = _documents_of_json(body)
    else:
        raise UnsupportedMediaType("Send application/json or text/csv.")
    documents = list(islice(_while_wanted(found, is_gone), MOST_LINES + 1))
    if not 1 <= len(documents) <= MOST_LINES:
        raise ValidationFailed.at({"$": f"Expected 1 to {MOST_LINES:,} lines."})
    return [
        Line(number, _newcomer(document)) for number, document in _while_wanted(documents, is_gone)
    ]


def _while_wanted(
    documents: Iterable[tuple[int, Any]], is_gone: Callable[[], bool]
) -> Iterator[tuple[int, Any]]:
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
