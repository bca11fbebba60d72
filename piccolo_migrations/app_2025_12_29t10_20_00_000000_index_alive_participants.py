"""The alive participants of a room, oldest first, and how many they are.

For the list of participants and the counts in lists of rooms. A page of a room with 20,000 people
took a sort of all of them (6.5 ms, 349 buffers); now it takes 0.04 ms and 5 buffers.

    Limit (actual rows=20)  Buffers: shared hit=2 read=3
      ->  Index Scan using "participants_roomId_joinedAt_id_idx" on participants
            Index Cond: ("roomId" = 'r000000000000000000000007'::text)

The counts of a page of 20 rooms read the index alone:

    Aggregate (actual rows=1 loops=20)  Buffers: shared hit=59 read=2
      ->  Index Only Scan using "participants_roomId_joinedAt_id_idx" on participants
            Index Cond: ("roomId" = rooms.id)  Heap Fetches: 0
"""

from app.database.sql_migration import SqlMigration

ID = "2025-12-29T10:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "index_alive_participants"

UP = """
CREATE INDEX "participants_roomId_joinedAt_id_idx" ON "participants"("roomId", "joinedAt", "id")
  WHERE "deletedAt" IS NULL;
"""

DOWN = """
DROP INDEX "participants_roomId_joinedAt_id_idx";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
