"""Databases as Prisma makes them, and what they hold, for tests that adopt them.

The DDL in `prisma/` is what Prisma generates from the plan's schema, migration by migration, and
differences that were seen in databases in use.
"""

import hashlib
from pathlib import Path
from typing import Any

import asyncpg

from app.database.catalog import read_catalog

DDL = Path(__file__).with_name("prisma")
MIGRATIONS = sorted(DDL.glob("2*.sql"))
STATES = [path.stem.split("_", 1)[1] for path in MIGRATIONS]
TABLES = (
    "users",
    "sessions",
    "token_blacklist",
    "apps",
    "rooms",
    "participants",
    "prizes",
    "winners",
)

Rows = dict[str, dict[str, dict[str, Any]]]
"""Table, id, column."""

BLACKLISTED = """
    INSERT INTO token_blacklist (id, "tokenHash", "expiresAt", "userId", reason, "revokedAt")
    VALUES ('b_1', 'f00d', '2035-01-01', 'u_nobody', 'logout', '2025-08-01 00:00:00')
"""

EVERYTHING = """
    SELECT format('%s %s %s %s %s %s %s %s', n.nspname, relname, relkind, relowner, relacl,
        reloptions, relrowsecurity, CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid)
            WHEN relkind = 'i' THEN pg_get_indexdef(c.oid)
            ELSE array(SELECT format('%s %s %s %s', attname, format_type(atttypid, atttypmod),
                attnotnull, pg_get_expr(adbin, adrelid)) FROM pg_attribute
                LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                WHERE attrelid = c.oid AND attnum > 0 ORDER BY attnum)::text END)
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname !~ '^pg_(cat|toast|t)'
    UNION ALL SELECT format('%s %s %s', conrelid, conname, pg_get_constraintdef(oid))
    FROM pg_constraint
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger
    UNION ALL SELECT format('%s %s', enumtypid, enumlabel) FROM pg_enum
    UNION ALL SELECT format('%s %s', oid, nspname) FROM pg_namespace
    UNION ALL SELECT format('%s %s', oid, proname) FROM pg_proc
    ORDER BY 1
"""
"""Every definition and right."""

ORDINARY = """
    SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relpersistence <> 't'
      AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)' ORDER BY 1
"""


async def migrate_with_prisma(connection: asyncpg.Connection, state: str) -> None:
    """Bring the database to a state, as its owners would have: rows came with the first one."""
    await connection.execute((DDL / "_prisma_migrations.sql").read_text())
    for path in MIGRATIONS[: STATES.index(state) + 1]:
        await connection.execute(path.read_text())
        if path is MIGRATIONS[0]:
            await connection.execute((DDL / "rows.sql").read_text())
        await connection.execute(
            "INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name)"
            " VALUES ($1, $2, now(), $1)",
            path.stem[:36],
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
    if state == "auth_redesign":
        await connection.execute(BLACKLISTED)


def statements(file: str) -> list[str]:
    """Return the statements of a file in `prisma/`, which has one on each line."""
    lines = (DDL / file).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("--")]


def cases(file: str) -> list[dict[str, str]]:
    """Return the parts of a file in `prisma/`: sentences with the statements that bring them."""
    parts = (DDL / file).read_text().split("\n--- ")[1:]
    return [
        dict(_case(paragraph) for paragraph in part.split("\n\n")[1:] if paragraph.strip())
        for part in parts
    ]


def _case(paragraph: str) -> tuple[str, str]:
    lines = paragraph.strip().splitlines()
    sentence = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
    return " ".join(sentence), "\n".join(line for line in lines if not line.startswith("-- "))


async def read_rows(connection: asyncpg.Connection) -> Rows:
    present = (await read_catalog(connection)).tables
    return {
        table: {row["id"]: dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")}
        for table in TABLES
        if table in present
    }


async def read_everything(connection: asyncpg.Connection) -> str:
    """Return a hash of what a refusal must leave as it was."""
    definitions = [row[0] for row in await connection.fetch(EVERYTHING)]
    rows = [
        await connection.fetchval(
            f"SELECT array_agg(t::text ORDER BY t::text)::text FROM {table} t"
        )
        for (table,) in await connection.fetch(ORDINARY)
    ]
    return hashlib.sha256(repr((definitions, rows)).encode()).hexdigest()
