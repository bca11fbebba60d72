"""The figures that the plan has operators watch: blacklist, sessions, index usage, table sizes.

The statements are the plan's, with two corrections: `pg_stat_user_indexes` has no columns
`tablename` and `indexname` (it calls them `relname` and `indexrelname`), and a name with capitals
has to be quoted before PostgreSQL finds its size.
"""

from collections.abc import Mapping, Sequence

from rich.table import Table

from app.database import engine

BLACKLIST = """
    SELECT
      COUNT(*) as total_entries,
      COUNT(*) FILTER (WHERE "expiresAt" > NOW()) as active_entries,
      COUNT(*) FILTER (WHERE "expiresAt" <= NOW()) as expired_entries,
      pg_size_pretty(pg_total_relation_size('token_blacklist')) as table_size
    FROM token_blacklist
"""

SESSIONS = """
    SELECT
      COUNT(*) as total_sessions,
      COUNT(*) FILTER (WHERE "expiresAt" > NOW()) as active_sessions,
      COUNT(*) FILTER (WHERE "lastUsedAt" > NOW() - INTERVAL '7 days') as recent_sessions,
      pg_size_pretty(pg_total_relation_size('sessions')) as table_size
    FROM sessions
"""

INDEX_USAGE = """
    SELECT
      schemaname,
      relname AS tablename,
      indexrelname AS indexname,
      idx_scan as index_scans
    FROM pg_stat_user_indexes
    ORDER BY idx_scan ASC, relname, indexrelname
"""

TABLE_SIZES = """
    SELECT
      tablename,
      pg_size_pretty(pg_total_relation_size(format('%I.%I', schemaname, tablename))) AS size
    FROM pg_tables
    WHERE schemaname = 'public'
    ORDER BY pg_total_relation_size(format('%I.%I', schemaname, tablename)) DESC, tablename
"""

STATEMENTS: Mapping[str, str] = {
    "Token blacklist": BLACKLIST,
    "Sessions, recent: used in the last 7 days": SESSIONS,
    "Index usage, least used first": INDEX_USAGE,
    "Table sizes": TABLE_SIZES,
}


async def figures() -> dict[str, Sequence[Mapping[str, object]]]:
    """Return the rows of each statement under its title; counters are since the last reset."""
    return {
        title: [dict(row) for row in await engine.fetch(sql)] for title, sql in STATEMENTS.items()
    }


def as_table(title: str, rows: Sequence[Mapping[str, object]]) -> Table:
    """Lay rows out for a terminal; numbers to the right."""
    table = Table(title=title, title_justify="left")
    for name, value in rows[0].items():
        table.add_column(
            name.replace("_", " "), justify="right" if isinstance(value, int) else "left"
        )
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table
