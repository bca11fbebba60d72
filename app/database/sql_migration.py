"""What a file in piccolo_migrations/ makes; apart, because Piccolo's part is slow to import."""

from dataclasses import dataclass, field

from piccolo.apps.migrations.auto.diffable_table import DiffableTable
from piccolo.apps.migrations.auto.migration_manager import AddColumnClass, MigrationManager
from piccolo.columns import Column

from app.database.engine import DB
from app.database.migrations import APP_NAME, LOCK


@dataclass
class SqlMigration(MigrationManager):
    """A migration that is two SQL scripts.

    What it says of tables and columns only feeds Piccolo's snapshot, with which Piccolo's
    `migrations new --auto` proves that the migrations and `app/tables.py` agree.
    """

    app_name: str = APP_NAME
    up: str = field(kw_only=True)
    down: str = field(kw_only=True)

    def new_table(self, class_name: str, tablename: str, **columns: Column) -> None:
        """Tell the snapshot of a table that `up` creates."""
        for name, column in columns.items():
            column._meta.name = name  # noqa: SLF001 - a migration's columns belong to no class
        self.add_tables.append(DiffableTable(class_name, tablename, columns=[*columns.values()]))

    def new_columns(self, class_name: str, tablename: str, **columns: Column) -> None:
        """Tell the snapshot of columns that `up` adds to a table."""
        for name, column in columns.items():
            column._meta.name = name  # noqa: SLF001 - as above
            self.add_columns.append(AddColumnClass(column, class_name, tablename, schema=None))

    async def run(self, backwards: bool = False) -> None:  # noqa: FBT001, FBT002 - Piccolo's signature
        """Run a script for Piccolo's own commands, while nobody else migrates."""
        script = self.down if backwards else self.up
        if self.preview:
            print(script)  # noqa: T201 - that is what --preview asks for
            return
        async with DB.transaction() as transaction:
            await transaction.connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            await transaction.connection.execute(script)
