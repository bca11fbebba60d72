"""Winners are reminded to claim, and told what others have decided for them."""

from pathlib import Path
from runpy import run_path

from app.database.sql_migration import SqlMigration

ID = "2026-11-30T01:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "claim_mails"

HERE = Path(__file__)
before = run_path(str(HERE.with_name("app_2026_11_30t00_45_00_000000_invitation_mails.py")))
allow = before["_allow"]

UP = allow("mails", "code", "decision", "invitation", "reminder", "you-won") + allow(
    "mail_stops", "decision", "invitation", "reminder", "you-won"
)
DOWN = f"""
DELETE FROM "mails" WHERE "kind" IN ('decision', 'reminder');
DELETE FROM "mail_stops" WHERE "kind" IN ('decision', 'reminder');
{allow("mails", "code", "invitation", "you-won")}
{allow("mail_stops", "invitation", "you-won")}
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of checks."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
