"""What a Prisma database has otherwise is reconciled, or refused by name with nothing changed."""

import asyncio
import functools
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest

from app.database import drift, migrations, prisma
from app.database.engine import DB, fetchrow
from app.piccolo_app import APP_CONFIG
from app.settings import settings
from tests import factories
from tests.conftest import application
from tests.database.prisma_databases import (
    cases,
    migrate_with_prisma,
    read_everything,
    read_rows,
    statements,
)
from tests.waiting import eventually, is_waited_for

HARMLESS = [
    "default of apps.manifestVersion is none: it becomes '1.0.0'::text",
    "default of rooms.appManifestVersion is none: it becomes '1.0.0'::text",
    "default of apps.manifestHistory is none: it becomes '[]'::jsonb",
    "index rooms_isPublic_idx is missing: it is made",
    "index rooms_name_idx is not this service's: btree (name): it is dropped",
    "index users_deletedAt_idx is called users_deleted: it is renamed",
    "type of users.email is character varying(320): it becomes text",
    "column rooms.appManifestVersion allows NULL: it no longer does",
    "table newsletter is not this service's: it stays as it is",
    "view active_rooms is not this service's: it stays as it is",
]
"""What is told of each statement of `harmless.sql`."""

HARMFUL = [
    (
        "constraint participants_userId_fkey of participants is missing, which was: FOREIGN KEY"
        ' ("userId") REFERENCES users(id) ON UPDATE CASCADE ON DELETE CASCADE: 0 rows'
        " refer to no row of users"
    ),
    (
        "type of prizes.quantity is bigint, expected integer:"
        " 2 row(s) (z_card, z_phone) have a value"
    ),
    "value ARCHIVED of enum RoomStatus is unknown to this service: 0 rows have it",
    (
        "2 users have the one address élodie@example.com:"
        " x1 ('Élodie@example.com'), x2 ('élodie@example.com ')"
    ),
]
"""Why each statement of `harmful.sql` is refused."""

WITH_SETTINGS = """UPDATE apps SET manifest = manifest || '{"settings": {}}'"""
"""Makes manifests of those that nobody had checked: rooms are opened on them."""


@pytest.fixture
async def connection(far_from_utc: asyncpg.Connection) -> asyncpg.Connection:
    """Return a connection to a database in the last of Prisma's states."""
    await migrate_with_prisma(far_from_utc, "auth_redesign")
    return far_from_utc


async def adopt() -> list[str]:
    """Adopt the database, require that it is ours from end to end, and return what was told."""
    told: list[prisma.Findings] = []
    await prisma.adopt(on_findings=told.append)
    assert await drift.check(APP_CONFIG) == []
    assert told[0].refused == []
    return told[0].reconciled


async def refusals(connection: asyncpg.Connection) -> list[str]:
    """Return why the database is refused, if asked or for real, and stays as it was."""
    before = await read_everything(connection)
    told: list[prisma.Findings] = []
    for dry_run in (True, False):
        with pytest.raises(prisma.NotAdoptable) as refused:
            await prisma.adopt(on_findings=told.append, dry_run=dry_run)
    assert told[0] == told[1]
    assert told[1].refused == [*refused.value.faults]
    assert await read_everything(connection) == before
    return told[1].refused


async def do_the_main_job() -> None:
    """Open a room, have somebody join, add a prize, award and list it, all as clients do."""
    await DB.start_connection_pool()
    try:
        transport = httpx.ASGITransport(application(repr(settings())))
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            await _award(client)
    finally:
        await DB.close_connection_pool()


async def _award(client: httpx.AsyncClient) -> None:
    [alice, bob] = [
        await factories.bearer(await fetchrow("SELECT * FROM users WHERE id = $1", id_))
        for id_ in ("u_alice", "u_bob")
    ]
    opened = {"name": "New", "appId": "app_quiz_v1", "appSettings": {}}
    room = await _sent(client, "POST", "/rooms", alice, opened)
    path = f"/rooms/{room['id']}"
    await _sent(client, "PATCH", path, alice, {"status": "ACTIVE"})
    joined = await _sent(client, "POST", f"{path}/participants", bob, {})
    prize = await _sent(client, "POST", f"{path}/prizes", alice, {"name": "Phone"})
    given = {"participantId": joined["id"], "prizeId": prize["id"]}
    winner = await _sent(client, "POST", f"{path}/winners", alice, given)
    listed = (await client.get(f"/api/v1{path}/winners")).json()["data"]
    assert [each["id"] for each in listed] == [winner["id"]]
    assert "r_open" in (await client.get("/api/v1/rooms")).text


async def _sent(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], body: object
) -> dict[str, str]:
    answer = await client.request(method, f"/api/v1{path}", headers=headers, json=body)
    assert answer.is_success, answer.text
    data: dict[str, str] = answer.json()["data"]
    return data


async def test_the_main_job_is_done_after_the_oldest_state_too(
    far_from_utc: asyncpg.Connection,
) -> None:
    await migrate_with_prisma(far_from_utc, "init")
    await far_from_utc.execute(WITH_SETTINGS)

    await adopt()

    await do_the_main_job()


@pytest.mark.parametrize(
    ("change", "sentence"), [*zip(statements("harmless.sql"), HARMLESS, strict=True)]
)
async def test_a_difference_that_harms_nobody_is_reconciled_and_told(
    connection: asyncpg.Connection, change: str, sentence: str
) -> None:
    await connection.execute(change)

    assert sentence in await adopt()


async def test_all_that_harms_nobody_is_reconciled_at_once(connection: asyncpg.Connection) -> None:
    await connection.execute(WITH_SETTINGS)
    for change in statements("harmless.sql"):
        await connection.execute(change)

    told = await adopt()

    assert [each for each in HARMLESS if each not in told] == []
    await do_the_main_job()


@pytest.mark.parametrize("changes", cases("reconciled.sql"))
async def test_what_others_might_have_is_reconciled_and_told(
    connection: asyncpg.Connection, changes: dict[str, str]
) -> None:
    await connection.execute(WITH_SETTINGS)
    for change in changes.values():
        await connection.execute(change)

    told = await adopt()

    assert [each for each in changes if each not in told] == [], told


@pytest.mark.parametrize(
    ("change", "sentence"), [*zip(statements("harmful.sql"), HARMFUL, strict=True)]
)
async def test_a_difference_that_does_harm_is_refused_by_name(
    connection: asyncpg.Connection, change: str, sentence: str
) -> None:
    await connection.execute(change)

    assert await refusals(connection) == [sentence]


@pytest.mark.parametrize("changes", cases("refused.sql"))
async def test_all_that_does_harm_is_refused_by_name_at_once(
    connection: asyncpg.Connection, changes: dict[str, str]
) -> None:
    for change in changes.values():
        await connection.execute(change)

    told = await refusals(connection)

    assert [each for each in changes if each not in told] == [], told


async def test_addresses_get_their_one_form_whatever_the_collation(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(
        """
        UPDATE users SET email = E' \\t\u00c9lodie@B\u00dcCHER.example ' WHERE id = 'u_gone';
        ALTER TABLE users ALTER email TYPE TEXT COLLATE "C"
        """
    )

    told = await adopt()

    address = "\u00e9lodie@xn--bcher-kva.example"
    assert f"it becomes {address}" in next(each for each in told if "u_gone" in each)
    assert (await read_rows(connection))["users"]["u_gone"]["email"] == address


async def test_of_many_addresses_the_first_are_named_and_the_rest_counted(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(
        """
        INSERT INTO users (id, email, "updatedAt")
        SELECT 'none_' || n, 'none ' || n, now() FROM generate_series(10, 34) n
        UNION ALL SELECT 'two_' || n || c, c || n || '@example.com', now()
        FROM generate_series(10, 34) n, unnest('{A,a}'::text[]) c
        """
    )

    told = await refusals(connection)

    assert told[0].startswith("user none_10 has the address 'none 10': Not an e-mail address: ")
    assert told[20] == "and 5 more such address(es)"
    assert told[21] == (
        "2 users have the one address a10@example.com:"
        " two_10A ('A10@example.com'), two_10a ('a10@example.com')"
    )
    assert told[41:] == ["and 5 more such address(es)"]


async def test_views_over_what_changes_are_made_again_with_their_rights(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(
        """
        CREATE VIEW recent WITH (security_barrier=true)
        AS SELECT id, "createdAt" FROM rooms WHERE "createdAt" > '2000-01-01';
        COMMENT ON VIEW recent IS 'Somebody''s';
        GRANT SELECT ON recent TO PUBLIC;
        CREATE VIEW "Newest" AS SELECT max("createdAt") AS at FROM recent;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO PUBLIC
        """
    )
    rights = "SELECT relname, relacl::text, reloptions, obj_description(oid) FROM pg_class"
    rights += " WHERE relname IN ('recent', 'Newest') ORDER BY 1"
    before = [tuple(row) for row in await connection.fetch(rights)]

    told = await adopt()

    assert "view public.recent shows what changes: it is made again" in told
    after = [tuple(row) for row in await connection.fetch(rights)]
    assert [row[2:] for row in after] == [row[2:] for row in before]
    assert [sorted(_readers(row[1])) for row in after] == [["postgres"], ["", "postgres"]]
    assert await connection.fetchval('SELECT at FROM "Newest"') is not None


def _readers(rights: str | None) -> set[str]:
    entries = (rights or "{postgres=r/postgres}").strip("{}").split(",")
    return {entry.partition("=")[0] for entry in entries}


@pytest.fixture
async def somebody_else(far_from_utc: asyncpg.Connection) -> AsyncIterator[str]:
    """Return the name of a role that owns nothing."""
    name = f"somebody_{await far_from_utc.fetchval('SELECT current_database()')}"
    await far_from_utc.execute(f"CREATE ROLE {name} LOGIN")
    yield name
    await far_from_utc.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def test_who_does_not_own_the_tables_is_told_whose_they_are(
    connection: asyncpg.Connection, somebody_else: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(DB.config["dsn"])
    host = parts.netloc.rpartition("@")[2]
    url = urlunsplit(parts._replace(netloc=f"{somebody_else}@{host}"))
    monkeypatch.setitem(DB.config, "dsn", url)
    before = await read_everything(connection)

    with pytest.raises(prisma.NotAdoptable) as refused:
        await prisma.adopt()

    assert len(refused.value.faults) == 8
    assert refused.value.faults[0] == (
        f"table apps belongs to postgres, of which {somebody_else} is no member:"
        " connect as its owner"
    )
    assert await read_everything(connection) == before


async def test_a_role_that_looks_for_names_elsewhere_is_refused(
    connection: asyncpg.Connection,
) -> None:
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"CREATE SCHEMA own; ALTER DATABASE {name} SET search_path = own")

    assert await refusals(connection) == [
        "names are looked for in own first: ALTER ROLE postgres SET search_path = public"
    ]


async def test_two_schemas_with_the_plans_tables_are_refused(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute("ALTER SCHEMA public RENAME TO one; CREATE SCHEMA public")
    await migrate_with_prisma(connection, "init")
    await connection.execute("ALTER SCHEMA public RENAME TO two; CREATE SCHEMA public")
    await connection.execute("DROP TABLE one.token_blacklist")

    with pytest.raises(prisma.NotAdoptable, match="in several schemas: one, two"):
        await prisma.adopt()


async def test_asking_waits_for_nobody_and_changes_nothing(connection: asyncpg.Connection) -> None:
    before = await read_everything(connection)

    async with connection.transaction():
        await connection.execute("LOCK TABLE users IN ROW EXCLUSIVE MODE")
        assert await prisma.adopt(dry_run=True) == "auth_redesign"

    assert await read_everything(connection) == before


async def test_what_is_written_while_adopting_waits_is_seen(connection: asyncpg.Connection) -> None:
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(
        f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'"
    )
    writing = connection.transaction()
    await writing.start()
    await connection.execute(
        "INSERT INTO users (id, email, \"updatedAt\") VALUES ('x', 'X', now())"
    )

    adopting = asyncio.create_task(prisma.adopt())
    await eventually(functools.partial(is_waited_for, connection, "users"))
    await writing.commit()

    with pytest.raises(prisma.NotAdoptable, match="user x has the address 'X'"):
        await adopting


async def test_who_is_killed_half_way_leaves_the_database_to_prisma_and_may_begin_again(
    connection: asyncpg.Connection,
) -> None:
    before = await read_everything(connection)
    other = await asyncpg.connect(DB.config["dsn"])

    def kill(step: str) -> None:
        if step == "announce_apps":
            killing.append(asyncio.ensure_future(other.execute(KILL_MIGRATOR)))

    killing: list[asyncio.Future[str]] = []
    with pytest.raises(migrations.MigrationError, match="The connection to PostgreSQL was lost"):
        await prisma.adopt(kill)
    await asyncio.gather(*killing)
    await other.close()

    assert await read_everything(connection) == before
    await adopt()


KILL_MIGRATOR = """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND database = (
        SELECT oid FROM pg_database WHERE datname = current_database()
    )
"""


async def test_what_postgresql_refuses_is_told_with_what_it_was_for(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute(
        """
        CREATE UNIQUE INDEX own ON users (name, id);
        CREATE TABLE badges (name TEXT, id TEXT, FOREIGN KEY (name, id) REFERENCES users (name, id))
        """
    )
    before = await read_everything(connection)

    with pytest.raises(
        prisma.NotAdoptable,
        match=r"^index own is not this service's: UNIQUE btree \(name, id\): PostgreSQL refuses: .*"
        "badges",
    ):
        await prisma.adopt()

    assert await read_everything(connection) == before
