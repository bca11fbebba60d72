"""audit_log is not emptied either: TRUNCATE passes by the triggers of the rows."""

from app.database.sql_migration import SqlMigration

ID = "2026-11-22T18:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "audit_log_not_emptied"

UP = """
CREATE TRIGGER "audit_log_not_emptied" BEFORE TRUNCATE ON "audit_log"
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_record();
"""

DOWN = """
DROP TRIGGER "audit_log_not_emptied" ON "audit_log";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of triggers."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
