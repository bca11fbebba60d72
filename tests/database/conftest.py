"""A database that is not migrated yet, for tests that make its schema themselves."""

import pytest

from app.database.engine import DB


@pytest.fixture
def bare_database(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point the engine at an empty database, without a pool, for the time of one test."""
    monkeypatch.setitem(DB.config, "dsn", empty_database)
    monkeypatch.setattr(DB, "pool", None)
    return empty_database
