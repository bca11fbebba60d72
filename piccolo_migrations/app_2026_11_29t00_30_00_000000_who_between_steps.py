"""Of what changes between a draw's steps nothing is missing, and who did it is named.

Who acts is `audit.actor`, else `audit.caller`: the person whose request or the job whose run it is,
which turns on none of the records that administrators' changes leave.

A statement keeps announcements out of its room until it is committed, by one of `BUCKETS` advisory
locks; so it either saw the draw, or was committed before the draw was announced. A row that gets
another id or room leaves the one and comes to the other. TRUNCATE erases all rows. A deleted room
tells so before its draw is cancelled, and a step that was made by hand is recorded too.
"""

from pathlib import Path
from runpy import run_path

from app.database.sql_migration import SqlMigration

ID = "2026-11-29T00:30:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "who_between_steps"

before = run_path(
    str(Path(__file__).with_name("app_2026_11_29t00_10_00_000000_between_steps.py")),
)

LOCK = 570_441_291
"""The first half of the locks' keys."""
BUCKETS = 256
"""As many as a statement takes at most, however many rooms it changes."""

WATCHED = {
    "participants": """jsonb_build_object('userId', {row}."userId", 'role', {row}.role,
        'deletedAt', {row}."deletedAt", 'hasAddress', {row}.email IS NOT NULL, 'weight', CASE
            WHEN jsonb_typeof({row}.metadata -> x."weightKey") = 'number'
            THEN {row}.metadata -> x."weightKey" END)""",
    "prizes": """jsonb_build_object('name', {row}.name, 'description', {row}.description,
        'quantity', {row}.quantity, 'quantityRemaining', {row}."quantityRemaining",
        'deletedAt', {row}."deletedAt")""",
    "winners": """jsonb_build_object('participantId', {row}."participantId",
        'prizeId', {row}."prizeId", 'deletedAt', {row}."deletedAt")""",
    "rooms": """jsonb_build_object('status', {row}.status, 'isPublic', {row}."isPublic",
        'createdBy', {row}."createdBy", 'appManifestVersion', {row}."appManifestVersion")""",
}
EVENTS = {
    "insert": ("NEW TABLE AS after", ["after"]),
    "update": ("OLD TABLE AS before NEW TABLE AS after", ["before", "after"]),
    "delete": ("OLD TABLE AS before", ["before"]),
}

_OPEN = "x.status IN ('ANNOUNCED', 'CLOSED', 'READY')"
_ACTOR = """COALESCE(NULLIF(current_setting('audit.actor', true), ''),
        NULLIF(current_setting('audit.caller', true), ''), 'database')"""


def _events(table: str) -> list[str]:
    """Return what is recorded of a table; a room that has a draw is neither new nor erased."""
    return ["update"] if table == "rooms" else [*EVENTS]


def _room(table: str) -> str:
    return '"id"' if table == "rooms" else '"roomId"'


def _keep_announcements_out(rooms: str, room: str) -> str:
    """Write the statement that locks; to lock again costs less than to find out whose are alike."""
    return f"""
    PERFORM pg_advisory_xact_lock_shared({LOCK}, hashtext({room}) & {BUCKETS - 1}) FROM {rooms};"""


def _states(table: str, source: str, columns: str) -> str:
    return f"""SELECT x.id AS draw, r.id, {columns.format(state=WATCHED[table].format(row="r"))}
        FROM draws x JOIN {source} r ON r.{_room(table)} = x."roomId" WHERE {_OPEN}"""


def _changes(table: str, before: str | None, after: str | None) -> str:
    """Write the query for the rows that changed, from those before it, after it, or both."""
    if before is None or after is None:
        columns = "{state} AS before, NULL::jsonb AS after"
        if before is None:
            columns = "NULL::jsonb AS before, {state} AS after"
        return _states(table, before or after or "", columns)
    return f"""SELECT draw, id, (array_agg(state) FILTER (WHERE was))[1] AS before,
            (array_agg(state) FILTER (WHERE NOT was))[1] AS after
        FROM (
            {_states(table, before, "true AS was, {state} AS state")}
            UNION ALL {_states(table, after, "false, {state}")}
        ) states GROUP BY draw, id"""


def _record(table: str, before: str | None, after: str | None) -> str:
    """Write the statement that records what changed."""
    return f"""
    INSERT INTO audit_log (actor, action, "tableName", "rowId", after)
    SELECT {_ACTOR},
        lower(TG_OP) || ' while a draw is open', '{table}', draw, jsonb_build_object(
            'count', count(*), 'rows', to_jsonb((array_agg(jsonb_build_object(
                'id', id, 'before', before, 'after', after) ORDER BY id))[1:100]))
    FROM (
        {_changes(table, before, after)}
    ) changes WHERE before IS DISTINCT FROM after GROUP BY draw;"""


def _branch(table: str, event: str) -> str:
    sources = EVENTS[event][1]
    locking = "".join(_keep_announcements_out(name, _room(table)) for name in sources)
    recording = _record(table, *(name if name in sources else None for name in ("before", "after")))
    return f"""
  IF TG_OP = '{event.upper()}' THEN{locking}
    IF NOT EXISTS (SELECT FROM draws x WHERE {_OPEN}) THEN
      RETURN NULL;
    END IF;{recording}
  END IF;"""


def _watch(table: str) -> str:
    branches = "".join(_branch(table, event) for event in _events(table))
    triggers = "".join(
        f"""
CREATE TRIGGER "{table}_in_draw_{event}" AFTER {event.upper()} ON "{table}"
  REFERENCING {EVENTS[event][0]} FOR EACH STATEMENT EXECUTE FUNCTION record_{table}_in_draw();"""
        for event in _events(table)
    )
    return f"""
CREATE FUNCTION record_{table}_in_draw() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- A draw's own awards stand in the draw.
  IF current_setting('draws.awarding', true) <> '' THEN
    RETURN NULL;
  END IF;{branches}
  RETURN NULL;
END $$;
{triggers}
"""


def _watch_truncate(table: str) -> str:
    return f"""
CREATE FUNCTION record_emptied_{table}_in_draw() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN{_keep_announcements_out(table, _room(table))}{_record(table, table, None)}
  RETURN NULL;
END $$;
CREATE TRIGGER "{table}_in_draw_truncate" BEFORE TRUNCATE ON "{table}"
  FOR EACH STATEMENT EXECUTE FUNCTION record_emptied_{table}_in_draw();
"""


def _one(table: str, id_: str, member: str) -> str:
    """Write the SELECT list that records that one row was deleted, or is there again."""
    return f"""SELECT {_ACTOR},
      'update while a draw is open', '{table}', x.id, jsonb_build_object('count', 1,
      'rows', jsonb_build_array(jsonb_build_object('id', {id_},
          'before', jsonb_build_object('{member}', OLD."deletedAt"),
          'after', jsonb_build_object('{member}', NEW."deletedAt"))))"""


_ROOMS_OF_PERSON = 'participants p WHERE p."userId" = NEW.id'
EMPTIED = ("participants", "prizes", "winners")
KEPT = ("draws", "draw_entrants")

NEW = (
    "".join(_watch(table) for table in WATCHED)
    + "".join(_watch_truncate(table) for table in EMPTIED)
    + "".join(
        f"""
CREATE TRIGGER "{table}_not_emptied" BEFORE TRUNCATE ON "{table}"
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_draw();
"""
        for table in KEPT
    )
    + f"""
CREATE FUNCTION record_account_in_draw() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN{_keep_announcements_out(_ROOMS_OF_PERSON, 'p."roomId"')}
  INSERT INTO audit_log (actor, action, "tableName", "rowId", after)
  {_one("users", "p.id", "accountDeletedAt")}
  FROM participants p JOIN draws x ON x."roomId" = p."roomId" AND {_OPEN}
  WHERE p."userId" = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER "users_in_draw" AFTER UPDATE OF "deletedAt" ON "users" FOR EACH ROW
WHEN (OLD."deletedAt" IS DISTINCT FROM NEW."deletedAt")
EXECUTE FUNCTION record_account_in_draw();

-- Before the row is changed: after it, the draw is cancelled.
CREATE FUNCTION record_deleted_room_in_draw() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit_log (actor, action, "tableName", "rowId", after)
  {_one("rooms", "NEW.id", "deletedAt")}
  FROM draws x WHERE x."roomId" = NEW.id AND {_OPEN};
  RETURN NEW;
END $$;
CREATE TRIGGER "rooms_deleted_in_draw" BEFORE UPDATE OF "deletedAt" ON "rooms" FOR EACH ROW
WHEN (OLD."deletedAt" IS DISTINCT FROM NEW."deletedAt")
EXECUTE FUNCTION record_deleted_room_in_draw();

CREATE FUNCTION record_draw_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  was JSONB := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) ELSE '{{}}' END;
BEGIN
  INSERT INTO audit_log (actor, action, "tableName", "rowId", before, after)
  SELECT {_ACTOR}, lower(TG_OP) || ' draw by hand', 'draws', NEW.id,
    NULLIF(jsonb_object_agg(key, was -> key), '{{}}'), jsonb_object_agg(key, value)
  FROM jsonb_each(to_jsonb(NEW) - '{{secret,winners}}'::text[])
  WHERE value IS DISTINCT FROM was -> key;
  RETURN NULL;
END $$;
CREATE TRIGGER "draws_by_hand" AFTER INSERT OR UPDATE ON "draws" FOR EACH ROW
WHEN (COALESCE(current_setting('audit.actor', true), '') = '')
EXECUTE FUNCTION record_draw_by_hand();
"""
)

OLD = (
    """
DROP TRIGGER "draws_by_hand" ON "draws";
DROP FUNCTION record_draw_by_hand();
DROP TRIGGER "rooms_deleted_in_draw" ON "rooms";
DROP FUNCTION record_deleted_room_in_draw();
"""
    + "".join(f'DROP TRIGGER "{table}_not_emptied" ON "{table}";\n' for table in KEPT)
    + "".join(
        f'DROP TRIGGER "{table}_in_draw_truncate" ON "{table}";\n'
        f"DROP FUNCTION record_emptied_{table}_in_draw();\n"
        for table in EMPTIED
    )
)

UP = before["DOWN"] + NEW
DOWN = OLD + before["DOWN"] + before["UP"]


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of triggers."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
