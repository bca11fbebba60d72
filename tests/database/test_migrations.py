import asyncio
import hashlib
import json
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from piccolo.apps.migrations.commands.base import BaseMigrationManager
from piccolo.apps.migrations.commands.new import AutoMigrationManager

from app.database import migrations
from app.database.migrations import (
    MigrationError,
    downgrade,
    migration_files,
    pending,
    status,
    upgrade,
)
from app.database.sql_migration import SqlMigration
from app.piccolo_app import APP_CONFIG
from app.tables import TABLES

ROOT = Path(__file__).parents[2]
CHAIN = [file.name for file in migration_files()]
MIGRATE = (
    "import asyncio; from app.database.migrations import upgrade as u; print(asyncio.run(u({})))"
)

APPS = {
    "app_current": {"meta": {"version": "2.3.4"}},
    "app_without_version": {"meta": {"name": "x"}},
    "app_with_empty_version": {"meta": {"version": ""}},
    "app_without_meta": {},
    "app_gone": {"meta": {"version": "0.9.0"}},
}
VERSIONS = {
    "app_current": "2.3.4",
    "app_without_version": "1.0.0",
    "app_with_empty_version": "1.0.0",
    "app_without_meta": "1.0.0",
    "app_gone": "0.9.0",
}


@pytest.fixture
async def db(bare_database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(bare_database)
    yield connection
    await connection.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the chain that a test may add to."""
    copy = tmp_path / "piccolo_migrations"
    shutil.copytree(migrations.FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrations, "FOLDER", copy)
    return copy


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _add_migration(folder: Path, name: str, up: str) -> None:
    text = f'ID = "2999-01-01T00:00:00:000000"\nUP = """{up}"""\nDOWN = ""\n'
    (folder / f"app_2999_01_01t00_00_00_000000_{name}.py").write_text(text)


async def _fill_init(db: Any) -> None:
    """Give each table of the oldest schema rows, alive and deleted."""
    await db.execute(
        """INSERT INTO "users" ("id", "email", "updatedAt") VALUES
           ('u1', 'alice@example.com', '2025-12-01Z'), ('u2', 'bob@example.com', '2025-12-01Z')"""
    )
    await db.execute(
        """INSERT INTO "sessions"
             ("id", "userId", "accessToken", "refreshToken", "expiresAt", "updatedAt") VALUES
           ('s1', 'u1', 'access 1', 'refresh 1', '2026-01-31Z', '2025-12-02Z'),
           ('s2', 'u1', 'access 2', 'refresh ü', '2026-01-31Z', '2025-12-03Z')"""
    )
    for app_id, manifest in APPS.items():
        await db.execute(
            """INSERT INTO "apps" ("id", "appId", "appSecret", "manifest", "updatedAt", "deletedAt")
               VALUES ($1, $1, 'secret of ' || $1::text, $2, '2025-12-01Z',
                       CASE WHEN $1 = 'app_gone' THEN now() END)""",
            app_id,
            json.dumps(manifest),
        )
        await db.execute(
            """INSERT INTO "rooms"
                 ("id", "name", "appId", "appSettings", "createdBy", "updatedAt", "deletedAt")
               VALUES ($1, 'a room', $1, '{"ticketCount": 1}', 'u1', '2025-12-01Z', NULL),
                      ('old_' || $1::text, 'gone', $1, '{}', 'u1', '2025-12-01Z', now())""",
            app_id,
        )
    await db.execute(
        """INSERT INTO "participants" ("id", "userId", "roomId", "updatedAt")
           VALUES ('p1', 'u2', 'app_current', '2025-12-01Z')"""
    )
    await db.execute(
        """INSERT INTO "prizes" ("id", "roomId", "name", "quantity", "quantityRemaining",
             "updatedAt") VALUES ('z1', 'app_current', 'a phone', 2, 1, '2025-12-01Z')"""
    )
    await db.execute(
        """INSERT INTO "winners" ("id", "roomId", "participantId", "prizeId", "deletedAt") VALUES
           ('w1', 'app_current', 'p1', 'z1', now()), ('w2', 'app_current', 'p1', 'z1', NULL)"""
    )


async def _rows(db: Any) -> dict[str, list[dict[str, Any]]]:
    """Return everything that the database holds, Piccolo's records included."""
    tables = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    contents = {}
    for (table,) in tables:
        rows = await db.fetch(f'SELECT * FROM "{table}" ORDER BY 1')
        contents[table] = [dict(row) for row in rows]
    return contents


async def _schema(db: Any) -> set[tuple[Any, ...]]:
    """Return all columns with type, nullability and default, all indexes and constraints."""
    found = await db.fetch(
        """SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod),
             attnotnull::text, pg_get_expr(adbin, adrelid)
           FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
           WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace
                              AND relkind = 'r') AND attnum > 0 AND NOT attisdropped
           UNION ALL SELECT tablename, indexname, indexdef, NULL, NULL FROM pg_indexes
           WHERE schemaname = 'public'
           UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL, NULL
           FROM pg_constraint WHERE connamespace = 'public'::regnamespace"""
    )
    return {tuple(row) for row in found}


async def test_manifest_versioning_takes_versions_from_manifests_and_locks_rooms(db: Any) -> None:
    await upgrade("init")
    await _fill_init(db)
    assert await upgrade("add_manifest_versioning") == ["add_manifest_versioning"]
    apps = await db.fetch('SELECT "appId", "manifestVersion", "manifestHistory" FROM "apps"')
    assert {row["appId"]: row["manifestVersion"] for row in apps} == VERSIONS
    assert {row["manifestHistory"] for row in apps} == {"[]"}
    rooms = await db.fetch('SELECT "id", "appId", "appManifestVersion" FROM "rooms"')
    assert len(rooms) == 2 * len(APPS)
    assert all(room["appManifestVersion"] == VERSIONS[room["appId"]] for room in rooms)


async def test_sessions_from_before_the_auth_redesign_are_found_by_their_tokens_hash(
    db: Any,
) -> None:
    await upgrade("init")
    await _fill_init(db)
    await upgrade("auth_redesign")
    for id_, token in (("s1", "refresh 1"), ("s2", "refresh ü")):
        session = await db.fetchrow(
            'SELECT * FROM "sessions" WHERE "refreshToken" = $1', _sha256(token)
        )
        assert session["id"] == id_
        assert session["lastUsedAt"] == session["updatedAt"]
    assert await db.fetchval('SELECT count(*) FROM "sessions"') == 2


async def test_app_secrets_become_hashes(db: Any) -> None:
    await upgrade("init")
    await _fill_init(db)
    await upgrade("auth_redesign")
    assert await db.fetchval('SELECT "appSecret" FROM "apps" WHERE "id" = $1', "app_gone") == (
        "secret of app_gone"
    )
    await upgrade("hash_app_secrets")
    secrets = await db.fetch('SELECT "id", "appSecret" FROM "apps"')
    assert {row["appSecret"] for row in secrets} == {_sha256(f"secret of {id_}") for id_ in APPS}


async def test_present_versions_count_as_published_when_their_app_was_made_or_last_changed(
    db: Any,
) -> None:
    await upgrade("init")
    await _fill_init(db)
    await upgrade("drop_repeated_indexes")
    await db.execute(
        """UPDATE "apps" SET "manifestHistory" = '[{"version": "0.1.0"}]'
           WHERE "id" = 'app_current'"""
    )
    await upgrade("version_record")
    for app in await db.fetch('SELECT * FROM "apps"'):
        since = "updatedAt" if app["id"] == "app_current" else "createdAt"
        assert app["createdAt"] != app["updatedAt"]
        assert app["manifestPublishedAt"] == app[since]
        assert (app["manifestDeprecatedAt"], app["manifestDeprecationReason"]) == (None, None)


async def test_identities_are_taken_from_people_and_their_first_ones_stay(db: Any) -> None:
    await upgrade("init")
    await _fill_init(db)
    await upgrade("audit_draws")
    await db.execute("""UPDATE "users" SET "providerId" = 'g-1' WHERE "id" = 'u1'""")
    before = await db.fetch('SELECT * FROM "users" ORDER BY "id"')
    await upgrade("identities")
    found = [dict(row) for row in await db.fetch('SELECT * FROM "identities"')]
    assert found == [
        {
            "id": "u1",
            "userId": "u1",
            "provider": "google",
            "subject": "g-1",
            "createdAt": before[0]["createdAt"],
        }
    ]
    await db.execute(
        """INSERT INTO "identities" ("id", "userId", "provider", "subject")
           VALUES ('i2', 'u1', 'acme', 'a-1'), ('i3', 'u2', 'acme', 'a-2')"""
    )
    await downgrade("audit_draws")
    assert await db.fetch('SELECT * FROM "users" ORDER BY "id"') == before
    await upgrade()
    assert await db.fetchval('SELECT string_agg("subject", \',\') FROM "identities"') == "g-1"


@pytest.mark.parametrize("change", ['SET "isActive" = false', "SET \"appSecret\" = 'x' || id"])
async def test_changed_apps_are_announced_until_the_way_back(db: Any, change: str) -> None:
    heard: list[str] = []
    await db.add_listener("apps", lambda *arguments: heard.append(arguments[-1]))
    await upgrade("init")
    await _fill_init(db)
    await upgrade()
    await db.execute(f'UPDATE "apps" {change}')
    assert sorted(heard) == sorted(APPS)
    await downgrade("identities")
    await db.execute(f'UPDATE "apps" {change}')
    assert len(heard) == len(APPS)


async def test_rooms_that_are_there_already_are_counted(db: Any) -> None:
    await upgrade("init")
    await _fill_init(db)
    await upgrade(CHAIN[CHAIN.index("room_counts") - 1])
    await upgrade()
    counts = 'SELECT "roomId", participants, prizes, winners FROM room_counts'
    assert [tuple(row) for row in await db.fetch(counts)] == [("app_current", 1, 1, 1)]
    await db.execute('UPDATE winners SET "deletedAt" = now()')
    assert [tuple(row) for row in await db.fetch(counts)] == [("app_current", 1, 1, 0)]


BEFORE_ADDRESSES = CHAIN[CHAIN.index("who_accepted") - 1]


async def test_who_is_in_a_room_already_is_known_by_the_present_address(db: Any) -> None:
    await upgrade("init")
    await _fill_init(db)
    await upgrade(BEFORE_ADDRESSES)
    await db.execute(
        """INSERT INTO "users" ("id", "email", "updatedAt", "deletedAt") VALUES
             ('opener', 'opener@example.org', now(), NULL),
             ('gone', 'gone@example.org', now(), now());
           UPDATE "rooms" SET "createdBy" = 'opener';
           INSERT INTO "participants" ("id", "userId", "roomId", "updatedAt")
           SELECT u."id" || r."id", u."id", r."id", now() FROM "users" u, "rooms" r
           ON CONFLICT DO NOTHING"""
    )
    await upgrade()
    rows = await db.fetch(
        'SELECT u.email AS theirs, p.email, p."acceptedAt" = p."joinedAt" AS accepted, '
        'u."deletedAt" IS NULL AS alive, r."createdBy" = u.id AS opened FROM participants p '
        'JOIN users u ON u.id = p."userId" JOIN rooms r ON r.id = p."roomId"'
    )
    assert {row["opened"] for row in rows} == {row["alive"] for row in rows} == {True, False}
    for row in rows:
        assert row["email"] == (row["theirs"] if row["alive"] else None)
        assert row["accepted"] == (True if row["opened"] else None)


async def test_who_has_no_account_has_one_on_the_way_back_and_keeps_what_was_won(db: Any) -> None:
    await upgrade("init")
    await _fill_init(db)
    await upgrade()
    (room, prize) = await db.fetchrow('SELECT "roomId", id FROM prizes')
    somebody = await db.fetchval('SELECT "userId" FROM participants WHERE "roomId" = $1', room)
    await db.execute(
        """INSERT INTO "users" ("id", "email", "updatedAt") VALUES
             ('elsewhere', 'elsewhere@example.org', now());
           UPDATE "participants" SET "email" = NULL"""
    )
    await db.execute("UPDATE users SET email = 'somebody@example.org' WHERE id = $1", somebody)
    await db.execute(
        """INSERT INTO "participants" ("id", "roomId", "email", "name", "deletedAt", "updatedAt")
           VALUES
             ('new', $1, 'new@example.org', 'New', NULL, now()),
             ('twice', $1, 'somebody@example.org', 'Twice', NULL, now()),
             ('known', $1, 'elsewhere@example.org', NULL, NULL, now()),
             ('given up', $1, NULL, NULL, now(), now())""",
        room,
    )
    for each in ("new", "twice", "given up"):
        await db.execute(
            'INSERT INTO "winners" ("id", "roomId", "participantId", "prizeId") '
            "VALUES ($1, $2, $1, $3)",
            each,
            room,
            prize,
        )
    winners = await db.fetchval("SELECT count(*) FROM winners")
    await downgrade(BEFORE_ADDRESSES)
    rows = await db.fetch(
        'SELECT p.id, u.email, u.name FROM participants p JOIN users u ON u.id = p."userId" '
        "WHERE p.id IN ('new', 'twice', 'known', 'given up') ORDER BY p.id"
    )
    assert [tuple(row) for row in rows] == [
        ("given up", "given up@invited.invalid", None),
        ("known", "elsewhere@example.org", None),
        ("new", "new@example.org", "New"),
        ("twice", "twice@invited.invalid", "Twice"),
    ]
    assert await db.fetchval("SELECT count(*) FROM winners") == winners
    await upgrade()
    assert await db.fetchval("SELECT email FROM participants WHERE id = 'new'") == "new@example.org"


@pytest.mark.parametrize("stage", CHAIN)
async def test_the_way_back_restores_the_schema_of_every_stage(db: Any, stage: str) -> None:
    await upgrade("init")
    await _fill_init(db)
    await upgrade(stage)
    schema = await _schema(db)
    await upgrade()
    reversed_ = await downgrade(stage)
    assert reversed_ == CHAIN[: CHAIN.index(stage) : -1]
    assert await _schema(db) == schema
    assert [state.name for state in await status() if state.applied_at] == CHAIN[
        : CHAIN.index(stage) + 1
    ]


async def test_back_to_init_keeps_what_init_can_hold(db: Any) -> None:
    await upgrade("init")
    await _fill_init(db)
    before = await _rows(db)
    await upgrade()
    await downgrade("init")
    after = await _rows(db)
    for session in before["sessions"] + after["sessions"]:
        session.pop("accessToken")
    for session in before["sessions"]:
        session["refreshToken"] = "sha256:" + _sha256(session["refreshToken"])
    for app in before["apps"]:
        app["appSecret"] = "sha256:" + _sha256(app["appSecret"])
    before["migration"] = before["migration"][:1]
    assert after == before


async def test_access_tokens_that_nobody_was_given_fill_the_older_schema(db: Any) -> None:
    await upgrade("init")
    await _fill_init(db)
    seen = set()
    for _ in range(2):
        await upgrade()
        await downgrade("init")
        tokens = await db.fetch('SELECT "accessToken" FROM "sessions"')
        seen |= {row["accessToken"] for row in tokens}
    assert len(seen) == 4
    assert all(len(token) > 64 for token in seen)


async def test_forwards_again_changes_nothing_and_hashes_nothing_twice(db: Any) -> None:
    await upgrade("init")
    await _fill_init(db)
    await upgrade()
    first = await _rows(db)
    await downgrade("init")
    await db.execute(
        """INSERT INTO "sessions"
             ("id", "userId", "accessToken", "refreshToken", "expiresAt", "updatedAt") VALUES
           ('s3', 'u2', 'access 3', 'refresh 3', '2026-01-31Z', '2025-12-04Z')"""
    )
    await upgrade()
    again = await _rows(db)
    made_between = again["sessions"].pop()
    assert made_between["refreshToken"] == _sha256("refresh 3")
    del first["migration"], again["migration"]
    assert again == first


async def test_back_to_zero_leaves_only_the_record(db: Any) -> None:
    await upgrade("init")
    await _fill_init(db)
    await upgrade()
    await downgrade("zero")
    assert await _rows(db) == {"migration": []}
    assert not await db.fetch("SELECT 1 FROM pg_type WHERE typtype = 'e'")


@pytest.mark.usefixtures("bare_database")
async def test_a_database_without_records_lacks_every_migration() -> None:
    assert await pending() == CHAIN
    assert all(state.applied_at is None for state in await status())


@pytest.mark.usefixtures("bare_database")
async def test_only_what_is_missing_is_pending() -> None:
    await upgrade("auth_redesign")
    assert await pending() == CHAIN[3:]
    states = await status()
    assert [state.applied_at is not None for state in states] == [
        name in CHAIN[:3] for name in CHAIN
    ]


@pytest.mark.usefixtures("bare_database")
async def test_a_second_upgrade_has_nothing_to_do() -> None:
    steps: list[str] = []
    assert await upgrade(on_step=steps.append) == CHAIN == steps
    assert await upgrade(on_step=steps.append) == []
    assert steps == CHAIN


@pytest.mark.usefixtures("bare_database")
async def test_a_target_is_a_name_or_an_id() -> None:
    assert await upgrade(migration_files()[1].id) == CHAIN[:2]
    with pytest.raises(MigrationError, match=r"no migration 'inti'\. There are: init, add_"):
        await upgrade("inti")


async def test_a_migration_that_fails_half_way_leaves_nothing(db: Any, folder: Path) -> None:
    await upgrade()
    before, schema = await _rows(db), await _schema(db)
    _add_migration(
        folder,
        "broken",
        'CREATE TABLE "halves" (); DELETE FROM "migration"; ALTER TABLE "nowhere" DROP "column";',
    )
    with pytest.raises(MigrationError) as caught:
        await upgrade()
    assert str(caught.value) == (
        'Migration broken (up) failed and left nothing behind: relation "nowhere" does not exist'
    )
    assert await _rows(db) == before
    assert await _schema(db) == schema
    assert await pending() == ["broken"]


async def test_rows_that_break_a_new_rule_stop_the_upgrade_before_it(db: Any) -> None:
    await upgrade("init")
    await _fill_init(db)
    await upgrade("hash_app_secrets")
    await db.execute('UPDATE "prizes" SET "quantityRemaining" = 3')
    before, schema = await _rows(db), await _schema(db)
    with pytest.raises(MigrationError, match=r'"prizes_quantityRemaining_check" .* violated'):
        await upgrade()
    assert await _rows(db) == before
    assert await _schema(db) == schema
    await db.execute('UPDATE "prizes" SET "quantityRemaining" = 2')
    assert await upgrade() == CHAIN[CHAIN.index("hash_app_secrets") + 1 :]


async def test_who_won_a_prize_twice_is_named(db: Any) -> None:
    await upgrade("init")
    await _fill_init(db)
    await db.execute('UPDATE "winners" SET "deletedAt" = NULL')
    with pytest.raises(MigrationError, match=r"\(p1, z1\) is duplicated") as caught:
        await upgrade()
    assert "\n" not in str(caught.value)
    assert await pending() == CHAIN[CHAIN.index("one_win_per_prize") :]


@pytest.mark.usefixtures("bare_database")
async def test_a_file_without_sql_or_an_id_of_its_own_is_refused(folder: Path) -> None:
    path = folder / "app_2999_01_01t00_00_00_000000.py"
    path.write_text('ID = "2999-01-01T00:00:00:000000"\n')
    with pytest.raises(MigrationError, match="has no SQL: it needs UP and DOWN"):
        await upgrade()
    path.write_text('ID = "2998-01-01T00:00:00:000000"\n')
    with pytest.raises(MigrationError, match="should have the ID 2999-01-01T00:00:00:000000"):
        await upgrade()
    shutil.copy(path, folder / "app_2999_01_01t00_00_00_000000_too.py")
    with pytest.raises(MigrationError, match="have the same ID 2999-01-01T00:00:00:000000"):
        await upgrade()
    path.rename(folder / "mine.py")
    with pytest.raises(MigrationError, match=r"mine\.py is not named app_<time stamp>_<name>\.py"):
        await upgrade()


async def test_a_database_ahead_of_the_code_is_not_downgraded(db: Any) -> None:
    await upgrade()
    await db.execute("INSERT INTO migration (name, app_name) VALUES ('2999', 'app')")
    assert (await status())[-1].name is None
    with pytest.raises(MigrationError, match="that this version lacks: 2999"):
        await downgrade("init")
    assert await pending() == []


async def test_a_table_in_use_stops_the_migration_not_the_users(
    db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "WAIT_FOR_TABLES", "50ms")
    await upgrade("init")
    async with db.transaction():
        await db.execute('LOCK TABLE "apps" IN ACCESS SHARE MODE')
        with pytest.raises(MigrationError, match=r"a table was in use for 50ms\. Try again\."):
            await upgrade()
    assert await pending() == CHAIN[1:]


async def test_waiting_for_another_process_ends_with_a_clear_error(
    db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "WAIT_FOR_OTHERS", "50ms")
    await db.execute("SELECT pg_advisory_lock($1)", migrations.LOCK)
    steps: list[str] = []
    with pytest.raises(MigrationError, match="has been migrating this database for 50ms"):
        await upgrade(on_step=steps.append)
    assert steps == ["another process is migrating this database: waiting for it"]


async def _migrate_in_process(dsn: str, arguments: str = "", setup: str = "") -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"{setup}\n{MIGRATE.format(arguments)}",
        cwd=ROOT,
        env={"DATABASE_URL": dsn, "PYTHONPATH": str(ROOT)},
        stdout=PIPE,
    )


async def _wait_until(db: Any, condition: str) -> None:
    async with asyncio.timeout(60):
        while not await db.fetchval(f"SELECT {condition}"):  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.02)


async def test_of_two_processes_one_migrates_and_the_other_waits(
    bare_database: str, db: Any
) -> None:
    await db.execute("SELECT pg_advisory_lock($1)", migrations.LOCK)
    processes = [await _migrate_in_process(bare_database) for _ in range(2)]
    await _wait_until(db, "count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    await db.execute("SELECT pg_advisory_unlock($1)", migrations.LOCK)
    said = sorted([(await process.communicate())[0].decode().strip() for process in processes])
    assert [process.returncode for process in processes] == [0, 0]
    assert said == [str(CHAIN), "[]"]
    assert await pending() == []


async def test_a_killed_process_leaves_the_lock_and_the_database_to_the_next(
    bare_database: str, db: Any, folder: Path
) -> None:
    await upgrade("init")
    _add_migration(folder, "slow", 'CREATE TABLE "halves" (); SELECT pg_sleep(1);')
    other_folder = (
        "from pathlib import Path; from app.database import migrations\n"
        f"migrations.FOLDER = Path({str(folder)!r})"
    )
    process = await _migrate_in_process(bare_database, setup=other_folder)
    await _wait_until(db, "count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    assert await upgrade() == ["slow"]
    assert await db.fetchval("""SELECT to_regclass('"halves"')""") is not None


async def test_tables_and_migrations_agree() -> None:
    statements = await AutoMigrationManager(auto_input="n").get_alter_statements(APP_CONFIG)
    assert [line for group in statements for line in group.statements] == []


async def test_piccolo_and_we_run_the_same_scripts() -> None:
    modules = BaseMigrationManager().get_migration_modules(str(migrations.FOLDER))
    for file in migration_files():
        scripts = file.scripts()
        migration = await modules[file.id].forwards()
        assert isinstance(migration, SqlMigration)
        assert (migration.migration_id, migration.description) == (file.id, file.name)
        assert (migration.up, migration.down) == scripts


async def test_piccolos_way_of_running_waits_for_who_migrates(db: Any) -> None:
    await db.execute("SELECT pg_advisory_lock($1)", migrations.LOCK)
    migration = SqlMigration(up='CREATE TABLE "new" ("id" TEXT)', down='DROP TABLE "new"')
    running = asyncio.create_task(migration.run())
    await _wait_until(db, "count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    await db.execute("SELECT pg_advisory_unlock($1)", migrations.LOCK)
    await running
    assert await _rows(db) == {"new": []}
    await migration.run(backwards=True)
    assert await _rows(db) == {}


async def test_tables_have_the_columns_of_the_database(db: Any) -> None:
    await upgrade()
    for table in TABLES:
        said = ", ".join(
            f'"{column._meta.name}" {column.column_type} {"" if column._meta.null else "NOT NULL"}'
            for column in table._meta.columns
        )
        await db.execute(f'CREATE TEMP TABLE "said" ({said})')
        assert await _columns(db, "said") == await _columns(db, f"public.{table._meta.tablename}")
        await db.execute('DROP TABLE "said"')


async def _columns(db: Any, table: str) -> set[tuple[Any, ...]]:
    columns = await db.fetch(
        """SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
           WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped""",
        table,
    )
    return {tuple(column) for column in columns}


async def _piccolo(dsn: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "piccolo"),
        "migrations",
        *arguments,
        cwd=ROOT,
        env={"DATABASE_URL": dsn, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        stdout=PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_piccolos_own_commands_work_on_the_same_chain(bare_database: str, db: Any) -> None:
    await _piccolo(bare_database, "forwards", "app", "1")
    assert await pending() == CHAIN[1:]
    await upgrade("auth_redesign")
    preview = await _piccolo(bare_database, "forwards", "app", "1", "--preview")
    assert 'UPDATE "apps" SET "appSecret"' in preview
    assert await pending() == CHAIN[3:]
    await _piccolo(bare_database, "forwards", "app")
    assert await pending() == []
    assert "False" not in await _piccolo(bare_database, "check")
    await _piccolo(bare_database, "backwards", "app", "all", "--auto_agree")
    assert await _rows(db) == {"migration": []}


def test_the_plans_own_statements_are_what_runs() -> None:
    scripts = {file.name: file.scripts().up for file in migration_files()}
    for statement in (
        """ALTER TABLE "apps" ADD COLUMN "manifestVersion" TEXT NOT NULL DEFAULT '1.0.0';""",
        """ALTER TABLE "apps" ADD COLUMN "manifestHistory" JSONB NOT NULL DEFAULT '[]';""",
        """ALTER TABLE "rooms" ADD COLUMN "appManifestVersion" TEXT NOT NULL DEFAULT '1.0.0';""",
        'CREATE INDEX "apps_manifestVersion_idx" ON "apps"("manifestVersion");',
        'CREATE INDEX "rooms_appManifestVersion_idx" ON "rooms"("appManifestVersion");',
        'ON "rooms"("appId", "appManifestVersion");',
    ):
        assert statement in scripts["add_manifest_versioning"]
    for column in ("tokenHash", "expiresAt", "userId"):
        assert (
            f'CREATE INDEX "token_blacklist_{column}_idx" ON "token_blacklist"("{column}");'
            in scripts["auth_redesign"]
        )
