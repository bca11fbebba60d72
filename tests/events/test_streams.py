"""Streams of a real server: what a client meets over HTTP."""

import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from app.database.engine import DB
from app.database.seed import seed
from app.settings import PROJECT_ROOT
from tests.events.following import ROOM, Message, bearer, following
from tests.server import Server, serving

GUIDE = PROJECT_ROOT / "app" / "events" / "README.md"
PATH = f"/rooms/{ROOM}/events"
PRIZES = f"/api/v1/rooms/{ROOM}/prizes"
MOST = 3


@pytest.fixture(scope="module")
async def server(module_database: str) -> AsyncIterator[Server]:
    before = DB.config["dsn"]
    DB.connect_to(module_database)
    await seed()
    DB.connect_to(before)
    settings = {
        "DATABASE_URL": module_database,
        "SCHEDULES": "",
        "EVENT_STREAMS_PER_PERSON": str(MOST),
    }
    with serving(PROJECT_ROOT, "--web-concurrency", "2", **settings) as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        yield client


@pytest.fixture
async def alice(client: httpx.AsyncClient) -> dict[str, str]:
    return await bearer(client)


async def prize(client: httpx.AsyncClient, alice: dict[str, str], name: str) -> str:
    answer = await client.post(PRIZES, json={"name": name}, headers=alice)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["data"]["id"]
    return found


async def told_of(stream: AsyncIterator[Message], subject: str) -> Message:
    """Wait for what happens to something: a stream may begin with what was just done before."""
    while True:
        told = await anext(stream)
        match told.data:
            case {"data": {"id": id_}} if id_ == subject:
                return told


async def test_what_happens_is_told_as_rest_shows_it(
    client: httpx.AsyncClient, alice: dict[str, str]
) -> None:
    async with following(client, PATH) as stream:
        made = await prize(client, alice, "Mug")
        told = await told_of(stream, made)
    assert told.event == "prize.created"
    shown = await client.get(f"{PRIZES}/{made}")
    assert told.data["data"] == shown.json()["data"]
    assert (told.data["type"], told.data["roomId"]) == ("prize.created", ROOM)


async def test_a_snapshot_and_the_stream_after_it_have_no_hole(
    client: httpx.AsyncClient, alice: dict[str, str]
) -> None:
    before = await client.get(PRIZES)
    made = await prize(client, alice, "Between")
    position = before.headers["event-position"]

    async with following(client, f"{PATH}?after={position}") as stream:
        told = await told_of(stream, made)

    assert told.event == "prize.created"
    assert made not in {each["id"] for each in before.json()["data"]}


async def test_who_comes_back_misses_nothing_and_hears_nothing_twice(
    client: httpx.AsyncClient, alice: dict[str, str]
) -> None:
    async with following(client, PATH) as stream:
        last = (await told_of(stream, await prize(client, alice, "First"))).id
    missed = [await prize(client, alice, f"Missed {n}") for n in range(3)]

    async with following(client, PATH, headers={"Last-Event-ID": str(last)}) as stream:
        assert [(await anext(stream)).data["data"]["id"] for _ in missed] == missed


async def test_only_the_wanted_types_are_told(
    client: httpx.AsyncClient, alice: dict[str, str]
) -> None:
    async with following(client, f"{PATH}?types=prize.updated,prize.deleted") as stream:
        made = await prize(client, alice, "Unheard")
        await client.patch(f"{PRIZES}/{made}", json={"name": "Heard"}, headers=alice)
        told = await told_of(stream, made)
    assert (told.event, told.data["changed"]) == ("prize.updated", ["name"])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=1", "after"),
        ("after=abc-", "after"),
        ("after=abc--1", "after"),
        (f"after=abc-{2**63}", "after"),
        (f"after={'a' * 200}-1", "after"),
        ("after=a-%D9%A1", "after"),
        ("types=prize.exploded", "types"),
        ("types=", "types"),
        ("tickets=1", "tickets"),
    ],
)
async def test_a_faulty_query_is_refused_by_name(
    client: httpx.AsyncClient, query: str, field: str
) -> None:
    answer = await client.get(f"/api/v1{PATH}?{query}")
    assert answer.status_code == 400, answer.text
    assert list(answer.json()["error"]["details"]["fields"]) == [field]


@pytest.mark.parametrize("after", ["of-1", "0.1-0"])
async def test_a_place_of_another_log_is_answered_with_a_reset(
    client: httpx.AsyncClient, alice: dict[str, str], after: str
) -> None:
    async with following(client, f"{PATH}?after={after}") as stream:
        reset = await anext(stream)
        assert (reset.event, reset.data) == ("reset", {"position": reset.id})
        made = await prize(client, alice, "After the reset")
        assert (await told_of(stream, made)).event == "prize.created"


async def test_a_position_that_is_not_reached_yet_is_answered_with_a_reset(
    client: httpx.AsyncClient,
) -> None:
    position = (await client.get(PRIZES)).headers["event-position"]
    epoch = position.rpartition("-")[0]
    async with following(client, f"{PATH}?after={epoch}-{10**12}") as stream:
        assert (await anext(stream)).event == "reset"


async def test_a_ticket_opens_one_stream(client: httpx.AsyncClient, alice: dict[str, str]) -> None:
    made = await client.post("/api/v1/events/tickets", headers=alice)
    assert made.status_code == 201
    ticket = made.json()["data"]["ticket"]

    async with following(client, f"/me/events?ticket={ticket}") as stream:
        opened = await client.post(
            "/api/v1/rooms",
            json={
                "name": "Mine",
                "appId": "app_lottery_v1",
                "appSettings": {"ticketCount": 1, "drawDate": "2026-12-31T23:00:00Z"},
            },
            headers=alice,
        )
        assert opened.status_code == 201, opened.text
        told = [await anext(stream), await anext(stream)]
        assert {each.event for each in told} == {"room.created", "participant.joined"}
        again = await client.get(f"/api/v1/me/events?ticket={ticket}")
    assert (again.status_code, again.json()["error"]["code"]) == (401, "INVALID_TOKEN")


@pytest.mark.parametrize("ticket", ["", "x", "y" * 5_000])
async def test_no_other_text_is_a_ticket(client: httpx.AsyncClient, ticket: str) -> None:
    answer = await client.get(f"/api/v1{PATH}?ticket={ticket}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "INVALID_TOKEN")


async def test_signing_out_ends_the_stream(client: httpx.AsyncClient) -> None:
    leaving = await bearer(client)
    async with following(client, "/me/events", headers=leaving) as stream:
        await client.post("/api/v1/auth/logout", headers=leaving)
        assert [each async for each in stream][-1].data == {"reason": "token_revoked"}


async def test_a_person_has_only_so_many_streams(server: Server, alice: dict[str, str]) -> None:
    """Each worker counts for itself, so twice as many may be open here; one more may not."""
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as many:
        streams = [
            many.build_request("GET", f"/api/v1{PATH}", headers=alice) for _ in range(2 * MOST + 1)
        ]
        answers = [await many.send(each, stream=True) for each in streams]
        refused = [each for each in answers if each.status_code == 429]
        for each in answers:
            await each.aclose()
    assert refused
    assert refused[0].headers["retry-after"]


async def test_head_ends(client: httpx.AsyncClient) -> None:
    answers = [await client.head(f"/api/v1{PATH}") for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].headers["content-type"].startswith("text/event-stream")


def test_a_server_that_stops_waits_for_no_stream(module_database: str, server: Server) -> None:
    del server  # the same database, seeded
    with (
        serving(DATABASE_URL=module_database, SCHEDULES="") as own,
        httpx.stream("GET", f"{own.url}/api/v1{PATH}", timeout=30) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        began = time.monotonic()
        own.end()
        assert time.monotonic() - began < 10
        assert "event: end" not in list(lines)


def test_a_client_that_reads_nothing_delays_no_stop(module_database: str, server: Server) -> None:
    del server  # the same database, seeded
    position = asyncio.run(fill(module_database))
    settings = {"DATABASE_URL": module_database, "SCHEDULES": "", "REQUEST_SECONDS": "2"}
    with (
        serving(PROJECT_ROOT, **settings) as own,
        socket.create_connection(("127.0.0.1", own.port)) as client,
    ):
        epoch = httpx.get(f"{own.url}{PRIZES}").headers["event-position"].rpartition("-")[0]
        request = f"GET /api/v1{PATH}?after={epoch}-{position} HTTP/1.1\r\nHost: a\r\n\r\n"
        client.sendall(request.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        time.sleep(1)  # until nothing more fits in between
        began = time.monotonic()
        assert own.end() == 0
        assert time.monotonic() - began < 15


async def fill(dsn: str) -> int:
    """Write so much into the log that no connection takes it all; return where that begins."""
    connection = await asyncpg.connect(dsn)
    first = await connection.fetchval(
        'INSERT INTO events (id, type, "roomId", audience, content, "createdAt") '
        "SELECT n, 'room.updated', $1, 'readers', "
        "json_build_object('data', repeat('x', 400000)), now() "
        "FROM generate_series(1, 60) n RETURNING position",
        ROOM,
    )
    await connection.close()
    return int(first) - 1


def blocks_of(language: str) -> Iterator[str]:
    yield from re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)


async def test_the_guides_python_follows_a_room(
    client: httpx.AsyncClient, server: Server, alice: dict[str, str], tmp_path: Path
) -> None:
    [code] = blocks_of("python")
    token = alice["Authorization"].removeprefix("Bearer ")
    position = (await client.get(PRIZES)).headers["event-position"]
    made = await prize(client, alice, "From the guide")
    script = tmp_path / "follow.py"
    begin = f"server, room, token, position = {(server.url, ROOM, token, position)!r}"
    show = (
        "def show(*told):\n"
        f"    if {made!r} in str(told):\n"
        "        print(json.dumps(told))\n        raise SystemExit"
    )
    script.write_text(f"{begin}\n{show}\n{code}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdout=subprocess.PIPE
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 30)
    [kind, _, told] = json.loads(printed)
    assert (kind, told["id"]) == ("prize.created", made)
