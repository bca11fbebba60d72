"""What else there is in a database that Prisma made, and would be in the way or be harmed.

PostgreSQL keeps it beside what a catalog says of a table: who owns it, what kind of table it is,
who sees its rows, what depends on its columns, and which names are taken.
"""

from collections.abc import Iterable

from app.database.catalog import Catalog, of_no_extension, read_catalog
from app.database.migrations import Connection

COLUMNS_OF_RECORD = {"name", "app_name", "ran_on"}
"""What Piccolo's table of applied migrations has."""

KINDS = """
    SELECT format('%s is %s, not an ordinary table', relname, CASE relkind
        WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view' WHEN 'f' THEN 'a foreign table'
        WHEN 'p' THEN 'partitioned' WHEN 'S' THEN 'a sequence' ELSE 'something else' END)
    FROM pg_class WHERE relnamespace = quote_ident($1)::regnamespace AND relname = ANY($2)
      AND relkind <> 'r'
    UNION ALL
    SELECT format('table %s is UNLOGGED, and empty after a crash: ALTER TABLE %s SET LOGGED',
        relname, oid::regclass)
    FROM pg_class WHERE relnamespace = quote_ident($1)::regnamespace AND relname = ANY($2)
      AND relkind = 'r' AND relpersistence = 'u'
    UNION ALL
    SELECT format('table %s inherits from %s, whose rows would be those of both',
        inhrelid::regclass, relname)
    FROM pg_inherits JOIN pg_class c ON c.oid = inhparent
    WHERE relnamespace = quote_ident($1)::regnamespace AND relname = ANY($2) AND relkind = 'r'
    UNION ALL
    SELECT format('table %s inherits from %s', relname, inhparent::regclass)
    FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
    WHERE relnamespace = quote_ident($1)::regnamespace AND relname = ANY($2)
    UNION ALL
    SELECT format('row level security of %s is forced: it hides rows from this service', relname)
    FROM pg_class WHERE relnamespace = quote_ident($1)::regnamespace AND relname = ANY($2)
      AND relrowsecurity AND relforcerowsecurity
    UNION ALL
    SELECT format('rule %s of %s changes what statements do: drop it first', rulename, relname)
    FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class
    WHERE relnamespace = quote_ident($1)::regnamespace AND relname = ANY($2) AND relkind = 'r'
    ORDER BY 1
"""

OWNERS = """
    SELECT format('table %s belongs to %s, of which %s is no member: connect as its owner',
        relname, pg_get_userbyid(relowner), current_user)
    FROM pg_class WHERE relnamespace = quote_ident($1)::regnamespace AND relname = ANY($2)
      AND NOT pg_has_role(relowner, 'USAGE')
    ORDER BY relname
"""

RIGHTS = """
    SELECT format('%s may not CREATE in the schema public', current_user)
    WHERE NOT has_schema_privilege('public', 'CREATE')
    UNION ALL
    SELECT format('%s may not CREATE schemas in the database %s', current_user, current_database())
    WHERE NOT has_database_privilege(current_database(), 'CREATE')
    UNION ALL
    SELECT format('names are looked for in %s first: ALTER ROLE %I SET search_path = public',
        COALESCE(current_schema(), 'no schema'), current_user)
    WHERE current_schema() IS DISTINCT FROM 'public'
"""

TAKEN = """
    SELECT format('%s %s is in the way of this service''s own of that name: rename it',
        CASE relkind WHEN 'i' THEN 'index' WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence'
            WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END,
        relname)
    FROM pg_class c LEFT JOIN pg_index x ON x.indexrelid = c.oid
    WHERE relnamespace = 'public'::regnamespace AND relname = ANY($1)
      AND COALESCE(x.indrelid, c.oid) <> ALL($2::oid[])
    UNION ALL
    SELECT format('type %s is in the way of this service''s own of that name: rename it', typname)
    FROM pg_type t WHERE typnamespace = 'public'::regnamespace AND typname = ANY($3)
    UNION ALL
    SELECT 'schema admin is in the way of this service''s own of that name: rename it'
    FROM pg_namespace WHERE nspname = 'admin'
    ORDER BY 1
"""

DEPENDENTS = """
    SELECT DISTINCT format('%s depends on %s.%s, whose type changes: drop it first',
        pg_describe_object(d.classid, d.objid, 0), c.relname, a.attname)
    FROM pg_depend d
    JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
    JOIN unnest($2::text[], $3::text[]) changed (relname, attname)
        ON changed.relname = c.relname AND changed.attname = a.attname
    LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
    LEFT JOIN pg_class own ON own.oid = k.conrelid AND own.relname = ANY($2)
        AND own.relnamespace = c.relnamespace
    WHERE c.relnamespace = quote_ident($1)::regnamespace AND own.oid IS NULL
      AND d.classid = ANY(ARRAY[
        'pg_policy', 'pg_proc', 'pg_publication_rel', 'pg_constraint']::regclass[])
    ORDER BY 1
"""

NEIGHBOURS = f"""
    SELECT format('%s %s is not this service''s', CASE relkind WHEN 'v' THEN 'view'
        WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END, relname)
    FROM pg_class c
    WHERE relnamespace = quote_ident($1)::regnamespace AND relkind IN ('v', 'm', 'f')
      AND relname <> ALL($2) AND c.oid <> ALL($3::oid[]) AND {of_no_extension("pg_class", "c.oid")}
    ORDER BY 1
"""

GUARDED = """
    SELECT format('row level security of %s is on', relname)
    FROM pg_class WHERE relnamespace = quote_ident($1)::regnamespace AND relname = ANY($2)
      AND relrowsecurity AND NOT relforcerowsecurity
    ORDER BY 1
"""


async def without_rights(connection: Connection, schema: str, tables: Iterable[str]) -> list[str]:
    """Say what of the tables can't even be read or locked, let alone changed."""
    return await _sentences(connection, OWNERS, schema, [*tables])


async def in_the_way(
    connection: Connection,
    schema: str,
    plan: Catalog,
    ours: Catalog,
    changed: Iterable[tuple[str, str]],
) -> list[str]:
    """Say what else there is that adopting would break, or that would break adopting.

    Args:
        connection: Where to look.
        schema: Where the plan's tables are.
        plan: The state of the plan that they are in.
        ours: What the last migration leaves.
        changed: Tables and columns whose type changes.
    """
    pairs = [*changed]
    columns = [[table for table, _ in pairs], [column for _, column in pairs]]
    return [
        *await _sentences(connection, KINDS, schema, [*plan.tables]),
        *await _sentences(connection, RIGHTS),
        *await _sentences(connection, DEPENDENTS, schema, *columns),
        *await _taken(connection, schema, plan, ours),
    ]


async def neighbours(
    connection: Connection, schema: str, tables: Iterable[str], remade: Iterable[int]
) -> list[str]:
    """Name what stays as it is, and is in no catalog.

    Args:
        connection: Where to look.
        schema: Where the plan's tables are.
        tables: The plan's tables.
        remade: Views that don't stay.
    """
    return [
        *await _sentences(connection, NEIGHBOURS, schema, [*tables], [*remade]),
        *await _sentences(connection, GUARDED, schema, [*tables]),
    ]


async def _taken(connection: Connection, schema: str, plan: Catalog, ours: Catalog) -> list[str]:
    own = await connection.fetch(
        "SELECT oid FROM pg_class"
        " WHERE relnamespace = quote_ident($1)::regnamespace AND relname = ANY($2)",
        schema,
        [*plan.tables],
    )
    names = {*plan.tables, *ours.tables}
    for table in (*plan.tables.values(), *ours.tables.values()):
        names.update(table.indexes)
    types = ours.enums.keys() - (plan.enums.keys() if schema == "public" else ())
    there = await read_catalog(connection)
    return [
        *await _sentences(connection, TAKEN, [*names], [oid for (oid,) in own], [*types]),
        *(
            f"function {name} is in the way of this service's own of that name: rename it"
            for name in sorted(there.functions.keys() & ours.functions.keys())
        ),
        *await _taken_record(connection),
    ]


async def _taken_record(connection: Connection) -> list[str]:
    columns = {
        name
        for (name,) in await connection.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('public.migration')"
        )
    }
    if columns and not columns >= COLUMNS_OF_RECORD:
        return ["table migration is in the way of this service's own of that name: rename it"]
    return []


async def _sentences(connection: Connection, query: str, *arguments: object) -> list[str]:
    return [sentence for (sentence,) in await connection.fetch(query, *arguments)]
