"""Backups: `pg_dump`'s custom format, made and restored with the embedded server's programs."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from app.database.embedded.finding import FORMER_VERSION, find_programs
from app.database.engine import DB, fetchval


class BackupError(Exception):
    """The backup can't be made or restored; the message is one line that says why."""


async def backup(file: Path) -> None:
    """Write the whole database as it is at one moment; a file that exists is not overwritten.

    Raises:
        BackupError: It can't be read or written; then there is no file.
    """
    _refuse_to_overwrite(file)
    unfinished = file.with_name(f"{file.name}.part")
    form = ("--format=custom", "--no-owner", "--no-privileges")
    try:
        await _run("pg_dump", *form, "--file", unfinished)
        unfinished.rename(file)
    finally:
        with suppress(OSError):  # where nothing can be written, there is nothing
            unfinished.unlink()


def _refuse_to_overwrite(file: Path) -> None:
    if file.exists():
        raise BackupError(f"{file} exists already.")


async def restore(file: Path) -> None:
    """Fill an empty database, all of it or nothing.

    Raises:
        BackupError: The database is not empty, or the file is not a backup.
    """
    if await fetchval("SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'public')"):
        raise BackupError("The database is not empty: create a new one to restore into.")
    await _run("pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", file)


async def _run(program: str, *arguments: str | Path) -> None:
    url, password = _without_password(DB.direct_dsn or DB.config["dsn"])
    running = await asyncio.create_subprocess_exec(
        *(await _programs() / program, "--dbname", url, *arguments),
        # In the arguments everybody on the machine could read the password.
        env={**os.environ, **({} if password is None else {"PGPASSWORD": password})},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await running.communicate()
    finally:
        if running.returncode is None:  # whoever waits for it was interrupted
            running.terminate()
            await running.wait()
    if running.returncode:
        raise BackupError(" ".join(said.decode(errors="replace").split()) or f"{program} failed.")


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
