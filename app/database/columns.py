"""What Piccolo's tables and columns lack: camelCase readables, milliseconds, native enums."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Unpack, overload

from piccolo.columns import Column, ForeignKey, Timestamptz
from piccolo.columns.base import ColumnKwargs
from piccolo.columns.readable import Readable
from piccolo.querystring import QueryString
from piccolo.table import Table

REQUIRED = None
"""As the default of a NOT NULL column: Piccolo refuses a row that is made without it."""
CLOCK = "date_trunc('milliseconds', clock_timestamp())"
"""The database's clock as SQL, which all servers share, cut to what a column keeps."""


def rfc3339(moment: str) -> str:
    """Write the SQL of a time as JSON documents hold it; null stays null."""
    return f"to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"


def now_ms() -> datetime:
    """Return the current time in UTC, cut to the milliseconds that a column keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class Moment(Timestamptz):
    """TIMESTAMPTZ(3): a time with the precision of JavaScript's Date."""

    value_type = datetime

    def __init__(
        self,
        default: Callable[[], datetime] | None = now_ms,
        **kwargs: Unpack[ColumnKwargs],
    ) -> None:
        """Take what every column takes."""
        super().__init__(default=default, **kwargs)

    @property
    def column_type(self) -> str:
        """The type in DDL."""
        return "TIMESTAMPTZ(3)"


class NativeEnum(Column):
    """A PostgreSQL enum type that is named as its `choices`.

    Not a kind of Text: for one the admin would filter with ILIKE, which enums don't have.
    """

    value_type = str

    def __init__(self, default: StrEnum | None = REQUIRED, **kwargs: Unpack[ColumnKwargs]) -> None:
        """Take what every column takes; `choices` is needed."""
        self.default = default
        super().__init__(default=default, **kwargs)

    @property
    def column_type(self) -> str:
        """The type in DDL, quoted because its name has capitals."""
        return f'"{self._meta.params["choices"].__name__}"'

    @overload
    def __get__(self, row: Table, owner: object = None) -> str: ...

    @overload
    def __get__(self, row: None, owner: object = None) -> "NativeEnum": ...

    def __get__(self, row: Table | None, owner: object = None) -> "str | NativeEnum":
        """Return a row's value, or the column for queries."""
        if row is None:
            return self
        value: str = row.__dict__[self._meta.name]
        return value

    def __set__(self, row: Table, value: str | None) -> None:
        """Set a row's value."""
        row.__dict__[self._meta.name] = value


class ChainedReadable(Readable):
    """A readable behind several foreign keys. Its template is SQL.

    Piccolo would join, and not quote the aliases of the second join.
    """

    def _get_string(self, operator: str) -> QueryString:  # noqa: ARG002 - Piccolo's signature
        return QueryString(f"{self.template} AS {self.output_name}")


class CamelCaseTable(Table):
    """A table whose foreign keys may have capitals in their names."""

    @classmethod
    def _get_related_readable(cls, column: ForeignKey[Any]) -> Readable:
        """Quote the alias, which PostgreSQL would fold to lower case.

        Of several columns the first that has a value is shown.
        """
        readable = super()._get_related_readable(column)
        name = f'"{readable.output_name}"'
        if any(len(shown._meta.call_chain) > 1 for shown in readable.columns):  # noqa: SLF001 - Piccolo has no other way
            values = ", ".join(_selected(shown) for shown in readable.columns)
            return ChainedReadable(template=f"COALESCE({values})", columns=[], output_name=name)
        readable.output_name = name
        return readable


def _selected(column: Column) -> str:
    """Write a column behind foreign keys as nested selects."""
    first, *others = column._meta.call_chain  # noqa: SLF001 - as above
    value = f'"{first._meta.table._meta.tablename}"."{first._meta.name}"'  # noqa: SLF001 - as above
    for key, read in zip((first, *others), (*others, column), strict=True):
        target = key._foreign_key_meta.resolved_target_column._meta  # noqa: SLF001 - as above
        value = (
            f'(SELECT "{read._meta.name}" FROM "{target.table._meta.tablename}" '  # noqa: SLF001 - as above
            f'WHERE "{target.name}" = {value})'
        )
    return value
