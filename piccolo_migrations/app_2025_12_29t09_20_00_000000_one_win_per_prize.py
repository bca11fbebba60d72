"""Nobody holds the same prize twice. Revoked wins don't count.

Fails when somebody does already, and names the participant and the prize.
"""

from app.database.sql_migration import SqlMigration

ID = "2025-12-29T09:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "one_win_per_prize"

UP = """
CREATE UNIQUE INDEX "winners_participantId_prizeId_key"
  ON "winners"("participantId", "prizeId") WHERE "deletedAt" IS NULL;
"""

DOWN = """
DROP INDEX "winners_participantId_prizeId_key";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
