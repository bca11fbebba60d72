"""A database that Prisma made becomes ours: all of it, with every row, or not at all."""

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from app.database import drift, migrations, prisma
from app.database.catalog import Catalog, read_catalog
from app.database.migrations import MigrationFile
from app.database.prisma_schema import ZONELESS
from app.piccolo_app import APP_CONFIG
from tests.database.prisma_databases import (
    STATES,
    Rows,
    migrate_with_prisma,
    read_everything,
    read_rows,
)


@pytest.fixture
def connection(far_from_utc: asyncpg.Connection) -> asyncpg.Connection:
    """Return a connection to an empty database far from UTC, to which the engine points too."""
    return far_from_utc


def sha256(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()


def in_utc(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def as_ours(before: Rows) -> Rows:
    """Return what must have become of the rows, in all columns that were there."""
    rows = {
        table: {id_: in_utc(row) for id_, row in of_table.items()}
        for table, of_table in before.items()
    }
    for user in rows["users"].values():
        user["email"] = user["email"].lower()
    for session in rows["sessions"].values():
        session["refreshToken"] = sha256(session["refreshToken"])
        session.pop("accessToken", None)
    for app in rows["apps"].values():
        app["appSecret"] = sha256(app["appSecret"])
    return rows


def only_columns_of(wanted: Rows, rows: Rows) -> Rows:
    return {
        table: {
            id_: {name: row[name] for name in next(iter(of_table.values()))}
            for id_, row in rows[table].items()
        }
        for table, of_table in wanted.items()
    }


@pytest.mark.parametrize("state", STATES)
async def test_every_state_of_the_plan_becomes_ours_with_every_row(
    connection: asyncpg.Connection, state: str
) -> None:
    await migrate_with_prisma(connection, state)
    expected = as_ours(await read_rows(connection))

    assert await prisma.adopt() == state

    await connection.reload_schema_state()
    after = await read_rows(connection)
    assert only_columns_of(expected, after) == expected
    assert await drift.check(APP_CONFIG) == []
    assert not await connection.fetchval(migrations.MADE_BY_PRISMA)


@pytest.mark.parametrize("state", ["init", "add_manifest_versioning"])
async def test_the_rest_of_the_chain_does_its_part(
    connection: asyncpg.Connection, state: str
) -> None:
    await migrate_with_prisma(connection, state)

    await prisma.adopt()

    rows = await read_rows(connection)
    versions = {id_: row["manifestVersion"] for id_, row in rows["apps"].items()}
    locks = {id_: row["appManifestVersion"] for id_, row in rows["rooms"].items()}
    lottery = "2.1.0" if state == "init" else "1.0.0"  # Prisma's own migration leaves the default.
    assert versions == {"a_lottery": lottery, "a_quiz": "1.0.0", "a_old": "1.0.0"}
    assert locks == {"r_open": lottery, "r_quiz": "1.0.0", "r_gone": "1.0.0"}
    sessions = rows["sessions"].values()
    assert all(session["lastUsedAt"] == session["updatedAt"] for session in sessions)


async def test_an_adopted_database_can_go_back_and_forth(connection: asyncpg.Connection) -> None:
    await migrate_with_prisma(connection, "auth_redesign")
    await prisma.adopt()
    adopted = await read_rows(connection)

    await migrations.downgrade("init")
    await migrations.upgrade()

    await connection.reload_schema_state()
    again = await read_rows(connection)
    assert await drift.check(APP_CONFIG) == []
    for table in ("users", "rooms", "participants", "prizes", "winners"):
        assert again[table].keys() == adopted[table].keys()
    for session in adopted["sessions"].values():
        assert again["sessions"][session["id"]]["refreshToken"] == session["refreshToken"]


async def test_adopting_twice_says_that_it_is_ours_already(
    connection: asyncpg.Connection,
) -> None:
    await migrate_with_prisma(connection, "auth_redesign")
    await prisma.adopt()
    rows = await read_rows(connection)

    assert await prisma.adopt() is None
    assert await read_rows(connection) == rows


async def test_of_two_at_once_one_adopts(connection: asyncpg.Connection) -> None:
    await migrate_with_prisma(connection, "auth_redesign")
    expected = as_ours(await read_rows(connection))

    outcomes = await asyncio.gather(prisma.adopt(), prisma.adopt())

    assert sorted(outcomes, key=str) == [None, "auth_redesign"]
    await connection.reload_schema_state()
    assert only_columns_of(expected, await read_rows(connection)) == expected


async def test_the_plans_own_sql_for_the_blacklist_is_adopted_too(
    connection: asyncpg.Connection,
) -> None:
    await migrate_with_prisma(connection, "auth_redesign")
    await connection.execute(
        'DROP INDEX "token_blacklist_tokenHash_key";'
        'ALTER TABLE token_blacklist ADD UNIQUE ("tokenHash")'
    )

    assert await prisma.adopt() == "auth_redesign"
    assert await drift.check(APP_CONFIG) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            "UPDATE users SET email = 'BOB@example.com' WHERE id = 'u_gone'",
            (
                "2 users have the one address bob@example.com:"
                " u_bob ('bob@example.com'), u_gone ('BOB@example.com')"
            ),
        ),
        (
            "UPDATE prizes SET \"quantityRemaining\" = 6 WHERE id = 'z_card'",
            "prize z_card (Gift card) has 6 of 5 left",
        ),
        (
            "UPDATE prizes SET \"quantityRemaining\" = -1 WHERE id = 'z_card'",
            "prize z_card (Gift card) has -1 of 5 left",
        ),
        (
            "UPDATE prizes SET quantity = 0, \"quantityRemaining\" = 0 WHERE id = 'z_card'",
            "prize z_card (Gift card) has 0 of 0 left",
        ),
        (
            'UPDATE winners SET "deletedAt" = NULL',
            "participant p_bob has won prize z_card 2 times",
        ),
    ],
)
async def test_rows_that_break_our_constraints_are_refused_by_name(
    connection: asyncpg.Connection, change: str, fault: str
) -> None:
    await migrate_with_prisma(connection, "auth_redesign")
    await connection.execute(change)
    before = await read_everything(connection)

    with pytest.raises(prisma.NotAdoptable) as refused:
        await prisma.adopt()

    assert refused.value.faults == (fault,)
    assert await read_everything(connection) == before


async def test_a_failure_half_way_leaves_the_database_to_prisma(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = MigrationFile("2031-01-01T00:00:00:000000", "broken", tmp_path / "broken.py")
    broken.path.write_text(f"ID = {broken.id!r}\nUP = 'SELECT 1 / 0'\nDOWN = ''\n")
    files = [*migrations.migration_files(), broken]
    monkeypatch.setattr(migrations, "migration_files", lambda: files)
    await migrate_with_prisma(connection, "init")
    before = await read_everything(connection)

    with pytest.raises(migrations.MigrationError, match=r"Migration broken .* division by zero"):
        await prisma.adopt()

    assert await read_everything(connection) == before


async def test_a_database_without_prismas_record_is_refused(
    connection: asyncpg.Connection,
) -> None:
    with pytest.raises(prisma.NotAdoptable, match="no table _prisma_migrations"):
        await prisma.adopt()

    assert await connection.fetchval("SELECT to_regclass('migration') IS NULL")


async def test_an_unfinished_prisma_migration_is_refused(connection: asyncpg.Connection) -> None:
    await migrate_with_prisma(connection, "init")
    await connection.execute(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('x', '', 'billing')"
    )

    with pytest.raises(prisma.NotAdoptable, match="Prisma's migration billing did not finish"):
        await prisma.adopt()


async def test_a_database_in_use_is_refused_after_a_while(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "WAIT_FOR_TABLES", "200ms")
    await migrate_with_prisma(connection, "auth_redesign")
    before = await read_everything(connection)

    async with connection.transaction():
        await connection.execute("UPDATE users SET name = name")
        with pytest.raises(prisma.NotAdoptable, match="a table has been in use for 200ms"):
            await prisma.adopt()

    assert await read_everything(connection) == before


@pytest.mark.parametrize("state", STATES)
async def test_the_kept_states_are_what_prisma_makes_and_what_our_chain_makes_but_for_zones(
    connection: asyncpg.Connection, state: str
) -> None:
    await migrate_with_prisma(connection, state)
    made_by_prisma = await read_catalog(connection)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await migrations.upgrade(state)
    made_by_us = await read_catalog(connection)

    assert prisma.STATES[state] == made_by_prisma
    assert prisma.STATES[state] == without_zones(made_by_us)


def without_zones(catalog: Catalog) -> Catalog:
    for table in catalog.tables.values():
        for name, column in table.columns.items():
            if column.type == "timestamp(3) with time zone":
                table.columns[name] = replace(column, type=ZONELESS)
    return catalog
