"""Who announces, closes, draws or cancels a draw is recorded, as what administrators change is.

The actor is the user's id, or the name of the job that draws when a drand round is due. Never
recorded is the secret, which is nobody's before the draw is over, and with it the winners, who may
be 100,000 and stand in the draw itself.
"""

from app.database.sql_migration import SqlMigration

ID = "2026-11-22T18:40:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "audit_draws"

UP = """
CREATE TRIGGER "draws_audit" AFTER INSERT OR UPDATE OR DELETE ON "draws" FOR EACH ROW
WHEN (current_setting('audit.actor', true) <> '')
EXECUTE FUNCTION record_change('secret', 'winners');
"""

DOWN = 'DROP TRIGGER "draws_audit" ON "draws";'


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
