"""How many alive participants, prizes and winners a room has, kept by the database itself.

Counting them took as long as there are many: 5 ms for a room with 50,000 people. The numbers of a
room are the sum of its rows in `room_counts`, mostly one.

Every statement that makes, changes or deletes participants, prizes or winners adds what it changed
to a row of their room that nobody else has locked, or to a new one. So many transactions count in
the same room at once, none waits for another, no two can deadlock, and there are never more rows
than transactions were open at once. What is rolled back was never counted.

A row whose numbers are all zero says nothing and is deleted: nothing is left of a room that is
erased. The table has no foreign key because of that: whatever the order in which the database
deletes or renames what belongs to a room, each row is taken off where it was counted.
"""

from piccolo.columns import BigInt, Integer, Text

from app.database.columns import REQUIRED
from app.database.sql_migration import SqlMigration

ID = "2026-11-22T19:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "room_counts"

COUNTED = ("participants", "prizes", "winners")

_TRIGGERS = "".join(
    f"""
CREATE TRIGGER "{table}_counted_insert" AFTER INSERT ON "{table}"
  REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER "{table}_counted_update" AFTER UPDATE ON "{table}"
  REFERENCING OLD TABLE AS before NEW TABLE AS after
  FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER "{table}_counted_delete" AFTER DELETE ON "{table}"
  REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER "{table}_counted_truncate" AFTER TRUNCATE ON "{table}"
  FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
"""
    for table in COUNTED
)

UP = f"""
CREATE TABLE "room_counts" (
    "slot" BIGINT GENERATED ALWAYS AS IDENTITY,
    "roomId" TEXT NOT NULL,
    "participants" INTEGER NOT NULL,
    "prizes" INTEGER NOT NULL,
    "winners" INTEGER NOT NULL,
    CONSTRAINT "room_counts_pkey" PRIMARY KEY ("slot")
) WITH (fillfactor = 50);
CREATE INDEX "room_counts_roomId_idx" ON "room_counts" ("roomId");

CREATE FUNCTION count_in_room(room TEXT, counted TEXT, added BIGINT) RETURNS void
LANGUAGE plpgsql
-- The plan is kept while a table that was empty grows.
SET enable_seqscan = off
AS $$
DECLARE
    free_row BIGINT := (SELECT slot FROM room_counts WHERE "roomId" = room
                        LIMIT 1 FOR UPDATE SKIP LOCKED);
    of_participants INT := CASE counted WHEN 'participants' THEN added ELSE 0 END;
    of_prizes INT := CASE counted WHEN 'prizes' THEN added ELSE 0 END;
    of_winners INT := CASE counted WHEN 'winners' THEN added ELSE 0 END;
    is_empty BOOLEAN;
BEGIN
    IF free_row IS NULL THEN
        INSERT INTO room_counts ("roomId", participants, prizes, winners)
        VALUES (room, of_participants, of_prizes, of_winners);
        RETURN;
    END IF;
    UPDATE room_counts SET participants = participants + of_participants,
        prizes = prizes + of_prizes, winners = winners + of_winners
    WHERE slot = free_row
    RETURNING participants = 0 AND prizes = 0 AND winners = 0 INTO is_empty;
    IF is_empty THEN
        DELETE FROM room_counts WHERE slot = free_row;
    END IF;
END $$;

CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- Of the column's collation, unlike a name: else its index would serve nothing.
    counted TEXT := TG_TABLE_NAME;
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM count_in_room("roomId", counted, count(*))
        FROM after WHERE "deletedAt" IS NULL GROUP BY "roomId";
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM count_in_room("roomId", counted, -count(*))
        FROM before WHERE "deletedAt" IS NULL GROUP BY "roomId";
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM count_in_room("roomId", counted, sum(change))
        FROM (
            SELECT "roomId", -1 AS change FROM before WHERE "deletedAt" IS NULL
            UNION ALL SELECT "roomId", 1 FROM after WHERE "deletedAt" IS NULL
        ) changes GROUP BY "roomId" HAVING sum(change) <> 0;
    ELSE
        EXECUTE format('UPDATE room_counts SET %I = 0', counted);
        DELETE FROM room_counts WHERE participants = 0 AND prizes = 0 AND winners = 0;
    END IF;
    RETURN NULL;
END $$;
{_TRIGGERS}
INSERT INTO room_counts ("roomId", participants, prizes, winners)
SELECT "roomId", sum(participants), sum(prizes), sum(winners)
FROM (
    SELECT "roomId", 1 AS participants, 0 AS prizes, 0 AS winners FROM participants
    WHERE "deletedAt" IS NULL
    UNION ALL SELECT "roomId", 0, 1, 0 FROM prizes WHERE "deletedAt" IS NULL
    UNION ALL SELECT "roomId", 0, 0, 1 FROM winners WHERE "deletedAt" IS NULL
) alive GROUP BY "roomId";
"""

DOWN = (
    "".join(
        f'DROP TRIGGER "{table}_counted_{event}" ON "{table}";\n'
        for table in COUNTED
        for event in ("insert", "update", "delete", "truncate")
    )
    + "DROP FUNCTION count_rows();\nDROP FUNCTION count_in_room(TEXT, TEXT, BIGINT);\n"
    + 'DROP TABLE "room_counts";\n'
)


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_table(
        "RoomCount",
        "room_counts",
        slot=BigInt(primary_key=True, default=REQUIRED),
        roomId=Text(default=REQUIRED),
        participants=Integer(default=REQUIRED),
        prizes=Integer(default=REQUIRED),
        winners=Integer(default=REQUIRED),
    )
    return migration
