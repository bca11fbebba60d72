"""What a schema that Prisma made has otherwise than the plan's, and what is done about each thing.

A difference is *reconciled* where no row is lost and none means something else afterwards, such as
a default, an index or a text type; otherwise it is refused. Whether some are harmless depends on
the rows (a column may be NULL, but never is): those come with the query that finds the rows which
stand against it.
"""

import re
from collections.abc import Callable, Iterable, Iterator

import msgspec

from app.database.catalog import Catalog, Column, Table, quoted, strangers

ZONELESS = "timestamp(3) without time zone"
ZONED = "timestamp(3) with time zone"

_TIME = re.compile(r"timestamp(\(\d\))? with(out)? time zone")
_TEXT = re.compile(
    r"(text|character varying(\(\d+\))?|character\(\d+\)|uuid|(.+\.)?citext)( COLLATE .+)?"
)
_FOREIGN_KEY = re.compile(
    r'FOREIGN KEY \("?(?P<column>\w+)"?\) REFERENCES (?P<parent>\w+)\("?(?P<key>\w+)"?\)'
)
_WHOLE = {"smallint", "integer", "bigint"}
_GENERATED = "GENERATED "


class Difference(msgspec.Struct, frozen=True):
    """One thing that is otherwise than the plan has it."""

    found: str
    """What is there, a clause: `default of apps.manifestVersion is none`."""
    remedy: str = ""
    """What is done about it. Empty: it is refused."""
    rows: str = ""
    """Selects the ids of the rows because of which it is refused."""
    why: str = ""
    """What is wrong with those rows: follows their number."""
    before: tuple[str, ...] = ()
    """Statements before any column changes its type."""
    column: tuple[str, str, str] | None = None
    """Table, column and the clause that gives it its type."""
    after: tuple[str, ...] = ()
    """Statements after all columns have their types."""


def sort(expected: Catalog, found: Catalog) -> list[Difference]:
    """Return every difference, without looking at the rows."""
    converted = [*_enums(expected, found), *_types(expected, found)]
    changed = {each.column[:2] for each in converted if each.column}
    return [
        *(Difference(f"table {name} is missing") for name in _missing(expected, found)),
        *converted,
        *_per_table(expected, found, _columns),
        *_per_table(expected, found, _indexes),
        *_per_table(expected, found, _constraints),
        *_foreign_keys(expected, found, changed),
        *_per_table(expected, found, _triggers),
        *(
            Difference(f"{name} is not this service's", "it stays as it is")
            for name in strangers(expected, found)
        ),
    ]


def is_readable(expected: Catalog, found: Catalog) -> bool:
    """Tell whether all columns are there, and numbers are numbers, so that rows can be asked."""
    return not _missing(expected, found) and all(
        column in present.columns
        and (definition.type != "integer" or present.columns[column].type in _WHOLE)
        for _, table, present in _common(expected, found)
        for column, definition in table.columns.items()
    )


def times(expected: Catalog, found: Catalog) -> Iterator[tuple[str, str, str]]:
    """Tell for each zone-less time of the plan how it gets its zone, as `Difference.column`."""
    for name, table, present in _common(expected, found):
        for column, definition in table.columns.items():
            is_there = present.columns.get(column)
            if definition.type == ZONELESS and is_there and is_there.type != ZONED:
                yield name, column, f"ALTER COLUMN {quoted(column)} TYPE TIMESTAMPTZ(3)"


def _missing(expected: Catalog, found: Catalog) -> list[str]:
    return sorted(expected.tables.keys() - found.tables.keys())


def _common(expected: Catalog, found: Catalog) -> Iterator[tuple[str, Table, Table]]:
    for name in sorted(expected.tables.keys() & found.tables.keys()):
        yield name, expected.tables[name], found.tables[name]


def _per_table(
    expected: Catalog, found: Catalog, sort_one: Callable[[str, Table, Table], Iterator[Difference]]
) -> Iterator[Difference]:
    for name, table, present in _common(expected, found):
        yield from sort_one(name, table, present)


def _enums(expected: Catalog, found: Catalog) -> Iterator[Difference]:
    for name, labels in sorted(expected.enums.items()):
        create = f"CREATE TYPE {quoted(name)} AS ENUM ({_literals(labels)})"
        present = found.enums.get(name)
        if present is None:
            yield Difference(f"enum {name} is missing", "it is made", before=(create,))
            continue
        yield from _unknown_labels(name, labels, expected, found)
        if _is_remade(present, labels):
            aside = quoted(f"{name} before")
            yield Difference(
                f"enum {name} has the values {', '.join(present)}",
                f"it gets {', '.join(labels)}",
                before=(f"ALTER TYPE {quoted(name)} RENAME TO {aside}", create),
                after=(f"DROP TYPE {aside}",),
            )


def _is_remade(present: tuple[str, ...], labels: tuple[str, ...]) -> bool:
    return present != labels and {*present} <= {*labels}


def _unknown_labels(
    name: str, labels: tuple[str, ...], expected: Catalog, found: Catalog
) -> Iterator[Difference]:
    for label in found.enums[name]:
        if label not in labels:
            rows = " UNION ALL ".join(
                f"SELECT id::text FROM {quoted(table)}"
                f" WHERE {quoted(column)}::text = {_literals([label])}"
                for table, column in _columns_of_type(expected, found, quoted(name))
            )
            yield Difference(
                f"value {label} of enum {name} is unknown to this service",
                rows=rows,
                why="have it",
            )


def _columns_of_type(expected: Catalog, found: Catalog, type_: str) -> Iterator[tuple[str, str]]:
    for name, table, present in _common(expected, found):
        for column in table.columns:
            if column in present.columns and present.columns[column].type == type_:
                yield name, column


def _types(expected: Catalog, found: Catalog) -> Iterator[Difference]:
    remade = {
        quoted(name)
        for name, labels in expected.enums.items()
        if _is_remade(found.enums.get(name, labels), labels)
    }
    for name, table, present in _common(expected, found):
        for column, wanted in table.columns.items():
            is_there = present.columns.get(column)
            if is_there is None or (is_there.type == wanted.type and wanted.type not in remade):
                continue
            yield _type(name, column, wanted, is_there, expected, found)


def _type(
    table: str, column: str, wanted: Column, present: Column, expected: Catalog, found: Catalog
) -> Difference:
    told = f"type of {table}.{column} is {present.type}"
    if wanted.type == present.type:
        told += " as it was"
    if wanted.type == ZONELESS and _TIME.fullmatch(present.type):
        return Difference(told, "it becomes what all times are, to the millisecond")
    harmless = (
        (wanted.type == "text" and _TEXT.fullmatch(present.type))
        or (wanted.type == "jsonb" and present.type == "json")
        or (wanted.type == "integer" and present.type == "smallint")
    )
    labels = expected.enums.get(wanted.type.strip('"'), ())
    is_enum = _TEXT.fullmatch(present.type) or present.type.strip('"') in found.enums
    if not (harmless or (labels and is_enum)):
        rows = f"SELECT id::text FROM {quoted(table)} WHERE {quoted(column)} IS NOT NULL"
        return Difference(f"{told}, expected {wanted.type}", rows=rows, why="have a value")
    return _conversion(told, table, column, wanted, labels)


def _conversion(
    told: str, table: str, column: str, wanted: Column, labels: tuple[str, ...]
) -> Difference:
    by_text = "::text" if labels or wanted.type == "text" else ""
    place, name = f"ALTER TABLE {quoted(table)} ALTER COLUMN {quoted(column)}", quoted(column)
    default = (f"{place} SET DEFAULT {wanted.default}",) if wanted.default else ()
    unknown = (
        f"SELECT id::text FROM {quoted(table)} WHERE {name}::text NOT IN ({_literals(labels)})"
    )
    return Difference(
        told,
        f"it becomes {wanted.type}",
        rows=unknown if labels else "",
        why=f"have none of {', '.join(labels)}",
        before=(f"{place} DROP DEFAULT",),
        column=(
            table,
            column,
            f"ALTER COLUMN {name} TYPE {wanted.type} USING {name}{by_text}::{wanted.type}",
        ),
        after=default,
    )


def _columns(table: str, wanted: Table, present: Table) -> Iterator[Difference]:
    for column in sorted(wanted.columns.keys() - present.columns.keys()):
        yield Difference(f"column {table}.{column} is missing")
    for column in sorted(present.columns.keys() - wanted.columns.keys()):
        yield Difference(
            f"column {table}.{column} is not this service's: keep it in a table of your own",
            rows=f"SELECT id::text FROM {quoted(table)} WHERE {quoted(column)} IS NOT NULL",
            why="have a value",
        )
    for column in sorted(wanted.columns.keys() & present.columns.keys()):
        yield from _column(table, column, wanted.columns[column], present.columns[column])


def _column(table: str, column: str, wanted: Column, present: Column) -> Iterator[Difference]:
    path, place = f"{table}.{column}", f"ALTER TABLE {quoted(table)} ALTER COLUMN {quoted(column)}"
    if present.nullable and not wanted.nullable:
        yield Difference(
            f"column {path} allows NULL",
            "it no longer does",
            rows=f"SELECT id::text FROM {quoted(table)} WHERE {quoted(column)} IS NULL",
            why="are NULL there",
            after=(f"{place} SET NOT NULL",),
        )
    if wanted.nullable and not present.nullable:
        yield Difference(
            f"column {path} is NOT NULL", "it may be NULL", after=(f"{place} DROP NOT NULL",)
        )
    if (present.default or "").startswith(_GENERATED):
        yield Difference(f"column {path} is {present.default}: its values would no longer follow")
    elif present.default != wanted.default:
        clause = f"SET DEFAULT {wanted.default}" if wanted.default else "DROP DEFAULT"
        yield Difference(
            f"default of {path} is {present.default or 'none'}",
            f"it becomes {wanted.default or 'none'}",
            after=(f"{place} {clause}",),
        )


def _indexes(table: str, wanted: Table, present: Table) -> Iterator[Difference]:
    spare = {
        name: definition
        for name, definition in present.indexes.items()
        if wanted.indexes.get(name) != definition
    }
    for name, definition in sorted(wanted.indexes.items()):
        if present.indexes.get(name) == definition:
            continue
        alike = next(
            (each for each in spare if spare[each] == definition and each not in wanted.indexes),
            None,
        )
        if alike:
            del spare[alike]
            rename = f"ALTER INDEX {quoted(alike)} RENAME TO {quoted(name)}"
            yield Difference(f"index {name} is called {alike}", "it is renamed", after=(rename,))
        else:
            yield _missing_index(table, name, definition)
    for name, definition in sorted(spare.items()):
        yield Difference(
            f"index {name} is not this service's: {definition}",
            "it is dropped",
            before=(
                f"ALTER TABLE {quoted(table)} DROP CONSTRAINT IF EXISTS {quoted(name)}",
                f"DROP INDEX IF EXISTS {quoted(name)}",
            ),
        )


def _missing_index(table: str, name: str, definition: str) -> Difference:
    unique, method = "", definition
    rows = ""
    if definition.startswith("UNIQUE "):
        unique, method = "UNIQUE ", definition.removeprefix("UNIQUE ")
        columns = method.removeprefix("btree (").removesuffix(")")
        rows = (
            f"SELECT id::text FROM {quoted(table)} WHERE ({columns}) IN (SELECT {columns}"
            f" FROM {quoted(table)} GROUP BY {columns} HAVING count(*) > 1)"
        )
    return Difference(
        f"index {name} is missing",
        "it is made",
        rows=rows,
        why="share their values",
        after=(f"CREATE {unique}INDEX {quoted(name)} ON {quoted(table)} USING {method}",),
    )


def _constraints(table: str, wanted: Table, present: Table) -> Iterator[Difference]:
    """Compare all but foreign keys: those are done together, in the end."""
    spare = {
        name: definition
        for name, definition in _not_foreign(present)
        if wanted.constraints.get(name) != definition
    }
    for name, definition in _not_foreign(wanted):
        if present.constraints.get(name) == definition:
            continue
        alike = next((each for each in spare if spare[each] == definition), None)
        if alike is None:
            yield Difference(f"constraint {name} of {table} is missing: {definition}")
            continue
        del spare[alike]
        rename = f"RENAME CONSTRAINT {quoted(alike)} TO {quoted(name)}"
        yield Difference(
            f"constraint {name} of {table} is called {alike}",
            "it is renamed",
            after=(f"ALTER TABLE {quoted(table)} {rename}",),
        )
    for name, definition in sorted(spare.items()):
        yield Difference(
            f"constraint {name} of {table} is not this service's: {definition}",
            "it is dropped",
            before=(f"ALTER TABLE {quoted(table)} DROP CONSTRAINT {quoted(name)}",),
        )


def _not_foreign(table: Table) -> Iterator[tuple[str, str]]:
    for name, definition in table.constraints.items():
        if not definition.startswith("FOREIGN KEY"):
            yield name, definition


def _foreign_keys(
    expected: Catalog, found: Catalog, changed: set[tuple[str, str]]
) -> Iterator[Difference]:
    for name, table, present in _common(expected, found):
        there = {key: text for key, text in present.constraints.items() if _is_foreign(text)}
        for key, definition in sorted(table.constraints.items()):
            if _is_foreign(definition):
                yield from _foreign_key(name, key, definition, there, changed)
        for key, definition in sorted(there.items()):
            yield Difference(
                f"constraint {key} of {name} is not this service's: {definition}",
                "it is dropped",
                before=(f"ALTER TABLE {quoted(name)} DROP CONSTRAINT {quoted(key)}",),
            )


def _foreign_key(
    table: str, key: str, definition: str, there: dict[str, str], changed: set[tuple[str, str]]
) -> Iterator[Difference]:
    """Compare one, and take what it is matched with out of those that are there."""
    reference = definition.partition(" ON ")[0]
    column, parent, parent_key = _ends(reference)
    why = f"refer to no row of {parent}"
    lost = (
        f"SELECT id::text FROM {quoted(table)} c WHERE c.{quoted(column)} IS NOT NULL"
        f" AND NOT EXISTS (SELECT FROM {quoted(parent)} p"
        f" WHERE p.{quoted(parent_key)}::text = c.{quoted(column)}::text)"
    )
    alike = [name for name, text in there.items() if text.startswith(reference)]
    if not alike:
        told = f"constraint {key} of {table} is missing, which was: {definition}"
        yield Difference(told, rows=lost, why=why)
        return
    name = key if key in alike else alike[0]
    text = there.pop(name)
    place = f"ALTER TABLE {quoted(table)}"
    before = (f"{place} DROP CONSTRAINT {quoted(name)}",)
    after = (f"{place} ADD CONSTRAINT {quoted(key)} {definition}",)
    if text != definition:
        told = f"constraint {name} of {table} is {text}"
        yield Difference(told, f"it becomes {definition}", lost, why, before, after=after)
    elif {(table, column), (parent, parent_key)} & changed:
        told = f"constraint {name} of {table} compares values of another type"
        yield Difference(told, "it is made again", lost, why, before, after=after)
    elif name != key:
        rename = f"{place} RENAME CONSTRAINT {quoted(name)} TO {quoted(key)}"
        told = f"constraint {key} of {table} is called {name}"
        yield Difference(told, "it is renamed", after=(rename,))


def _ends(reference: str) -> tuple[str, str, str]:
    """Return the column, the table it refers to and the column there."""
    match = _FOREIGN_KEY.fullmatch(reference)
    if match is None:
        raise ValueError(reference)
    return match["column"], match["parent"], match["key"]


def _is_foreign(definition: str) -> bool:
    return definition.startswith("FOREIGN KEY")


def _triggers(table: str, _: Table, present: Table) -> Iterator[Difference]:
    for name in sorted(present.triggers):
        yield Difference(
            f"trigger {name} of {table} would act on what this service writes: drop it first"
        )


def _literals(texts: Iterable[str]) -> str:
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
