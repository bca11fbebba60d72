"""Drift: where tables, migrations and the database say different things.

Piccolo's own diff sees only what Python says of tables and columns. What it can't see, such as
indexes, constraints, delete actions, defaults, triggers, functions and enum values, is compared
with `catalog.json`: the catalog of a freshly migrated database, kept in the tree. Whoever writes a
migration renews it (`litestar database check --write`), so that the diff under review shows what
the migration does.
"""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from piccolo.apps.migrations.auto.diffable_table import DiffableTable
from piccolo.apps.migrations.auto.schema_differ import AlterStatements, SchemaDiffer
from piccolo.apps.migrations.auto.schema_snapshot import SchemaSnapshot
from piccolo.apps.migrations.commands.base import BaseMigrationManager
from piccolo.conf.apps import AppConfig

from app.database import catalog, migrations
from app.database.engine import DB

CATALOG = Path(__file__).with_name("catalog.json")


async def check(app: AppConfig) -> list[str]:
    """Say in one sentence each what has drifted; nothing when all agree."""
    return [*await _undeclared_changes(app), *await _outside_the_chain(), *await _database_drift()]


async def _undeclared_changes(app: AppConfig) -> list[str]:
    """Say what `app/tables.py` has that the migrations don't tell Piccolo, and the reverse."""
    return [
        f"app/tables.py and the migrations disagree: {_told(statement)}"
        for group in await table_changes(app)
        for statement in group.statements
    ]


async def table_changes(app: AppConfig) -> list[AlterStatements]:
    """Return what Piccolo would write into a new migration."""
    chain = await BaseMigrationManager().get_migration_managers(app)
    tables = [
        DiffableTable(
            class_name=table.__name__,
            tablename=table._meta.tablename,  # noqa: SLF001 - as Piccolo's own command reads it
            columns=table._meta.non_default_columns,  # noqa: SLF001 - as above
            constraints=table._meta.constraints,  # noqa: SLF001 - as above
            schema=table._meta.schema,  # noqa: SLF001 - as above
        )
        for table in app.table_classes
    ]
    # Where it can't tell a rename from a removal and an addition, Piccolo would ask.
    differ = SchemaDiffer(tables, SchemaSnapshot(chain).get_snapshot(), auto_input="n")
    with redirect_stdout(StringIO()):  # It prints a table of counts.
        return differ.get_alter_statements()


def _told(statement: str) -> str:
    """Shorten `manager.add_column(table_class_name='User', …, column_name='nick', …)`."""
    verb = statement.partition("(")[0].removeprefix("manager.").replace("_", " ")
    names = re.findall(r"\b(?:table_class_name|class_name|column_name)=['\"](\w+)", statement)
    return f"{verb} {'.'.join(names)}"


async def _outside_the_chain() -> list[str]:
    faults = []
    for migration in await migrations.status():
        if migration.name is None:
            faults.append(f"migration {migration.id} is recorded, but this version lacks it")
        elif migration.applied_at is None:
            faults.append(f"migration {migration.name} is pending")
    return faults


async def _database_drift() -> list[str]:
    if await migrations.pending():
        return []  # A database on its way differs everywhere; what is pending says it all.
    expected, live = expected_catalog(), await _live_catalog()
    return catalog.differences(expected, catalog.without_strangers(expected, live))


async def strangers() -> list[str]:
    """Name what shares the database with the service and is not compared."""
    return catalog.strangers(expected_catalog(), await _live_catalog())


def expected_catalog() -> catalog.Catalog:
    """Return what a freshly migrated database holds."""
    return catalog.decode(CATALOG.read_bytes())


async def write_expected() -> None:
    """Make the present database the expected one: run it on a freshly migrated database."""
    CATALOG.write_bytes(catalog.encode(await _live_catalog()))


async def _live_catalog() -> catalog.Catalog:
    connection = await DB.get_new_connection()
    try:
        return await catalog.read_catalog(connection)
    finally:
        await connection.close()
