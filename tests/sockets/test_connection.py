"""A connection by itself: who is nobody, and who does not read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from engineio.packet import Packet
from litestar.types import Scope

from app.events.hub import HUB
from app.events.log import Place
from app.sockets import connection as module
from app.sockets.connection import MOST_WAITING, Connection
from app.sockets.messages import Message, message_of, messages_of, written

SCOPE: Any = {"client": ("192.0.2.7", 1), "headers": []}


class Transport:
    """As the library has it, of a client that reads nothing."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Packet] = asyncio.Queue()
        self.closed = False

    async def close(self, *, wait: bool) -> None:
        self.closed = True


class OneWire:
    def __init__(self) -> None:
        self.transport = Transport()
        self.forgotten: list[str] = []

    def socket(self, name: str) -> Any:
        return None if self.transport.closed else self.transport

    async def send(self, name: str, packet: Packet) -> None:
        self.transport.queue.put_nowait(packet)

    async def dismiss(self, client: str) -> None:
        raise NotImplementedError

    def forget(self, name: str) -> None:
        self.forgotten.append(name)


@pytest.fixture
async def wire(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OneWire]:
    monkeypatch.setattr(HUB, "end", Place("epoch", 0))
    monkeypatch.setattr(HUB, "is_open", True)
    yield OneWire()
    assert not HUB.streams


def connect(wire: OneWire, scope: Scope = SCOPE) -> Connection:
    return Connection(wire, "one", scope)


async def test_who_does_not_sign_in_is_disconnected(
    wire: OneWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SIGN_IN_SECONDS", 0.0)
    connection = connect(wire)
    assert HUB.streams == {"address 192.0.2.7": 1}
    async with asyncio.timeout(5):
        await connection.living
    assert wire.transport.closed
    assert wire.forgotten == ["one"]


async def test_for_who_does_not_read_a_dozen_wait_and_then_it_is_over(
    wire: OneWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.05)
    connection = connect(wire)
    for _ in range(5 * MOST_WAITING):
        _ = connection._start(connection._tell("room:updated"))
    async with asyncio.timeout(5):
        await connection.living
    assert wire.transport.closed
    assert wire.transport.queue.qsize() == MOST_WAITING


async def test_a_server_that_stops_lets_everybody_go(wire: OneWire) -> None:
    connection = connect(wire)
    await asyncio.sleep(0)
    HUB.close()
    async with asyncio.timeout(5):
        await connection.living
    assert wire.transport.closed


async def test_messages_are_counted_and_come_back_with_time(wire: OneWire) -> None:
    connection = connect(wire)
    said = [connection.may_say_more() for _ in range(300)]
    assert 200 <= said.count(True) < 210
    connection._said_at -= 10
    assert connection.may_say_more()
    connection.end()
    await connection.living


def test_what_an_operator_took_out_is_told_only_where_its_id_is_enough() -> None:
    told = {"roomId": "r", "time": "2026-01-01T12:00:00.000Z", "data": {"id": "x"}}
    for name in ("prize.created", "winner.awarded", "participant.joined", "room.created"):
        assert message_of({**told, "type": name}) is None
    assert message_of({**told, "type": "prize.updated", "changed": ["name"]}) is None
    assert message_of({**told, "type": "participant.left"}) == Message(
        "participant:left",
        {"roomId": "r", "timestamp": told["time"], "participantId": "x", "userId": None},
    )


def test_a_message_is_written_as_the_protocol_has_it() -> None:
    packet = written(Message("room:deleted", {"roomId": "r"}))
    assert packet.encode() == '42["room:deleted",{"roomId":"r"}]'


QUIZ_EVENTS = {
    "quiz.started": ["quiz:status_changed"],
    "round.opened": ["quiz:status_changed"],
    "answer.submitted": [],
    "round.closed": ["quiz:status_changed"],
    "quiz.finished": ["quiz:finished", "quiz:status_changed"],
}


@pytest.mark.parametrize("type_", QUIZ_EVENTS)
def test_of_a_quiz_that_was_taken_out_by_hand_its_status_is_told(type_: str) -> None:
    told = {"type": type_, "roomId": "r", "time": "2026-01-01T00:00:00.000Z", "data": {"id": "x"}}
    found = [each.name for each in messages_of(told) if each is not None]
    assert found == QUIZ_EVENTS[type_]


def test_a_round_that_nobody_has_won_has_no_winner_to_tell() -> None:
    data = {"id": "x", "winner": None, "question": {"id": "q"}}
    told = {"type": "round.closed", "roomId": "r", "time": "2026-01-01T00:00:00.000Z", "data": data}
    [status] = [each for each in messages_of(told) if each is not None]
    assert status.content == {
        "roomId": "r",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "quizStatus": "BETWEEN_ROUNDS",
    }
