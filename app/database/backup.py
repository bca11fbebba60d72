"""Backups: `pg_dump`'s custom format, made and restored with the embedded server's programs."""

import asyncio
import os
import re
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit, urlunsplit

from app.database.catalog import of_no_extension
from app.database.embedded.finding import FORMER_VERSION, find_programs
from app.database.engine import DB, fetch, fetchval

HAS_TABLES = f"""
    SELECT EXISTS (
        SELECT FROM pg_class c
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
          AND {of_no_extension("pg_class", "c.oid")}
    )
"""
ROWS = "TABLE DATA "
THERE = f"""
    SELECT 'COMMENT - EXTENSION '
    UNION ALL
    SELECT kind || nspname || ' ' FROM pg_namespace,
        (VALUES ('SCHEMA - '), ('COMMENT - SCHEMA ')) AS kinds (kind)
    UNION ALL
    SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE SET ' ELSE '{ROWS}' END
        || nspname || ' ' || relname || ' '
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'S') AND NOT {of_no_extension("pg_class", "c.oid")}
      AND NOT has_table_privilege(c.oid, CASE relkind WHEN 'S' THEN 'UPDATE' ELSE 'INSERT' END)
"""
"""How entries of a backup begin that would fail where extensions are installed already, as
providers do it: schemas that are there, and what only the extensions' owner may write. An extension
that is there is passed over by PostgreSQL itself."""
_NUMBERS = re.compile(r"^\d+; \d+ \d+ ")


class BackupError(Exception):
    """The backup can't be made or restored; the message is one line that says why."""


async def backup(file: Path) -> None:
    """Write the whole database as it is at one moment; a file that exists is not overwritten.

    Whoever makes the backup is the only one who may read it, from its first byte on.

    Raises:
        BackupError: It can't be read or written; then there is no file.
    """
    _refuse_to_overwrite(file)
    unfinished = file.with_name(f"{file.name}.part")
    form = ("--format=custom", "--no-owner", "--no-privileges")
    try:
        with _create_privately(unfinished) as output:
            await _run_on_database("pg_dump", *form, output=output)
        unfinished.rename(file)
    finally:
        with suppress(OSError):  # where nothing can be written, there is nothing
            unfinished.unlink()


@contextmanager
def _create_privately(file: Path) -> Iterator[int]:
    """Open a new file in place of what a killed backup left, or somebody laid there to read it."""
    try:
        file.unlink(missing_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BackupError(f"{file}: {error.strerror}.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_to_overwrite(file: Path) -> None:
    if file.exists():
        raise BackupError(f"{file} exists already.")


async def restore(file: Path) -> list[str]:
    """Fill a database that is empty but for extensions, all of it or nothing.

    Returns:
        Tables of extensions that are there already and not ours to write: their rows are left out.

    Raises:
        BackupError: The database is not empty, or the file is not a backup.
    """
    if await fetchval(HAS_TABLES):
        raise BackupError("The database is not empty: create a new one to restore into.")
    contents = (await _run("pg_restore", "--list", file)).decode().splitlines()
    there = tuple(each for (each,) in await fetch(THERE))
    passed_over = {line for line in contents if _entry(line).startswith(there)}
    with TemporaryDirectory() as directory:
        wanted = Path(directory) / "wanted"
        wanted.write_text("\n".join(line for line in contents if line not in passed_over))
        form = ("--exit-on-error", "--single-transaction", "--no-owner", "--use-list", wanted)
        await _run_on_database("pg_restore", *form, file)
    # What was told after the backup is no part of it: positions will be of other events.
    if await fetchval("SELECT to_regclass('event_log')"):
        await fetch("DELETE FROM event_log")
    rows = sorted(_entry(line) for line in passed_over if _entry(line).startswith(ROWS))
    return [".".join(entry.removeprefix(ROWS).split()[:2]) for entry in rows]


def _entry(line: str) -> str:
    """Take from a line of a backup's contents what it is: kind, schema, name and owner."""
    return _NUMBERS.sub("", line)


async def _run_on_database(program: str, *arguments: str | Path, output: int = PIPE) -> None:
    url, password = _without_password(DB.direct_dsn or DB.config["dsn"])
    # In the arguments everybody on the machine could read the password.
    secret = {} if password is None else {"PGPASSWORD": password}
    await _run(program, "--dbname", url, *arguments, output=output, **secret)


async def _run(
    program: str, *arguments: str | Path, output: int = PIPE, **environment: str
) -> bytes:
    """Run one of PostgreSQL's programs; return what it printed, unless the output got that."""
    running = await asyncio.create_subprocess_exec(
        *(await _programs() / program, *arguments),
        env={**os.environ, **environment},
        stdout=output,
        stderr=PIPE,
    )
    try:
        printed, said = await running.communicate()
    finally:
        if running.returncode is None:  # whoever waits for it was interrupted
            running.terminate()
            await running.wait()
    if running.returncode:
        raise BackupError(" ".join(said.decode(errors="replace").split()) or f"{program} failed.")
    return printed or b""


async def _programs() -> Path:
    """The programs for the database's version: what newer ones write, older servers don't read."""
    version = int(await fetchval("SHOW server_version_num")) // 10_000
    return find_programs(FORMER_VERSION if version <= int(FORMER_VERSION) else None)


def _without_password(dsn: str) -> tuple[str, str | None]:
    parts = urlsplit(dsn)
    if parts.password is None:
        return dsn, None
    user, _, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}@{host}"
    return urlunsplit(parts._replace(netloc=netloc)), unquote(parts.password)
