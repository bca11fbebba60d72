"""What is kept about somebody, all of it and of nobody else, as they get it in their hands."""

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from app.auth.sessions import Device, open_session
from app.database.engine import fetch
from app.users import export
from app.users.export import PARTS
from tests import factories
from tests.answers import code_of
from tests.benchmarks.load import Size, id_of, load

EXPORT = "/api/v1/users/me/export"
LARGE = {"users", "participants", "rooms", "winners", "prizes", "rounds", "answers"}
SIZE = Size(rooms=8_000, people=2_000, participants=20_000)


class Archive:
    """An export, opened."""

    def __init__(self, answer: httpx.Response) -> None:
        assert answer.status_code == 200, answer.text
        self.zip = zipfile.ZipFile(io.BytesIO(answer.content))
        assert self.zip.testzip() is None

    def rows(self, name: str) -> Any:
        """Read a list, which says the same in both forms."""
        told: Sequence[dict[str, Any]] = msgspec.json.decode(self.zip.read(f"{name}.json"))
        table = list(csv.DictReader(io.StringIO(self.zip.read(f"{name}.csv").decode())))
        assert [row["id"] for row in table] == [row["id"] for row in told]
        return told

    @property
    def text(self) -> str:
        return "".join(self.zip.read(name).decode() for name in self.zip.namelist())


async def exported(client: httpx.AsyncClient, person: asyncpg.Record) -> Archive:
    return Archive(await client.get(EXPORT, headers=await factories.bearer(person)))


@pytest.fixture
async def person(client: httpx.AsyncClient) -> asyncpg.Record:  # noqa: ARG001 - bound there
    return await factories.user(name="=Ann", emailVerified=factories.now())


async def test_everything_about_oneself_is_there(
    client: httpx.AsyncClient, person: asyncpg.Record
) -> None:
    room = await factories.room(name="Party", isPublic=False)
    own = await factories.room(createdBy=person["id"], deletedAt=factories.now())
    mine = await factories.participant(
        room["id"], person["id"], metadata='{"seat": 7}', ownMetadata='{"nick": "A"}'
    )
    prize = await factories.prize(room["id"], name="Phone")
    win = await factories.winner(room["id"], mine["id"], prize["id"], deletedAt=factories.now())
    await factories.mail(win, recipient=person["email"])
    device = Device("Firefox", "192.0.2.7")
    await open_session(person["id"], person["email"], device, factories.now())
    await fetch(
        'INSERT INTO audit_log (actor, action, "tableName", "rowId") '
        "VALUES ('root', 'update', 'users', $1)",
        person["id"],
    )

    archive = await exported(client, person)

    assert [row["email"] for row in archive.rows("account")] == [person["email"]]
    [membership] = archive.rows("memberships")
    assert (membership["room"], membership["role"]) == ("Party", "PARTICIPANT")
    assert (membership["metadata"], membership["ownMetadata"]) == ({"seat": 7}, {"nick": "A"})
    [win] = archive.rows("wins")
    assert (win["prize"], win["revokedAt"] is not None) == ("Phone", True)
    [mail] = archive.rows("mails")
    assert (mail["recipient"], mail["room"]) == (person["email"], "Party")
    [opened] = archive.rows("rooms")
    assert (opened["id"], opened["appSettings"]) == (own["id"], factories.SETTINGS)
    assert {row["deviceInfo"] for row in archive.rows("sessions")} >= {"Firefox"}
    assert [row["action"] for row in archive.rows("changes")] == ["update"]
    assert "root" not in archive.text
    readme = archive.zip.read("README.txt").decode()
    assert all(f"\n{part.name}: {part.about}" in readme for part in PARTS)


async def test_nothing_of_others_and_no_secret_is_there(
    client: httpx.AsyncClient, person: asyncpg.Record
) -> None:
    room = await factories.room()
    other = await factories.user(name="Somebody else")
    await factories.participant(room["id"], person["id"])
    theirs = await factories.participant(room["id"], other["id"], ownMetadata='{"a": "theirs"}')
    prize = await factories.prize(room["id"])
    await factories.mail(await factories.winner(room["id"], theirs["id"], prize["id"]))
    hashes = [row["refreshToken"] for row in await fetch('SELECT "refreshToken" FROM sessions')]

    archive = await exported(client, person)

    hidden = [other["id"], other["email"], theirs["id"], "theirs", *hashes]
    assert not [each for each in hidden if each in archive.text]
    assert archive.rows("wins") == archive.rows("mails") == []


@pytest.mark.parametrize("is_verified", [True, False])
async def test_who_was_brought_in_by_an_address_finds_that_once_it_is_theirs(
    client: httpx.AsyncClient, *, is_verified: bool
) -> None:
    verified = factories.now() if is_verified else None
    person = await factories.user(emailVerified=verified)
    room = await factories.room(isPublic=False)
    seat = await factories.expected(room["id"], person["email"])
    prize = await factories.prize(room["id"])
    await factories.mail(await factories.winner(room["id"], seat["id"], prize["id"]))

    archive = await exported(client, person)

    assert [row["name"] for row in archive.rows("memberships")] == ["Expected"] * is_verified
    assert len(archive.rows("wins")) == len(archive.rows("mails")) == is_verified


async def test_many_rows_come_in_pieces_and_each_once(
    client: httpx.AsyncClient, person: asyncpg.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PIECE", 3)
    rooms = [await factories.room(createdBy=person["id"]) for _ in range(6)]

    archive = await exported(client, person)

    assert [row["id"] for row in archive.rows("rooms")] == sorted(room["id"] for room in rooms)


async def test_a_spreadsheet_computes_nothing_of_it(
    client: httpx.AsyncClient, person: asyncpg.Record
) -> None:
    archive = await exported(client, person)
    table = csv.DictReader(io.StringIO(archive.zip.read("account.csv").decode()))
    assert [(row["name"], row["isAdmin"]) for row in table] == [("'=Ann", "false")]


async def test_nobody_exports_who_is_not_signed_in_any_more(
    client: httpx.AsyncClient, person: asyncpg.Record
) -> None:
    headers = await factories.bearer(person)
    await client.delete("/api/v1/auth/sessions", headers=headers)

    refused = [await client.get(EXPORT), await client.get(EXPORT, headers=headers)]

    assert [answer.status_code for answer in refused] == [401, 401]
    assert code_of(refused[0]) == "UNAUTHORIZED"


async def test_no_part_reads_a_table_whole(database: str) -> None:  # noqa: ARG001 - bound
    await load(SIZE)
    for part in PARTS:
        columns = ", ".join(part.columns.values())
        (row,) = await fetch(f"EXPLAIN (FORMAT JSON) SELECT {columns} {part.found}", id_of("u", 9))
        scanned = re.findall(
            r'"Node Type": "Seq Scan",.*?"Relation Name": "(\w+)"', row[0], re.DOTALL
        )
        assert LARGE.isdisjoint(scanned), (part.name, row[0])
