"""People are told what others may have done with their account: by mails of no room."""

from pathlib import Path
from runpy import run_path

from app.database.sql_migration import SqlMigration

ID = "2026-11-30T01:01:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "security_mails"

HERE = Path(__file__)
before = run_path(str(HERE.with_name("app_2026_11_30t00_45_00_000000_invitation_mails.py")))
allow = before["_allow"]

_OF_ROOMS = ("decision", "invitation", "reminder", "you-won")
_URGENT = "'code', 'provider-linked', 'session-stolen', 'sessions-ended'"

_ONLY_CODES = "\"kind\" = 'code'"


def _of_no_room(condition: str) -> str:
    return f"""
ALTER TABLE "mails" DROP CONSTRAINT "mails_roomId_check",
    ADD CONSTRAINT "mails_roomId_check" CHECK (({condition}) = ("roomId" IS NULL));
"""


UP = f"""
{allow("mails", "code", *_OF_ROOMS, "provider-linked", "session-stolen", "sessions-ended")}
{_of_no_room(f'"kind" IN ({_URGENT})')}
DROP INDEX "mails_codes_due_idx";
CREATE INDEX "mails_urgent_due_idx" ON "mails" ("nextAttemptAt")
    WHERE "status" = 'PENDING' AND "kind" IN ({_URGENT});
"""
DOWN = f"""
DELETE FROM "mails" WHERE "kind" IN ({_URGENT}) AND "kind" <> 'code';
DROP INDEX "mails_urgent_due_idx";
CREATE INDEX "mails_codes_due_idx" ON "mails" ("nextAttemptAt")
    WHERE "status" = 'PENDING' AND "kind" = 'code';
{_of_no_room(_ONLY_CODES)}
{allow("mails", "code", *_OF_ROOMS)}
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of checks."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
