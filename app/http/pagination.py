"""Pages of lists: page, limit and cursor in; items and where the next ones are out."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from typing import Annotated, Any, Generic, TypeVar

import asyncpg
import msgspec
from litestar.params import QueryParameter

from app.database.listing import COUNTED_AHEAD, DEFAULT_LIMIT, PageRequest, Position
from app.errors import ValidationFailed

T = TypeVar("T")
Row = TypeVar("Row", bound=asyncpg.Record | Mapping[str, Any])

LARGEST_LIMIT = 100
LARGEST_ROOM_LIMIT = 1_000
DEEPEST_OFFSET = 10_000


class Meta(msgspec.Struct, rename="camel"):
    """Where a page stands in its list."""

    page: int
    limit: int
    total: Annotated[int, msgspec.Meta(description="Items in the list, or at least in it.")]
    pages: int
    total_pages: int
    next_cursor: Annotated[
        str | None, msgspec.Meta(description="`cursor` of the next page; null on the last one.")
    ]
    total_is_capped: Annotated[
        bool,
        msgspec.Meta(
            description=f"Whether there are more than `total`: items are counted no further than "
            f"{COUNTED_AHEAD:,} beyond this page."
        ),
    ] = False


class Page(msgspec.Struct, Generic[T]):
    """One page of a list."""

    data: list[T]
    meta: Meta


def page_of(
    rows: Sequence[Row],
    total: int,
    page: PageRequest,
    show: Callable[[Row], T],
    *,
    order_column: str = "createdAt",
) -> Page[T]:
    """Make the answer of a list.

    Args:
        rows: What was found; one more than the limit when more follow.
        total: Items in the whole list.
        page: What was asked for.
        show: Makes an item of a row.
        order_column: The time by which the list is ordered.
    """
    shown = rows[: page.limit]
    more = len(rows) > page.limit
    last = Position(shown[-1][order_column], shown[-1]["id"]) if more else None
    return Page([show(row) for row in shown], meta_of(page, total, last))


def meta_of(page: PageRequest, found: int, last: Position | None) -> Meta:
    """Describe a page.

    Args:
        page: What was asked for.
        found: Items in the whole list; more than `counted_to` says that there are more.
        last: Position of the page's last item, if more follow it.
    """
    total = min(found, page.counted_to)
    pages = -(-total // page.limit)
    cursor = None if last is None else write_cursor(last)
    return Meta(page.page, page.limit, total, pages, pages, cursor, found > total)


def write_cursor(position: Position) -> str:
    """Make the opaque text that a client sends back to go on after a position."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def read_cursor(text: str) -> Position:
    """Read a cursor.

    Raises:
        ValidationFailed: It is not one that we wrote.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        position = msgspec.json.decode(raw, type=Position)
        moment = position.created_at.astimezone(UTC)
    except (binascii.Error, msgspec.DecodeError, ValueError, OverflowError) as error:
        raise ValidationFailed.at({"cursor": "Not a cursor of this list."}) from error
    if position.created_at.tzinfo is None or "\0" in position.id:
        raise ValidationFailed.at({"cursor": "Not a cursor of this list."})
    return Position(moment, position.id)


def _page_request(page: int, limit: int, cursor: str | None) -> PageRequest:
    if cursor is not None and page > 1:
        raise ValidationFailed.at({"page": "Give either page or cursor."})
    if page * limit > DEEPEST_OFFSET:
        raise ValidationFailed.at({"page": "Too deep; follow meta.nextCursor instead."})
    return PageRequest(page, limit, None if cursor is None else read_cursor(cursor))


PageNumber = Annotated[int, QueryParameter(ge=1, le=DEEPEST_OFFSET, description="Page, from 1.")]
Cursor = Annotated[
    str | None,
    QueryParameter(
        max_length=200, description="`meta.nextCursor` of the page before; instead of page."
    ),
]


async def page_request(
    page: PageNumber = 1,
    limit: Annotated[
        int, QueryParameter(ge=1, le=LARGEST_LIMIT, description="Items on a page.")
    ] = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> PageRequest:
    """Read `page`, `limit` and `cursor` of a list."""
    return _page_request(page, limit, cursor)


async def room_page_request(
    page: PageNumber = 1,
    limit: Annotated[
        int, QueryParameter(ge=1, le=LARGEST_ROOM_LIMIT, description="Items on a page.")
    ] = LARGEST_ROOM_LIMIT,
    cursor: Cursor = None,
) -> PageRequest:
    """Read the same for a list inside of a room, which clients mostly want whole."""
    return _page_request(page, limit, cursor)
