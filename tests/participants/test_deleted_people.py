"""Who deleted the account is nobody in particular, but to those who run the room."""

import asyncpg
import httpx
import pytest

from app.database.engine import fetch
from tests import factories

PICTURE = "https://example.org/gone.png"


async def somebody(room: asyncpg.Record, role: str | None) -> asyncpg.Record | None:
    """Return a reader with this role, or nobody."""
    if role is None:
        return None
    person = await factories.user(isAdmin=role == "platform")
    if role not in {"outsider", "platform"}:
        await factories.participant(room["id"], person["id"], role=role)
    return person


@pytest.mark.parametrize(
    ("role", "sees"),
    [
        (None, False),
        ("outsider", False),
        ("VIEWER", False),
        ("PARTICIPANT", False),
        ("MODERATOR", True),
        ("ORGANIZER", True),
        ("ADMIN", True),
        ("platform", True),
    ],
)
async def test_a_winner_who_is_gone_is_named_to_moderators_alone(
    client: httpx.AsyncClient, room: asyncpg.Record, role: str | None, *, sees: bool
) -> None:
    winner = await factories.user(name="Gone Girl", avatar=PICTURE)
    row = await factories.participant(room["id"], winner["id"], name="As given")
    prize = await factories.prize(room["id"], quantityRemaining=0)
    won = await factories.winner(room["id"], row["id"], prize["id"])
    path = f"/api/v1/users/{winner['id']}"
    deleted = await client.delete(path, headers=await factories.bearer(winner))
    assert deleted.status_code == 200
    headers = await factories.bearer(await somebody(room, role))
    base = f"/api/v1/rooms/{room['id']}"

    listed = await client.get(f"{base}/winners", headers=headers)
    one = await client.get(f"{base}/winners/{won['id']}", headers=headers)
    file = await client.get(f"{base}/winners.csv", headers=headers)

    expected = (
        {"id": winner["id"], "name": "Gone Girl", "avatar": PICTURE}
        if sees
        else {"id": winner["id"], "name": "Deleted person", "avatar": None}
    )
    assert listed.json()["data"][0]["participant"]["user"] == expected
    assert one.json()["data"]["participant"]["user"] == expected
    told = "".join(each.text for each in (listed, one, file))
    assert ("Gone" in file.text) == sees
    assert ("Gone" in told or "As given" in told or PICTURE in told) == sees
    assert winner["email"] not in told
    profile = await client.get(path, headers=headers)
    assert profile.status_code == (401 if role is None else 404)


@pytest.mark.parametrize(("role", "sees"), [(None, False), ("PARTICIPANT", False), ("ADMIN", True)])
async def test_so_are_those_who_are_still_in_a_room_or_its_organizer(
    client: httpx.AsyncClient, role: str | None, *, sees: bool
) -> None:
    organizer = await factories.user(name="Gone Girl", avatar=PICTURE)
    room = await factories.room(organizer)
    reader = await somebody(room, role)
    # As in a database that was taken over: here, an account leaves its rooms.
    await fetch('UPDATE users SET "deletedAt" = now() WHERE id = $1', organizer["id"])
    headers = await factories.bearer(reader)
    base = f"/api/v1/rooms/{room['id']}"

    shown = (await client.get(base, headers=headers)).json()["data"]
    people = (await client.get(f"{base}/participants", headers=headers)).json()["data"]
    file = (await client.get(f"{base}/participants.csv", headers=headers)).text
    listed = (await client.get("/api/v1/rooms", headers=headers)).text

    name, avatar = ("Gone Girl", PICTURE) if sees else ("Deleted person", None)
    assert shown["organizer"] == {"id": organizer["id"], "name": name, "avatar": avatar}
    assert people[0]["user"] == shown["organizer"]
    assert name in file
    assert "Deleted person" in listed
    assert PICTURE not in listed
    told = f"{shown}{people}{file}{listed}"
    assert ("Gone" in told or PICTURE in told) == sees
