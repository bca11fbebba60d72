"""Two servers share the work; one is killed in the middle, and every event arrives."""

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from app.auth.tokens import token_hash
from app.database.engine import jsonb
from app.database.ids import new_id
from app.database.seed import LOTTERY
from app.settings import PROJECT_ROOT
from app.webhooks.queueing import MOST_IN_FLIGHT
from tests.server import free_port, kill_all, serving
from tests.waiting import eventually
from tests.webhooks.conftest import basic
from tests.webhooks.endpoint import OK, listening

GUIDE = PROJECT_ROOT / "app" / "webhooks" / "README.md"
SECRET = "the-secret-of-an-app"
EVENTS = 120
APP, ROOM = "app_hooked", "room_hooked"


@pytest.fixture
async def connection(migrated_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(migrated_database)
    yield connection
    await connection.close()


async def register(connection: asyncpg.Connection) -> None:
    """Register an app with a room."""
    await connection.execute(
        'INSERT INTO apps (id, "appId", "appSecret", manifest, "updatedAt") '
        "VALUES ($1, $2, $3, $4, now())",
        *(new_id(), APP, token_hash(SECRET), jsonb(LOTTERY)),
    )
    await connection.execute(
        'INSERT INTO rooms (id, name, "appId", "appSettings", "createdBy", "updatedAt") '
        "SELECT $1, 'Hooked', $2, '{}', id, now() FROM users LIMIT 1",
        *(ROOM, APP),
    )


async def put_up(connection: asyncpg.Connection, count: int) -> list[str]:
    ids = [new_id() for _ in range(count)]
    await connection.execute(
        'INSERT INTO prizes (id, "roomId", name, "updatedAt") '
        "SELECT id, $2, 'Prize', now() FROM unnest($1::text[]) id",
        *(ids, ROOM),
    )
    return ids


async def add(client: httpx.AsyncClient, url: str) -> dict[str, str]:
    body = {"url": url, "types": ["prize.created"]}
    path = f"/api/v1/apps/{APP}/webhooks"
    answer = await client.post(path, json=body, headers=basic(APP, SECRET))
    assert answer.status_code == 201, answer.text
    added: dict[str, str] = answer.json()["data"]
    return added


@pytest.mark.timeout(180)
async def test_every_event_arrives_though_a_server_is_killed_and_ids_repeat_if_in_flight(
    migrated_database: str, connection: asyncpg.Connection
) -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(OK)

    options = {"DATABASE_URL": migrated_database, "SCHEDULES": "", "RATE_LIMITS": "off"}
    with serving(PROJECT_ROOT, **options) as first, serving(PROJECT_ROOT, **options) as second:
        await register(connection)
        async with listening() as endpoint, httpx.AsyncClient(base_url=first.url) as client:
            endpoint.answer = slowly
            await add(client, endpoint.url)
            made = await put_up(connection, EVENTS)

            async def is_busy() -> bool:
                return len(endpoint.got) >= EVENTS // 4

            await eventually(is_busy)
            kill_all(second.tree)

            async def all_arrived() -> bool:
                return {each.said["data"]["prizeId"] for each in endpoint.got} == set(made)

            await eventually(all_arrived)
            twice = [
                id_ for id_, times in Counter(each.id for each in endpoint.got).items() if times > 1
            ]
            assert len(twice) <= MOST_IN_FLIGHT
            assert endpoint.most_in_flight <= 2 * MOST_IN_FLIGHT  # of the dead one, too


@pytest.mark.timeout(120)
async def test_the_guides_lines_receive_and_verify(
    migrated_database: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    [lines] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    receiver = tmp_path / "hooks.py"
    receiver.write_text(lines)
    port = free_port()
    with serving(DATABASE_URL=migrated_database, SCHEDULES="") as server:
        await register(connection)
        async with httpx.AsyncClient(base_url=server.url) as client:
            webhook = await add(client, f"http://127.0.0.1:{port}/hooks")
            known = os.environ | {"SECRET": webhook["secret"], "PORT": str(port)}
            process = subprocess.Popen(  # noqa: ASYNC220 - it goes on beside us
                [sys.executable, str(receiver)], env=known, stdout=subprocess.PIPE, text=True
            )
            try:
                assert process.stdout is not None
                [prize] = await put_up(connection, 1)
                printed = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 30)
            finally:
                process.kill()
                process.communicate()
    assert (
        printed.split(" ", 2)[1:]
        == [
            "prize.created",
            str({"roomId": ROOM, "prizeId": prize}) + "\n",
        ]
        or str({"prizeId": prize, "roomId": ROOM}) in printed
    )
