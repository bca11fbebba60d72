"""The plan's figures: its own statements, as it prints them, say the same as ours."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import asyncpg
import pytest
from rich.console import Console

from app.database import migrations, stats

PLAN_BLACKLIST = """
SELECT
  COUNT(*) as total_entries,
  COUNT(*) FILTER (WHERE "expiresAt" > NOW()) as active_entries,
  COUNT(*) FILTER (WHERE "expiresAt" <= NOW()) as expired_entries,
  pg_size_pretty(pg_total_relation_size('token_blacklist')) as table_size
FROM token_blacklist;
"""

PLAN_SESSIONS = """
SELECT
  COUNT(*) as total_sessions,
  COUNT(*) FILTER (WHERE "expiresAt" > NOW()) as active_sessions,
  COUNT(*) FILTER (WHERE "lastUsedAt" > NOW() - INTERVAL '7 days') as recent_sessions,
  pg_size_pretty(pg_total_relation_size('sessions')) as table_size
FROM sessions;
"""

PLAN_INDEX_USAGE = """
SELECT
  schemaname,
  tablename,
  indexname,
  idx_scan as index_scans
FROM pg_stat_user_indexes
ORDER BY idx_scan ASC;
"""

PLAN_TABLE_SIZES = """
SELECT
  tablename,
  pg_size_pretty(pg_total_relation_size(schemaname||'.'||tablename)) AS size
FROM pg_tables
WHERE schemaname = 'public'
ORDER BY pg_total_relation_size(schemaname||'.'||tablename) DESC;
"""

ROWS = """
    INSERT INTO users (id, email, "updatedAt") VALUES ('u', 'u@example.com', now());
    INSERT INTO sessions (id, "userId", "refreshToken", "expiresAt", "lastUsedAt", "updatedAt")
    VALUES
        ('s1', 'u', 'a', now() + INTERVAL '1 day', now(), now()),
        ('s2', 'u', 'b', now() + INTERVAL '1 day', now() - INTERVAL '8 days', now()),
        ('s3', 'u', 'c', now() - INTERVAL '1 day', now() - INTERVAL '8 days', now());
    INSERT INTO token_blacklist (id, "tokenHash", "expiresAt", "userId")
    VALUES
        ('b1', 'a', now() + INTERVAL '1 hour', 'u'),
        ('b2', 'b', now() - INTERVAL '1 hour', 'u'),
        ('b3', 'c', now() - INTERVAL '2 hours', 'u');
"""


@pytest.fixture
async def connection(bare_database: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection to a migrated database with a few rows."""
    await migrations.upgrade()
    opened = await asyncpg.connect(bare_database)
    await opened.execute(ROWS)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("statement", "title"),
    [
        (PLAN_BLACKLIST, "Token blacklist"),
        (PLAN_SESSIONS, "Sessions, recent: used in the last 7 days"),
        (PLAN_TABLE_SIZES, "Table sizes"),
    ],
)
async def test_the_plans_statement_runs_unchanged_and_says_the_same(
    connection: asyncpg.Connection, statement: str, title: str
) -> None:
    plan = [dict(row) for row in await connection.fetch(statement)]

    ours = (await stats.figures())[title]

    assert sorted(map(str, ours)) == sorted(map(str, plan))


@pytest.mark.usefixtures("connection")
async def test_tokens_and_sessions_are_counted_by_their_times() -> None:
    figures = await stats.figures()

    (blacklist,) = figures["Token blacklist"]
    (sessions,) = figures["Sessions, recent: used in the last 7 days"]
    assert [*blacklist.values()][:3] == [3, 1, 2]
    assert [*sessions.values()][:3] == [3, 2, 1]


async def test_the_plans_index_usage_names_columns_that_postgresql_does_not_have(
    connection: asyncpg.Connection,
) -> None:
    with pytest.raises(asyncpg.UndefinedColumnError, match="tablename"):
        await connection.fetch(PLAN_INDEX_USAGE)


async def test_index_usage_counts_scans_with_the_least_used_first(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute("SET enable_seqscan = off")
    for _ in range(9):
        await connection.fetch("SELECT FROM users WHERE email = 'u@example.com'")
    await connection.close()

    usage = await usage_with("users_email_key", last=9)

    scans = [int(str(row["index_scans"])) for row in usage]
    assert scans == sorted(scans)
    assert {"rooms_status_idx", "users_pkey"} <= {row["indexname"] for row in usage}


async def usage_with(index: str, last: int) -> Sequence[Mapping[str, object]]:
    """Wait until the closed connection's process has reported what it counted."""
    async with asyncio.timeout(60):
        while True:
            usage = (await stats.figures())["Index usage, least used first"]
            if (usage[-1]["indexname"], usage[-1]["index_scans"]) == (index, last):
                return usage
            await asyncio.sleep(0.05)


async def test_the_size_of_a_table_whose_name_has_capitals_is_found(
    connection: asyncpg.Connection,
) -> None:
    await connection.execute('CREATE TABLE "Mixed Case" (id INT)')
    with pytest.raises(asyncpg.PostgresError):
        await connection.fetch(PLAN_TABLE_SIZES)

    sizes = (await stats.figures())["Table sizes"]

    assert {"tablename": "Mixed Case", "size": "0 bytes"} in sizes


def test_numbers_stand_on_the_right_and_names_on_the_left() -> None:
    table = stats.as_table("Index usage", [{"index_name": "a_long_name", "scans": 3}])
    console = Console(width=60)

    with console.capture() as printed:
        console.print(table)

    lines = printed.get().splitlines()
    assert lines[0].startswith("Index usage")
    assert "index name" in lines[2]
    assert "│ a_long_name │     3 │" in lines[4]
