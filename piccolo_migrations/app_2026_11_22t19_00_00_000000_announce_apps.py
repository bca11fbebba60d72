"""PostgreSQL announces an app whose secret or standing changes, whoever changes it and how.

Servers remember the secrets of apps that were right; they hear of it and forget. The announcement
is part of the transaction: nobody hears of what is rolled back. Backwards, nothing is announced.
"""

from app.database.sql_migration import SqlMigration

ID = "2026-11-22T19:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "announce_apps"

UP = """
CREATE FUNCTION announce_app() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('apps', OLD."appId");
  RETURN NULL;
END $$;

CREATE TRIGGER "apps_announce"
AFTER DELETE OR UPDATE OF "appId", "appSecret", "isActive", "deletedAt" ON "apps"
FOR EACH ROW EXECUTE FUNCTION announce_app();
"""

DOWN = """
DROP TRIGGER "apps_announce" ON "apps";
DROP FUNCTION announce_app();
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of triggers."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
