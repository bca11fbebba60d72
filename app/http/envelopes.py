"""What every answer is wrapped in, how it writes times, and the id of its request."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from app.database.ids import new_id

T = TypeVar("T")

REQUEST_ID_FORM = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Data(msgspec.Struct, Generic[T]):
    """The envelope of a successful answer."""

    data: T


class Success(msgspec.Struct):
    """The answer of what has nothing to show."""

    success: bool = True


class ErrorBody(msgspec.Struct):
    """What went wrong."""

    code: Annotated[str, msgspec.Meta(description="Stable; what a program acts upon.")]
    message: Annotated[str, msgspec.Meta(description="One sentence for a person.")]
    details: Annotated[
        dict[str, Any],
        msgspec.Meta(
            description="Particulars. For VALIDATION_ERROR, `fields` has every failing field by "
            "its JSON path."
        ),
    ]
    requestId: Annotated[str, msgspec.Meta(description="`X-Request-Id`, for our log.")]


class ErrorOut(msgspec.Struct):
    """The shape of every error."""

    error: ErrorBody


def timestamp(moment: datetime) -> str:
    """Write a time as RFC 3339 in UTC, with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def optional_timestamp(moment: datetime | None) -> str | None:
    """Like `timestamp`, for a time that may be missing."""
    return None if moment is None else timestamp(moment)


def request_id(scope: Any) -> str:
    """Return the id of a request: the client's `X-Request-Id` if it has a sane form, else our own.

    Args:
        scope: The request's, which keeps the id.
    """
    state = scope.setdefault("state", {})
    if "request_id" not in state:
        given = [value for name, value in scope["headers"] if name == b"x-request-id"]
        text = given[0].decode("latin-1") if given else ""
        state["request_id"] = text if REQUEST_ID_FORM.fullmatch(text) else new_id()
    found: str = state["request_id"]
    return found
