"""Adopting a database that the plan's Prisma migrations made: it becomes ours in place.

Such a database is about in the state that one of the plan's three migrations left; `prisma.json`
holds the catalog of each. What it has otherwise is sorted first: what harms nobody is reconciled,
what would lose rows or change what they mean is refused, all of it at once and by name. Then
everything happens in one transaction: it becomes ours, with every row, or it stays as it was.

What changes in the rows: refresh tokens and app secrets become their SHA-256 (in a database that
was never ours every one of them is plain, whatever it looks like), and e-mail addresses get their
one form. Prisma's own record, the table `_prisma_migrations`, is dropped: with it, a stray
`prisma migrate deploy` would take the database for its own; without it, Prisma refuses to touch a
database that is not empty.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import asyncpg
import msgspec

from app.database import drift, migrations, prisma_rows, prisma_schema, prisma_surroundings
from app.database.catalog import Catalog, differences, quoted, read_catalog, without_strangers
from app.database.prisma_rows import Addresses
from app.database.prisma_schema import Difference
from app.database.prisma_views import View, drop_views, make_views, read_views

PRISMA_LOCK = 72707369
"""The advisory lock that Prisma holds while it migrates."""

RECORD = "_prisma_migrations"

STATES: Mapping[str, Catalog] = msgspec.json.decode(
    Path(__file__).with_name("prisma.json").read_bytes(), type=dict[str, Catalog]
)
"""The catalog after each migration of the plan, oldest first, by the migration's name."""

FIRST_TABLES = [*STATES["init"].tables]
"""Those that every state has."""
ALL_TABLES = [*STATES["auth_redesign"].tables]

DROPPED_BY_CHAIN = (("sessions", "accessToken"),)
"""Columns that are gone after our migrations, if they were there."""

PLACES = f"""
    SELECT nspname AS schema, count(*) FILTER (WHERE relname = ANY($1)) AS tables,
        bool_or(relname = '{RECORD}') AS is_recorded
    FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
    WHERE (relname = ANY($1) OR relname = '{RECORD}') AND relkind IN ('r', 'p', 'v', 'm', 'f')
    GROUP BY nspname
    ORDER BY tables DESC, nspname = 'public' DESC, nspname
"""

PRESENT = """
    SELECT relname FROM pg_class
    WHERE relnamespace = quote_ident($1)::regnamespace AND relname = ANY($2)
      AND relkind IN ('r', 'p')
    ORDER BY relname
"""

UNFINISHED = f"""
    SELECT migration_name FROM {{schema}}.{RECORD}
    WHERE finished_at IS NULL AND rolled_back_at IS NULL ORDER BY started_at
"""


class NotAdoptable(Exception):
    """The database stays as it is; each fault names a thing that does not fit."""

    def __init__(self, *faults: str) -> None:
        """Keep the faults, one sentence each."""
        self.faults = faults
        super().__init__("; ".join(faults))


class Findings(NamedTuple):
    """What the database has otherwise than the plan, in sentences."""

    state: str
    """The plan's migration whose state it is nearest to."""
    reconciled: list[str]
    """What is done about each comes after a colon."""
    refused: list[str]


class _Place(NamedTuple):
    """Where the plan's tables are."""

    schema: str
    tables: list[str]
    is_recorded: bool
    """Whether Prisma kept its record of migrations there."""


class _Plan(NamedTuple):
    """What is to be done to a database that can be adopted."""

    place: _Place
    state: str
    differences: list[Difference]
    times: list[tuple[str, str, str]]
    views: list[View]
    addresses: Addresses


Tell = Callable[[Findings], None]


async def adopt(
    on_step: migrations.Steps = lambda _: None,
    on_findings: Tell = lambda _: None,
    *,
    dry_run: bool = False,
) -> str | None:
    """Make a Prisma database ours, as far as the last of our migrations.

    Waits for whoever migrates at the moment, and locks all tables until it is done.

    Args:
        on_step: Takes what is being done.
        on_findings: Takes what was found, before anything is done about it.
        dry_run: Only find out, beside whoever uses the tables. PostgreSQL allows no change then.

    Returns:
        The plan's migration whose state the database was in; None if it is ours already.

    Raises:
        NotAdoptable: Something does not fit. Nothing has changed.
        MigrationError: One of our migrations failed. Nothing has changed.
    """
    # With an older snapshot, what others wrote before they let go of a table would not be seen.
    isolation: Literal["repeatable_read", "read_committed"] = (
        "repeatable_read" if dry_run else "read_committed"
    )
    async with migrations.only_migrator(on_step) as connection:
        if await _is_ours(connection):
            return None
        try:
            async with connection.transaction(isolation=isolation, readonly=dry_run):
                place = await _place(connection)
                if not dry_run:
                    await _lock(connection, place, on_step)
                plan = await _plan(connection, place, on_step, on_findings)
                if not dry_run:
                    await _carry_out(connection, plan, on_step)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            raise NotAdoptable(
                f"a table has been in use for {migrations.WAIT_FOR_TABLES}: "
                "stop the service that uses this database first"
            ) from error
        except asyncpg.PostgresError as error:
            raise NotAdoptable(f"PostgreSQL refuses: {migrations.reason(error)}") from error
    return plan.state


async def _is_ours(connection: migrations.Connection) -> bool:
    if not await connection.fetchval("SELECT to_regclass('public.migration') IS NOT NULL"):
        return False
    # Somebody else's table of that name may have any columns.
    is_ours: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM public.migration m WHERE to_jsonb(m) ->> 'app_name' = $1)",
        migrations.APP_NAME,
    )
    return is_ours


async def _place(connection: migrations.Connection) -> _Place:
    """Find the schema that has the plan's tables, `public` before others.

    Raises:
        NotAdoptable: There is none, or there are several; or the tables are not ours to change.
    """
    found = await connection.fetch(PLACES, FIRST_TABLES)
    if not found or not (found[0]["is_recorded"] or found[0]["tables"] == len(FIRST_TABLES)):
        raise NotAdoptable(
            "there is no table _prisma_migrations, and not all tables of the plan:"
            " Prisma did not make this one"
        )
    schema, number = found[0]["schema"], found[0]["tables"]
    rivals = [row["schema"] for row in found[1:] if row["tables"] == number]
    if rivals and schema != "public":
        raise NotAdoptable(f"the plan's tables are in several schemas: {schema}, {rivals[0]}")
    rows = await connection.fetch(PRESENT, schema, ALL_TABLES)
    tables = [name for (name,) in rows]
    if faults := await prisma_surroundings.without_rights(connection, schema, tables):
        raise NotAdoptable(*faults)
    return _Place(schema, tables, found[0]["is_recorded"])


async def _lock(
    connection: migrations.Connection, place: _Place, on_step: migrations.Steps
) -> None:
    on_step("waiting until nobody else uses the tables")
    await connection.execute("SELECT pg_advisory_xact_lock($1)", PRISMA_LOCK)
    names = ", ".join(f"{quoted(place.schema)}.{quoted(name)}" for name in place.tables)
    if names:
        await connection.execute(f"LOCK TABLE {names}")


async def _plan(
    connection: migrations.Connection,
    place: _Place,
    on_step: migrations.Steps,
    on_findings: Tell,
) -> _Plan:
    """Find out everything that has to be done, and tell it.

    Raises:
        NotAdoptable: Something can't be done, which has been told too.
    """
    on_step("checking every table, column, constraint and index")
    found = await read_catalog(connection, place.schema)
    state, different = _nearest(found)
    times = [*prisma_schema.times(STATES[state], found)]
    changed = {
        *(each.column[:2] for each in different if each.column),
        *((table, column) for table, column, _ in times),
        *DROPPED_BY_CHAIN,
    }
    views = await read_views(connection, place.schema, changed)
    beside = await _beside(connection, place, state, changed, views)
    on_step("checking the rows against our constraints")
    async with _looking_in(connection, place.schema):
        within, addresses = await _within(connection, state, different, found)
    findings = Findings(
        state,
        [*within.reconciled, *beside.reconciled],
        [*within.refused, *beside.refused],
    )
    on_findings(findings)
    if findings.refused:
        raise NotAdoptable(*findings.refused)
    return _Plan(place, state, different, times, views, addresses)


def _nearest(found: Catalog) -> tuple[str, list[Difference]]:
    """Return the state from which the least has to be refused, then reconciled."""
    sorted_by_state = {state: prisma_schema.sort(STATES[state], found) for state in STATES}
    return min(
        sorted_by_state.items(),
        key=lambda pair: (sum(not each.remedy for each in pair[1]), len(pair[1])),
    )


async def _within(
    connection: migrations.Connection, state: str, different: list[Difference], found: Catalog
) -> tuple[Findings, Addresses]:
    """Weigh the tables' own differences by their rows."""
    findings = Findings(state, [], [])
    addresses = Addresses({}, [])
    is_readable = prisma_schema.is_readable(STATES[state], found)
    for each in different:
        number, rows = 0, ""
        if each.rows and is_readable:
            number, rows = await prisma_rows.rows_against(connection, each.rows)
        if each.remedy and not number:
            findings.reconciled.append(f"{each.found}: {each.remedy}")
        else:
            findings.refused.append(f"{each.found}: {rows} {each.why}" if rows else each.found)
    if is_readable:
        addresses = await prisma_rows.read_addresses(connection)
        findings.reconciled.extend(prisma_rows.told_changes(addresses.changes))
        findings.reconciled.extend(await prisma_rows.unusable_apps(connection))
        findings.refused.extend(addresses.refused)
        findings.refused.extend(await prisma_rows.violations(connection))
    return findings, addresses


async def _beside(
    connection: migrations.Connection,
    place: _Place,
    state: str,
    changed: set[tuple[str, str]],
    views: list[View],
) -> Findings:
    """Weigh what there is beside the tables' own definitions."""
    findings = Findings(state, [], [])
    if place.schema != "public":
        findings.reconciled.append(
            f"the tables are in the schema {place.schema}: they move to public"
        )
    if not place.is_recorded:
        findings.reconciled.append(
            "there is no record of migrations (prisma db push): none is needed"
        )
    elif unfinished := await connection.fetch(UNFINISHED.format(schema=quoted(place.schema))):
        findings.refused.extend(
            f"Prisma's migration {name} did not finish" for (name,) in unfinished
        )
    for view in views:
        if view.refusal:
            findings.refused.append(view.refusal)
        else:
            findings.reconciled.append(f"view {view.name} shows what changes: it is made again")
    tables = STATES[state].tables
    findings.reconciled.extend(
        f"{each}: it stays as it is"
        for each in await prisma_surroundings.neighbours(
            connection, place.schema, tables, [view.oid for view in views]
        )
    )
    findings.refused.extend(
        await prisma_surroundings.in_the_way(
            connection, place.schema, STATES[state], drift.expected_catalog(), changed
        )
    )
    return findings


@asynccontextmanager
async def _looking_in(connection: migrations.Connection, schema: str) -> AsyncIterator[None]:
    """Look for names in that schema first, and in public."""
    before = await connection.fetchval("SELECT current_setting('search_path')")
    setting = "SELECT set_config('search_path', $1, true)"
    await connection.execute(setting, f"{quoted(schema)}, public")
    yield
    await connection.execute(setting, before)


async def _carry_out(
    connection: migrations.Connection, plan: _Plan, on_step: migrations.Steps
) -> None:
    await migrations.ensure_records(connection)
    on_step(f"converting times, tokens, secrets and e-mail addresses ({plan.state})")
    await drop_views(connection, plan.views)
    await _move(connection, plan.place)
    await _reconcile(connection, plan)
    await _convert_rows(connection, plan)
    await _continue_chain(connection, plan.state, on_step)
    async with _looking_in(connection, plan.place.schema):
        await make_views(connection, plan.views)
    await _require_ours(connection)


async def _move(connection: migrations.Connection, place: _Place) -> None:
    if place.is_recorded:
        # With it, Prisma would take the database for its own.
        await connection.execute(f"DROP TABLE {quoted(place.schema)}.{RECORD}")
    if place.schema == "public":
        return
    for name in place.tables:
        await connection.execute(
            f"ALTER TABLE {quoted(place.schema)}.{quoted(name)} SET SCHEMA public"
        )
    for name in drift.expected_catalog().enums:
        if await connection.fetchval(
            "SELECT to_regtype($1)", f"{quoted(place.schema)}.{quoted(name)}"
        ):
            await connection.execute(
                f"ALTER TYPE {quoted(place.schema)}.{quoted(name)} SET SCHEMA public"
            )


async def _reconcile(connection: migrations.Connection, plan: _Plan) -> None:
    # Zone-less times are UTC: Prisma wrote them so, and here that is said to PostgreSQL. It
    # rewrites each table once, 6 s per million rows; only TIMESTAMPTZ without a precision would
    # spare it that.
    await connection.execute("SET LOCAL TIME ZONE 'UTC'")
    # What refers to others was found last, and goes first.
    for difference in reversed(plan.differences):
        await _execute(connection, difference.found, difference.before)
    columns = [*plan.times, *(each.column for each in plan.differences if each.column)]
    for table, clauses in _by_table(columns).items():
        await _execute(
            connection, f"types in {table}", (f"ALTER TABLE {quoted(table)} {', '.join(clauses)}",)
        )
    for difference in plan.differences:
        await _execute(connection, difference.found, difference.after)


def _by_table(columns: list[tuple[str, str, str]]) -> dict[str, list[str]]:
    clauses = defaultdict(list)
    for table, _, clause in columns:
        clauses[table].append(clause)
    return clauses


async def _execute(
    connection: migrations.Connection, found: str, statements: tuple[str, ...]
) -> None:
    for statement in statements:
        try:
            await connection.execute(statement)
        except asyncpg.PostgresError as error:
            raise NotAdoptable(
                f"{found}: PostgreSQL refuses: {migrations.reason(error)}"
            ) from error


async def _convert_rows(connection: migrations.Connection, plan: _Plan) -> None:
    # This is what migrations that hash leave when they are reversed: an already hashed value that
    # can't be mistaken for a plain one. Those that are still to come take the prefix off.
    hashed_by_chain = "" if plan.state == "auth_redesign" else "sha256:"
    await connection.execute(_hashing("sessions", "refreshToken", hashed_by_chain))
    await connection.execute(_hashing("apps", "appSecret", "sha256:"))
    await prisma_rows.write_addresses(connection, plan.addresses.changes)


async def _require_ours(connection: migrations.Connection) -> None:
    expected = drift.expected_catalog()
    found = without_strangers(expected, await read_catalog(connection))
    if faults := differences(expected, found):
        raise NotAdoptable(*(f"{fault}, and could not be reconciled" for fault in faults))


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
