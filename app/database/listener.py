"""Hearing what other processes announce with NOTIFY, on a connection outside of the pool."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import asyncpg
import msgspec

from app.database.engine import DB, DatabaseUnavailable

logger = logging.getLogger(__name__)

APPLICATION_NAME = "event-platform listener"
"""By which pg_stat_activity tells the connection."""

HEARTBEAT_SECONDS = 0.25
"""How often the connection is asked whether it still is one."""
LEASE_SECONDS = 1.0
"""How long an answer to that is believed, from when it was asked: whatever was announced before
had been heard by then."""
HEARTBEAT_TIMEOUT_SECONDS = 2.0
"""A connection that does not answer for so long is given up."""
CATCH_UP_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0

CONNECTION_FAULTS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    DatabaseUnavailable,
)


class Subject(msgspec.Struct, frozen=True):
    """Something that is announced."""

    on_payload: Callable[[str], None]
    """Called with each announcement, in the order of the commits."""
    catch_up: Callable[[asyncpg.Connection], Awaitable[None]]
    """Reads on the same connection what was announced while nobody heard."""


class Listener:
    """Hears channels, and comes back when its connection is lost.

    Whoever relies on it asks `is_hearing` first. It is true only after each `catch_up` has read
    what was announced before (the channels are listened to first and read up on then, so that
    nothing falls between), and as long as the connection has shown within `LEASE_SECONDS` that it
    is alive. One event loop.
    """

    def __init__(self) -> None:
        """Hear nothing yet; `run` connects."""
        self.heard = asyncio.Event()
        """Set while there is a connection that has caught up."""
        self._subjects: dict[str, Subject] = {}
        self._heard_until = 0.0
        self._lost = asyncio.Event()

    def hear(self, channel: str, subject: Subject) -> None:
        """Hear a channel, as NOTIFY names it, from the next connection on."""
        self._subjects[channel] = subject

    @property
    def is_hearing(self) -> bool:
        """Whether everything announced until `LEASE_SECONDS` ago has been told to the subjects."""
        return time.monotonic() < self._heard_until

    async def run(self) -> None:
        """Listen until cancelled."""
        failures = 0
        while True:
            try:
                await self._listen()
                failures = 0
            except CONNECTION_FAULTS as error:
                failures += 1
                logger.warning("Can't hear %s: %r", self._channels, error)
            await asyncio.sleep(_pause(failures))

    async def _listen(self) -> None:
        """Connect, catch up, and return when the connection is lost."""
        connection = await DB.get_new_connection()
        try:
            self._lost.clear()
            connection.add_termination_listener(self._on_loss)
            await connection.execute(f"SET application_name = '{APPLICATION_NAME}'")
            for channel in self._subjects:
                await connection.add_listener(channel, self._on_notify)
            for subject in self._subjects.values():
                await asyncio.wait_for(subject.catch_up(connection), CATCH_UP_SECONDS)
            await self._beat(connection)
        finally:
            self._fall_silent()
            connection.terminate()
        logger.warning("The connection that hears %s was lost.", self._channels)

    async def _beat(self, connection: asyncpg.Connection) -> None:
        """Ask the connection, again and again until it is lost, whether it still is one.

        PostgreSQL sends what was announced before it answers.
        """
        while not self._lost.is_set():
            asked_at = time.monotonic()
            await connection.execute("SELECT 1", timeout=HEARTBEAT_TIMEOUT_SECONDS)
            self._heard_until = asked_at + LEASE_SECONDS
            self.heard.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), HEARTBEAT_SECONDS)

    def _on_loss(self, _: Any) -> None:
        self._fall_silent()
        self._lost.set()

    def _fall_silent(self) -> None:
        self._heard_until = 0.0
        self.heard.clear()

    def _on_notify(self, _connection: Any, _pid: int, channel: str, payload: Any) -> None:
        self._subjects[channel].on_payload(str(payload))

    @property
    def _channels(self) -> str:
        return ", ".join(self._subjects)


def _pause(failures: int) -> float:
    """Seconds before the next attempt; at random, so that servers don't come back all at once."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(failures, 10))
    return random.uniform(FIRST_PAUSE_SECONDS / 2, longest)  # noqa: S311 - guards no secret


LISTENER = Listener()
"""What this process hears."""
