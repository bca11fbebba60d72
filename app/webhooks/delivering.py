"""Sending what is due, in each process: together they keep every endpoint's limit."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.database.engine import DB
from app.database.listener import CONNECTION_FAULTS
from app.encryption import decrypted
from app.events.mover import EVENTS_CHANNEL
from app.metrics import WEBHOOK_DELIVERIES, WEBHOOKS_DISABLED
from app.settings import settings
from app.webhooks.payloads import payload
from app.webhooks.queueing import (
    CHANNEL,
    LEASE,
    MOST_QUEUED,
    Attempt,
    Connection,
    Result,
    begin,
    claim,
    give_back,
    queue_news,
    record,
    renew,
)
from app.webhooks.retrying import pause_after
from app.webhooks.sending import Outcome, Post
from app.webhooks.signing import signatures

logger = logging.getLogger(__name__)

APPLICATION_NAME = "event-platform webhooks"
"""By which pg_stat_activity tells the connection."""
SESSION = {"application_name": APPLICATION_NAME, "statement_timeout": "10s"}
MOST_SENDING = 500
"""At a time, in one process."""
POLL_SECONDS = 1.0
"""How long at most something waits that nobody announced."""
RENEW_SECONDS = LEASE.total_seconds() / 4
PAUSE_SECONDS = 1.0
"""After a fault."""
USER_AGENT = "event-platform"


class Courier:
    """This process's part in it. One event loop."""

    def __init__(self, post: Post, chance: Callable[[], float] = random.random) -> None:
        """Wait for `run`."""
        self._post = post
        self._chance = chance
        self._woken = asyncio.Event()
        self._sending: dict[asyncio.Task[Result], Attempt] = {}
        self._results: list[Result] = []
        self._renewed_at = 0.0

    async def run(self) -> None:
        """Send whatever is due, until cancelled."""
        while True:
            try:
                await self._attend()
            except CONNECTION_FAULTS as error:
                logger.warning("Webhooks wait for the database: %r", error)
            except Exception:
                logger.exception("Webhooks wait")
            await asyncio.sleep(PAUSE_SECONDS)

    async def _attend(self) -> None:
        """Send over a connection of our own: requests have the others to themselves."""
        connection = await DB.get_new_connection()
        try:
            for name, value in SESSION.items():
                await connection.execute(f"SET {name} = '{value}'")
            for channel in (EVENTS_CHANNEL, CHANNEL):
                await connection.add_listener(channel, self._on_notify)
            await begin(connection)
            while True:
                await self._go_on(connection)
        finally:
            await self._stop(connection)

    async def _go_on(self, connection: Connection) -> None:
        self._woken.clear()
        await self._record(connection)
        if self._sending and time.monotonic() > self._renewed_at + RENEW_SECONDS:
            await renew(connection, [*self._sending.values()])
            self._renewed_at = time.monotonic()
        looked_at = await queue_news(connection)
        claimed = []
        if (most := MOST_SENDING - len(self._sending)) > 0:
            claimed = await claim(connection, most)
        for attempt in claimed:
            task = asyncio.create_task(self._send(attempt))
            self._sending[task] = attempt
            task.add_done_callback(self._on_sent)
        if not claimed and looked_at < MOST_QUEUED:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)

    async def _record(self, connection: Connection) -> None:
        results, self._results = self._results, []
        if not results:
            return
        for row in await record(connection, results):
            WEBHOOKS_DISABLED.labels(row["disabledReason"].lower()).inc()
            logger.error(
                "webhook %s of %s is disabled (%s): %s",
                *(row["id"], row["appId"], row["disabledReason"], row["url"]),
            )

    async def _send(self, attempt: Attempt) -> Result:
        now = datetime.now(UTC)
        outcome = await self._outcome(attempt, now)
        attempts = attempt.delivery["attempts"]
        pause = None
        if not (outcome.is_delivered or outcome.is_gone):
            pause = pause_after(attempts, outcome.asked, self._chance())
        return Result(attempt, outcome, pause)

    async def _outcome(self, attempt: Attempt, now: datetime) -> Outcome:
        endpoint, delivery = attempt
        encrypted = [
            endpoint["secret"],
            *([endpoint["formerSecret"]] * bool(endpoint["hasFormer"])),
        ]
        secrets = [secret for each in encrypted if (secret := decrypted(each)) is not None]
        if not secrets:
            return Outcome(is_delivered=False, reason="Its secret can't be read: rotate it.")
        body = msgspec.json.encode(payload(delivery))
        timestamp = int(now.timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "webhook-id": delivery["eventId"],
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(delivery["eventId"], timestamp, body, secrets),
        }
        try:
            return await self._post.send(endpoint["url"], headers.items(), body, now)
        except Exception as error:
            logger.exception("delivery %s can't be sent", delivery["id"])
            return Outcome(is_delivered=False, reason=type(error).__name__)

    def _on_sent(self, task: "asyncio.Task[Result]") -> None:
        self._sending.pop(task, None)
        if not task.cancelled():
            result = task.result()
            self._results.append(result)
            WEBHOOK_DELIVERIES.labels(
                "put_off" if result.pause is not None else result.status.lower()
            ).inc()
        self._woken.set()

    async def _stop(self, connection: Connection) -> None:
        """Leave what is being sent to others, and say what was."""
        left = dict(self._sending)
        self._sending.clear()
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        unsent = [attempt for task, attempt in left.items() if task.cancelled()]
        with suppress(*CONNECTION_FAULTS):
            await self._record(connection)
            await give_back(connection, unsent)
        self._results.clear()
        connection.terminate()

    def _on_notify(self, *_: Any) -> None:
        self._woken.set()


@asynccontextmanager
async def delivering() -> AsyncIterator[None]:
    """Send as long as the block runs."""
    post = Post(allows_local=not settings().in_production)
    task = asyncio.create_task(Courier(post).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await post.close()
