"""One win causes one mail, however it comes about, and nothing else causes any."""

from typing import Any

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchval, transaction
from app.events import mover
from app.settings import Environment, Settings
from tests import factories
from tests.answers import Headers
from tests.mails.conftest import told, win


async def test_every_way_to_win_causes_one_mail(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    room: asyncpg.Record,
    headers: Headers,
) -> None:
    api = f"/api/v1/rooms/{room['id']}"
    people = [await factories.participant(room["id"]) for _ in range(3)]
    prize = await factories.prize(room["id"], 5)
    by_hand = await client.post(
        f"{api}/winners",
        json={"participantId": people[0]["id"], "prizeId": prize["id"]},
        headers=headers,
    )
    assert by_hand.status_code == 201
    assert [mail["cause"] for mail in await told(connection)] == [by_hand.json()["data"]["id"]]

    drawn = await client.post(f"{api}/draws", json={"immediate": True}, headers=headers)
    assert drawn.status_code == 201, drawn.text
    await factories.winner(room["id"], people[0]["id"], (await factories.prize(room["id"]))["id"])

    mails = await told(connection)
    winners = await fetch("SELECT id FROM winners")
    assert sorted(mail["cause"] for mail in mails) == sorted(row["id"] for row in winners)
    assert len(winners) >= 3
    assert {(mail["kind"], mail["status"], mail["language"]) for mail in mails} == {
        ("you-won", "PENDING", "en")
    }


async def test_what_is_rolled_back_causes_none(
    connection: asyncpg.Connection, room: asyncpg.Record
) -> None:
    async def give_up() -> None:
        async with transaction():
            await win(room)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await give_up()
    assert await told(connection) == []
    await win(room)
    assert len(await told(connection)) == 1


async def test_a_win_that_is_told_again_causes_no_second_one(
    connection: asyncpg.Connection, room: asyncpg.Record
) -> None:
    winner = await win(room)
    for _ in range(2):
        await fetch('UPDATE winners SET "deletedAt" = now() WHERE id = $1', winner)
        await fetch('UPDATE winners SET "deletedAt" = NULL WHERE id = $1', winner)
    (mail,) = await told(connection)
    await fetch("UPDATE mails SET status = 'DROPPED', attempts = 3, \"lastError\" = 'revoked'")
    await fetch('UPDATE winners SET "deletedAt" = now() WHERE id = $1', winner)
    await fetch('UPDATE winners SET "deletedAt" = NULL WHERE id = $1', winner)

    (again,) = await told(connection)

    assert (again["id"], again["status"], again["attempts"]) == (mail["id"], "PENDING", 0)


async def test_a_room_that_sends_no_mail_causes_none(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    room: asyncpg.Record,
    headers: Headers,
) -> None:
    api = f"/api/v1/rooms/{room['id']}"
    assert (await client.get(api, headers=headers)).json()["data"]["sendsMail"] is True
    changed = await client.patch(api, json={"sendsMail": False}, headers=headers)
    assert changed.json()["data"]["sendsMail"] is False
    await win(room)

    assert await told(connection) == []
    content = await fetchval("SELECT content FROM events WHERE type = 'room.updated'")
    assert '"changed":["sendsMail"]' in content.replace(" ", "")


@pytest.mark.parametrize(
    ("current", "statuses"),
    [
        (Settings(ENVIRONMENT=Environment.PRODUCTION), []),
        (Settings(), ["KEPT"]),
    ],
)
async def test_without_a_mail_server_production_writes_none_and_development_keeps_them(
    connection: asyncpg.Connection,
    room: asyncpg.Record,
    monkeypatch: pytest.MonkeyPatch,
    current: Settings,
    statuses: list[str],
) -> None:
    monkeypatch.setattr(mover, "settings", lambda: current)
    await win(room)
    assert [mail["status"] for mail in await told(connection)] == statuses


async def test_a_thousand_winners_cause_a_thousand(
    connection: asyncpg.Connection, room: asyncpg.Record
) -> None:
    await thousand_winners(room)
    assert len(await told(connection)) == 1000


async def thousand_winners(room: Any) -> None:
    """Let a thousand people win, in one statement."""
    prize = await factories.prize(room["id"], 1000, quantityRemaining=0)
    await fetch(
        'INSERT INTO participants (id, "roomId", email, "updatedAt") SELECT \'p\' || n, $1, '
        "'p' || n || '@example.org', now() FROM generate_series(1, 1000) n",
        room["id"],
    )
    await fetch("DELETE FROM outbox")
    await fetch(
        'INSERT INTO winners (id, "roomId", "participantId", "prizeId") '
        "SELECT 'w' || n, $1, 'p' || n, $2 FROM generate_series(1, 1000) n",
        room["id"],
        prize["id"],
    )
