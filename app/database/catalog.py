"""What a schema of the database really holds, read from PostgreSQL's catalog, and compared.

Piccolo compares tables with migrations, by their Python definitions. Neither knows whether an
index, a constraint, a trigger or a delete action exists in the database; this module does. The
texts are PostgreSQL's own (``pg_get_indexdef``, ``pg_get_constraintdef``, ``pg_get_expr``, …) and
read the same on versions 14 to 18.
"""

from collections.abc import Iterable, Iterator, Mapping

import asyncpg
import msgspec

IGNORED_TABLES = ("migration", "_prisma_migrations")
"""The bookkeeping of Piccolo and of Prisma, not part of what either of them describes."""


class Column(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column, in PostgreSQL's words."""

    type: str
    """With its precision, and its collation where that is not the type's own."""
    nullable: bool = False
    default: str | None = None
    """The expression; for identity and generated columns the ``GENERATED …`` clause."""


class Table(msgspec.Struct, frozen=True, omit_defaults=True):
    """One table; every mapping is by name."""

    columns: dict[str, Column]
    indexes: dict[str, str]
    """Definitions without name and table: ``UNIQUE btree (email)``. Those of primary keys are left
    out. A unique constraint is here as its index: Prisma creates the index alone, the plan's own
    SQL the constraint, and they do the same."""
    constraints: dict[str, str]
    """Primary and foreign keys, checks and exclusions, as ``pg_get_constraintdef`` prints them.
    PostgreSQL 18 lists NOT NULL too; that is told by the column."""
    triggers: dict[str, str] = {}
    """As ``pg_get_triggerdef`` prints them; with ``DISABLED`` where they are."""


class Catalog(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything in one schema that migrations decide; what an extension brought is not."""

    tables: dict[str, Table]
    enums: dict[str, tuple[str, ...]]
    """Labels in their order."""
    functions: dict[str, tuple[str, ...]] = {}
    """Functions and procedures by name and types: the lines that ``pg_get_functiondef`` prints."""


async def read_catalog(connection: asyncpg.Connection, schema: str = "public") -> Catalog:
    """Read what is there; names of the schema's own things come unqualified."""
    search_path = await connection.fetchval("SELECT current_setting('search_path')")
    async with connection.transaction():
        # PostgreSQL qualifies the names that the search path does not reach.
        await _set_search_path(connection, quoted(schema))
        catalog = await _read(connection, schema)
        # The transaction may be part of a longer one, which goes on with its own path.
        await _set_search_path(connection, search_path)
    return catalog


async def _set_search_path(connection: asyncpg.Connection, search_path: str) -> None:
    await connection.execute("SELECT set_config('search_path', $1, true)", search_path)


async def _read(connection: asyncpg.Connection, schema: str) -> Catalog:
    tables = {
        name: Table(columns={}, indexes={}, constraints={})
        for (name,) in await connection.fetch(TABLES, schema, IGNORED_TABLES)
    }
    for row in await connection.fetch(COLUMNS, schema, IGNORED_TABLES):
        tables[row["table"]].columns[row["name"]] = Column(
            row["type"], nullable=row["nullable"], default=row["default"]
        )
    for row in await connection.fetch(INDEXES, schema, IGNORED_TABLES):
        tables[row["table"]].indexes[row["name"]] = row["definition"]
    for row in await connection.fetch(CONSTRAINTS, schema, IGNORED_TABLES):
        tables[row["table"]].constraints[row["name"]] = row["definition"]
    for row in await connection.fetch(TRIGGERS, schema, IGNORED_TABLES):
        tables[row["table"]].triggers[row["name"]] = row["definition"]
    enums = {row["name"]: tuple(row["labels"]) for row in await connection.fetch(ENUMS, schema)}
    functions = {
        row["name"]: tuple(row["lines"]) for row in await connection.fetch(FUNCTIONS, schema)
    }
    return Catalog(tables=tables, enums=enums, functions=functions)


def quoted(name: str) -> str:
    """Write a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def encode(catalog: Catalog) -> bytes:
    """Write a catalog as JSON with sorted names, so that a new version shows what changed."""
    document = msgspec.json.encode(msgspec.to_builtins(catalog), order="sorted")
    return msgspec.json.format(document, indent=2) + b"\n"


def decode(document: bytes) -> Catalog:
    """Read back what `encode` wrote."""
    return msgspec.json.decode(document, type=Catalog)


def strangers(expected: Catalog, actual: Catalog) -> list[str]:
    """Name the tables, enums and functions that are somebody else's: the migrations know none."""
    return [
        *(f"table {name}" for name in sorted(actual.tables.keys() - expected.tables.keys())),
        *(f"enum {name}" for name in sorted(actual.enums.keys() - expected.enums.keys())),
        *(f"function {name}" for name in sorted(actual.functions.keys() - expected.functions)),
    ]


def without_strangers(expected: Catalog, actual: Catalog) -> Catalog:
    """Return the catalog without what `strangers` names."""
    return Catalog(
        tables={name: each for name, each in actual.tables.items() if name in expected.tables},
        enums={name: each for name, each in actual.enums.items() if name in expected.enums},
        functions={
            name: each for name, each in actual.functions.items() if name in expected.functions
        },
    )


def differences(expected: Catalog, actual: Catalog) -> list[str]:
    """Say in one sentence each what the database has otherwise than expected."""
    return [
        *_enum_differences(expected, actual),
        *_table_differences(expected, actual),
        *_function_differences(expected.functions, actual.functions),
    ]


def _enum_differences(expected: Catalog, actual: Catalog) -> Iterator[str]:
    yield from _presence("enum", expected.enums, actual.enums)
    for name in sorted(expected.enums.keys() & actual.enums.keys()):
        labels, found = expected.enums[name], actual.enums[name]
        yield from _presence("value", labels, found, suffix=f" of enum {name}")
        if labels != found and set(labels) == set(found):
            yield f"enum {name} is ordered {', '.join(found)}, expected {', '.join(labels)}"


def _table_differences(expected: Catalog, actual: Catalog) -> Iterator[str]:
    yield from _presence("table", expected.tables, actual.tables)
    for name in sorted(expected.tables.keys() & actual.tables.keys()):
        table, found = expected.tables[name], actual.tables[name]
        yield from _column_differences(name, table.columns, found.columns)
        yield from _definition_differences("index", table.indexes, found.indexes)
        yield from _definition_differences(
            "constraint", table.constraints, found.constraints, of=f" of {name}"
        )
        yield from _definition_differences(
            "trigger", table.triggers, found.triggers, of=f" of {name}"
        )


def _function_differences(
    expected: Mapping[str, tuple[str, ...]], actual: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    yield from _presence("function", expected, actual)
    for name in sorted(expected.keys() & actual.keys()):
        if actual[name] != expected[name]:
            yield f"function {name} is not as in the migrations"


def _column_differences(
    table: str, expected: Mapping[str, Column], actual: Mapping[str, Column]
) -> Iterator[str]:
    yield from _presence("column", expected, actual, prefix=f"{table}.")
    for name in sorted(expected.keys() & actual.keys()):
        column, found, path = expected[name], actual[name], f"{table}.{name}"
        if found.type != column.type:
            yield f"type of {path} is {found.type}, expected {column.type}"
        if found.nullable and not column.nullable:
            yield f"column {path} allows NULL and should not"
        if column.nullable and not found.nullable:
            yield f"column {path} is NOT NULL and should allow NULL"
        if found.default != column.default:
            was, should_be = found.default or "none", column.default or "none"
            yield f"default of {path} is {was}, expected {should_be}"


def _definition_differences(
    kind: str, expected: Mapping[str, str], actual: Mapping[str, str], of: str = ""
) -> Iterator[str]:
    yield from _presence(kind, expected, actual, suffix=of)
    for name in sorted(expected.keys() & actual.keys()):
        if actual[name] != expected[name]:
            yield f"{kind} {name}{of} is {actual[name]}, expected {expected[name]}"


def _presence(
    kind: str,
    expected: Iterable[str],
    actual: Iterable[str],
    prefix: str = "",
    suffix: str = "",
) -> Iterator[str]:
    for name in sorted(set(expected) - set(actual)):
        yield f"{kind} {prefix}{name}{suffix} is missing"
    for name in sorted(set(actual) - set(expected)):
        yield f"{kind} {prefix}{name}{suffix} is not in the migrations"


def of_no_extension(catalog: str, oid: str) -> str:
    """Write the condition that an object came with no extension.

    Args:
        catalog: The system catalog that lists the object, as `pg_class`.
        oid: The statement's expression for the object there.
    """
    return f"""NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend membership
        WHERE membership.classid = 'pg_catalog.{catalog}'::regclass
          AND membership.objid = {oid} AND membership.deptype = 'e'
    )"""


_OF_SCHEMA = """
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1
"""
_IS_TABLE = f"""
    c.relkind IN ('r', 'p') AND c.relname <> ALL ($2::text[])
    AND {of_no_extension("pg_class", "c.oid")}
"""

TABLES = f"SELECT c.relname::text {_OF_SCHEMA} WHERE {_IS_TABLE} ORDER BY 1"

COLUMNS = f"""
    SELECT
        c.relname AS "table",
        a.attname AS name,
        format_type(a.atttypid, a.atttypmod)
            || CASE WHEN a.attcollation <> t.typcollation
                THEN ' COLLATE ' || quote_ident(l.collname) ELSE '' END AS type,
        NOT a.attnotnull AS nullable,
        CASE
            WHEN a.attidentity = 'a' THEN 'GENERATED ALWAYS AS IDENTITY'
            WHEN a.attidentity = 'd' THEN 'GENERATED BY DEFAULT AS IDENTITY'
            WHEN a.attgenerated <> '' THEN
                'GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ')'
            ELSE pg_get_expr(d.adbin, d.adrelid)
        END AS "default"
    {_OF_SCHEMA}
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE {_IS_TABLE}
    ORDER BY c.relname, a.attnum
"""

INDEXES = rf"""
    SELECT
        c.relname AS "table",
        i.relname AS name,
        CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END
            || regexp_replace(pg_get_indexdef(i.oid), '^.*? USING ', '')
            || CASE WHEN x.indimmediate THEN '' ELSE ' DEFERRABLE' END
            || CASE WHEN x.indisvalid THEN '' ELSE ' INVALID' END AS definition
    {_OF_SCHEMA}
    JOIN pg_catalog.pg_index x ON x.indrelid = c.oid AND NOT x.indisprimary
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    WHERE {_IS_TABLE}
    ORDER BY c.relname, i.relname
"""

CONSTRAINTS = f"""
    SELECT c.relname AS "table", k.conname AS name, pg_get_constraintdef(k.oid) AS definition
    {_OF_SCHEMA}
    JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype IN ('p', 'f', 'c', 'x')
    WHERE {_IS_TABLE}
    ORDER BY c.relname, k.conname
"""

TRIGGERS = f"""
    SELECT
        c.relname AS "table",
        t.tgname AS name,
        pg_get_triggerdef(t.oid, true)
            || CASE t.tgenabled WHEN 'O' THEN '' WHEN 'D' THEN ' DISABLED'
                WHEN 'R' THEN ' FOR REPLICA' ELSE ' ALWAYS' END AS definition
    {_OF_SCHEMA}
    JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal
    WHERE {_IS_TABLE}
    ORDER BY c.relname, t.tgname
"""

FUNCTIONS = rf"""
    SELECT
        p.oid::regprocedure::text AS name,
        string_to_array(
            regexp_replace(
                pg_get_functiondef(p.oid),
                '^(CREATE OR REPLACE (FUNCTION|PROCEDURE) )[^.(]+\.',
                '\1'
            ),
            chr(10)
        ) AS lines
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace AND n.nspname = $1
    WHERE p.prokind <> 'a' AND {of_no_extension("pg_proc", "p.oid")}
    ORDER BY 1
"""

ENUMS = f"""
    SELECT t.typname AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace AND n.nspname = $1
    JOIN pg_catalog.pg_enum e ON e.enumtypid = t.oid
    WHERE {of_no_extension("pg_type", "t.oid")}
    GROUP BY t.typname
    ORDER BY t.typname
"""
