"""Backups: `pg_dump`'s custom format, made and restored with the embedded server's programs."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from app.database.embedded import find_programs
from app.database.engine import DB, fetchval


class BackupError(Exception):
    """The backup can't be made or restored; the message is one line that says why."""


def backup(file: Path) -> None:
    """Write the whole database as it is at one moment; a file that exists is not overwritten.

    Raises:
        BackupError: It can't be read or written; then there is no file.
    """
    if file.exists():
        raise BackupError(f"{file} exists already.")
    unfinished = file.with_name(f"{file.name}.part")
    try:
        _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--file", unfinished)
        unfinished.rename(file)
    finally:
        unfinished.unlink(missing_ok=True)


async def restore(file: Path) -> None:
    """Fill an empty database, all of it or nothing.

    Raises:
        BackupError: The database is not empty, or the file is not a backup.
    """
    if await fetchval("SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'public')"):
        raise BackupError("The database is not empty: create a new one to restore into.")
    _run("pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", file)


def _run(program: str, *arguments: str | Path) -> None:
    command: Sequence[str | Path]
    url, password = _without_password(DB.direct_dsn or DB.config["dsn"])
    command = [find_programs() / program, "--dbname", url, *arguments]
    # In the arguments everybody on the machine could read the password.
    environment = {**os.environ, **({} if password is None else {"PGPASSWORD": password})}
    done = subprocess.run(  # noqa: S603 - our own program and paths, no shell
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise BackupError(" ".join(done.stderr.split()) or f"{program} failed.")


def _without_password(dsn: str) -> tuple[str, str | None]:
    parts = urlsplit(dsn)
    if parts.password is None:
        return dsn, None
    user, _, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}@{host}"
    return urlunsplit(parts._replace(netloc=netloc)), unquote(parts.password)
