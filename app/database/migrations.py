"""Runs the migrations of piccolo_migrations/, each with its record in one transaction.

One process migrates at a time. Piccolo's own commands work on the same files and records, but
record after the fact.
"""

import re
import runpy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import asyncpg
from piccolo.apps.migrations.tables import Migration

from app.database.engine import DB, fetch

APP_NAME = "app"
FOLDER = Path(__file__).parents[2] / "piccolo_migrations"
_FILE_NAME = re.compile(r"app_(\d{4})_(\d\d)_(\d\d)t(\d\d)_(\d\d)_(\d\d)_(\d{6})_?(\w*)")

LOCK = 5_704_412_907_180_331
"""The advisory lock of who migrates: any number that nobody else uses."""
WAIT_FOR_OTHERS = "10min"
"""How long to wait for another process that migrates."""
WAIT_FOR_TABLES = "20s"
"""How long a migration waits for a table in use; all queries on it queue behind the migration."""

MADE_BY_PRISMA = "SELECT to_regclass('_prisma_migrations') IS NOT NULL"
"""Asks whether Prisma keeps its record here: then the chain is not applied, but adopted."""

Steps = Callable[[str], None]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class MigrationError(Exception):
    """The database can't be migrated; the message is a line that says why and what holds now."""


class Scripts(NamedTuple):
    """The SQL of a migration."""

    up: str
    down: str


class MigrationFile(NamedTuple):
    """A migration, known by the name of its file alone."""

    id: str
    """Its time stamp, by which Piccolo orders and records it."""
    name: str
    path: Path

    def scripts(self) -> Scripts:
        """Import the file and return its SQL.

        Raises:
            MigrationError: The file has another id or no SQL.
        """
        module = runpy.run_path(str(self.path))
        if module["ID"] != self.id:
            raise MigrationError(f"{self.path} should have the ID {self.id}, as its name says.")
        try:
            return Scripts(module["UP"], module["DOWN"])
        except KeyError as error:
            raise MigrationError(f"{self.path} has no SQL: it needs UP and DOWN.") from error


class MigrationState(NamedTuple):
    """A migration and whether the database has it."""

    id: str
    name: str | None
    """None: recorded in the database, but unknown to this version of the code."""
    applied_at: datetime | None


def migration_files() -> list[MigrationFile]:
    """Return the chain, oldest first, without importing it.

    Raises:
        MigrationError: A file's name does not tell its id, or two tell the same.
    """
    files = sorted(_file(path) for path in FOLDER.glob("*.py"))
    for one, next_ in pairwise(files):
        if one.id == next_.id:
            raise MigrationError(f"{one.name} and {next_.name} have the same ID {one.id}.")
    return files


async def pending() -> list[str]:
    """Return the names of the migrations that the database lacks, oldest first. One query."""
    applied = await _applied()
    return [file.name for file in migration_files() if file.id not in applied]


async def status() -> list[MigrationState]:
    """Return every migration of the code and of the database, oldest first."""
    applied = await _applied()
    names = {file.id: file.name for file in migration_files()}
    return [
        MigrationState(id_, names.get(id_), applied.get(id_))
        for id_ in sorted(names.keys() | applied.keys())
    ]


async def upgrade(target: str = "all", on_step: Steps = lambda _: None) -> list[str]:
    """Apply the pending migrations up to `target`, a name or an id, and return their names.

    Each is applied and recorded in a transaction of its own. If another process is migrating,
    wait for it and do what it left to do.

    Raises:
        MigrationError: One failed, and those before it hold; or another process takes too long.
    """
    files = migration_files()
    chosen = files if target == "all" else files[: _index(files, target) + 1]
    async with only_migrator(on_step) as connection:
        applied = await ensure_records(connection)
        todo = [file for file in chosen if file.id not in applied]
        for file in todo:
            await step(connection, file, "up", on_step)
    return [file.name for file in todo]


async def downgrade(target: str, on_step: Steps = lambda _: None) -> list[str]:
    """Reverse every migration that came after `target`, a name, an id or "zero", newest first.

    Raises:
        MigrationError: As `upgrade`; or the database has migrations that this code lacks.
    """
    files = migration_files()
    chosen = files if target == "zero" else files[_index(files, target) + 1 :]
    async with only_migrator(on_step) as connection:
        applied = await ensure_records(connection)
        if unknown := sorted(applied - {file.id for file in files}):
            raise MigrationError(
                f"The database has migrations that this version lacks: {', '.join(unknown)}. "
                "Reverse them with the version that made them."
            )
        todo = [file for file in reversed(chosen) if file.id in applied]
        for file in todo:
            await step(connection, file, "down", on_step)
    return [file.name for file in todo]


def _file(path: Path) -> MigrationFile:
    match = _FILE_NAME.fullmatch(path.stem)
    if match is None:
        raise MigrationError(f"{path} is not named app_<time stamp>_<name>.py.")
    year, month, day, hour, minute, second, fraction, name = match.groups()
    id_ = f"{year}-{month}-{day}T{hour}:{minute}:{second}:{fraction}"
    return MigrationFile(id_, name or id_, path)


async def _applied() -> dict[str, datetime]:
    try:
        rows = await fetch("SELECT name, ran_on FROM migration WHERE app_name = $1", APP_NAME)
    except asyncpg.UndefinedTableError:
        return {}
    return {row["name"]: row["ran_on"] for row in rows}


def _index(files: list[MigrationFile], target: str) -> int:
    for index, file in enumerate(files):
        if target in (file.id, file.name):
            return index
    names = ", ".join(file.name for file in files)
    raise MigrationError(f"There is no migration {target!r}. There are: {names}.")


@asynccontextmanager
async def only_migrator(on_step: Steps) -> AsyncIterator[Connection]:
    """Open a connection that holds the advisory lock for as long as it is open.

    Everything is done on that connection: a process that lost the lock lost its work too.

    Raises:
        MigrationError: Another process takes too long, or the connection was lost.
    """
    connection = await DB.get_new_connection()
    try:
        # A limit that suits the requests of a role would end a long migration, or the wait.
        await connection.execute("SET statement_timeout = 0")
        await connection.execute(f"SET lock_timeout = '{WAIT_FOR_OTHERS}'")
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            on_step("another process is migrating this database: waiting for it")
            await _wait_for_lock(connection)
        await connection.execute(f"SET lock_timeout = '{WAIT_FOR_TABLES}'")
        yield connection
    except asyncpg.InterfaceError as error:  # the transaction's end, on a connection that is gone
        raise MigrationError(
            "The connection to PostgreSQL was lost, and with it what was not done yet. Try again."
        ) from error
    finally:
        await connection.close()


async def _wait_for_lock(connection: Connection) -> None:
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    except asyncpg.LockNotAvailableError as error:
        raise MigrationError(
            f"Another process has been migrating this database for {WAIT_FOR_OTHERS}."
        ) from error


async def ensure_records(connection: Connection) -> set[str]:
    """Make Piccolo's table of applied migrations if it is missing; return the ids in it."""
    await connection.execute(";".join(Migration.create_table(if_not_exists=True).ddl))
    rows = await connection.fetch("SELECT name FROM migration WHERE app_name = $1", APP_NAME)
    return {row["name"] for row in rows}


async def step(
    connection: Connection,
    file: MigrationFile,
    direction: Literal["up", "down"],
    on_step: Steps,
) -> None:
    """Apply or reverse one migration together with its record.

    Raises:
        MigrationError: It failed and left nothing behind.
    """
    scripts = file.scripts()
    on_step(file.name if direction == "up" else f"{file.name}, backwards")
    try:
        async with connection.transaction():
            if direction == "up":
                await connection.execute(scripts.up)
                await record(connection, file)
            else:
                await connection.execute(scripts.down)
                await _erase_record(connection, file)
    except asyncpg.PostgresError as error:
        raise MigrationError(
            f"Migration {file.name} ({direction}) failed and left nothing behind: {reason(error)}"
        ) from error


async def record(connection: Connection, file: MigrationFile) -> None:
    """Note that the database has a migration."""
    await connection.execute(
        "INSERT INTO migration (name, app_name, ran_on) VALUES ($1, $2, $3)",
        file.id,
        APP_NAME,
        datetime.now().astimezone().replace(tzinfo=None),  # as Piccolo: local, without a zone
    )


async def _erase_record(connection: Connection, file: MigrationFile) -> None:
    await connection.execute(
        "DELETE FROM migration WHERE name = $1 AND app_name = $2", file.id, APP_NAME
    )


def reason(error: asyncpg.PostgresError) -> str:
    """Say on one line what PostgreSQL has against a statement."""
    if isinstance(error, asyncpg.LockNotAvailableError):
        return f"a table was in use for {WAIT_FOR_TABLES}. Try again."
    return " ".join(str(error).split())  # asyncpg puts detail and hint on lines of their own
