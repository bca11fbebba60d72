"""The public rooms that are alive, newest first: any page is as near as the first.

For the list of rooms by cursor. With 100,000 rooms of which the newest 60,000 are private,
"rooms_createdAt_idx" reads and drops 60,003 rows for a page (26 ms); this index reads 20 entries
(0.2 ms). Take the ids first, then the rows: PostgreSQL trusts an index only scan more than a scan
whose order it believes to be unlike the table's.

    Nested Loop (actual rows=20)  Buffers: shared hit=84
      ->  Limit (actual rows=20)
            ->  Index Only Scan using "rooms_createdAt_id_idx" on rooms
                  Index Cond: (ROW("createdAt", id) < ROW(now(), 'r'::text))
      ->  Index Scan using rooms_pkey on rooms r

One's own rooms need no index of their own: the ids come from "participants_userId_idx", few of
them, and are sorted (0.7 ms).

    Sort (actual rows=6)  Sort Key: rooms."createdAt" DESC, rooms.id DESC
      ->  Nested Loop (actual rows=6)
            ->  Bitmap Heap Scan on participants
                  ->  Bitmap Index Scan on "participants_userId_idx"
            ->  Index Scan using rooms_pkey on rooms
"""

from app.database.sql_migration import SqlMigration

ID = "2025-12-29T10:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "index_public_rooms"

UP = """
CREATE INDEX "rooms_createdAt_id_idx" ON "rooms"("createdAt" DESC, "id" DESC)
  WHERE "deletedAt" IS NULL AND "isPublic";
"""

DOWN = """
DROP INDEX "rooms_createdAt_id_idx";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
