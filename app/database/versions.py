"""Row versions: whether a row is still the one that a caller has read."""

import asyncpg
import msgspec

from app.errors import PreconditionFailed

VERSION = "xmin::text AS version"
"""The version of a row as a column: the transaction that wrote it. No writer can forget to set it,
and taking a lock does not change it."""


class Precondition(msgspec.Struct, frozen=True):
    """The versions that a caller accepts."""

    versions: frozenset[str] | None = None
    """None accepts any."""

    def check(self, row: asyncpg.Record) -> None:
        """Allow changing a row that was read with its lock.

        Raises:
            PreconditionFailed: It is not one of the accepted versions.
        """
        if self.versions is not None and row["version"] not in self.versions:
            raise PreconditionFailed


ANY = Precondition()
