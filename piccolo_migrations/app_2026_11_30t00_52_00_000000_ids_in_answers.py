"""An answer that is kept is found by what may be an id in it, and by nothing longer.

An index has room for 8 kB of each. What people say of themselves may be an `id`, too, and longer:
the answer that shows it could not be kept, and whoever asked was told of a fault.
"""

from app.database.sql_migration import SqlMigration

ID = "2026-11-30T00:52:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "ids_in_answers"

_IDS_IN = """
CREATE OR REPLACE FUNCTION ids_in(body TEXT) RETURNS TEXT[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
    SELECT array_agg(DISTINCT found[1]){only}
    FROM regexp_matches(body, '"(?:id|userId|participantId)":"([^"]+)"', 'g') AS found
$$;
"""

UP = _IDS_IN.format(only=" FILTER (WHERE length(found[1]) <= 100)")
DOWN = _IDS_IN.format(only="")


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of functions."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
