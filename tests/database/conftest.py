"""A database that is not migrated yet, for tests that make its schema themselves."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.database.engine import DB


@pytest.fixture
def bare_database(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point the engine at an empty database, without a pool, for the time of one test."""
    monkeypatch.setitem(DB.config, "dsn", empty_database)
    monkeypatch.setattr(DB, "pool", None)
    return empty_database


@pytest.fixture
async def far_from_utc(bare_database: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection to an empty database far from UTC, to which the engine points too."""
    opened = await asyncpg.connect(bare_database)
    name = await opened.fetchval("SELECT current_database()")
    await opened.execute(f"ALTER DATABASE {name} SET timezone = 'Europe/Berlin'")
    yield opened
    await opened.close()
