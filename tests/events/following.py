"""A client of streams, and a place with people, for tests on real servers."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

ALICE = {"email": "alice@example.com", "password": "password123"}
ROOM = "cdemo00000000000newyear25"


class Message(msgspec.Struct, frozen=True):
    """What a stream says."""

    id: str | None
    event: str | None
    data: Any


async def messages(lines: AsyncIterator[str]) -> AsyncIterator[Message]:
    """Read a stream as browsers do; comments are left out."""
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif fields:
            data = json.loads(fields["data"]) if "data" in fields else None
            yield Message(fields.get("id"), fields.get("event"), data)
            fields = {}


@asynccontextmanager
async def following(
    client: httpx.AsyncClient, path: str, **options: Any
) -> AsyncIterator[AsyncIterator[Message]]:
    """Open a stream, and begin after its first message, which says where it begins."""
    async with client.stream("GET", f"/api/v1{path}", **options) as answer:
        assert answer.status_code == 200, await answer.aread()
        stream = messages(answer.aiter_lines())
        await anext(stream)
        yield stream


async def bearer(client: httpx.AsyncClient, who: Mapping[str, str] = ALICE) -> dict[str, str]:
    """Sign in, and return the header."""
    answer = await client.post("/api/v1/auth/login", json=dict(who))
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['data']['accessToken']}"}
