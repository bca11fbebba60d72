"""Writes the skeleton of a migration: what Piccolo sees that changed, and room for the SQL."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import piccolo
from piccolo.apps.migrations.auto.schema_differ import AlterStatements
from piccolo.conf.apps import AppConfig

from app.database import drift, migrations
from app.database.migrations import MigrationError

NAME = re.compile(r"[a-z][a-z0-9_]*")

SKELETON = '''"""What changes for whom, and why; where it is about speed, with the measurement."""

{imports}

ID = "{id}"
VERSION = "{version}"
DESCRIPTION = "{name}"

UP = """
Write SQL here. PostgreSQL refuses this, so that no server applies it unwritten.
"""

DOWN = """
Write SQL here.
"""
{definitions}

async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
{statements}    return migration
'''


async def write_migration(app: AppConfig, name: str, now: datetime) -> Path:
    """Write `piccolo_migrations/app_<now>_<name>.py` and return its path.

    What `app/tables.py` has and the chain lacks is told to Piccolo's snapshot in it already. The
    SQL is the author's: Piccolo's own would get names, defaults and enums wrong.

    Raises:
        MigrationError: The name is taken, or not snake case.
    """
    if not NAME.fullmatch(name):
        raise MigrationError(f"{name!r} is no name for a migration: write it like add_room_colour.")
    if name in {file.name for file in migrations.migration_files()}:
        raise MigrationError(f"There is a migration {name!r} already.")
    path = migrations.FOLDER / f"app_{now:%Y_%m_%dt%H_%M_%S_%f}_{name}.py"
    id_ = f"{now:%Y-%m-%dT%H:%M:%S:%f}"
    path.write_text(_skeleton(id_, name, await drift.table_changes(app)), encoding="utf-8")
    return path


def _skeleton(id_: str, name: str, changes: Sequence[AlterStatements]) -> str:
    imports = {str(line) for group in changes for line in group.extra_imports}
    imports.add("from app.database.sql_migration import SqlMigration")
    definitions = {str(line) for group in changes for line in group.extra_definitions}
    statements = [line for group in changes for line in group.statements]
    return SKELETON.format(
        imports="\n".join(sorted(imports)),
        id=id_,
        version=piccolo.__VERSION__,
        name=name,
        definitions="".join(f"\n\n{definition}\n" for definition in sorted(definitions)),
        statements="".join(
            f"    {line.replace('manager.', 'migration.', 1)}\n" for line in statements
        ),
    )
