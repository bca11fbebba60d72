"""A backup holds every row, and restores into an empty database only."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner
from litestar.cli.main import litestar_group

from app.admin import accounts
from app.database import backup, migrations, seed
from app.database.backup import BackupError
from app.database.catalog import read_catalog
from app.database.embedded import finding
from app.database.embedded import server as embedded
from app.database.engine import DB, fetch
from app.settings import PROJECT_ROOT
from tests.server import run
from tests.waiting import eventually, is_waited_for


async def rows_of(dsn: str) -> dict[str, list[str]]:
    connection = await asyncpg.connect(dsn)
    tables = await connection.fetch(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace::regnamespace::text IN ('public', 'admin')"
    )
    rows = {
        name: sorted(
            row["line"] for row in await connection.fetch(f"SELECT t::text AS line FROM {name} t")
        )
        for (name,) in tables
    }
    await connection.close()
    return rows


async def test_the_commands_restore_every_row_and_the_same_schema(
    migrated_database: str, empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an administrator's session, a run of a job and a sequence that has counted."""
    file = tmp_path / "a backup.dump"
    monkeypatch.setattr(DB, "pool", None)
    monkeypatch.setitem(DB.config, "dsn", migrated_database)
    await seed.seed()
    await accounts.first_administrator()
    await fetch("INSERT INTO task_runs (id, job, runner) VALUES ('r', 'cleanup-tokens', 'x')")

    made = await command("backup", str(file), DATABASE_URL=migrated_database)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == f"Wrote {file}: {file.stat().st_size:,} bytes.\n"
    assert not file.with_name("a backup.dump.part").exists()
    restored = await command("restore", str(file), DATABASE_URL=empty_database)
    assert (restored.returncode, restored.stderr) == (0, "")
    assert restored.stdout == f"Restored {file}.\n"

    before, after = await rows_of(migrated_database), await rows_of(empty_database)
    assert after == before
    assert [len(before[table]) for table in ("users", "task_runs", "admin.administrators")] == [
        5,
        1,
        1,
    ]
    old, new = [await asyncpg.connect(dsn) for dsn in (migrated_database, empty_database)]
    assert await read_catalog(new) == await read_catalog(old)
    await old.close()
    await new.close()


async def test_an_older_postgresql_is_backed_up_and_restored_into(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest programs write settings into a restore that 16 and older refuse."""
    monkeypatch.setattr(finding, "MAJOR_VERSION", finding.FORMER_VERSION)
    known = [option for option in embedded.INITDB_OPTIONS if "builtin" not in option]
    monkeypatch.setattr(embedded, "INITDB_OPTIONS", known)
    server = embedded.EmbeddedServer(tmp_path_factory.mktemp("pg"), durable=False)
    server.join()
    try:
        monkeypatch.setattr(DB, "pool", None)
        monkeypatch.setitem(DB.config, "dsn", server.dsn())
        await migrations.upgrade()
        await seed.seed()
        await fetch("CREATE DATABASE another")
        await backup.backup(tmp_path / "x.dump")
        monkeypatch.setitem(DB.config, "dsn", server.dsn("another"))
        await backup.restore(tmp_path / "x.dump")
        assert await rows_of(server.dsn("another")) == await rows_of(server.dsn())
    finally:
        server.leave()


async def test_an_interrupted_backup_leaves_nothing(
    migrated_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DB, "pool", None)
    monkeypatch.setitem(DB.config, "dsn", migrated_database)
    holder = await asyncpg.connect(migrated_database)
    async with holder.transaction():
        await holder.execute("LOCK TABLE rooms IN ACCESS EXCLUSIVE MODE")
        running = asyncio.create_task(backup.backup(tmp_path / "x.dump"))
        await eventually(lambda: is_waited_for(holder, "rooms"))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    await holder.close()
    assert files_in(tmp_path) == []


@pytest.mark.usefixtures("no_umask")
async def test_nobody_else_may_read_a_backup_from_its_first_byte_on(
    migrated_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even who keeps open what a killed backup left, which everybody might read."""
    monkeypatch.setattr(DB, "pool", None)
    monkeypatch.setitem(DB.config, "dsn", migrated_database)
    file, unfinished = tmp_path / "x.dump", tmp_path / "x.dump.part"
    unfinished.touch()
    holder = await asyncpg.connect(migrated_database)
    with unfinished.open("rb") as former:
        async with holder.transaction():
            await holder.execute("LOCK TABLE rooms IN ACCESS EXCLUSIVE MODE")
            running = asyncio.create_task(backup.backup(file))
            await eventually(lambda: is_waited_for(holder, "rooms"))
            assert oct(unfinished.stat().st_mode) == "0o100600"
        await running
        assert former.read() == b""
    await holder.close()
    assert oct(file.stat().st_mode) == "0o100600"


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Give files the modes that whoever makes them asks for."""
    before = os.umask(0)
    yield
    os.umask(before)


def files_in(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def command(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        run, "uv", "run", "litestar", "database", *arguments, cwd=PROJECT_ROOT, **settings
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["backup"], "Missing argument 'FILE'"),
        (["backup", "."], "is a directory"),
        (["backup", "/nowhere/x.dump"], "No such file or directory"),
        (["backup", f"{__file__}/x.dump"], "Not a directory"),
        (["restore"], "Missing argument 'FILE'"),
        (["restore", "/nowhere/x.dump"], "does not exist"),
        (["restore", "."], "is a directory"),
        (["restore", __file__], "does not appear to be a valid"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_wrong_arguments_are_named(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.setattr(DB, "pool", None)
    monkeypatch.setitem(DB.config, "dsn", empty_database)
    monkeypatch.setenv("LITESTAR_APP", "app.asgi:create_app")
    invoke = CliRunner().invoke
    result = await asyncio.to_thread(invoke, litestar_group, ["database", *arguments])
    assert result.exit_code != 0
    assert told in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


async def test_a_database_with_tables_is_not_restored_into(
    migrated_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DB, "pool", None)
    monkeypatch.setitem(DB.config, "dsn", migrated_database)
    file = tmp_path / "x.dump"
    await backup.backup(file)
    with pytest.raises(BackupError, match="not empty"):
        await backup.restore(file)
    with pytest.raises(BackupError, match="exists already"):
        await backup.backup(file)


async def test_what_is_no_backup_leaves_the_database_empty(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DB, "pool", None)
    monkeypatch.setitem(DB.config, "dsn", empty_database)
    file = tmp_path / "x.dump"
    file.write_text("nonsense")
    with pytest.raises(BackupError, match="valid archive"):
        await backup.restore(file)
    assert await rows_of(empty_database) == {}


def test_the_password_is_not_in_the_arguments() -> None:
    url, password = backup._without_password("postgresql://me:s%40cret@db:5433/x?sslmode=require")
    assert url == "postgresql://me@db:5433/x?sslmode=require"
    assert password == "s@cret"
