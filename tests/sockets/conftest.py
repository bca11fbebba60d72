"""Two servers of one database, and who comes to them by Socket.IO."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import httpx
import pytest
import socketio
from engineio.payload import Payload
from socketio.exceptions import ConnectionError as Refused

from app.database.engine import DB
from app.settings import PROJECT_ROOT
from tests import factories
from tests.answers import Headers
from tests.server import Server, serving

PATIENCE_SECONDS = 20
MOST = 4
"""Streams and sockets of one person."""
WEBSOCKET, POLLING = ["websocket"], ["polling"]


class Site(NamedTuple):
    """Servers of one database."""

    two: Server
    """With two workers: for websockets, whose proxy need not be sticky."""
    one: Server
    """With one worker, for clients that poll."""


@pytest.fixture(scope="module")
async def bound(module_database: str) -> AsyncIterator[str]:
    """Let factories make what is in the database of the servers."""
    before = DB.config["dsn"]
    DB.connect_to(module_database)
    await DB.start_connection_pool()
    yield module_database
    await DB.close_connection_pool()
    DB.connect_to(before)


@pytest.fixture(scope="module")
def site(bound: str) -> Iterator[Site]:
    settings = {
        "DATABASE_URL": bound,
        "SCHEDULES": "",
        "EVENT_STREAMS_PER_PERSON": str(MOST),
        "CORS_ORIGINS": "https://front.example",
    }
    with (
        serving(PROJECT_ROOT, "--web-concurrency", "2", **settings) as two,
        serving(PROJECT_ROOT, **settings) as one,
    ):
        yield Site(two, one)


class Client:
    """A client that keeps what it is told."""

    def __init__(self, url: str, token: Any, transports: Sequence[str] = WEBSOCKET) -> None:
        self.url = url
        self.token = token
        self.transports = [*transports]
        self.session = aiohttp.ClientSession()  # its own it would not always close
        self.library = socketio.AsyncClient(
            reconnection_delay=0.1,
            randomization_factor=0,
            request_timeout=PATIENCE_SECONDS,
            http_session=self.session,
        )
        self.told: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.library.on("*", self._keep)
        for name in ("connect", "disconnect"):
            self.library.on(name, self._keeper(name))

    async def _keep(self, name: str, content: Any) -> None:
        self.told.put_nowait((name, content))

    def _keeper(self, name: str) -> Any:
        async def keep(reason: str = "") -> None:
            self.told.put_nowait((name, reason))

        return keep

    async def connect(self) -> "Client":
        await self.library.connect(
            self.url, auth=lambda: self.auth, transports=self.transports, retry=False
        )
        assert (await self.next())[0] == "connect"
        return self

    @property
    def auth(self) -> Any:
        return {"token": self.token}

    async def refusal(self) -> str:
        """Return the sentence with which it may not connect."""
        sentences: list[Any] = []

        async def hear(error: Any) -> None:
            sentences.append(error)

        self.library.on("connect_error", hear)
        with pytest.raises(Refused):
            await self.library.connect(
                self.url, auth=self.auth, transports=self.transports, wait_timeout=PATIENCE_SECONDS
            )
        [error] = sentences
        found: str = error["message"]
        return found

    async def ask(self, name: str, content: Any) -> Any:
        return await self.library.call(name, content, timeout=PATIENCE_SECONDS)

    async def subscribe(self, room_id: str) -> None:
        answer = await self.ask("room:subscribe", {"roomId": room_id})
        assert answer["success"], answer
        assert (await self.next())[0] == "room:subscribed"

    async def next(self) -> tuple[str, Any]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.told.get()

    async def until(self, name: str) -> Any:
        """Leave out what it is told before, and return what this says."""
        while True:
            found, content = await self.next()
            if found == name:
                return content


class Party:
    """A room with its organizer and a player, whom an HTTP client speaks for."""

    def __init__(self, http: httpx.AsyncClient, site: Site) -> None:
        self.http = http
        self.site = site
        self.clients: list[Client] = []

    async def open(self, *, is_public: bool = True) -> "Party":
        self.organizer, self.player = await factories.user(), await factories.user()
        self.headers = await factories.bearer(self.organizer)
        self.room = await self.make_room(isPublic=is_public)
        self.id: str = self.room["id"]
        self.seat = await factories.participant(self.id, self.player["id"])
        return self

    async def make_room(self, **values: Any) -> asyncpg.Record:
        return await factories.room(self.organizer, **values)

    async def client(
        self,
        person: asyncpg.Record | None = None,
        *,
        server: Server | None = None,
        transports: Sequence[str] = WEBSOCKET,
        token: str | None = None,
    ) -> Client:
        """Connect somebody, the player if nobody is named."""
        token = token or await factories.token(person or self.player)
        client = Client((server or self.site.two).url, token, transports)
        self.clients.append(client)
        return await client.connect()

    async def send(
        self, method: str, path: str = "", json: Any = None, *, headers: Headers | None = None
    ) -> Any:
        """Send a request of the organizer about the room."""
        answer = await self.http.request(
            method, f"/api/v1/rooms/{self.id}{path}", json=json, headers=headers or self.headers
        )
        assert answer.is_success, answer.text
        return answer.json()["data"] if answer.content else None

    async def told_all(self, client: Client) -> None:
        """Let a client hear what happened before."""
        await self.send("PATCH", "", {"name": "New Year"})
        await client.until("room:updated")

    async def leave(self) -> None:
        for client in self.clients:
            await client.library.shutdown()
            await client.session.close()

    async def shows(self, path: str = "") -> Mapping[str, Any]:
        """Return what a GET of the player shows."""
        headers = await factories.bearer(self.player)
        found: Mapping[str, Any] = await self.send("GET", path, headers=headers)
        return found


@pytest.fixture
async def party(site: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Party]:
    monkeypatch.setattr(Payload, "max_decode_packets", 16)  # a server in this process changes it
    async with httpx.AsyncClient(base_url=site.two.url, timeout=PATIENCE_SECONDS) as http:
        party = await Party(http, site).open()
        yield party
        await party.leave()
