"""Views of somebody else over columns that change their type: dropped before, made again after."""

from collections.abc import Iterable

import asyncpg
import msgspec

from app.database.catalog import of_no_extension
from app.database.migrations import Connection

VIEWS = f"""
    WITH RECURSIVE dependent (view, depth) AS (
        SELECT r.ev_class, 1 FROM pg_depend d
        JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
        JOIN unnest($2::text[], $3::text[]) changed (relname, attname)
            ON changed.relname = c.relname AND changed.attname = a.attname
        WHERE c.relnamespace = quote_ident($1)::regnamespace AND r.ev_class <> c.oid
        UNION
        SELECT r.ev_class, depth + 1 FROM dependent
        JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = view
        JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        WHERE r.ev_class <> view
    )
    SELECT v.oid, quote_ident(nspname) || '.' || quote_ident(v.relname) AS name, v.relkind,
        max(depth) AS depth, pg_get_viewdef(v.oid) AS definition, v.reloptions AS options,
        quote_ident(pg_get_userbyid(v.relowner)) AS owner,
        pg_has_role(v.relowner, 'USAGE') AS is_ours,
        obj_description(v.oid, 'pg_class') AS comment,
        EXISTS (SELECT FROM pg_attribute WHERE attrelid = v.oid AND attacl IS NOT NULL)
            OR EXISTS (SELECT FROM pg_description WHERE classoid = 'pg_class'::regclass
                AND objoid = v.oid AND objsubid > 0)
            OR EXISTS (SELECT FROM pg_attrdef WHERE adrelid = v.oid)
            OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = v.oid)
            OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class = v.oid AND rulename <> '_RETURN')
            OR NOT {of_no_extension("pg_class", "v.oid")} AS has_more
    FROM dependent JOIN pg_class v ON v.oid = view JOIN pg_namespace n ON n.oid = v.relnamespace
    GROUP BY v.oid, nspname, v.relname, v.relkind, v.reloptions, v.relowner
    ORDER BY depth, name
"""

GRANTS = """
    SELECT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC'
        ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee, is_grantable
    FROM pg_class c, aclexplode(COALESCE(relacl, acldefault('r', relowner)))
    WHERE c.oid = to_regclass($1)
"""


class View(msgspec.Struct, frozen=True):
    """A view as it can be made again."""

    oid: int
    name: str
    """With its schema, quoted."""
    create: str
    owner: str
    comment: str | None
    grants: tuple[tuple[str, str, bool], ...]
    """Privilege, to whom, and whether they may grant it."""
    refusal: str = ""
    """Why it can't be made again exactly as it was."""


async def read_views(
    connection: Connection, schema: str, changed: Iterable[tuple[str, str]]
) -> list[View]:
    """Find the views over columns that change, and those over these, the latter last."""
    pairs = [*changed]
    rows = await connection.fetch(
        VIEWS, schema, [table for table, _ in pairs], [column for _, column in pairs]
    )
    return [
        View(
            row["oid"],
            row["name"],
            _create(row),
            row["owner"],
            row["comment"],
            tuple(tuple(grant) for grant in await connection.fetch(GRANTS, row["name"])),
            _refusal(row),
        )
        for row in rows
    ]


def _create(row: asyncpg.Record) -> str:
    options = f" WITH ({', '.join(row['options'])})" if row["options"] else ""
    return f"CREATE VIEW {row['name']}{options} AS {row['definition']}"


def _refusal(row: asyncpg.Record) -> str:
    told = f"view {row['name']} shows columns whose type changes"
    if row["relkind"] == b"m":
        return f"materialized {told}: drop it first, and make it again afterwards"
    if row["has_more"]:
        return (
            f"{told}, and has rules, triggers, defaults, comments or rights of its columns:"
            " drop it first, and make it again afterwards"
        )
    if not row["is_ours"]:
        return f"{told}, and belongs to {row['owner']}"
    return ""


async def drop_views(connection: Connection, views: list[View]) -> None:
    """Drop them, those over others first."""
    for view in reversed(views):
        await connection.execute(f"DROP VIEW {view.name}")


async def make_views(connection: Connection, views: list[View]) -> None:
    """Make them again, with owner, comment and rights as before.

    New ones have the rights that are the default where they are made; none of those is left.
    """
    for view in views:
        await connection.execute(view.create)
        for _, grantee, _ in await connection.fetch(GRANTS, view.name):
            await connection.execute(f"REVOKE ALL ON {view.name} FROM {grantee}")
        for privilege, grantee, grantable in view.grants:
            option = " WITH GRANT OPTION" if grantable and grantee != view.owner else ""
            await connection.execute(f"GRANT {privilege} ON {view.name} TO {grantee}{option}")
        if view.comment is not None:
            comment = view.comment.replace("'", "''")
            await connection.execute(f"COMMENT ON VIEW {view.name} IS '{comment}'")
        await connection.execute(f"ALTER VIEW {view.name} OWNER TO {view.owner}")
