"""A weight that is written as text, as in spreadsheets, counts, and its changes are recorded."""

import re
from pathlib import Path
from runpy import run_path

from app.database.sql_migration import SqlMigration

ID = "2026-11-29T11:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "written_weights"

before = run_path(
    str(Path(__file__).with_name("app_2026_11_29t00_30_00_000000_who_between_steps.py")),
)

_RECORDING = re.findall(
    r"CREATE (FUNCTION record_(?:emptied_)?participants_in_draw\(\).*?\nEND \$\$;\n)",
    before["NEW"],
    re.DOTALL,
)
_IS_NUMBER = """jsonb_typeof(r.metadata -> x."weightKey") = 'number'"""
_IS_WEIGHT = f"""{_IS_NUMBER}
            OR r.metadata ->> x."weightKey" ~ '^([1-9][0-9]{{0,2}}|1000)$'"""

DOWN = "".join(f"CREATE OR REPLACE {each}" for each in _RECORDING)
UP = DOWN.replace(_IS_NUMBER, _IS_WEIGHT)


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of functions."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
