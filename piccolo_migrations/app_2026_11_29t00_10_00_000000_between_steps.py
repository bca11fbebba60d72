"""What changes in a room while a draw of it is open is recorded, whoever changes it and however.

A statement that changes participants, prizes, winners or the room writes one row to `audit_log` for
each open draw that it could matter to: `rowId` is the draw's id, `after` tells how many rows
changed, and of the first hundred which and how. So plain SQL, the administrators' page and every
service are covered alike, and a bulk import leaves one row. Where no draw is open nothing is
written. What a draw awards by itself stands in the draw, and is not repeated.

Nothing of a person is recorded but ids, the role, and the number of tickets that the draw reads.
"""

from app.database.sql_migration import SqlMigration

ID = "2026-11-29T00:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "between_steps"

# What of a row could matter to a draw x.
WATCHED = {
    "participants": """jsonb_build_object('userId', {row}."userId", 'role', {row}.role,
        'deletedAt', {row}."deletedAt", 'weight', CASE
            WHEN jsonb_typeof({row}.metadata -> x."weightKey") = 'number'
            THEN {row}.metadata -> x."weightKey" END)""",
    "prizes": """jsonb_build_object('quantity', {row}.quantity,
        'quantityRemaining', {row}."quantityRemaining", 'deletedAt', {row}."deletedAt")""",
    "winners": """jsonb_build_object('participantId', {row}."participantId",
        'prizeId', {row}."prizeId", 'deletedAt', {row}."deletedAt")""",
    "rooms": """jsonb_build_object('status', {row}.status, 'isPublic', {row}."isPublic",
        'createdBy', {row}."createdBy")""",
}
CHANGED = {
    "insert": ("NEW TABLE AS after", "after b"),
    "update": ("OLD TABLE AS before NEW TABLE AS after", "after b JOIN before a ON a.id = b.id"),
    "delete": ("OLD TABLE AS before", "before a"),
}

_OPEN = "x.status IN ('ANNOUNCED', 'CLOSED', 'READY')"
_ACTOR = "COALESCE(NULLIF(current_setting('audit.actor', true), ''), 'database')"


def _events(table: str) -> list[str]:
    """Return what is recorded of a table; a room that has a draw is neither new nor deleted."""
    return ["update"] if table == "rooms" else [*CHANGED]


def _record(table: str, event: str) -> str:
    """Write the statement that records what an event changed."""
    was = "NULL::jsonb" if event == "insert" else WATCHED[table].format(row="a")
    is_now = "NULL::jsonb" if event == "delete" else WATCHED[table].format(row="b")
    row = "a" if event == "delete" else "b"
    room = f'{row}."{"id" if table == "rooms" else "roomId"}"'
    return f"""
    INSERT INTO audit_log (actor, action, "tableName", "rowId", after)
    SELECT {_ACTOR}, '{event} while a draw is open', '{table}', draw, jsonb_build_object(
        'count', count(*), 'rows', jsonb_agg(change ORDER BY change) FILTER (WHERE place <= 100)
    )
    FROM (
        SELECT draw, jsonb_build_object('id', id, 'before', was, 'after', is_now) AS change,
            row_number() OVER (PARTITION BY draw ORDER BY id) AS place
        FROM (
            SELECT x.id AS draw, {row}.id, {was} AS was, {is_now} AS is_now
            FROM draws x, {CHANGED[event][1]} WHERE {room} = x."roomId" AND {_OPEN}
        ) rows WHERE was IS DISTINCT FROM is_now
    ) changes GROUP BY draw;"""


def _watch(table: str) -> str:
    branches = "".join(
        f"\n  IF TG_OP = '{event.upper()}' THEN{_record(table, event)}\n  END IF;"
        for event in _events(table)
    )
    triggers = "".join(
        f"""
CREATE TRIGGER "{table}_in_draw_{event}" AFTER {event.upper()} ON "{table}"
  REFERENCING {CHANGED[event][0]} FOR EACH STATEMENT EXECUTE FUNCTION record_{table}_in_draw();"""
        for event in _events(table)
    )
    return f"""
CREATE FUNCTION record_{table}_in_draw() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- A draw's own awards stand in the draw.
  IF current_setting('draws.awarding', true) <> ''
      OR NOT EXISTS (SELECT FROM draws x WHERE {_OPEN}) THEN
    RETURN NULL;
  END IF;{branches}
  RETURN NULL;
END $$;
{triggers}
"""


UP = (
    "".join(_watch(table) for table in WATCHED)
    + f"""
CREATE FUNCTION record_account_in_draw() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit_log (actor, action, "tableName", "rowId", after)
  SELECT {_ACTOR}, 'update while a draw is open', 'users', x.id, jsonb_build_object('count', 1,
      'rows', jsonb_build_array(jsonb_build_object('id', p.id,
          'before', jsonb_build_object('accountDeletedAt', OLD."deletedAt"),
          'after', jsonb_build_object('accountDeletedAt', NEW."deletedAt"))))
  FROM participants p JOIN draws x ON x."roomId" = p."roomId" AND {_OPEN}
  WHERE p."userId" = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER "users_in_draw" AFTER UPDATE OF "deletedAt" ON "users" FOR EACH ROW
WHEN (OLD."deletedAt" IS DISTINCT FROM NEW."deletedAt")
EXECUTE FUNCTION record_account_in_draw();
"""
)

DOWN = """
DROP TRIGGER "users_in_draw" ON "users";
DROP FUNCTION record_account_in_draw();
""" + "".join(
    "".join(f'DROP TRIGGER "{table}_in_draw_{event}" ON "{table}";\n' for event in _events(table))
    + f"DROP FUNCTION record_{table}_in_draw();\n"
    for table in WATCHED
)


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of triggers."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
