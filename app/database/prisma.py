"""Adopting a database that the plan's Prisma migrations made: it becomes ours in place.

Such a database is in the state that one of the plan's three migrations left; `prisma.json` holds
the catalog of each. What is adopted must equal one of them, name for name, and its rows must obey
the constraints that we add. Then everything happens in one transaction: it becomes ours, with
every row, or it stays as it was.

What changes in the rows: refresh tokens and app secrets become their SHA-256 (in a database that
was never ours every one of them is plain, whatever it looks like), and e-mail addresses become
lower-case. Prisma's own record, the table `_prisma_migrations`, is dropped: with it, a stray
`prisma migrate deploy` would take the database for its own; without it, Prisma refuses to touch a
database that is not empty.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import asyncpg
import msgspec

from app.database import migrations
from app.database.catalog import Catalog, differences, read_catalog

PRISMA_LOCK = 72707369
"""The advisory lock that Prisma holds while it migrates."""

ZONELESS = "timestamp(3) without time zone"

STATES: Mapping[str, Catalog] = msgspec.json.decode(
    Path(__file__).with_name("prisma.json").read_bytes(), type=dict[str, Catalog]
)
"""The catalog after each migration of the plan, oldest first, by the migration's name."""


class NotAdoptable(Exception):
    """The database stays as it is; each fault names a thing that does not fit."""

    def __init__(self, *faults: str) -> None:
        """Keep the faults, one sentence each."""
        self.faults = faults
        super().__init__("; ".join(faults))


async def adopt(on_step: migrations.Steps = lambda _: None) -> str | None:
    """Make a Prisma database ours, as far as the last of our migrations.

    Waits for whoever migrates at the moment, and locks all tables until it is done.

    Returns:
        The plan's migration whose state the database was in; None if it is ours already.

    Raises:
        NotAdoptable: Something does not fit. Nothing has changed.
        MigrationError: One of our migrations failed. Nothing has changed.
    """
    async with migrations.only_migrator(on_step) as connection:
        try:
            async with connection.transaction():
                return await _adopt(connection, on_step)
        except asyncpg.LockNotAvailableError as error:
            raise NotAdoptable(
                f"a table has been in use for {migrations.WAIT_FOR_TABLES}: "
                "stop the service that uses this database first"
            ) from error


async def _adopt(connection: asyncpg.Connection, on_step: migrations.Steps) -> str | None:
    if await migrations.ensure_records(connection):
        return None
    await connection.execute("SELECT pg_advisory_xact_lock($1)", PRISMA_LOCK)
    on_step("checking every table, column, constraint and index")
    await _refuse_unfinished(connection)
    state = await _recognise(connection)
    await connection.execute(f"LOCK TABLE {', '.join(STATES[state].tables)}")
    on_step("checking the rows against our constraints")
    await _refuse_violations(connection)
    on_step(f"converting times, tokens, secrets and e-mail addresses ({state})")
    await _convert(connection, state)
    await _continue_chain(connection, state, on_step)
    return state


async def _refuse_unfinished(connection: asyncpg.Connection) -> None:
    if not await connection.fetchval(migrations.MADE_BY_PRISMA):
        raise NotAdoptable("there is no table _prisma_migrations: Prisma did not make this one")
    unfinished = await connection.fetch(
        """
        SELECT migration_name FROM _prisma_migrations
        WHERE finished_at IS NULL AND rolled_back_at IS NULL ORDER BY started_at
        """
    )
    if unfinished:
        raise NotAdoptable(*(f"Prisma's migration {name} did not finish" for (name,) in unfinished))


async def _recognise(connection: asyncpg.Connection) -> str:
    """Return the state that the schema equals, or refuse by its distance to the nearest one."""
    found = await read_catalog(connection)
    distances = {state: differences(catalog, found) for state, catalog in STATES.items()}
    nearest = min(distances, key=lambda state: len(distances[state]))
    if faults := distances[nearest]:
        raise NotAdoptable(*(f"{fault} (as of {nearest})" for fault in faults))
    return nearest


VIOLATIONS = """
    SELECT format('e-mail addresses differ only by case: %s',
        string_agg(email, ', ' ORDER BY email COLLATE "C")) AS fault
    FROM users GROUP BY lower(email) HAVING count(*) > 1
    UNION ALL
    SELECT format('prize %s (%s) has %s of %s left', id, name, "quantityRemaining", quantity)
    FROM prizes WHERE quantity < 1 OR "quantityRemaining" NOT BETWEEN 0 AND quantity
    UNION ALL
    SELECT format('participant %s has won prize %s %s times', "participantId", "prizeId", count(*))
    FROM winners WHERE "deletedAt" IS NULL
    GROUP BY "participantId", "prizeId" HAVING count(*) > 1
    ORDER BY fault
"""


async def _refuse_violations(connection: asyncpg.Connection) -> None:
    if faults := [fault for (fault,) in await connection.fetch(VIOLATIONS)]:
        raise NotAdoptable(*faults)


async def _convert(connection: asyncpg.Connection, state: str) -> None:
    # Zone-less times are UTC: Prisma wrote them so, and here that is said to PostgreSQL. It
    # rewrites each table once, 6 s per million rows; only TIMESTAMPTZ without a precision would
    # spare it that.
    await connection.execute("SET LOCAL TIME ZONE 'UTC'")
    for statement in _column_changes(STATES[state]):
        await connection.execute(statement)
    # This is what migrations that hash leave when they are reversed: an already hashed value that
    # can't be mistaken for a plain one. Those that are still to come take the prefix off.
    hashed_by_chain = "" if state == "auth_redesign" else "sha256:"
    await connection.execute(_hashing("sessions", "refreshToken", hashed_by_chain))
    await connection.execute(_hashing("apps", "appSecret", "sha256:"))
    await connection.execute("UPDATE users SET email = lower(email) WHERE email <> lower(email)")
    await connection.execute("DROP TABLE _prisma_migrations")


def _column_changes(catalog: Catalog) -> Iterator[str]:
    for name, table in catalog.tables.items():
        changes = [
            f'ALTER COLUMN "{column}" TYPE TIMESTAMPTZ(3)'
            for column, definition in table.columns.items()
            if definition.type == ZONELESS
        ]
        yield f'ALTER TABLE "{name}" {", ".join(changes)}'


def _hashing(table: str, column: str, prefix: str) -> str:
    return (
        f'UPDATE {table} SET "{column}" ='
        f" '{prefix}' || encode(sha256(convert_to(\"{column}\", 'UTF8')), 'hex')"
    )


async def _continue_chain(
    connection: asyncpg.Connection, state: str, on_step: migrations.Steps
) -> None:
    reached = False
    for file in migrations.migration_files():
        if reached:
            await migrations.step(connection, file, "up", on_step)
        else:
            await migrations.record(connection, file)
        reached = reached or file.name == state
