"""Joining, being brought in, changed and taken out, over HTTP."""

from typing import Any

import asyncpg
import httpx
import pytest

from app.database.engine import fetchrow, fetchval
from tests import factories
from tests.answers import Headers, code_of


async def path_of(room: asyncpg.Record) -> str:
    return f"/api/v1/rooms/{room['id']}/participants"


@pytest.fixture
async def path(room: asyncpg.Record) -> str:
    return f"/api/v1/rooms/{room['id']}/participants"


async def member(room: asyncpg.Record, role: str) -> tuple[str, Headers]:
    """Put somebody into the room: the participant's id, and their headers."""
    person = await factories.user()
    row = await factories.participant(room["id"], person["id"], role=role)
    return row["id"], await factories.bearer(person)


async def test_who_joins_is_shown_with_the_person(client: httpx.AsyncClient, path: str) -> None:
    person = await factories.user(name="Diana", avatar="https://example.org/d.png")

    answer = await client.post(path, headers=await factories.bearer(person))

    assert answer.status_code == 201
    shown = answer.json()["data"]
    assert shown["role"] == "PARTICIPANT"
    assert shown["metadata"] is None
    assert shown["user"] == {
        "id": person["id"],
        "name": "Diana",
        "avatar": "https://example.org/d.png",
    }
    assert shown["joinedAt"].endswith("Z")
    assert set(shown) == {
        *("id", "userId", "roomId", "role", "metadata", "ownMetadata", "user", "isGuest"),
        *("joinedAt", "updatedAt", "deletedAt", "showName"),
    }


async def test_joining_again_is_a_conflict(client: httpx.AsyncClient, path: str) -> None:
    headers = await factories.bearer(await factories.user())
    await client.post(path, headers=headers)

    again = await client.post(path, headers=headers)

    assert (again.status_code, code_of(again)) == (409, "CONFLICT")


async def test_who_comes_back_has_the_same_row_a_plain_role_and_the_metadata(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str
) -> None:
    person = await factories.user()
    left = await factories.participant(
        room["id"],
        person["id"],
        role="MODERATOR",
        metadata='{"ticket": 7}',
        deletedAt=factories.now(),
    )

    answer = await client.post(path, headers=await factories.bearer(person))

    assert answer.status_code == 200
    shown = answer.json()["data"]
    assert (shown["id"], shown["role"]) == (left["id"], "PARTICIPANT")
    assert shown["metadata"] == {"ticket": 7}


@pytest.mark.parametrize(("status", "code"), [("DRAFT", 201), ("ACTIVE", 201)])
async def test_open_rooms_are_joined(client: httpx.AsyncClient, status: str, code: int) -> None:
    room = await factories.room(status=status)
    headers = await factories.bearer(await factories.user())
    assert (await client.post(await path_of(room), headers=headers)).status_code == code


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED"])
async def test_closed_rooms_take_nobody_in(
    client: httpx.AsyncClient, organizer: asyncpg.Record, status: str
) -> None:
    room = await factories.room(organizer, status=status)
    person = await factories.user()

    joined = await client.post(await path_of(room), headers=await factories.bearer(person))
    added = await client.post(
        await path_of(room),
        json={"userId": person["id"]},
        headers=await factories.bearer(organizer),
    )

    assert [code_of(joined), code_of(added)] == ["ROOM_CLOSED", "ROOM_CLOSED"]


@pytest.mark.parametrize(
    ("body", "field"),
    [({"role": "ORGANIZER"}, "$.role"), ({"name": "Somebody else"}, "$.name")],
)
async def test_nobody_gives_themselves_a_role_or_a_name(
    client: httpx.AsyncClient, path: str, body: Any, field: str
) -> None:
    headers = await factories.bearer(await factories.user())

    answer = await client.post(path, json=body, headers=headers)

    assert (answer.status_code, code_of(answer)) == (400, "VALIDATION_ERROR")
    assert list(answer.json()["error"]["details"]["fields"]) == [field]


@pytest.mark.parametrize("content", [b"", b"null", b"{}"])
async def test_joining_needs_no_body(client: httpx.AsyncClient, path: str, content: bytes) -> None:
    headers = await factories.bearer(await factories.user())
    assert (await client.post(path, content=content, headers=headers)).status_code == 201


async def test_a_moderator_brings_somebody_into_a_private_room_by_address(
    client: httpx.AsyncClient,
) -> None:
    room = await factories.room(isPublic=False)
    _, headers = await member(room, "MODERATOR")
    await factories.user(email="diana@example.org")

    answer = await client.post(
        await path_of(room),
        json={"email": " Diana@Example.org", "role": "VIEWER", "metadata": {"seat": "B4"}},
        headers=headers,
    )

    assert answer.status_code == 201
    shown = answer.json()["data"]
    assert (shown["email"], shown["role"]) == ("diana@example.org", "VIEWER")
    assert shown["metadata"] == {"seat": "B4"}


@pytest.mark.parametrize(
    ("granter", "role", "status"),
    [
        ("MODERATOR", "PARTICIPANT", 201),
        ("MODERATOR", "MODERATOR", 403),
        ("ORGANIZER", "ORGANIZER", 201),
        ("ORGANIZER", "ADMIN", 403),
        ("ADMIN", "ADMIN", 403),
        ("platform", "ADMIN", 201),
    ],
)
async def test_nobody_grants_above_what_the_table_says(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    path: str,
    granter: str,
    role: str,
    status: int,
) -> None:
    if granter == "platform":
        headers = await factories.bearer(await factories.user(isAdmin=True))
    else:
        _, headers = await member(room, granter)
    person = await factories.user()
    moved, _ = await member(room, "VIEWER")

    added = await client.post(path, json={"userId": person["id"], "role": role}, headers=headers)
    changed = await client.patch(f"{path}/{moved}", json={"role": role}, headers=headers)

    assert added.status_code == status
    assert changed.status_code == (200 if status == 201 else 403)


@pytest.mark.parametrize(
    ("who", "whom", "status"),
    [
        ("MODERATOR", "PARTICIPANT", 200),
        ("MODERATOR", "MODERATOR", 403),
        ("MODERATOR", "ORGANIZER", 403),
        ("ORGANIZER", "MODERATOR", 200),
        ("ORGANIZER", "ORGANIZER", 200),
        ("ORGANIZER", "ADMIN", 403),
        ("ADMIN", "ADMIN", 403),
    ],
)
async def test_who_stands_above_what_one_grants_is_neither_changed_nor_removed(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    path: str,
    who: str,
    whom: str,
    status: int,
) -> None:
    _, headers = await member(room, who)
    other, _ = await member(room, whom)

    changed = await client.patch(f"{path}/{other}", json={"metadata": {}}, headers=headers)
    removed = await client.delete(f"{path}/{other}", headers=headers)

    assert [changed.status_code, removed.status_code] == [status, status]


async def test_a_moderator_steps_down_but_not_up(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str
) -> None:
    _, headers = await member(room, "MODERATOR")

    up = await client.patch(f"{path}/me", json={"role": "ORGANIZER"}, headers=headers)
    down = await client.patch(f"{path}/me", json={"role": "VIEWER"}, headers=headers)

    assert (up.status_code, down.status_code) == (403, 200)
    assert down.json()["data"]["role"] == "VIEWER"


async def test_the_last_organizer_neither_leaves_nor_steps_down(
    client: httpx.AsyncClient, organizer: asyncpg.Record, path: str
) -> None:
    headers = await factories.bearer(organizer)
    administrator = await factories.bearer(await factories.user(isAdmin=True))
    own = (await client.get(f"{path}/me", headers=headers)).json()["data"]["id"]

    answers = [
        await client.delete(f"{path}/me", headers=headers),
        await client.patch(f"{path}/me", json={"role": "VIEWER"}, headers=headers),
        await client.delete(f"{path}/{own}", headers=administrator),
        await client.patch(f"{path}/{own}", json={"role": "ADMIN"}, headers=administrator),
    ]

    assert [code_of(each) for each in answers] == ["CONFLICT"] * 4
    row = await fetchrow("SELECT * FROM participants WHERE id = $1", own)
    assert row is not None
    assert (row["role"], row["deletedAt"]) == ("ORGANIZER", None)


async def test_an_organizer_with_another_one_leaves(
    client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record, path: str
) -> None:
    await member(room, "ORGANIZER")
    headers = await factories.bearer(organizer)
    assert (await client.delete(f"{path}/me", headers=headers)).status_code == 200


async def test_who_left_keeps_what_was_won_and_wins_no_more(
    client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record, path: str
) -> None:
    leaving, headers = await member(room, "PARTICIPANT")
    prize = await factories.prize(room["id"], quantity=2, quantityRemaining=1)
    other = await factories.prize(room["id"])
    await factories.winner(room["id"], leaving, prize["id"])
    winners = f"/api/v1/rooms/{room['id']}/winners"

    await client.delete(f"{path}/me", headers=headers)
    refused = await client.post(
        winners,
        json={"participantId": leaving, "prizeId": other["id"]},
        headers=await factories.bearer(organizer),
    )
    listed = (await client.get(winners)).json()["data"]

    assert (refused.status_code, code_of(refused)) == (404, "NOT_FOUND")
    assert [each["participantId"] for each in listed] == [leaving]


async def test_metadata_are_replaced_whole_and_stay_when_not_named(
    client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record, path: str
) -> None:
    somebody, _ = await member(room, "PARTICIPANT")
    headers = await factories.bearer(organizer)
    one = f"{path}/{somebody}"

    async def change(**body: Any) -> Any:
        return (await client.patch(one, json=body, headers=headers)).json()["data"]

    assert (await change(metadata={"a": 1, "b": [2]}))["metadata"] == {"a": 1, "b": [2]}
    assert (await change(metadata={"c": 3}))["metadata"] == {"c": 3}
    assert (await change(role="VIEWER"))["metadata"] == {"c": 3}
    assert (await change(metadata=None))["metadata"] is None


async def test_who_does_not_exist_is_not_brought_in_by_id(
    client: httpx.AsyncClient, organizer: asyncpg.Record, path: str
) -> None:
    headers = await factories.bearer(organizer)
    answer = await client.post(path, json={"userId": "nobody"}, headers=headers)
    assert (answer.status_code, code_of(answer)) == (404, "NOT_FOUND")


async def test_somebody_is_named_once(
    client: httpx.AsyncClient, organizer: asyncpg.Record, path: str
) -> None:
    answer = await client.post(
        path,
        json={"userId": "x", "email": "x@example.org"},
        headers=await factories.bearer(organizer),
    )
    assert list(answer.json()["error"]["details"]["fields"]) == ["$.email"]


async def test_a_participant_of_another_room_is_not_found_here(
    client: httpx.AsyncClient, organizer: asyncpg.Record, path: str
) -> None:
    elsewhere = await factories.participant((await factories.room())["id"])
    headers = await factories.bearer(organizer)
    one = f"{path}/{elsewhere['id']}"

    answers = [
        await client.get(one, headers=headers),
        await client.patch(one, json={"role": "VIEWER"}, headers=headers),
        await client.delete(one, headers=headers),
    ]

    assert [each.status_code for each in answers] == [404, 404, 404]


async def test_participants_come_oldest_first_and_the_gone_are_gone(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str
) -> None:
    stays, _ = await member(room, "PARTICIPANT")
    gone, headers = await member(room, "PARTICIPANT")
    last, _ = await member(room, "VIEWER")
    await client.delete(f"{path}/me", headers=headers)

    listed = (await client.get(path)).json()

    ids = [each["id"] for each in listed["data"]]
    assert ids[1:] == [stays, last]
    assert gone not in ids
    assert listed["meta"]["total"] == 3
    assert listed["meta"]["limit"] == 1000
    count = await fetchval("SELECT count(*) FROM participants")
    assert count == 4


async def test_a_list_is_narrowed_to_a_role(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str
) -> None:
    viewers = [await factories.participant(room["id"], role="VIEWER") for _ in range(3)]
    await factories.participant(room["id"])

    first = (await client.get(f"{path}?role=VIEWER&limit=2")).json()
    rest = await client.get(f"{path}?role=VIEWER&cursor={first['meta']['nextCursor']}")

    found = [each["id"] for each in (*first["data"], *rest.json()["data"])]
    assert found == [viewer["id"] for viewer in viewers]
    assert first["meta"]["total"] == len(viewers)
    assert (await client.get(f"{path}?role=KING")).status_code == 400
