"""The log, moved when a test says so, and who follows it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import msgspec
import pytest

from app.database.engine import fetch
from app.events.hub import HUB
from app.events.log import Place
from app.events.mover import MOST_AT_ONCE, move
from app.events.reading import end_of_heard
from app.events.streams import Stream

PATIENCE_SECONDS = 5


class Event(msgspec.Struct, frozen=True):
    """A row of the log."""

    position: int
    id: str
    type: str
    room: str
    audience: str
    subject: str | None
    person: str | None
    content: Mapping[str, Any]
    text: str


class Log:
    """What is told, moved on a connection of its own."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self._read = 0

    async def news(self) -> list[Event]:
        """Move all that was told, and return what was not returned before."""
        while len(await move(self.connection)) == MOST_AT_ONCE:
            pass
        rows = await fetch("SELECT * FROM events WHERE position > $1 ORDER BY position", self._read)
        if rows:
            self._read = rows[-1]["position"]
        return [_event(row) for row in rows]

    async def types(self) -> list[str]:
        return [each.type for each in await self.news()]


def _event(row: asyncpg.Record) -> Event:
    return Event(
        *(row["position"], row["id"], row["type"], row["roomId"], row["audience"]),
        *(row["subject"], row["person"], msgspec.json.decode(row["content"]), row["content"]),
    )


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect to the database of the test, beside the pool."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def log(connection: asyncpg.Connection) -> Log:
    """Read what is told."""
    return Log(connection)


class Ear:
    """Somebody who follows; what they were sent so far."""

    def __init__(self, stream: Stream, after: Place | None) -> None:
        self.stream = stream
        self.frames: list[bytes] = []
        self._grown = asyncio.Event()
        self.task = asyncio.create_task(self._listen(after))

    async def _listen(self, after: Place | None) -> None:
        async for frame in self.stream.frames(end_of_heard(), after, []):
            self.frames.append(frame)
            self._grown.set()

    @property
    def types(self) -> list[str]:
        """The types of the events, in their order, and the reason of the end."""
        text = b"".join(self.frames).decode()
        ends = re.sub(r'event: end\ndata: {"reason":"(\w+)"}', r"event: end \1", text)
        return re.findall(r"^event: (.*)$", ends, re.MULTILINE)

    async def until(self, type_: str, times: int = 1) -> list[str]:
        """Wait for so many events of a type, and return all types."""
        await self._grow(lambda: self.types.count(type_) >= times)
        return self.types

    async def begun(self) -> None:
        """Wait until it follows."""
        await self._grow(lambda: bool(self.frames))

    async def _grow(self, is_enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_enough():
                self._grown.clear()
                await self._grown.wait()

    async def ended(self) -> list[str]:
        """Wait until the stream has ended, and return all types."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.task
        return self.types


class Audience:
    """Those who follow the log, as a process lets them."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.ears: list[Ear] = []

    async def follow(self, stream: Stream, after: Place | None = None) -> Ear:
        """Open a stream, and wait until it follows."""
        ear = Ear(stream, after)
        self.ears.append(ear)
        await ear.begun()
        return ear

    async def hear(self) -> Sequence[Event]:
        """Move what was told, and announce it."""
        news = await self.log.news()
        if news:
            HUB.on_payload(str(news[-1].position))
        return news


@pytest.fixture
async def audience(log: Log) -> AsyncIterator[Audience]:
    """Let streams hear of the log, without what else a process does."""
    HUB.end = None
    HUB.is_open = True
    await HUB.catch_up(log.connection)
    running = asyncio.create_task(HUB.run())
    audience = Audience(log)
    yield audience
    for task in (running, *(ear.task for ear in audience.ears)):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    HUB.is_open = False
    HUB.end = None
