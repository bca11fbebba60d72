"""Participants and winners as CSV: who sees what, and nothing that a spreadsheet would compute."""

import csv
import io
import json
from typing import Any

import asyncpg
import httpx
import pytest

from app.database.engine import DB, fetch
from app.http.openapi import EXAMPLES
from tests import factories
from tests.answers import Headers
from tests.server import serving

PARTICIPANTS = [
    *("id", "userId", "name", "email", "role", "metadata", "ownMetadata", "joinedAt"),
]
WINNERS = [
    *("id", "participantId", "userId", "name", "email"),
    *("prizeId", "prizeName", "claimStatus", "claimBy", "metadata", "createdAt"),
]
EXPECTED = ["id", "name", "email", "role", "joinedAt", "link"]


@pytest.fixture
def base(room: asyncpg.Record) -> str:
    return f"/api/v1/rooms/{room['id']}"


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline=""), strict=True))


def test_the_description_shows_the_columns() -> None:
    columns = {
        name: next(csv.reader(str(EXAMPLES[name]).splitlines()))
        for name in ("exportParticipants", "exportExpectedPeople", "exportWinners")
    }
    assert list(columns.values()) == [PARTICIPANTS, EXPECTED, WINNERS]


async def test_participants_are_a_file_oldest_first(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str, headers: Headers
) -> None:
    person = await factories.user(name='Zoë "Z", the first\r\nof her name')
    row = await factories.participant(
        room["id"], person["id"], role="VIEWER", metadata='{"ticket": "A-17"}'
    )
    await factories.participant(room["id"], deletedAt=factories.now())

    answer = await client.get(f"{base}/participants.csv", headers=headers)

    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'attachment; filename="participants.csv"'
    organizer, shown = rows_of(answer)
    assert list(shown) == PARTICIPANTS
    assert (organizer["role"], organizer["metadata"]) == ("ORGANIZER", "")
    assert shown["id"] == row["id"]
    assert shown["name"] == person["name"]
    assert shown["email"] == person["email"]
    assert json.loads(shown["metadata"]) == {"ticket": "A-17"}
    one = (await client.get(f"{base}/participants/{row['id']}")).json()["data"]
    assert (shown["joinedAt"], shown["role"]) == (one["joinedAt"], "VIEWER")


async def test_who_is_expected_is_a_file_with_links_for_moderators(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str, headers: Headers
) -> None:
    first = await factories.expected(room["id"], "=1+1@example.org")
    await fetch("UPDATE participants SET name = '=HYPERLINK(1)' WHERE id = $1", first["id"])
    gone = await factories.expected(room["id"], "gone@example.org")
    await fetch('UPDATE participants SET "deletedAt" = now() WHERE id = $1', gone["id"])
    await factories.expected((await factories.room())["id"], "elsewhere@example.org")
    await factories.participant(room["id"])

    answer = await client.get(f"{base}/expected.csv", headers=headers)

    (shown,) = rows_of(answer)
    assert list(shown) == EXPECTED
    assert (shown["id"], shown["name"]) == (first["id"], "'=HYPERLINK(1)")
    assert shown["email"] == "'=1+1@example.org"
    assert shown["link"] == f"http://127.0.0.1:8000/join?room={room['id']}"


async def test_winners_are_a_file_newest_first(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str, headers: Headers
) -> None:
    prize = await factories.prize(room["id"], name="Phone", quantity=3, quantityRemaining=1)
    here = await factories.participant(room["id"])
    gone = await factories.participant(room["id"], deletedAt=factories.now())
    first = await factories.winner(room["id"], here["id"], prize["id"], metadata='{"place": 1}')
    second = await factories.winner(room["id"], gone["id"], prize["id"])
    await factories.winner(
        room["id"], here["id"], (await factories.prize(room["id"]))["id"], deletedAt=factories.now()
    )

    newest, oldest = rows_of(await client.get(f"{base}/winners.csv", headers=headers))

    assert list(newest) == WINNERS
    assert (newest["id"], oldest["id"]) == (second["id"], first["id"])
    assert (oldest["prizeName"], oldest["metadata"]) == ("Phone", '{"place": 1}')
    assert oldest["email"].endswith("@example.org")
    assert newest["email"] == ""


@pytest.mark.parametrize("file", ["participants.csv", "winners.csv"])
@pytest.mark.parametrize(
    ("role", "sees"),
    [
        (None, False),
        ("outsider", False),
        ("VIEWER", False),
        ("PARTICIPANT", False),
        ("MODERATOR", True),
        ("ADMIN", True),
        ("platform", True),
    ],
)
async def test_addresses_are_for_moderators(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    base: str,
    role: str | None,
    file: str,
    *,
    sees: bool,
) -> None:
    person = None if role is None else await factories.user(isAdmin=role == "platform")
    if person is not None and role not in {"outsider", "platform"}:
        await factories.participant(room["id"], person["id"], role=role)
    prize = await factories.prize(room["id"], quantityRemaining=0)
    winner = await factories.participant(room["id"])
    await factories.winner(room["id"], winner["id"], prize["id"])

    answer = await client.get(f"{base}/{file}", headers=await factories.bearer(person))

    assert all(("email" in row) == sees for row in rows_of(answer))
    assert ("@example.org" in answer.text) == sees


COMPUTED = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1+1",
    "\uff0b1",
    "\uff201",
]


@pytest.mark.parametrize("name", [*COMPUTED, '=HYPERLINK("https://example.org", "x")'])
async def test_no_cell_is_computed(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str, headers: Headers, name: str
) -> None:
    person = await factories.user(name=name)
    participant = await factories.participant(room["id"], person["id"])
    prize = await factories.prize(room["id"], name=name, quantityRemaining=0)
    await factories.winner(room["id"], participant["id"], prize["id"])

    _, shown = rows_of(await client.get(f"{base}/participants.csv", headers=headers))
    (won,) = rows_of(await client.get(f"{base}/winners.csv", headers=headers))

    assert {shown["name"], won["name"], won["prizeName"]} == {f"'{name}"}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
async def test_each_row_comes_once_however_many_pieces_there_are(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    base: str,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    monkeypatch.setattr("app.database.listing.PIECE", 2)
    prize = await factories.prize(room["id"], quantity=9, quantityRemaining=9 - count)
    joined = factories.now()
    expected = []
    for _ in range(count):
        participant = await factories.participant(room["id"], joinedAt=joined)
        expected.append(participant["id"])
        await factories.winner(room["id"], participant["id"], prize["id"], createdAt=joined)

    participants = rows_of(await client.get(f"{base}/participants.csv"))
    winners = rows_of(await client.get(f"{base}/winners.csv"))

    assert sorted(row["id"] for row in participants if row["role"] == "PARTICIPANT") == expected
    assert [row["participantId"] for row in winners] == expected[::-1]


async def fill(room_id: str, people: int) -> None:
    """Put people with long names into a room."""
    await fetch(
        "INSERT INTO users (id, email, name, \"updatedAt\") SELECT 'p' || i, "
        "'p' || i || '@example.org', repeat('x', 100), now() FROM generate_series(1, $1::int) i",
        people,
    )
    await fetch(
        'INSERT INTO participants (id, "userId", "roomId", "updatedAt") '
        "SELECT id, id, $1, now() FROM users WHERE id LIKE 'p%'",
        room_id,
    )


async def test_who_reads_slowly_or_goes_away_keeps_no_connection_and_a_cut_is_noticed(
    migrated_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DB.config, "dsn", migrated_database)
    monkeypatch.setattr(DB, "pool", None)
    room = await factories.room()
    await fill(room["id"], 20_000)

    with serving(DATABASE_URL=migrated_database, DATABASE_POOL_SIZE="1", SCHEDULES="") as server:
        one = f"{server.url}/api/v1/rooms/{room['id']}"
        async with httpx.AsyncClient(timeout=30) as client:
            for _ in range(3):
                async with client.stream("GET", f"{one}/participants.csv") as answer:
                    await anext(answer.aiter_raw())
                    assert (await client.get(one)).status_code == 200
            assert (await client.get(one)).status_code == 200

            with pytest.raises(httpx.RemoteProtocolError):
                await read_while_the_table_goes(client, f"{one}/participants.csv")
            whole = await client.get(f"{one}/participants.csv")
    assert len(whole.text.splitlines()) == 20_002


async def read_while_the_table_goes(client: httpx.AsyncClient, address: str) -> Any:
    async with client.stream("GET", address) as answer:
        assert answer.status_code == 200
        pieces = answer.aiter_raw()
        await anext(pieces)
        await fetch("ALTER TABLE participants RENAME TO away")
        try:
            async for _ in pieces:
                pass
        finally:
            await fetch("ALTER TABLE away RENAME TO participants")
