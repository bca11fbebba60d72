"""Lists as SQL: any page of one is a single statement, and all of one is read in pieces."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import asyncpg
import msgspec

from app.database.engine import fetch, fetch_shared

DEFAULT_LIMIT = 20
COUNTED_AHEAD = 1_000
"""Items beyond a page that `total` still counts: counting a large list whole costs more than the
page."""
PIECE = 1_000
"""Items that are read at once where a list is wanted whole."""


class Position(msgspec.Struct, frozen=True, array_like=True):
    """A place in a list that is ordered by creation: the last item seen."""

    created_at: datetime
    id: str


class PageRequest(msgspec.Struct, frozen=True):
    """Which part of a list is asked for: the `page`-th, or what follows `after`."""

    page: int = 1
    limit: int = DEFAULT_LIMIT
    after: Position | None = None

    @property
    def offset(self) -> int:
        """How many items come before the page."""
        return 0 if self.after is not None else (self.page - 1) * self.limit

    @property
    def keyset(self) -> tuple[datetime | None, str | None]:
        """The position as two statement arguments, both None on the first page."""
        return (None, None) if self.after is None else (self.after.created_at, self.after.id)

    @property
    def counted_to(self) -> int:
        """How many items `total` says at most."""
        return self.offset + self.limit + COUNTED_AHEAD


class Listing(msgspec.Struct, frozen=True):
    """A list as SQL, so that any of its pages is one statement.

    The ids come first, from an index alone; then the rows of the few that are shown.
    """

    found: Sequence[str]
    """`FROM … x WHERE …`: what is listed, x being the listed table, arguments $1 and so on. Where
    it takes several, they have no row in common, and each is read in the order of the list."""
    shown: str
    """The columns of an item, of x and of what is joined to it."""
    joined: str
    """`JOIN … x ON x.id = page.id` and what else is shown."""
    order_column: str = '"createdAt"'
    newest_first: bool = False

    async def fetch(
        self, page: PageRequest, *arguments: object
    ) -> tuple[Sequence[asyncpg.Record], int]:
        """Fetch a page, and one item more when more follow.

        Returns:
            The rows, and how many items there are; counted up to one more than
            `page.counted_to`.
        """
        if page.after is not None:
            arguments += (page.after.created_at, page.after.id)
        rows = await fetch_shared(self._statement(page, len(arguments)), *arguments)
        return [row for row in rows if row["id"] is not None], rows[0]["total"]

    async def pieces(self, *arguments: object) -> AsyncIterator[Sequence[asyncpg.Record]]:
        """Read the whole list piece by piece, holding nothing between two.

        So who reads slowly, or goes away, keeps no connection from others. An item that is there
        all the while comes once; each is as it was when its piece was read.
        """
        after: tuple[object, ...] = ()
        while True:
            ids = self._ids(PIECE + 1, 0, len(arguments) + 1 if after else None)
            order = f"page.{self.order_column} {self._direction}, page.id {self._direction}"
            rows = await fetch(
                f"SELECT {self.shown} FROM ({ids}) page {self.joined} ORDER BY {order}",
                *arguments,
                *after,
            )
            yield rows[:PIECE]
            if len(rows) <= PIECE:
                return
            after = (rows[PIECE - 1][self.order_column.strip('"')], rows[PIECE - 1]["id"])

    @property
    def _direction(self) -> str:
        return "DESC" if self.newest_first else "ASC"

    def _ids(self, count: int, offset: int, after: int | None) -> str:
        """Select the ids of a page.

        Args:
            count: How many.
            offset: How many come before.
            after: Number of the first of the two arguments that tell the position before it.
        """
        time, compare = f"x.{self.order_column}", "<" if self.newest_first else ">"
        order = f"{self.order_column} {self._direction}, id {self._direction}"
        keyset = f"AND ({time}, x.id) {compare} (${after}, ${after + 1})" if after else ""
        branches = " UNION ALL ".join(
            f"(SELECT x.id, {time} {found} {keyset} ORDER BY {order} LIMIT {offset + count})"
            for found in self.found
        )
        return f"SELECT * FROM ({branches}) x ORDER BY {order} LIMIT {count} OFFSET {offset}"

    def _statement(self, page: PageRequest, arguments: int) -> str:
        direction, time = self._direction, f"x.{self.order_column}"
        order = f"{self.order_column} {direction}, id {direction}"
        after = None if page.after is None else arguments - 1
        # In the order of the list, so that its index is read and not the table.
        counted = " UNION ALL ".join(
            f"(SELECT {time} {found} ORDER BY {time} {direction}, x.id {direction})"
            for found in self.found
        )
        return f"""
            WITH page AS ({self._ids(page.limit + 1, page.offset, after)})
            SELECT counted.total, item.*
            FROM (
                SELECT count(*) AS total FROM ({counted} LIMIT {page.counted_to + 1}) one
            ) counted
            LEFT JOIN (SELECT {self.shown} FROM page {self.joined}) item ON true
            ORDER BY {order}
        """
