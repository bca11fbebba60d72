"""What extensions bring is theirs: it is no drift, and no hindrance to anything."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from app.database import backup, drift, migrations, seed
from app.database.command_line import DROP_EVERYTHING
from app.database.engine import DB
from app.piccolo_app import APP_CONFIG

REAL = ("citext", "hstore", "pg_stat_statements", "postgis", "postgis_topology", "vector")

THINGS = """
    CREATE TYPE unit AS ENUM ('metre', 'mile');
    CREATE TABLE gazetteer (number INT PRIMARY KEY, name TEXT UNIQUE CHECK (name <> ''));
    CREATE VIEW gazetteer_numbers AS SELECT number FROM gazetteer;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER touched BEFORE UPDATE ON gazetteer EXECUTE FUNCTION touch();
    ALTER EXTENSION {extension} ADD TYPE unit;
    ALTER EXTENSION {extension} ADD TABLE gazetteer;
    ALTER EXTENSION {extension} ADD VIEW gazetteer_numbers;
    ALTER EXTENSION {extension} ADD FUNCTION touch();
    UPDATE pg_extension SET extconfig = ARRAY['gazetteer'::regclass::oid], extcondition = ARRAY['']
    WHERE extname = '{extension}';
"""
"""What PostGIS brings, given to an extension that the server has: its rows are backed up, too."""


@pytest.fixture
async def connection(bare_database: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection to an empty database, to which the engine points too."""
    opened = await asyncpg.connect(bare_database)
    yield opened
    await opened.close()


async def install_what_there_is(connection: asyncpg.Connection) -> str:
    """Install the extensions that the server offers, in a schema of their own where they can be.

    Returns:
        The name of one.
    """
    await connection.execute("CREATE SCHEMA extensions")
    offered = await connection.fetch(
        "SELECT name FROM pg_available_extensions WHERE name = ANY($1) ORDER BY name", REAL
    )
    for (name,) in offered:
        place = "" if name.startswith("postgis") else "SCHEMA extensions"
        await connection.execute(f"CREATE EXTENSION {name} {place}")
    return str(offered[0]["name"])


async def install_with_tables(connection: asyncpg.Connection) -> str:
    extension = await install_what_there_is(connection)
    await connection.execute(THINGS.format(extension=extension))
    return extension


async def test_a_database_with_extensions_is_migrated_and_has_no_drift(
    connection: asyncpg.Connection,
) -> None:
    await install_with_tables(connection)

    await migrations.upgrade()

    assert await drift.check(APP_CONFIG) == []
    await migrations.downgrade("init")
    await migrations.upgrade()
    assert await drift.check(APP_CONFIG) == []


async def test_resetting_leaves_extensions(connection: asyncpg.Connection) -> None:
    await install_with_tables(connection)
    await migrations.upgrade()

    await connection.execute(DROP_EVERYTHING)

    left = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {name for (name,) in left} - {"spatial_ref_sys"} == {"gazetteer"}
    await migrations.upgrade()
    assert await drift.check(APP_CONFIG) == []


async def test_what_is_left_after_an_extension_is_somebody_elses(
    connection: asyncpg.Connection,
) -> None:
    extension = await install_with_tables(connection)
    await migrations.upgrade()

    await connection.execute(f"ALTER EXTENSION {extension} DROP TYPE unit")

    assert await drift.strangers() == ["enum unit"]


async def test_a_backup_with_extensions_is_restored(
    connection: asyncpg.Connection,
    migrated_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with source_of_backup(migrated_database, monkeypatch) as source:
        await install_what_there_is(source)
        await backup.backup(tmp_path / "x.dump")

    assert await backup.restore(tmp_path / "x.dump") == []

    assert await drift.check(APP_CONFIG) == []
    assert await connection.fetchval("SELECT count(*) FROM users") == 5


async def test_an_ordinary_role_restores_into_a_database_that_has_the_extensions(
    connection: asyncpg.Connection,
    migrated_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a provider hands them out: the extensions, and their tables, belong to somebody else."""
    async with source_of_backup(migrated_database, monkeypatch) as source:
        await install_with_tables(source)
        await backup.backup(tmp_path / "x.dump")
    await install_with_tables(connection)

    async with as_ordinary_owner(connection, monkeypatch):
        assert "public.gazetteer" in await backup.restore(tmp_path / "x.dump")

        assert await drift.check(APP_CONFIG) == []
        assert await connection.fetchval("SELECT count(*) FROM users") == 5


@contextlib.asynccontextmanager
async def source_of_backup(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncpg.Connection]:
    """Let the engine be another database, with the demo data."""
    opened = await asyncpg.connect(dsn)
    with monkeypatch.context() as elsewhere:
        elsewhere.setitem(DB.config, "dsn", dsn)
        await seed.seed()
        yield opened
    await opened.close()


@contextlib.asynccontextmanager
async def as_ordinary_owner(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """Let the engine be a role that owns the database, and has no more rights than that."""
    name = await connection.fetchval("SELECT current_database()")
    role = f"owner_of_{name}"
    await connection.execute(f"CREATE ROLE {role} LOGIN; ALTER DATABASE {name} OWNER TO {role}")
    url = urlsplit(DB.config["dsn"])
    place = f"{role}@{url.netloc.rpartition('@')[2]}"
    try:
        with monkeypatch.context() as theirs:
            theirs.setitem(DB.config, "dsn", urlunsplit(url._replace(netloc=place)))
            yield
    finally:
        await connection.execute(
            f"ALTER DATABASE {name} OWNER TO CURRENT_USER;"
            f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}"
        )
