"""Who was brought into a room by an address is written to."""

from app.database.sql_migration import SqlMigration

ID = "2026-11-30T00:45:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "invitation_mails"


def _allow(table: str, *kinds: str) -> str:
    allowed = ", ".join(f"'{kind}'" for kind in kinds)
    return f"""
ALTER TABLE "{table}" DROP CONSTRAINT "{table}_kind_check",
    ADD CONSTRAINT "{table}_kind_check" CHECK ("kind" IN ({allowed}));
"""


UP = _allow("mails", "code", "invitation", "you-won") + _allow(
    "mail_stops", "invitation", "you-won"
)
DOWN = f"""
DELETE FROM "mails" WHERE "kind" = 'invitation';
DELETE FROM "mail_stops" WHERE "kind" = 'invitation';
{_allow("mails", "code", "you-won")}
{_allow("mail_stops", "you-won")}
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of checks."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
