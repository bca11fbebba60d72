"""`litestar database …`: what each command does, says and leaves as its exit status."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from click.testing import CliRunner, Result
from litestar.cli.main import litestar_group
from piccolo.table import Table

from app.database import command_line, drift, migrations
from app.database.columns import Moment, NativeEnum
from app.database.command_group import database as group
from app.database.engine import DB, EMBEDDED
from app.piccolo_app import APP_CONFIG
from app.settings import Environment, Settings
from app.tables import TABLES, RoomStatus, TokenBlacklist
from tests.database.prisma_databases import migrate_with_prisma

LAST = migrations.migration_files()[-1].name

Invoke = Callable[..., Awaitable[Result]]


@pytest.fixture
def litestar(bare_database: str, monkeypatch: pytest.MonkeyPatch) -> Invoke:  # noqa: ARG001 - DB points there
    """Return a function that runs `litestar database` with the real app, on an empty database."""
    monkeypatch.setenv("LITESTAR_APP", "app.asgi:create_app")

    async def invoke(*arguments: str, answer: str | None = None) -> Result:
        # A command runs its own event loop.
        return await asyncio.to_thread(
            CliRunner().invoke, litestar_group, ["database", *arguments], input=answer
        )

    return invoke


@pytest.fixture
async def connection(bare_database: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection to the database that the commands use."""
    opened = await asyncpg.connect(bare_database)
    yield opened
    await opened.close()


@pytest.fixture
def in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    production = Settings(ENVIRONMENT=Environment.PRODUCTION)
    monkeypatch.setattr(command_line, "settings", lambda: production)


async def tables(connection: asyncpg.Connection) -> set[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {name for (name,) in rows}


async def pairs(connection: asyncpg.Connection, statement: str) -> dict[str, str]:
    return {row[0]: row[1] for row in await connection.fetch(statement)}


async def test_upgrade_applies_what_is_pending_and_shows_each_step(litestar: Invoke) -> None:
    first = await litestar("upgrade")
    second = await litestar("upgrade")

    assert first.exit_code == 0
    steps = re.findall(r"^ +\d+\.\d s (\w+)$", first.stdout, re.MULTILINE)
    assert steps == [file.name for file in migrations.migration_files()]
    assert f"Applied {len(steps)} migration(s)." in first.stdout
    assert (second.exit_code, second.stdout) == (0, "Nothing is pending.\n")


async def test_upgrade_stops_at_its_target_and_downgrade_goes_back(litestar: Invoke) -> None:
    await litestar("upgrade", "auth_redesign")
    assert (await migrations.pending())[0] == "hash_app_secrets"

    back = await litestar("downgrade", "init", "--yes")

    assert back.exit_code == 0
    assert "Reversed 2 migration(s)." in back.stdout
    assert (await migrations.pending())[0] == "add_manifest_versioning"
    assert (await litestar("downgrade", "init", "--yes")).stdout == "Nothing to reverse.\n"


async def test_downgrade_asks_first_and_names_the_database(
    litestar: Invoke, bare_database: str
) -> None:
    name = urlsplit(bare_database).path.removeprefix("/")
    await litestar("upgrade")

    refused = await litestar("downgrade", "zero", answer="n\n")
    assert refused.exit_code == 1
    assert await migrations.pending() == []

    agreed = await litestar("downgrade", "zero", answer="y\n")
    assert agreed.exit_code == 0
    assert f"Reverse what came after zero in the database '{name}' on " in agreed.stdout
    assert len(await migrations.pending()) == len(migrations.migration_files())


@pytest.mark.parametrize("command", [["upgrade", "nope"], ["downgrade", "nope", "--yes"]])
async def test_an_unknown_target_is_named_beside_those_there_are(
    litestar: Invoke, command: list[str]
) -> None:
    result = await litestar(*command)

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: There is no migration 'nope'. There are: init, ")
    assert len(result.stderr.splitlines()) == 1


async def test_upgrade_sends_a_prisma_database_to_its_own_command(
    litestar: Invoke, connection: asyncpg.Connection
) -> None:
    await connection.execute("CREATE TABLE _prisma_migrations (id INT)")

    result = await litestar("upgrade")

    assert result.exit_code == 1
    assert result.stderr == (
        "Error: Prisma made this database. Run: litestar database adopt-prisma\n"
    )
    assert await tables(connection) == {"_prisma_migrations"}


async def test_status_fails_while_migrations_are_pending(litestar: Invoke) -> None:
    await litestar("upgrade", "init")

    pending = await litestar("status")
    await litestar("upgrade")
    done = await litestar("status")

    assert pending.exit_code == 1
    assert re.search(r"2025-12-28T09:00:00:000000 │ init +│ \d{4}-\d\d-\d\d", pending.stdout)
    assert re.search(rf"{LAST} +│ pending", pending.stdout)
    assert done.exit_code == 0
    assert "pending" not in done.stdout


async def test_status_shows_a_migration_of_another_version(
    litestar: Invoke, connection: asyncpg.Connection
) -> None:
    await litestar("upgrade")
    await connection.execute(
        "INSERT INTO migration (name, app_name, ran_on) VALUES ('2031', 'app', now())"
    )

    assert re.search(r"2031 +│ unknown to this version", (await litestar("status")).stdout)


async def test_check_names_drift_and_fails(
    litestar: Invoke, connection: asyncpg.Connection
) -> None:
    await litestar("upgrade")
    agreed = await litestar("check")
    await connection.execute('DROP INDEX "rooms_status_idx"')
    drifted = await litestar("check")

    assert (agreed.exit_code, agreed.stdout) == (0, "Tables, migrations and database agree.\n")
    assert (drifted.exit_code, drifted.stdout) == (1, "index rooms_status_idx is missing\n")


async def test_check_write_makes_the_present_database_the_expected_one(
    litestar: Invoke,
    connection: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(drift, "CATALOG", tmp_path / "catalog.json")
    await litestar("upgrade")
    await connection.execute('DROP INDEX "rooms_status_idx"')

    assert (await litestar("check", "--write")).exit_code == 0

    assert "rooms_status_idx" not in drift.expected_catalog().tables["rooms"].indexes
    assert (await litestar("check")).exit_code == 0


async def test_check_write_keeps_the_expected_one_while_migrations_are_pending(
    litestar: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(drift, "CATALOG", tmp_path / "catalog.json")

    assert (await litestar("check", "--write")).exit_code == 1

    assert not drift.CATALOG.exists()


async def test_a_made_migration_is_part_of_the_chain_and_fails_until_it_is_written(
    litestar: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(migrations, "FOLDER", tmp_path)

    result = await litestar("make-migration", "add_room_colour")

    assert result.exit_code == 0
    (made,) = migrations.migration_files()
    assert made.name == "add_room_colour"
    assert f"Wrote {made.path}" in result.stdout
    assert 'syntax error at or near "Write"' in (await litestar("upgrade")).stderr
    assert await migrations.pending() == ["add_room_colour"]
    assert (await litestar("make-migration", "add_room_colour")).stderr == (
        "Error: There is a migration 'add_room_colour' already.\n"
    )


class _Grown(Table, tablename="token_blacklist"):
    id = TokenBlacklist.id
    tokenHash = TokenBlacklist.tokenHash
    expiresAt = Moment(default=None, null=True)
    userId = TokenBlacklist.userId
    reason = TokenBlacklist.reason
    revokedAt = TokenBlacklist.revokedAt
    severity = NativeEnum(choices=RoomStatus, default=RoomStatus.DRAFT)
    seenAt = Moment()


async def test_a_made_migration_tells_piccolo_of_the_changed_tables(
    litestar: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chain = tmp_path / "chain"
    shutil.copytree(migrations.FOLDER, chain)
    _Grown.__name__ = "TokenBlacklist"
    tables = [_Grown if table is TokenBlacklist else table for table in TABLES]
    monkeypatch.setattr(migrations, "FOLDER", chain)
    monkeypatch.setattr(APP_CONFIG, "migrations_folder_path", str(chain))
    monkeypatch.setattr(APP_CONFIG, "table_classes", tables)
    await litestar("upgrade")
    assert len([line for line in await drift.check(APP_CONFIG) if "TokenBlacklist" in line]) == 4

    result = await litestar("make-migration", "grow_blacklist")

    assert result.exit_code == 0
    assert await drift.check(APP_CONFIG) == ["migration grow_blacklist is pending"]


@pytest.mark.parametrize("name", ["Add", "add colour", "1st", "../x", "é"])
async def test_a_migration_needs_a_plain_name(litestar: Invoke, name: str) -> None:
    result = await litestar("make-migration", name)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {name!r} is no name for a migration")


async def test_reset_deletes_everything_migrates_and_seeds(
    litestar: Invoke, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "CREATE TABLE \"Left Over\" (id INT PRIMARY KEY); CREATE TYPE mood AS ENUM ('x');"
        'CREATE VIEW seen AS SELECT * FROM "Left Over"'
    )

    result = await litestar("reset", "--yes")

    assert result.exit_code == 0
    assert result.stdout.endswith("The database is new, with the demo data.\n")
    assert await drift.check(APP_CONFIG) == []
    assert await connection.fetchval("SELECT count(*) FROM rooms") == 3


async def test_reset_asks_first_and_names_the_database(
    litestar: Invoke, connection: asyncpg.Connection
) -> None:
    await connection.execute("CREATE TABLE kept ()")

    result = await litestar("reset", answer="n\n")

    assert result.exit_code == 1
    name = await connection.fetchval("SELECT current_database()")
    assert f"Delete everything in the database '{name}' on " in result.stdout
    assert await tables(connection) == {"kept"}


@pytest.mark.usefixtures("in_production")
@pytest.mark.parametrize("command", [["reset", "--yes"], ["seed"]])
async def test_production_refuses_what_is_for_development(
    litestar: Invoke, connection: asyncpg.Connection, command: list[str]
) -> None:
    await migrations.upgrade()

    result = await litestar(*command)

    assert result.exit_code == 1
    assert result.stderr.endswith("production refuses it.\n")
    assert await connection.fetchval("SELECT count(*) FROM users") == 0


async def test_seed_twice_changes_nothing(litestar: Invoke, connection: asyncpg.Connection) -> None:
    await litestar("upgrade")

    first = await litestar("seed")
    people = await connection.fetch("SELECT * FROM users")
    second = await litestar("seed")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert len(people) == 5
    assert await connection.fetch("SELECT * FROM users") == people


UNVERSIONED = """
    INSERT INTO users (id, email, "updatedAt") VALUES ('u', 'u@example.com', '2025-01-01');
    INSERT INTO apps (id, "appId", "appSecret", manifest, "manifestVersion", "manifestHistory",
        "updatedAt")
    VALUES
        ('a1', 'app_new', 's1', '{"meta": {"version": "2.1.0"}}', '1.0.0', '[]', '2025-01-01'),
        ('a2', 'app_none', 's2', '{}', '1.0.0', '[]', '2025-01-01'),
        ('a3', 'app_published', 's3', '{"meta": {"version": "1.2.0"}}', '1.2.0',
            '[{"version": "1.0.0"}]', '2025-01-01');
    INSERT INTO rooms (id, name, "appId", "appSettings", "appManifestVersion", "createdBy",
        "updatedAt")
    VALUES
        ('r1', 'one', 'app_new', '{}', '1.0.0', 'u', '2025-01-01'),
        ('r2', 'two', 'app_new', '{}', '1.0.0', 'u', '2025-01-01'),
        ('r3', 'three', 'app_published', '{}', '1.0.0', 'u', '2025-01-01');
"""


async def test_backfill_versions_apps_that_never_had_a_version(
    litestar: Invoke, connection: asyncpg.Connection
) -> None:
    await litestar("upgrade")
    await connection.execute(UNVERSIONED)

    first = await litestar("backfill-manifest-versions")
    apps = await pairs(connection, 'SELECT "appId", "manifestVersion" FROM apps')
    rooms = await pairs(connection, 'SELECT id, "appManifestVersion" FROM rooms')
    second = await litestar("backfill-manifest-versions")

    assert first.stdout == "[1/1] app_new: 2.1.0, 2 rooms locked\nBackfilled 1 app(s).\n"
    assert apps == {"app_new": "2.1.0", "app_none": "1.0.0", "app_published": "1.2.0"}
    assert rooms == {"r1": "2.1.0", "r2": "2.1.0", "r3": "1.0.0"}
    assert second.stdout == "Every app has its version.\n"


async def test_a_backfill_that_stopped_between_app_and_rooms_is_finished(
    litestar: Invoke, connection: asyncpg.Connection
) -> None:
    await litestar("upgrade")
    await connection.execute(UNVERSIONED)
    await connection.execute("UPDATE apps SET \"manifestVersion\" = '2.1.0' WHERE id = 'a1'")

    result = await litestar("backfill-manifest-versions")

    assert result.stdout.startswith("[1/1] app_new: 2.1.0, 2 rooms locked\n")


async def test_adopt_prisma_tells_takes_a_database_over_and_says_so_once(
    litestar: Invoke, connection: asyncpg.Connection
) -> None:
    await migrate_with_prisma(connection, "auth_redesign")
    await connection.execute("CREATE TABLE newsletter (address TEXT)")

    asked = await litestar("adopt-prisma", "--dry-run")
    first = await litestar("adopt-prisma")
    second = await litestar("adopt-prisma")
    checked = await litestar("check")

    findings = (
        "Compared with the state of auth_redesign:\n"
        "Reconciled, 5:\n"
        "  table newsletter is not this service's: it stays as it is\n"
        "  address of user u_alice is 'Alice@Example.com': it becomes alice@example.com\n"
        "  address of user u_gone is 'Gone@Example.com': it becomes gone@example.com\n"
    )
    assert (asked.exit_code, first.exit_code) == (0, 0)
    assert findings in asked.stdout
    assert findings in first.stdout
    assert asked.stdout.endswith(
        "It can be adopted: it is in the state of auth_redesign. Nothing has changed.\n"
    )
    assert first.stdout.endswith("Adopted: it was in the state of auth_redesign.\n")
    assert (second.exit_code, second.stdout) == (0, "This database is ours already.\n")
    assert checked.stdout == (
        "Somebody else's, not compared: table newsletter.\nTables, migrations and database agree.\n"
    )


async def test_adopt_prisma_tells_what_it_would_do_and_what_it_refuses(
    litestar: Invoke, connection: asyncpg.Connection
) -> None:
    await migrate_with_prisma(connection, "auth_redesign")
    await connection.execute('DROP INDEX "rooms_status_idx"; ALTER TABLE users DROP avatar')

    result = await litestar("adopt-prisma")

    assert result.exit_code == 1
    assert "  index rooms_status_idx is missing: it is made\n" in result.stdout
    assert result.stderr.splitlines() == [
        "Refused, 1:",
        "  column users.avatar is missing",
        "Error: This database was not adopted; nothing in it has changed.",
    ]


async def test_adopt_prisma_says_on_a_line_what_it_did_not_get_to_compare(
    litestar: Invoke,
) -> None:
    result = await litestar("adopt-prisma")

    assert result.stderr.splitlines() == [
        (
            "there is no table _prisma_migrations, and not all tables of the plan: Prisma did not"
            " make this one"
        ),
        "Error: This database was not adopted; nothing in it has changed.",
    ]


async def test_stats_shows_four_tables(litestar: Invoke) -> None:
    await litestar("upgrade")

    result = await litestar("stats")

    assert result.exit_code == 0
    for text in ("Token blacklist", "Sessions", "Index usage", "Table sizes", "users_email_key"):
        assert text in result.stdout


@pytest.mark.parametrize("command", ["stats", "seed", "backfill-manifest-versions"])
async def test_a_database_that_is_not_migrated_gets_a_hint(litestar: Invoke, command: str) -> None:
    result = await litestar(command)

    assert result.exit_code == 1
    assert re.fullmatch(
        r"Error: The database is not migrated \(.*\)\. Run: litestar database upgrade\n",
        result.stderr,
    )


async def test_what_postgresql_refuses_is_one_line(
    litestar: Invoke, connection: asyncpg.Connection
) -> None:
    await connection.execute("CREATE VIEW sessions AS SELECT 1; CREATE TABLE token_blacklist ()")

    result = await litestar("stats")

    assert result.exit_code == 1
    assert re.fullmatch(r"Error: PostgreSQL refuses: .*\.\n", result.stderr)


@pytest.mark.parametrize(
    "command",
    [["upgrade"], ["status"], ["check"], ["reset", "--yes"], ["adopt-prisma"], ["stats"]],
)
async def test_a_database_out_of_reach_is_one_line_for_every_command(
    litestar: Invoke, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setitem(DB.config, "dsn", "postgresql://postgres@127.0.0.1:1/none")

    result = await litestar(*command)

    assert result.exit_code == 1
    assert re.fullmatch(
        r"Error: PostgreSQL at 127\.0\.0\.1:1 can't be reached: .*\n", result.stderr
    )


def test_a_question_calls_the_embedded_database_by_that_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(DB.config, "dsn", EMBEDDED.dsn())

    assert command_line._where() == "the embedded database"


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(group, ["--help"])

    assert result.exit_code == 0
    for name in (
        "upgrade",
        "downgrade",
        "status",
        "make-migration",
        "check",
        "reset",
        "seed",
        "backfill-manifest-versions",
        "adopt-prisma",
        "stats",
    ):
        assert f" {name} " in result.stdout


@pytest.mark.parametrize("name", list(command_line.COMMANDS))
def test_help_of_every_command_has_an_example(name: str) -> None:
    result = CliRunner().invoke(group, [name, "--help"])

    assert result.exit_code == 0
    assert f"Example: litestar database {name}" in result.stdout


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "litestar", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_real_command_line_migrates_the_database_of_database_url(empty_database: str) -> None:
    upgraded = run("database", "upgrade", DATABASE_URL=f"{empty_database}?schema=public")
    checked = run("database", "check", DATABASE_URL=empty_database)

    assert (upgraded.returncode, upgraded.stderr) == (0, "")
    assert (checked.returncode, checked.stdout) == (0, "Tables, migrations and database agree.\n")


def test_a_missing_database_is_one_line_on_the_real_command_line(empty_database: str) -> None:
    result = run("database", "status", DATABASE_URL=f"{empty_database}_nope")

    assert result.returncode == 1
    assert result.stdout == ""
    assert re.fullmatch(
        r"Error: .* has no database '.*_nope': create it first\..*\n", result.stderr
    )


def test_the_server_imports_neither_the_commands_nor_what_they_need() -> None:
    heavy = ("rich_click", "piccolo.apps.migrations.auto", "app.database.command_line", "black")
    program = f"import sys, app.asgi; print([name for name in {heavy!r} if name in sys.modules])"

    imported = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert imported.stdout == "[]\n"
