"""For whom the database is asked: told to it along with the changes, never by a statement more.

It is the `audit.caller` of a transaction, which the triggers read that record what changes in a
room between a draw's steps. Transactions begin with it (`engine`); a statement that changes rows
outside of one says it itself (`told`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_caller: ContextVar[str] = ContextVar("caller", default="")


@contextmanager
def called_by(name: str | None) -> Iterator[None]:
    """Say on whose behalf the block runs: a user's id; None for nobody who is known."""
    before = _caller.set(name or "")
    try:
        yield
    finally:
        _caller.reset(before)


def caller() -> str:
    """Return on whose behalf this runs, or ""."""
    return _caller.get()


def told(argument: str) -> str:
    """Write the condition, always true, by which a statement says whose changes it makes.

    Args:
        argument: The statement's argument for `caller()`, as `$1`.
    """
    return f"set_config('audit.caller', {argument}, true) IS NOT NULL"


def telling() -> str:
    """Write the statement that a transaction begins with; empty when nobody is known."""
    name = caller().replace("\\", "\\\\").replace("'", "''")
    return f"SET LOCAL audit.caller = E'{name}'" if name else ""
