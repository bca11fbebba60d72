"""Drift between tables, migrations and the database is found and named."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from piccolo.columns import Text
from piccolo.table import Table

from app.database import drift, migrations
from app.database.columns import Moment
from app.piccolo_app import APP_CONFIG
from app.tables import TABLES, TokenBlacklist


@pytest.fixture
async def connection(bare_database: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection to a freshly migrated database, to which the engine points too."""
    await migrations.upgrade()
    opened = await asyncpg.connect(bare_database)
    yield opened
    await opened.close()


@pytest.mark.usefixtures("connection")
async def test_a_freshly_migrated_database_has_no_drift() -> None:
    assert await drift.check(APP_CONFIG) == []


@pytest.mark.usefixtures("connection")
async def test_the_kept_catalog_is_what_the_migrations_make(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = drift.CATALOG.read_bytes()
    monkeypatch.setattr(drift, "CATALOG", tmp_path / "catalog.json")

    await drift.write_expected()

    assert drift.CATALOG.read_bytes() == kept


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ('DROP INDEX "rooms_status_idx"', "index rooms_status_idx is missing"),
        (
            "ALTER TABLE users ADD nickname TEXT",
            "column users.nickname is not in the migrations",
        ),
        (
            "ALTER TABLE prizes ALTER quantity SET DEFAULT 2",
            "default of prizes.quantity is 2, expected 1",
        ),
        (
            (
                "ALTER TABLE prizes DROP CONSTRAINT prizes_quantity_check,"
                " ADD CONSTRAINT prizes_quantity_check CHECK (quantity >= 0)"
            ),
            (
                "constraint prizes_quantity_check of prizes is CHECK ((quantity >= 0)),"
                " expected CHECK ((quantity >= 1))"
            ),
        ),
        (
            "ALTER TYPE \"RoomStatus\" RENAME VALUE 'CANCELLED' TO 'STOPPED'",
            "value CANCELLED of enum RoomStatus is missing",
        ),
        (
            (
                'ALTER TABLE winners DROP CONSTRAINT "winners_prizeId_fkey",'
                ' ADD CONSTRAINT "winners_prizeId_fkey" FOREIGN KEY ("prizeId")'
                " REFERENCES prizes(id) ON UPDATE CASCADE ON DELETE CASCADE"
            ),
            (
                'constraint winners_prizeId_fkey of winners is FOREIGN KEY ("prizeId")'
                " REFERENCES prizes(id) ON UPDATE CASCADE ON DELETE CASCADE, expected"
                ' FOREIGN KEY ("prizeId")'
                " REFERENCES prizes(id) ON UPDATE CASCADE ON DELETE RESTRICT"
            ),
        ),
        (
            'ALTER TABLE users ALTER "createdAt" TYPE TIMESTAMP(3)',
            (
                "type of users.createdAt is timestamp(3) without time zone,"
                " expected timestamp(3) with time zone"
            ),
        ),
        (
            'DROP TRIGGER "winners_audit" ON winners',
            "trigger winners_audit of winners is missing",
        ),
        (
            "CREATE TRIGGER extra BEFORE UPDATE ON users EXECUTE FUNCTION record_change()",
            "trigger extra of users is not in the migrations",
        ),
        (
            'ALTER TABLE audit_log DISABLE TRIGGER "audit_log_written_once"',
            (
                "trigger audit_log_written_once of audit_log is CREATE TRIGGER"
                " audit_log_written_once BEFORE DELETE OR UPDATE ON audit_log"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_record() DISABLED, expected"
                " CREATE TRIGGER audit_log_written_once BEFORE DELETE OR UPDATE ON audit_log"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_record()"
            ),
        ),
        (
            (
                "CREATE OR REPLACE FUNCTION refuse_change_of_record() RETURNS trigger"
                " LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
            ),
            "function refuse_change_of_record() is not as in the migrations",
        ),
    ],
)
async def test_a_changed_database_is_found_and_named(
    connection: asyncpg.Connection, change: str, sentence: str
) -> None:
    await connection.execute(change)

    assert sentence in await drift.check(APP_CONFIG)


async def test_what_somebody_else_keeps_beside_is_named_and_no_drift(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(
        """
        CREATE TABLE newsletter (address TEXT);
        CREATE TYPE unit AS ENUM ('m');
        CREATE FUNCTION twice(n INT) RETURNS INT LANGUAGE sql AS 'SELECT 2 * n'
        """
    )

    assert await drift.check(APP_CONFIG) == []
    assert await drift.strangers() == [
        "table newsletter",
        "enum unit",
        "function twice(integer)",
    ]


@pytest.mark.usefixtures("connection")
async def test_pending_migrations_are_named_instead_of_all_that_they_will_change() -> None:
    await migrations.downgrade("init")
    _, *lacking = (file.name for file in migrations.migration_files())

    assert await drift.check(APP_CONFIG) == [f"migration {name} is pending" for name in lacking]


async def test_a_migration_that_this_version_lacks_is_named(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(
        "INSERT INTO migration (name, app_name, ran_on) VALUES ('2031-01-01', 'app', now())"
    )

    assert await drift.check(APP_CONFIG) == [
        "migration 2031-01-01 is recorded, but this version lacks it"
    ]


class _Grown(Table, tablename="token_blacklist"):
    id = TokenBlacklist.id
    tokenHash = TokenBlacklist.tokenHash
    expiresAt = Moment(default=None, null=True)
    userId = TokenBlacklist.userId
    revokedAt = TokenBlacklist.revokedAt
    revokedBy = TokenBlacklist.revokedBy
    note = Text()


@pytest.mark.usefixtures("connection")
async def test_a_table_that_no_migration_tells_of_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _Grown.__name__ = "TokenBlacklist"
    changed = [_Grown if table is TokenBlacklist else table for table in TABLES]
    monkeypatch.setattr(APP_CONFIG, "table_classes", changed)

    found = await drift.check(APP_CONFIG)

    assert sorted(found) == [
        "app/tables.py and the migrations disagree: add column TokenBlacklist.note",
        "app/tables.py and the migrations disagree: alter column TokenBlacklist.expiresAt",
        "app/tables.py and the migrations disagree: drop column TokenBlacklist.reason",
    ]
    assert capsys.readouterr().out == ""
