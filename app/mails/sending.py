"""Sending the mails that are due, a few at a time.

A mail is claimed by putting off its next attempt: who dies with it leaves it to others after a
while. So it is sent at least once; one that was sent, but not recorded, goes out again with the
same Message-ID. No transaction is open while the mail server is talked to.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TypeAlias

import asyncpg

from app.mails.composing import compose
from app.mails.delivering import CONNECTIONS, LONGEST_REASON, Line, Outcome, ServerRefuses
from app.mails.limits import let_through
from app.mails.queueing import SECURITY
from app.mails.reading import CONTENTS, Letter, letters_of
from app.metrics import MAILS
from app.settings import MailServer
from app.tables import MailStatus

logger = logging.getLogger(__name__)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CLAIMED = 5 * CONNECTIONS
LEASE = timedelta(minutes=10)
"""Longer than those take that are claimed at once."""
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=2)
EXPIRY = timedelta(days=3)
"""What could not be sent in that time is no news any more."""

DUE = "status = 'PENDING' AND \"nextAttemptAt\" <= now()"
_SECURITY = ", ".join(f"'{kind}'" for kind in sorted(SECURITY))
URGENT = f"kind IN ({_SECURITY}) AND {DUE}"
"""What does not wait for its turn."""
_CLAIM = """
    WITH due AS (
        SELECT id, "nextAttemptAt" FROM mails WHERE {due}
        ORDER BY "nextAttemptAt" LIMIT {most} FOR UPDATE SKIP LOCKED
    )
    UPDATE mails m SET attempts = attempts + 1, "nextAttemptAt" = now() + $1::interval
    FROM due WHERE m.id = due.id RETURNING m.id, m.attempts, due."nextAttemptAt" AS due,
        m.recipient, m."countedAt", m."chargedTo"
"""
_EXPIRE = """
    UPDATE mails SET status = 'FAILED', "lastError" =
        'Not sent in three days.' || COALESCE(' ' || "lastError", '')
    WHERE status = 'PENDING' AND "createdAt" < now() - $1::interval RETURNING id
"""
_RETURNED = ("id", "attempts", "due", "recipient", "countedAt")
_GIVE_BACK = """
    UPDATE mails m SET attempts = m.attempts - 1, "nextAttemptAt" = c.due,
        recipient = c.recipient, "countedAt" = c.counted
    FROM unnest($1::text[], $2::int[], $3::timestamptz[], $4::text[], $5::timestamptz[])
        AS c (id, attempts, due, recipient, counted)
    WHERE m.id = c.id AND m.attempts = c.attempts AND m.status = 'PENDING'
"""
# Who comes late, after the lease, may still say that it was sent.
_RECORD = """
    UPDATE mails SET status = $3, "lastError" = $4, recipient = COALESCE($5, recipient),
        "sentAt" = CASE WHEN $3 = 'SENT' THEN now() END,
        "nextAttemptAt" = CASE WHEN $3 = 'PENDING' THEN now() + $6::interval
            ELSE "nextAttemptAt" END
    WHERE id = $1 AND status = 'PENDING' AND (attempts = $2 OR $3 = 'SENT')
"""


async def count_due(connection: Connection) -> int:
    """Return how many mails are due."""
    count: int = await connection.fetchval(f"SELECT count(*) FROM mails WHERE {DUE}")
    return count


async def send_due(
    connection: Connection, server: MailServer, due: str = DUE
) -> AsyncGenerator[int, None]:
    """Send what is due, and yield after a few each time how many of them are done with.

    Args:
        connection: Our own. Between two statements it does nothing.
        server: Whom to hand them to.
        due: DUE or URGENT.

    Raises:
        ServerRefuses: It takes no mail at all for now; what is left waits.
    """
    expired = await connection.fetch(_EXPIRE, EXPIRY)
    MAILS.labels("expired").inc(len(expired))
    lines = [Line(server) for _ in range(CONNECTIONS)]
    try:
        claim = _CLAIM.format(due=due, most=CLAIMED)
        while claimed := await connection.fetch(claim, LEASE):
            sending = _Sending(connection, claimed)
            try:
                yield await sending.send(lines)
            finally:
                await asyncio.shield(sending.give_back())
        await asyncio.gather(*(line.close() for line in lines))
    finally:
        for line in lines:
            line.hang_up()


class _Sending:
    """Some mails that were claimed together."""

    def __init__(self, connection: Connection, claimed: Sequence[asyncpg.Record]) -> None:
        self._connection = connection
        self._one_statement = asyncio.Lock()
        self._claimed = {row["id"]: row for row in claimed}
        self._left = deque(self._claimed)
        self._done = 0

    async def send(self, lines: Sequence[Line]) -> int:
        """Send them, and return how many are done with."""
        rows = await self._connection.fetch(f"{CONTENTS} WHERE m.id = ANY($1)", [*self._claimed])
        letters = letters_of(rows)
        await self._keep_within_limits(letters)
        ends = await asyncio.gather(
            *(self._send_over(line, letters) for line in lines), return_exceptions=True
        )
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return self._done

    async def _keep_within_limits(self, letters: "dict[str, Letter | str]") -> None:
        """Leave out what is too much for now. What is sent for no room has limits elsewhere."""
        asking = {
            id_: letter.address
            for id_, letter in letters.items()
            if isinstance(letter, Letter)
            and self._claimed[id_]["chargedTo"] is not None
            and self._claimed[id_]["countedAt"] is None
        }
        waiting = asking.keys() - await let_through(self._connection, asking)
        MAILS.labels("limited").inc(len(waiting))
        self._left = deque(id_ for id_ in self._left if id_ not in waiting)

    async def _send_over(self, line: Line, letters: "dict[str, Letter | str]") -> None:
        while self._left:
            id_ = self._left.popleft()
            letter = letters.get(id_)
            if not isinstance(letter, Letter):
                await self._record(id_, Outcome(MailStatus.DROPPED, letter), None)
                continue
            try:
                outcome = await line.deliver(compose(letter), letter.address)
            except ServerRefuses:
                self._left.append(id_)
                raise
            except Exception as error:
                logger.exception("mail %s can't be written", id_)
                outcome = Outcome(MailStatus.PENDING, repr(error)[:LONGEST_REASON])
            await self._record(id_, outcome, letter.address)

    async def _record(self, id_: str, outcome: Outcome, address: str | None) -> None:
        attempts: int = self._claimed[id_]["attempts"]
        self._done += outcome.status is not MailStatus.PENDING
        is_put_off = outcome.status is MailStatus.PENDING
        MAILS.labels("put_off" if is_put_off else outcome.status.lower()).inc()
        async with self._one_statement:
            await self._connection.execute(
                _RECORD,
                id_,
                attempts,
                outcome.status,
                outcome.reason,
                address,
                pause_after(attempts),
            )

    async def give_back(self) -> None:
        """Leave to others, or to the next time, what was not tried."""
        left = [self._claimed[id_] for id_ in self._left]
        self._left.clear()
        columns = [[row[name] for row in left] for name in _RETURNED]
        if left:
            with suppress(asyncpg.InterfaceError, asyncpg.PostgresError, OSError):
                async with self._one_statement:
                    await self._connection.execute(_GIVE_BACK, *columns)


def pause_after(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts: each time twice as long."""
    return min(FIRST_PAUSE * (1 << min(attempts - 1, 20)), LONGEST_PAUSE)
