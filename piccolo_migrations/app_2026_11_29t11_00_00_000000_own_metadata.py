"""What people say of themselves on joining is kept apart from what moderators say of them.

A draw counts weights that moderators gave, and nobody gives one to themselves.
"""

import re
from pathlib import Path
from runpy import run_path

from piccolo.columns import JSONB

from app.database.sql_migration import SqlMigration

ID = "2026-11-29T11:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "own_metadata"

events = run_path(
    str(Path(__file__).with_name("app_2026_11_29t01_00_00_000000_events.py")),
)

(_TELL,) = re.findall(
    r"CREATE (FUNCTION tell_of_participants\(\).*?\nEND \$\$;\n)", events["FUNCTIONS"], re.DOTALL
)


def _telling_of(members: dict[str, tuple[str, ...]]) -> str:
    changed = events["_changed"]
    before = changed(events["PARTICIPANT_MEMBERS"], "a", "b")
    return f"CREATE OR REPLACE {_TELL.replace(before, changed(members, 'a', 'b'))}"


UP = f"""
ALTER TABLE "participants" ADD COLUMN "ownMetadata" JSONB;
{_telling_of({**events["PARTICIPANT_MEMBERS"], "ownMetadata": ("metadata", "ownMetadata")})}
"""

DOWN = f"""
{_telling_of(events["PARTICIPANT_MEMBERS"])}
ALTER TABLE "participants" DROP COLUMN "ownMetadata";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of functions."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns("Participant", "participants", ownMetadata=JSONB(null=True, default=None))
    return migration
