"""An app with a room, an endpoint of it, and who sends."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import httpx
import pytest

from app.auth.tokens import token_hash
from app.database.engine import fetch
from app.events.mover import MOST_AT_ONCE, move
from app.webhooks.delivering import Courier
from app.webhooks.sending import Post
from tests import factories
from tests.answers import Headers
from tests.waiting import eventually
from tests.webhooks.endpoint import Endpoint, listening


class Hooks:
    """An app that manages its webhooks, as its developer does."""

    def __init__(self, client: httpx.AsyncClient, database: str) -> None:
        self.client = client
        self.database = database
        self.app: asyncpg.Record
        self.room: asyncpg.Record
        self.headers: Headers = {}

    async def build(self) -> "Hooks":
        secret = secrets.token_urlsafe()
        self.app = await factories.app(appSecret=token_hash(secret))
        self.headers = basic(self.app["appId"], secret)
        self.room = await factories.room(app_id=self.app["appId"])
        await self.move()
        return self

    @property
    def path(self) -> str:
        return f"/api/v1/apps/{self.app['appId']}/webhooks"

    async def ask(self, method: str, path: str = "", body: Any = None, **more: Any) -> Any:
        """Ask for something that has to succeed, and return its data."""
        answer = await self.request(method, path, body, **more)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    async def request(
        self, method: str, path: str = "", body: Any = None, **more: Any
    ) -> httpx.Response:
        json = {} if body is None else {"json": body}
        return await self.client.request(
            method, f"{self.path}{path}", headers=self.headers, **json, **more
        )

    async def add(self, endpoint: Endpoint, *types: str) -> Any:
        return await self.ask("POST", "", {"url": endpoint.url, "types": [*types]})

    async def put_up(self, count: int = 1) -> list[str]:
        """Let something happen: so many prizes, moved to the log."""
        prizes = [(await factories.prize(self.room["id"]))["id"] for _ in range(count)]
        await self.move()
        return prizes

    async def move(self) -> None:
        """Move to the log what was told."""
        connection = await asyncpg.connect(self.database)
        while len(await move(connection)) == MOST_AT_ONCE:
            pass
        await connection.close()

    async def deliveries(self, **only: Any) -> Sequence[asyncpg.Record]:
        rows = await fetch('SELECT * FROM webhook_deliveries ORDER BY "createdAt", id')
        return [row for row in rows if all(row[name] == value for name, value in only.items())]

    async def until(self, count: int, **only: Any) -> Sequence[asyncpg.Record]:
        """Wait until so many deliveries are as said."""

        async def are() -> bool:
            return len(await self.deliveries(**only)) == count

        await eventually(are, 10)
        return await self.deliveries(**only)


def basic(app_id: str, secret: str) -> Headers:
    encoded = base64.b64encode(f"{app_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


@pytest.fixture
async def hooks(client: httpx.AsyncClient, database: str) -> Hooks:
    """Register an app with a room."""
    return await Hooks(client, database).build()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """Run an endpoint."""
    async with listening() as endpoint:
        yield endpoint


@pytest.fixture
async def courier(database: str) -> AsyncIterator[Courier]:  # noqa: ARG001 - bound there
    """Send, as a server does; retries wait as long as they have to."""
    post = Post(allows_local=True)
    courier = Courier(post, lambda: 0.0)
    task = asyncio.create_task(courier.run())
    yield courier
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await post.close()
