"""Moves what was told from the outbox to the log: one process at a time, for all of them.

So positions appear in their order, and who has read up to one has missed nothing before it. The
lock is a session's: a process that dies, hangs or loses its connection loses the lock with it, and
another one takes over.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from app.database.engine import DB, fetch, fetchval
from app.database.listener import CONNECTION_FAULTS
from app.events.catalogue import KINDS, PERSON_DELETED, kind_of
from app.events.telling import Entry, entries_of
from app.mails.at_once import COURIER
from app.mails.queueing import NOTICES, queue_notices, queues, status_of_new
from app.metrics import EVENTS
from app.participants.service import DELETED_PERSON
from app.settings import settings

logger = logging.getLogger(__name__)

APPLICATION_NAME = "event-platform mover"
"""By which pg_stat_activity tells the connection."""
LOCK = 5_731_207_944_120_351_873
"""The advisory lock of who moves."""
EVENTS_CHANNEL = "events"
"""Announces the last position that was moved, or FORGET."""
FORGET = "forget"
"""Says that the log has changed: what is kept of it in memory is read again."""
OUTBOX_CHANNEL = "outbox"
"""Announces that there is something to move."""
POLL_SECONDS = 0.25
"""How long at most something waits that nobody announced."""
PROBE_SECONDS = 0.4
"""How often the others look whether nobody moves."""
TOGETHER_SECONDS = 0.003
"""What happens meanwhile is announced at once."""
MOST_AT_ONCE = 500
SESSION = {"application_name": APPLICATION_NAME, "statement_timeout": "10s"}
# A process that hangs would keep the lock.
SESSION |= {"idle_session_timeout": "5s", "idle_in_transaction_session_timeout": "5s"}

LONGEST_MOVE_SECONDS = 15.0
"""A server that does not answer any more is given up."""
LOOK_BACK = 10_000
"""So many rows before the last one that was moved may have been committed later."""
WHOLE_SECONDS = 2.0
"""How often all of the outbox is looked at: dead rows, while an old snapshot keeps them, cost."""
MOST_FORGOTTEN = 200

_TOLD = """
    SELECT seq, id, type, "roomId", subject, details, "createdAt" FROM outbox WHERE seq > $1
    ORDER BY seq LIMIT $2
"""
_MOVED = """
    WITH gone AS (DELETE FROM outbox WHERE seq = ANY($1::bigint[]) RETURNING id),
    leaving AS (
        SELECT e.* FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
            $7::text[], $8::json[], $9::timestamptz[]) WITH ORDINALITY
            AS e (id, type, room, audience, subject, person, content, moment, place)
            JOIN gone ON gone.id = e.id
    ), moved AS (
        INSERT INTO events (id, type, "roomId", audience, subject, person, content, "createdAt")
        SELECT id, type, room, audience, subject, person, content, moment FROM leaving
        ORDER BY place RETURNING position
    )
"""
_ANNOUNCE = f"""
    SELECT pg_notify('{EVENTS_CHANNEL}', max(position)::text) FROM moved HAVING count(*) > 0
"""
_MOVE = f"{_MOVED} {_ANNOUNCE}"
_MAILED = (
    f", mailed_{number} AS ({statement})"
    for number, statement in enumerate(queues("leaving", "$10", "$11"))
)
_MOVE_AND_MAIL = f"{_MOVED} {''.join(_MAILED)} {_ANNOUNCE}"
# Who is a row of a room alone has no id as a person.
_NOBODY = """jsonb_build_object('id', CASE WHEN NOT EXISTS (
    SELECT FROM participants WHERE id = $1) THEN $1::text END, 'name', $2::text, 'avatar', NULL)"""


def _without(content: str, *, place: str) -> str:
    """Write a JSON document without what a participant in it is called and has said."""
    for member, value in ("user", _NOBODY), ("metadata", "'null'"), ("ownMetadata", "'null'"):
        content = f"jsonb_set({content}, '{{{place},{member}}}', {value}, false)"
    return content


_FORGET = f"""
    WITH seats AS MATERIALIZED (
        SELECT id, "roomId" FROM participants WHERE "userId" = $1
        UNION ALL SELECT id, "roomId" FROM participants WHERE id = $1
    )
    UPDATE events SET content = CASE split_part(type, '.', 1)
        WHEN 'room' THEN jsonb_set(content::jsonb, '{{data,organizer}}', {_NOBODY}, false)
        WHEN 'winner' THEN jsonb_set({_without("content::jsonb", place="data,participant")},
            '{{data,metadata}}', 'null', false)
        WHEN 'answer' THEN jsonb_set(content::jsonb, '{{data,participantName}}',
            to_jsonb($2::text), false)
        WHEN 'round' THEN jsonb_set(content::jsonb, '{{data,winner,participantName}}',
            to_jsonb($2::text), false)
        WHEN 'quiz' THEN jsonb_set(content::jsonb, '{{data,leaderboard}}', (
            SELECT jsonb_agg(CASE WHEN leader ->> 'participantId' IN (SELECT id FROM seats)
                THEN jsonb_set(leader, '{{participantName}}', to_jsonb($2::text)) ELSE leader END
                ORDER BY place)
            FROM jsonb_array_elements(content::jsonb #> '{{data,leaderboard}}')
                WITH ORDINALITY AS l (leader, place)
        ), false)
        ELSE {_without("content::jsonb", place="data")}
    END::json
    WHERE position IN (SELECT position FROM (
        SELECT position FROM events WHERE person = $1
        UNION ALL
        SELECT e.position FROM events e JOIN (
            SELECT id FROM seats
            UNION ALL
            SELECT w.id FROM winners w JOIN seats p ON p.id = w."participantId"
            UNION ALL
            SELECT unnest(ARRAY[a.id, CASE WHEN a."isWinning" THEN a."roundId" END])
            FROM answers a JOIN seats p ON p.id = a."participantId"
        ) theirs ON theirs.id = e.subject WHERE e.person IS NULL
        UNION ALL
        SELECT position FROM events e WHERE type LIKE 'quiz.%' AND EXISTS (
            SELECT FROM seats WHERE seats."roomId" = e."roomId"
                AND content::jsonb #> '{{data,leaderboard}}'
                    @> jsonb_build_array(jsonb_build_object('participantId', seats.id))
        )
    ) named WHERE position > $3 ORDER BY position LIMIT $4)
    RETURNING position
"""


class Mover:
    """This process's part in it. One event loop."""

    def __init__(self) -> None:
        """Wait for `run`."""
        self.is_moving = False
        """Whether it is this process that moves."""
        self._most = MOST_AT_ONCE
        """How many rows at once: less after what did not go well."""
        self._runs = False
        self._poked = asyncio.Event()
        self._announcing: asyncio.Task[None] | None = None

    def poke(self) -> None:
        """Say that something may have been committed."""
        if self.is_moving:
            self._poked.set()
        elif self._runs and self._announcing is None:
            self._announcing = asyncio.create_task(self._announce())

    async def run(self) -> None:
        """Move whenever nobody else does, until cancelled."""
        self._runs = True
        try:
            while True:
                await self._try_to_attend()
                await asyncio.sleep(PROBE_SECONDS)
        finally:
            self._runs = False

    async def _try_to_attend(self) -> None:
        try:
            await self._attend()
        except CONNECTION_FAULTS as error:
            logger.warning("Can't move events: %r", error)
        except Exception:
            logger.exception("Can't move events")

    async def _announce(self) -> None:
        await asyncio.sleep(TOGETHER_SECONDS)
        self._announcing = None
        with suppress(*CONNECTION_FAULTS):  # who moves looks by itself, too
            await fetch(f"SELECT pg_notify('{OUTBOX_CHANNEL}', '')")

    async def _attend(self) -> None:
        """Move until the connection is lost, if nobody else moves."""
        async with asyncio.timeout(LONGEST_MOVE_SECONDS):
            if not await fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
                return
        connection = await DB.get_new_connection()
        try:
            for name, value in SESSION.items():
                await connection.execute(f"SET {name} = '{value}'")
            if await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                await connection.add_listener(OUTBOX_CHANNEL, self._on_notify)
                self.is_moving = True
                await self._keep_moving(connection)
        finally:
            self.is_moving = False
            connection.terminate()

    async def _keep_moving(self, connection: asyncpg.Connection) -> None:
        last, whole_at = 0, 0.0
        while True:
            self._poked.clear()
            if is_whole := time.monotonic() >= whole_at:
                whole_at = time.monotonic() + WHOLE_SECONDS
            most = self._most
            # A rollback would wait for a dead connection, too.
            watch = asyncio.get_running_loop().call_later(
                LONGEST_MOVE_SECONDS, connection.terminate
            )
            self._most = max(1, most // 8)  # unless this goes well
            try:
                moved = await move(connection, 0 if is_whole else last - LOOK_BACK, most)
            finally:
                watch.cancel()
            self._most = min(MOST_AT_ONCE, most * 2)
            last = max(last, *moved) if moved else last
            if len(moved) < most:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._poked.wait(), POLL_SECONDS)

    def _on_notify(self, *_: Any) -> None:
        self._poked.set()


async def move(
    connection: asyncpg.Connection, after: int = 0, most: int = MOST_AT_ONCE
) -> Sequence[int]:
    """Move the oldest of what was told, and return which rows of the outbox that were.

    Args:
        connection: Of who has the lock.
        after: Rows that come later alone.
        most: No more rows than that.
    """
    rows = await connection.fetch(_TOLD, after, most)
    if not rows:
        return []
    leaving = [row for row in rows if row["type"] == PERSON_DELETED]
    entries = await entries_of(
        [row for row in rows if kind_of(row["type"]) in KINDS and row["roomId"] is not None]
    )
    notices = [row["seq"] for row in rows if row["type"] in NOTICES]
    told = [row["seq"] for row in rows if row["type"] not in {PERSON_DELETED, *NOTICES}]
    mail = status_of_new(settings())
    if notices:
        await queue_notices(connection, notices, mail, settings().MAIL_LANGUAGE)
        COURIER.poke()
    if mail is None:
        await connection.fetch(_MOVE, told, *_columns(entries))
    else:
        await connection.fetch(
            _MOVE_AND_MAIL, told, *_columns(entries), mail, settings().MAIL_LANGUAGE
        )
    EVENTS.inc(len(entries))
    for row in leaving:  # after what the batch says of them; again, if it is not done to its end
        await _forget(connection, row["subject"])
        await connection.execute("DELETE FROM outbox WHERE seq = $1", row["seq"])
    return [row["seq"] for row in rows]


async def _forget(connection: asyncpg.Connection, person: str) -> None:
    """Take out of the log how somebody was called who has deleted the account, piece by piece.

    Also where they were only expected, by an address, when it was told.

    Args:
        connection: Of who moves.
        person: A person's id, or a participant's.
    """
    last = 0
    while rows := await connection.fetch(_FORGET, person, DELETED_PERSON, last, MOST_FORGOTTEN):
        last = max(row["position"] for row in rows)
    if last:
        await connection.fetch(f"SELECT pg_notify('{EVENTS_CHANNEL}', '{FORGET}')")


def _columns(entries: Sequence[Entry]) -> list[list[Any]]:
    names = Entry.__struct_fields__
    return [[getattr(entry, name) for entry in entries] for name in names]


MOVER = Mover()


@asynccontextmanager
async def moving() -> AsyncIterator[None]:
    """Take part in moving as long as the block runs."""
    task = asyncio.create_task(MOVER.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
