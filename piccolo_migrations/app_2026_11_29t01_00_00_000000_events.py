"""What happens in a room is told, in the transaction in which it happens and whoever does it.

Triggers write one row to `outbox` for each event. So services, the administrators' page, jobs and
plain SQL tell alike, and what is rolled back was never told. No row says what it looked like: who
moves it to `events` reads what is there by then, as anybody would see it.

A bulk import leaves one row for each person up to a hundred of a room, beyond that a single one
with their number. What an award changes of a prize is told by the award.

`events` is the log: one writer moves rows there in the order of their positions. `event_log` has
the log's epoch, which a restored backup renews.
"""

from collections.abc import Collection, Mapping, Sequence

from piccolo.columns import JSON, JSONB, BigInt, Integer, Text

from app.database.columns import REQUIRED, Moment
from app.database.sql_migration import SqlMigration

ID = "2026-11-29T01:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "events"

MOST_TOLD_APART = 100
TABLES = """
CREATE TABLE "outbox" (
    "seq" BIGINT GENERATED ALWAYS AS IDENTITY,
    "id" TEXT NOT NULL DEFAULT gen_random_uuid()::text,
    "type" TEXT NOT NULL,
    "roomId" TEXT,
    "subject" TEXT,
    "details" JSONB,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "outbox_pkey" PRIMARY KEY ("seq")
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE "events" (
    "position" BIGINT GENERATED ALWAYS AS IDENTITY,
    "id" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "roomId" TEXT NOT NULL,
    "audience" TEXT NOT NULL,
    "subject" TEXT,
    "person" TEXT,
    "content" JSON NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL,
    CONSTRAINT "events_pkey" PRIMARY KEY ("position"),
    CONSTRAINT "events_audience_check" CHECK ("audience" IN ('readers', 'members'))
);
CREATE INDEX "events_roomId_position_idx" ON "events" ("roomId", "position");
CREATE INDEX "events_person_position_idx" ON "events" ("person", "position")
    WHERE "person" IS NOT NULL;
CREATE INDEX "events_subject_idx" ON "events" ("subject") WHERE "person" IS NULL;

CREATE TABLE "event_log" (
    "id" INTEGER NOT NULL,
    "epoch" TEXT NOT NULL,
    CONSTRAINT "event_log_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "event_log_id_check" CHECK ("id" = 1)
);

CREATE TABLE "event_tickets" (
    "id" TEXT NOT NULL,
    "token" JSONB NOT NULL,
    "expiresAt" TIMESTAMPTZ(3) NOT NULL,
    CONSTRAINT "event_tickets_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "event_tickets_expiresAt_idx" ON "event_tickets" ("expiresAt");
"""


def _changed(names: Mapping[str, Sequence[str]], before: str, after: str) -> str:
    """Write which members differ between two rows, as a JSON array that may be empty.

    Args:
        names: Columns, and the members that show them.
        before: What the row is called that was.
        after: What the row is called that is.
    """
    differ: dict[str, list[str]] = {}
    for column, members in names.items():
        for member in members:
            differs = f'{before}."{column}" IS DISTINCT FROM {after}."{column}"'
            differ.setdefault(member, []).append(differs)
    cases = ", ".join(
        f"CASE WHEN {' OR '.join(differ[member])} THEN '{member}' END" for member in sorted(differ)
    )
    return f"to_jsonb(array_remove(ARRAY[{cases}], NULL))"


def _of_their_names(*columns: str) -> Mapping[str, Sequence[str]]:
    return {column: (column,) for column in columns}


ROOM_MEMBERS = {
    **_of_their_names("name", "description", "appSettings", "appManifestVersion", "isPublic"),
    "appId": ("appId", "app"),
    "createdBy": ("createdBy", "organizer"),
}
PRIZE_MEMBERS = _of_their_names("name", "description", "imageUrl", "quantity", "metadata")
PARTICIPANT_MEMBERS = {
    **_of_their_names("role", "metadata"),
    "userId": ("userId", "user"),
    "name": ("user",),
}

FUNCTIONS = f"""
CREATE FUNCTION tell(type TEXT, room TEXT, subject TEXT, details JSONB DEFAULT NULL) RETURNS void
LANGUAGE sql AS $$
  INSERT INTO outbox (type, "roomId", subject, details) VALUES (type, room, subject, details)
$$;

-- Whether something is still part of a room: with a room that is deleted for good, or is given
-- another id, all goes that is in it.
CREATE FUNCTION is_room(room TEXT) RETURNS BOOLEAN LANGUAGE sql AS $$
  SELECT EXISTS (SELECT FROM rooms WHERE id = room)
$$;

CREATE FUNCTION tell_of_room() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  was BOOLEAN := TG_OP <> 'INSERT' AND OLD."deletedAt" IS NULL;
  is_now BOOLEAN := TG_OP <> 'DELETE' AND NEW."deletedAt" IS NULL;
  stays BOOLEAN := was AND is_now AND OLD.id = NEW.id;
  changed JSONB;
BEGIN
  IF was AND NOT stays THEN
    PERFORM tell('room.deleted', OLD.id, OLD.id, jsonb_build_object('person', OLD."createdBy"));
  END IF;
  IF is_now AND NOT stays THEN
    PERFORM tell('room.created', NEW.id, NEW.id);
  END IF;
  IF stays THEN
    changed := {_changed(ROOM_MEMBERS, "OLD", "NEW")};
    IF changed <> '[]' THEN
      PERFORM tell('room.updated', NEW.id, NEW.id, jsonb_build_object('changed', changed));
    END IF;
    IF OLD.status <> NEW.status THEN
      PERFORM tell('room.status_changed', NEW.id, NEW.id,
        jsonb_build_object('before', OLD.status, 'after', NEW.status));
    END IF;
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION tell_of_prize() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  was BOOLEAN := TG_OP <> 'INSERT' AND OLD."deletedAt" IS NULL;
  is_now BOOLEAN := TG_OP <> 'DELETE' AND NEW."deletedAt" IS NULL;
  stays BOOLEAN := was AND is_now AND OLD.id = NEW.id AND OLD."roomId" = NEW."roomId";
  changed JSONB;
BEGIN
  IF was AND NOT stays AND is_room(OLD."roomId") THEN
    PERFORM tell('prize.deleted', OLD."roomId", OLD.id);
  END IF;
  IF is_now AND NOT stays THEN
    PERFORM tell('prize.created', NEW."roomId", NEW.id);
  END IF;
  IF stays THEN
    changed := {_changed(PRIZE_MEMBERS, "OLD", "NEW")};
    IF changed <> '[]' THEN
      PERFORM tell('prize.updated', NEW."roomId", NEW.id, jsonb_build_object('changed', changed));
    END IF;
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION tell_of_draw() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM tell('draw.' || lower(NEW.status::text), NEW."roomId", NEW.id);
  RETURN NULL;
END $$;

CREATE FUNCTION tell_of_participants() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO outbox (type, "roomId", subject, details)
    WITH joined AS (
      SELECT id, "roomId", count(*) OVER (PARTITION BY "roomId") AS number
      FROM after WHERE "deletedAt" IS NULL
    )
    SELECT 'participant.joined', "roomId", id, NULL FROM joined
    WHERE number <= {MOST_TOLD_APART}
    UNION ALL
    SELECT 'participant.joined', "roomId", NULL, jsonb_build_object('count', count(*),
      'range', jsonb_build_object('from', min(id), 'to', max(id)))
    FROM joined WHERE number > {MOST_TOLD_APART} GROUP BY "roomId";
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO outbox (type, "roomId", subject, details)
    WITH altered AS (
      SELECT COALESCE(b.id, a.id) AS id, COALESCE(b."roomId", a."roomId") AS "roomId",
        a."userId" AS person, b.id IS NULL AS is_gone,
        CASE
          WHEN a.alive AND b.alive THEN 'participant.updated'
          WHEN b.alive THEN 'participant.joined'
          WHEN a.alive THEN 'participant.left'
        END AS type,
        {_changed(PARTICIPANT_MEMBERS, "a", "b")} AS changed,
        count(*) FILTER (WHERE b.alive AND a.alive IS NOT TRUE)
          OVER (PARTITION BY COALESCE(b."roomId", a."roomId")) AS number
      FROM (SELECT *, "deletedAt" IS NULL AS alive FROM after) b
      FULL JOIN (SELECT *, "deletedAt" IS NULL AS alive FROM before) a
        ON a.id = b.id AND a."roomId" = b."roomId"
    )
    SELECT type, "roomId", id,
      CASE type WHEN 'participant.updated' THEN jsonb_build_object('changed', changed)
        WHEN 'participant.left' THEN jsonb_build_object('person', person) END
    FROM altered
    WHERE (type = 'participant.left' AND (NOT is_gone OR is_room("roomId")))
      OR (type = 'participant.updated' AND changed <> '[]')
      OR (type = 'participant.joined' AND number <= {MOST_TOLD_APART})
    UNION ALL
    SELECT type, "roomId", NULL, jsonb_build_object('count', count(*),
      'range', jsonb_build_object('from', min(id), 'to', max(id)))
    FROM altered WHERE type = 'participant.joined' AND number > {MOST_TOLD_APART}
    GROUP BY type, "roomId";
  ELSE
    INSERT INTO outbox (type, "roomId", subject, details)
    SELECT 'participant.left', "roomId", id, jsonb_build_object('person', "userId")
    FROM before WHERE "deletedAt" IS NULL AND is_room("roomId");
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION tell_of_winners() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO outbox (type, "roomId", subject)
    SELECT 'winner.awarded', "roomId", id FROM after WHERE "deletedAt" IS NULL;
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO outbox (type, "roomId", subject)
    SELECT CASE WHEN b.alive THEN 'winner.awarded' ELSE 'winner.revoked' END,
      COALESCE(b."roomId", a."roomId"), COALESCE(b.id, a.id)
    FROM (SELECT *, "deletedAt" IS NULL AS alive FROM after) b
    FULL JOIN (SELECT *, "deletedAt" IS NULL AS alive FROM before) a
      ON a.id = b.id AND a."roomId" = b."roomId"
    WHERE COALESCE(a.alive, false) <> COALESCE(b.alive, false)
      AND (b.id IS NOT NULL OR is_room(a."roomId"));
  ELSE
    INSERT INTO outbox (type, "roomId", subject, details)
    SELECT 'winner.revoked', "roomId", id, jsonb_build_object('person',
      (SELECT "userId" FROM participants p WHERE p.id = "participantId"))
    FROM before WHERE "deletedAt" IS NULL AND is_room("roomId");
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION tell_of_deleted_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM tell('person.deleted', NULL, OLD.id);
  RETURN NULL;
END $$;

-- Its arguments: the event, and expressions for its room and for its person.
CREATE FUNCTION tell_of_emptying() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO outbox (type, "roomId", subject, details) '
    'SELECT %L, %s, id, jsonb_build_object(''person'', %s) FROM %I t WHERE "deletedAt" IS NULL',
    TG_ARGV[0], TG_ARGV[1], TG_ARGV[2], TG_TABLE_NAME);
  RETURN NULL;
END $$;
"""


def _by_row(table: str, function: str, columns: Collection[str], *more: str) -> str:
    shown = ", ".join(f'"{name}"' for name in ("id", *columns, *more, "deletedAt"))
    return f"""
CREATE TRIGGER "{table}_told" AFTER INSERT OR DELETE OR UPDATE OF {shown} ON "{table}"
  FOR EACH ROW EXECUTE FUNCTION {function}();
"""


def _by_statement(table: str) -> str:
    return f"""
CREATE TRIGGER "{table}_told_insert" AFTER INSERT ON "{table}"
  REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION tell_of_{table}();
CREATE TRIGGER "{table}_told_update" AFTER UPDATE ON "{table}"
  REFERENCING OLD TABLE AS before NEW TABLE AS after
  FOR EACH STATEMENT EXECUTE FUNCTION tell_of_{table}();
CREATE TRIGGER "{table}_told_delete" AFTER DELETE ON "{table}"
  REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION tell_of_{table}();
"""


EMPTIED = {
    "participants": ("participant.left", '"roomId"', '"userId"'),
    "prizes": ("prize.deleted", '"roomId"', "NULL"),
    "winners": (
        *("winner.revoked", '"roomId"'),
        '(SELECT "userId" FROM participants p WHERE p.id = t."participantId")',
    ),
}
"""TRUNCATE passes by the other triggers: what is told of a table's rows before, and of whom. Rooms
and users can't be emptied: draws are kept."""


def _emptied(table: str) -> str:
    arguments = ", ".join(f"'{each}'" for each in EMPTIED[table])
    return f"""
CREATE TRIGGER "{table}_told_truncate" BEFORE TRUNCATE ON "{table}"
  FOR EACH STATEMENT EXECUTE FUNCTION tell_of_emptying({arguments});
"""


UP = (
    TABLES
    + FUNCTIONS
    + _by_row("rooms", "tell_of_room", ROOM_MEMBERS, "status")
    + _by_row("prizes", "tell_of_prize", PRIZE_MEMBERS, "roomId")
    + _by_statement("participants")
    + _by_statement("winners")
    + """
CREATE TRIGGER "draws_announced_told" AFTER INSERT ON "draws"
  FOR EACH ROW WHEN (NEW.status = 'ANNOUNCED') EXECUTE FUNCTION tell_of_draw();
CREATE TRIGGER "draws_told" AFTER UPDATE OF "status" ON "draws" FOR EACH ROW
  WHEN (OLD.status <> NEW.status AND NEW.status <> 'READY') EXECUTE FUNCTION tell_of_draw();
CREATE TRIGGER "users_deleted_told" AFTER UPDATE OF "deletedAt" ON "users" FOR EACH ROW
  WHEN (OLD."deletedAt" IS NULL AND NEW."deletedAt" IS NOT NULL)
  EXECUTE FUNCTION tell_of_deleted_person();
CREATE TRIGGER "users_erased_told" AFTER DELETE ON "users" FOR EACH ROW
  EXECUTE FUNCTION tell_of_deleted_person();
"""
    + "".join(map(_emptied, EMPTIED))
)

DOWN = (
    "".join(f'DROP TRIGGER "{table}_told_truncate" ON "{table}";\n' for table in EMPTIED)
    + """
DROP TRIGGER "users_erased_told" ON "users";
DROP TRIGGER "users_deleted_told" ON "users";
DROP TRIGGER "draws_told" ON "draws";
DROP TRIGGER "draws_announced_told" ON "draws";
DROP TRIGGER "winners_told_delete" ON "winners";
DROP TRIGGER "winners_told_update" ON "winners";
DROP TRIGGER "winners_told_insert" ON "winners";
DROP TRIGGER "participants_told_delete" ON "participants";
DROP TRIGGER "participants_told_update" ON "participants";
DROP TRIGGER "participants_told_insert" ON "participants";
DROP TRIGGER "prizes_told" ON "prizes";
DROP TRIGGER "rooms_told" ON "rooms";
DROP FUNCTION tell_of_emptying();
DROP FUNCTION tell_of_deleted_person();
DROP FUNCTION tell_of_winners();
DROP FUNCTION tell_of_participants();
DROP FUNCTION tell_of_draw();
DROP FUNCTION tell_of_prize();
DROP FUNCTION tell_of_room();
DROP FUNCTION is_room(TEXT);
DROP FUNCTION tell(TEXT, TEXT, TEXT, JSONB);
DROP TABLE "event_tickets", "event_log", "events", "outbox";
"""
)


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_table(
        "Outbox",
        "outbox",
        seq=BigInt(primary_key=True, default=REQUIRED),
        id=Text(default=REQUIRED),
        type=Text(default=REQUIRED),
        roomId=Text(null=True, default=None),
        subject=Text(null=True, default=None),
        details=JSONB(null=True, default=None),
        createdAt=Moment(),
    )
    migration.new_table(
        "Event",
        "events",
        position=BigInt(primary_key=True, default=REQUIRED),
        id=Text(default=REQUIRED),
        type=Text(default=REQUIRED),
        roomId=Text(default=REQUIRED),
        audience=Text(default=REQUIRED),
        subject=Text(null=True, default=None),
        person=Text(null=True, default=None),
        content=JSON(default=REQUIRED),
        createdAt=Moment(default=REQUIRED),
    )
    migration.new_table(
        "EventLog",
        "event_log",
        id=Integer(primary_key=True, default=REQUIRED),
        epoch=Text(default=REQUIRED),
    )
    migration.new_table(
        "EventTicket",
        "event_tickets",
        id=Text(primary_key=True, default=REQUIRED),
        token=JSONB(default=REQUIRED),
        expiresAt=Moment(default=REQUIRED),
    )
    return migration
