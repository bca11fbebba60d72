"""What commands on the database have in common: what goes wrong there is one line, and status 1."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import asyncpg
import click
from rich.console import Console

from app.database.embedded.finding import EmbeddedServerError
from app.database.engine import DB, DatabaseUnavailable
from app.errors import AppError
from app.settings import COMMAND

WIDTH_WITHOUT_TERMINAL = 160
"""Columns for tables that go to a file or a pipe."""

Result = TypeVar("Result")


def with_database(work: Callable[[], Awaitable[Result]], *foreseen: type[Exception]) -> Result:
    """Do something with the database, or end the program with one line that says why not.

    Args:
        work: What to do, on a pool that is closed afterwards.
        foreseen: Failures of the work whose message says enough.
    """
    try:
        return asyncio.run(_with_pool(work))
    except AppError as error:
        fail(error.message)
    except (DatabaseUnavailable, EmbeddedServerError) as error:
        fail(str(error))
    except foreseen as error:
        fail(str(error))
    except asyncpg.UndefinedTableError as error:
        fail(f"The database is not migrated ({error}). Run: {COMMAND} database upgrade")
    except asyncpg.PostgresError as error:
        fail(f"PostgreSQL refuses: {error}.")


async def _with_pool(work: Callable[[], Awaitable[Result]]) -> Result:
    await DB.start_connection_pool()
    try:
        return await work()
    finally:
        await DB.close_connection_pool()


def fail(reason: str) -> NoReturn:
    """End the program with status 1 and one line on standard error."""
    # Not a ClickException: rich_click draws a box of several lines around those.
    click.echo(f"Error: {' '.join(reason.split())}", err=True)
    sys.exit(1)


def console() -> Console:
    """Return where tables are printed."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)
