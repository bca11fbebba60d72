"""What the log forgets of a room whose people are forgotten: of what concerns them, all but ids."""

from app.database.engine import fetch
from app.events.mover import EVENTS_CHANNEL, FORGET

MOST_AT_ONCE = 500
OF_PEOPLE = ("participant", "winner", "answer", "round", "quiz")
"""The kinds of events that name somebody."""


async def forget_room(room_id: str) -> None:
    """Leave of a room's events that name people what is left of something that is gone."""
    last = 0
    while rows := await fetch(
        """
        UPDATE events SET content = json_build_object('data', json_build_object('id', subject))
        WHERE position IN (
            SELECT position FROM events WHERE "roomId" = $1 AND position > $2
              AND split_part(type, '.', 1) = ANY($3::text[]) ORDER BY position LIMIT $4
        )
        RETURNING position
        """,
        *(room_id, last, OF_PEOPLE, MOST_AT_ONCE),
    ):
        last = max(row["position"] for row in rows)
    if last:
        await fetch("SELECT pg_notify($1, $2)", EVENTS_CHANNEL, FORGET)
