"""What has just happened, kept in memory for those who follow: read once for all of a process.

Of each room and person that somebody follows the last events are kept. A follower has a position of
its own: who is behind what is kept reads the log, so that a slow one costs no memory and loses
nothing.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import takewhile
from typing import Any

import asyncpg
import msgspec

from app.auth.revocation import revoked_hashes
from app.auth.tokens import VerifiedToken
from app.database.listener import CONNECTION_FAULTS, LISTENER, Subject
from app.errors import ServiceUnavailable
from app.events.log import Place, begin_anew, end_of_log, read_from
from app.events.mover import EVENTS_CHANNEL, FORGET
from app.http.envelopes import timestamp

logger = logging.getLogger(__name__)

MOST_KEPT = 500
"""Events of a room, or of a person, in memory."""
MOST_KEPT_BYTES = 2_000_000
TICK_SECONDS = 1.0
"""How often it is looked whose time has come, and whose token was revoked."""
PAUSE_SECONDS = 0.2
LONGEST_READ_SECONDS = 12.0
"""A server that does not answer any more is given up."""


class Heard:
    """An event of the log, written out once for everybody."""

    __slots__ = ("audience", "epoch", "frame", "person", "position", "room_id", "subject", "type")

    def __init__(self, row: asyncpg.Record, epoch: str) -> None:
        """Take a row of events, and the epoch that its position is of."""
        self.position: int = row["position"]
        self.epoch = epoch
        self.type: str = row["type"]
        self.room_id: str = row["roomId"]
        self.audience: str = row["audience"]
        self.subject: str | None = row["subject"]
        self.person: str | None = row["person"]
        head = {
            "id": row["id"],
            "type": row["type"],
            "roomId": row["roomId"],
            "time": timestamp(row["createdAt"]),
        }
        self.frame = b"id: %b\nevent: %b\ndata: %b,%b\n\n" % (
            str(Place(epoch, self.position)).encode(),
            self.type.encode(),
            msgspec.json.encode(head)[:-1],
            row["content"].encode()[1:],
        )
        """The event as a stream sends it."""

    def told(self) -> dict[str, Any]:
        """Read what the event says."""
        found: dict[str, Any] = msgspec.json.decode(self.frame.split(b"\ndata: ")[1])
        return found


class Follower:
    """Somebody who follows a room, or what concerns a person."""

    def __init__(self, key: str, token: VerifiedToken | None) -> None:
        """Begin.

        Args:
            key: The log's column and the value that is followed: `roomId …`, `person …`.
            token: In whose name; None for anonymous visitors.
        """
        self.key = key
        self.token = token
        self.woken = asyncio.Event()
        self.due_at = 0.0
        """When it has something to do by itself, by `time.monotonic`."""

    @property
    def is_revoked(self) -> bool:
        """Whether the token was revoked."""
        return self.token is not None and revoked_hashes.cover(self.token)


class Topic:
    """What is kept of a room or a person, and who follows."""

    def __init__(self, position: int) -> None:
        """Keep what comes after a position."""
        self.floor = position
        """All that came after it is in `kept`."""
        self.kept: deque[Heard] = deque()
        self._kept_bytes = 0
        self.followers: set[Follower] = set()

    def add(self, event: Heard) -> None:
        """Keep one more, and forget the oldest."""
        self.kept.append(event)
        self._kept_bytes += len(event.frame)
        while len(self.kept) > MOST_KEPT or self._kept_bytes > MOST_KEPT_BYTES:
            oldest = self.kept.popleft()
            self._kept_bytes -= len(oldest.frame)
            self.floor = oldest.position

    def begin(self, position: int) -> None:
        """Keep nothing but what comes after a position."""
        self.floor = position
        self.kept.clear()
        self._kept_bytes = 0

    def forget(self) -> None:
        """Let what is kept be read again, by who has not heard it yet."""
        self.begin(self.kept[-1].position if self.kept else self.floor)

    def wake(self) -> None:
        """Let everybody look who follows."""
        for follower in self.followers:
            follower.woken.set()

    def after(self, position: int) -> list[Heard]:
        """Return what is kept and comes after a position. Costs what that is, not what is kept."""
        found = list(takewhile(lambda event: event.position > position, reversed(self.kept)))
        found.reverse()
        return found


class Hub:
    """What this process has heard. One event loop."""

    def __init__(self) -> None:
        """Know nothing; `catch_up` finds the end of the log."""
        self.end: Place | None = None
        """How far this process has read; None before it has heard for the first time."""
        self._topics: dict[str, Topic] = {}
        self._wanted = 0
        self._changes = 0
        """How often what had been written was changed."""
        self._behind = asyncio.Event()
        self.streams: Counter[str] = Counter()
        """How many each person and each address has open."""
        self.is_open = False
        """Whether this process follows the log; if not, nobody can follow it here."""

    async def catch_up(self, connection: asyncpg.Connection) -> None:
        """Find the end of the log: after what was announced while nobody heard."""
        before = self.end
        end = await end_of_log(connection)
        if before is not None and end < before:
            # Put back by other means than ours, which leave the epoch: positions come again.
            end = await begin_anew(connection, end)
        if before is None or before.epoch != end.epoch:
            self._begin(end)
        self._hear(end.position)

    def on_payload(self, payload: str) -> None:
        """Hear the mover."""
        if payload == FORGET:
            self._forget()
        else:
            self._hear(int(payload))

    @contextmanager
    def following(self, follower: Follower) -> Iterator[None]:
        """Keep what somebody follows, and wake them each time that something happens."""
        topic = self._topics.setdefault(follower.key, Topic(self.position))
        topic.followers.add(follower)
        try:
            yield
        finally:
            topic.followers.discard(follower)
            if not topic.followers:
                self._topics.pop(follower.key, None)

    @contextmanager
    def counting(self, *names: str) -> Iterator[None]:
        """Count one more open for each name, as long as the block runs."""
        self.streams.update(names)
        try:
            yield
        finally:
            self.streams.subtract(names)
            for name in names:
                if not self.streams[name]:
                    del self.streams[name]

    def topic(self, key: str) -> Topic:
        """Return what is kept for somebody who follows."""
        return self._topics[key]

    @property
    def position(self) -> int:
        """How far this process has read."""
        return 0 if self.end is None else self.end.position

    async def run(self) -> None:
        """Read what was announced, and wake everybody once a second, until cancelled."""
        ticking = asyncio.create_task(self._tick())
        try:
            while True:
                await self._behind.wait()
                self._behind.clear()
                try:
                    await self._read()
                except CONNECTION_FAULTS as error:
                    logger.warning("Can't read events: %r", error)
                    await self._pause()
                except Exception:
                    logger.exception("Can't read events")
                    await self._pause()
        finally:
            ticking.cancel()
            with suppress(asyncio.CancelledError):
                await ticking

    async def _pause(self) -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        self._behind.set()

    def require_open(self) -> None:
        """Allow somebody to begin to follow.

        Raises:
            ServiceUnavailable: This process has not heard of the log yet, or no longer follows it.
        """
        if self.end is None or not self.is_open:
            raise ServiceUnavailable(private="events can't be heard here yet, or no longer")

    def close(self) -> None:
        """End all streams: their clients go on elsewhere."""
        self.is_open = False
        self.wake_all()

    def wake_all(self) -> None:
        """Let every follower look around."""
        for topic in self._topics.values():
            topic.wake()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            for topic in self._topics.values():
                for follower in topic.followers:
                    if follower.due_at <= now or follower.is_revoked:
                        follower.woken.set()

    def _hear(self, position: int) -> None:
        self._wanted = max(self._wanted, position)
        if self._wanted > self.position:
            self._behind.set()

    async def _read(self) -> None:
        while self.end is not None and self.end.position < self._wanted:
            if not self._topics:  # nobody would hear of it
                self.end = Place(self.end.epoch, self._wanted)
                return
            before, changes = self.end, self._changes
            async with asyncio.timeout(LONGEST_READ_SECONDS):
                rows = await read_from(before.position)
            if self.end != before or self._changes != changes:
                continue
            if not rows:  # of a server that lags behind: the next announcement asks again
                self._wanted = before.position
                return
            self._tell([Heard(row, before.epoch) for row in rows])

    def _tell(self, events: list[Heard]) -> None:
        topics = set()
        for event in events:
            for key in (f"roomId {event.room_id}", f"person {event.person}"):
                if (topic := self._topics.get(key)) is not None:
                    topic.add(event)
                    topics.add(topic)
        self.end = Place(events[-1].epoch, events[-1].position)
        for topic in topics:
            topic.wake()

    def _begin(self, end: Place) -> None:
        """Start over in another log."""
        self.end = end
        self._wanted = end.position
        for topic in self._topics.values():
            topic.begin(end.position)
        self.wake_all()

    def _forget(self) -> None:
        self._changes += 1
        for topic in self._topics.values():
            topic.forget()


HUB = Hub()

LISTENER.hear(EVENTS_CHANNEL, Subject(HUB.on_payload, HUB.catch_up))


@asynccontextmanager
async def following_log() -> AsyncIterator[None]:
    """Read what is announced as long as the block runs; streams end with it."""
    task = asyncio.create_task(HUB.run())
    HUB.is_open = True
    try:
        yield
    finally:
        HUB.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
