"""The server asks a drand relay for the round; whatever the relay does, nothing wrong is drawn."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from app.database.engine import DB, fetch, fetchval
from app.draws import beacon
from app.draws.announcing import announce
from app.draws.closing import close
from app.draws.due import draw_due, due_draws
from app.draws.ranking import DrandEntropy
from app.draws.record import check
from app.draws.steps import DUE_JOB
from app.errors import ServiceUnavailable
from app.settings import Settings
from tasks.draws import DueDraws
from tests.draws import vectors
from tests.draws.conftest import Publish, Stage, drand_round, moderator, terms

ENTROPY = DrandEntropy(vectors.QUICKNET, vectors.ROUND)
GENUINE = json.dumps({"round": vectors.ROUND, "signature": vectors.SIGNATURE}).encode()
FORGED = json.dumps({"round": vectors.ROUND, "signature": vectors.SIGNATURE[:-2] + "7c"}).encode()

DEAD = "http://127.0.0.1:1"
NOW = timedelta(milliseconds=-1)

Relay = Callable[..., Awaitable[list[str]]]


@pytest.fixture
async def relay(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Relay]:
    """Return a function that starts a relay on loopback with one answer, and tells what it saw."""
    servers = []

    async def start(body: bytes, status: int = 200) -> list[str]:
        asked: list[str] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
            head = (
                f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        use(monkeypatch, f"http://127.0.0.1:{port}/")
        return asked

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


def use(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    monkeypatch.setattr(beacon, "settings", lambda: Settings(DRAND_URL=url))


async def test_a_genuine_round_is_fetched_from_the_chains_address(relay: Relay) -> None:
    asked = await relay(GENUINE, 200)
    assert await beacon.fetch_signature(ENTROPY) == bytes.fromhex(vectors.SIGNATURE)
    assert asked == [f"/{vectors.QUICKNET}/public/{vectors.ROUND}"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (FORGED, 200),
        (GENUINE, 404),
        (GENUINE, 500),
        (b"", 200),
        (b"{}", 200),
        (b'{"signature": "xyz"}', 200),
        (b'{"signature": ""}', 200),
        (b" " * 20_000 + GENUINE, 200),
    ],
)
async def test_whatever_else_a_relay_says_is_not_believed(
    relay: Relay, body: bytes, status: int
) -> None:
    await relay(body, status)
    with pytest.raises(ServiceUnavailable, match="stays closed"):
        await beacon.fetch_signature(ENTROPY)


async def test_without_a_relay_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, None)
    assert await beacon.fetch_signature(ENTROPY) is None


async def test_a_dead_relay_leaves_the_draw_closed_until_it_answers(
    stage: Stage, relay: Relay, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.announce(entropy=drand_round())
    await stage.ok("POST", "/1/close")
    asked = await relay(GENUINE, 200)
    await stage.refused(409, "POST", "/1/draw")
    assert asked == []  # It is not due yet.
    publish(NOW)
    use(monkeypatch, DEAD)
    error = await stage.refused(503, "POST", "/1/draw")
    assert "stays closed" in error["message"]
    await relay(FORGED, 200)
    await stage.refused(503, "POST", "/1/draw")
    await relay(GENUINE, 200)
    drawn = await stage.ok("POST", "/1/draw")
    assert drawn["signature"] == vectors.SIGNATURE
    assert check(*await stage.files()).passed


async def do_job() -> int:
    """Do what the job does each minute, and return how many draws that were."""
    connection = await DB.get_new_connection()
    try:
        now = datetime.now(UTC)
        return sum([done async for done in DueDraws(due_draws, draw_due).batches(connection, now)])
    finally:
        await connection.close()


async def test_the_server_draws_by_itself_when_the_round_is_due(
    stage: Stage, relay: Relay, publish: Publish
) -> None:
    asked = await relay(GENUINE)
    await stage.announce(entropy=drand_round())
    assert await do_job() == 0
    await stage.ok("POST", "/1/close")
    assert await do_job() == 0
    assert asked == []
    publish(NOW)
    assert await do_job() == 1
    assert await do_job() == 0
    assert check(*await stage.files()).passed
    actors = await fetch("SELECT actor, action FROM audit_log ORDER BY id")
    assert [tuple(row) for row in actors] == [
        ("max", "announce draw"),
        ("max", "close draw"),
        (DUE_JOB, "fix public input"),
        (DUE_JOB, "draw winners"),
    ]


async def test_of_many_servers_one_draws(stage: Stage, relay: Relay, publish: Publish) -> None:
    """Without the lock of the job, which keeps them apart before they even look."""
    await relay(GENUINE)
    await stage.announce(entropy=drand_round())
    await stage.ok("POST", "/1/close")
    publish(NOW)
    by_hand = stage.send("POST", "/1/draw")
    await asyncio.gather(*(do_job() for _ in range(4)), by_hand)
    assert await fetchval("SELECT status FROM draws") == "DRAWN"
    assert await fetchval("SELECT count(*) FROM winners") == 3
    assert await fetchval("SELECT count(*) FROM audit_log WHERE action = 'draw winners'") == 1


async def closed_elsewhere(number: int) -> None:
    """Close a draw in the other room that waits for a round."""
    member = replace(moderator(), room_id="other")
    entropy = DrandEntropy(vectors.QUICKNET, number)
    await close(member, await announce(member, terms(entropy=entropy)))


async def statuses() -> dict[str, str]:
    rows = await fetch('SELECT "roomId", status FROM draws')
    return {row["roomId"]: row["status"] for row in rows}


async def test_a_dead_beacon_leaves_draws_closed_and_the_others_drawn(
    stage: Stage, relay: Relay, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    await closed_elsewhere(vectors.ROUND - 1)
    await stage.announce(entropy=drand_round())
    await stage.ok("POST", "/1/close")
    publish(NOW)
    use(monkeypatch, DEAD)
    with pytest.raises(ServiceUnavailable, match=r"2 draw\(s\)"):
        await do_job()
    assert set((await statuses()).values()) == {"CLOSED"}
    await relay(GENUINE)  # What it sends is one round's alone.
    with pytest.raises(ServiceUnavailable, match=r"1 draw\(s\)"):
        await do_job()
    assert await statuses() == {"room": "DRAWN", "other": "CLOSED"}


async def test_what_only_an_organizer_can_put_right_is_no_failure_of_the_job(
    stage: Stage, relay: Relay, publish: Publish
) -> None:
    await relay(GENUINE)
    await stage.announce(entropy=drand_round())
    await stage.ok("POST", "/1/close")
    publish(NOW)
    await fetch("UPDATE rooms SET status = 'COMPLETED'")
    assert await do_job() == 0
    assert await statuses() == {"room": "CLOSED"}
    await fetch("UPDATE rooms SET status = 'ACTIVE'")
    assert await do_job() == 1
