"""Soft delete: a row whose "deletedAt" is set is gone for everyone who does not ask for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

from piccolo.columns import Column, ForeignKey
from piccolo.columns.combination import Where
from piccolo.query import Count, Exists, Objects, Select, Update
from piccolo.querystring import QueryString, Selectable

from app.database.columns import CamelCaseTable, Moment

_deleted_too: ContextVar[bool] = ContextVar("deleted_too", default=False)


@contextmanager
def including_deleted() -> Iterator[None]:
    """Let the queries that are made inside, by this task, see deleted rows too."""
    token = _deleted_too.set(True)
    try:
        yield
    finally:
        _deleted_too.reset(token)


class SoftDeletable(CamelCaseTable):
    """A table whose queries see only the alive rows, except inside `including_deleted()`.

    A column that is reached through a foreign key (`Room.createdBy.name`) is not filtered:
    a room keeps showing who organized it. `delete()` is the hard one.
    """

    deletedAt: Moment

    @classmethod
    def alive(cls) -> str:
        """Return the alive rows as a subquery for raw SQL: f"FROM {Room.alive()} r".

        PostgreSQL flattens it: the plan is that of the bare table with the condition.
        """
        return f'(SELECT * FROM {cls._meta.get_formatted_tablename()} WHERE "deletedAt" IS NULL)'

    @classmethod
    def select(cls, *columns: Selectable | str, exclude_secrets: bool = False) -> Select[Any]:
        """See `Table.select`."""
        query: Select[Any] = super().select(*columns, exclude_secrets=exclude_secrets)
        return query if _deleted_too.get() else query.where(cls._is_alive())

    @classmethod
    def objects(cls, *prefetch: ForeignKey[Any] | list[ForeignKey[Any]]) -> Objects[Self]:
        """See `Table.objects`."""
        query: Objects[Self] = super().objects(*prefetch)
        return query if _deleted_too.get() else query.where(cls._is_alive())

    @classmethod
    def count(cls, column: Column | None = None, distinct: Sequence[Column] | None = None) -> Count:
        """See `Table.count`."""
        query: Count = super().count(column, distinct)
        return query if _deleted_too.get() else query.where(cls._is_alive())

    @classmethod
    def exists(cls) -> Exists[Self]:
        """See `Table.exists`."""
        query: Exists[Self] = super().exists()
        return query if _deleted_too.get() else query.where(cls._is_alive())

    @classmethod
    def update(
        cls,
        values: dict[Column | str, Any] | None = None,
        force: bool = False,  # noqa: FBT001, FBT002 - Piccolo's signature
        use_auto_update: bool = True,  # noqa: FBT001, FBT002 - Piccolo's signature
        **kwargs: object,
    ) -> Update[Any]:
        """See `Table.update`."""
        if _deleted_too.get():
            return super().update(values, force, use_auto_update, **kwargs)
        query = _UpdateOfAlive(cls, force).values(values, **kwargs)
        automatic = cls._meta.get_auto_update_values() if use_auto_update else {}
        return query.values(dict(automatic.items()))

    @classmethod
    def _is_alive(cls) -> Where:
        return cls.deletedAt.is_null()


class _UpdateOfAlive(Update[SoftDeletable]):
    """Adds its condition last, so that Piccolo still refuses an update that has no other."""

    @property
    def default_querystrings(self) -> Sequence[QueryString]:
        self.where_delegate.where(self.table._is_alive())  # noqa: SLF001 - the table's other half
        return super().default_querystrings
