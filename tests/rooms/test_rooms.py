"""Opening, listing, changing and deleting rooms over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.database import seed
from app.database.engine import fetchrow, fetchval, jsonb
from tests import factories
from tests.answers import Headers, code_of

ROOMS = "/api/v1/rooms"


async def ids(client: httpx.AsyncClient, headers: Headers | None = None, **query: Any) -> list[str]:
    answer = await client.get(ROOMS, params=query, headers=headers or {})
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["data"]]


async def test_a_new_room_is_a_draft_locked_to_the_present_manifest(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers
) -> None:
    app = await factories.app()
    body = {"name": "Mine", "appId": app["appId"], "appSettings": factories.SETTINGS}

    answer = await client.post(ROOMS, json=body, headers=headers)

    assert answer.status_code == 201
    room = answer.json()["data"]
    assert (room["status"], room["isPublic"]) == ("DRAFT", True)
    assert room["appSettings"] == factories.SETTINGS
    assert (room["appManifestVersion"], room["app"]["manifestVersion"]) == ("1.0.0", "1.0.0")
    assert room["app"]["manifest"]["meta"]["version"] == "1.0.0"
    assert room["organizer"] == {
        "id": organizer["id"],
        "name": "Olga",
        "avatar": "https://example.org/o.png",
    }
    assert room["_count"] == {"participants": 1, "prizes": 0, "winners": 0}
    assert not {"participants", "prizes", "winners"} & set(room)


async def test_settings_that_do_not_fit_open_no_room(
    client: httpx.AsyncClient, headers: Headers
) -> None:
    app = await factories.app()
    body = {"name": "Mine", "appId": app["appId"], "appSettings": {"ticketCount": 0}}

    answer = await client.post(ROOMS, json=body, headers=headers)

    assert (answer.status_code, code_of(answer)) == (400, "VALIDATION_ERROR")
    assert await ids(client, headers) == []


async def test_an_app_that_is_not_there_opens_no_room(
    client: httpx.AsyncClient, headers: Headers
) -> None:
    body = {"name": "Mine", "appId": "app_of_nobody", "appSettings": {}}
    answer = await client.post(ROOMS, json=body, headers=headers)
    assert (answer.status_code, code_of(answer)) == (404, "NOT_FOUND")


async def test_public_rooms_are_listed_for_all_and_private_ones_for_those_in_them(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers
) -> None:
    start = factories.now() - timedelta(days=1)
    own = await factories.room(organizer, isPublic=False, createdAt=start)
    public = await factories.room(createdAt=start + timedelta(seconds=1))
    await factories.room(isPublic=False)
    left = await factories.room(isPublic=False)
    await factories.participant(left["id"], organizer["id"], deletedAt=factories.now())
    await factories.room(organizer, deletedAt=factories.now())
    joined = await factories.room(isPublic=False, createdAt=start + timedelta(seconds=2))
    await factories.participant(joined["id"], organizer["id"], role="VIEWER")

    assert await ids(client) == [public["id"]]
    assert await ids(client, headers) == [joined["id"], public["id"], own["id"]]
    assert await ids(client, headers, isPublic="false") == [joined["id"], own["id"]]
    assert await ids(client, headers, isPublic="true") == [public["id"]]
    assert await ids(client, isPublic="false") == []


async def test_filters_narrow_the_list_together(
    client: httpx.AsyncClient, organizer: asyncpg.Record
) -> None:
    app = await factories.app()
    wanted = await factories.room(organizer, app["appId"], status="DRAFT")
    await factories.room(organizer, app["appId"], status="ACTIVE")
    await factories.room(organizer, status="DRAFT")
    await factories.room(None, app["appId"], status="DRAFT")

    found = await ids(client, status="DRAFT", appId=app["appId"], createdBy=organizer["id"])

    assert found == [wanted["id"]]


@pytest.mark.parametrize("signed_in", [True, False])
async def test_cursors_walk_the_whole_list_though_rooms_are_added_meanwhile(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers, *, signed_in: bool
) -> None:
    moment = factories.now() - timedelta(days=1)
    app_id = (await factories.app())["appId"]
    for number in range(11):  # Some at the same millisecond, which the id then orders.
        await factories.room(organizer, app_id, createdAt=moment + timedelta(seconds=number // 3))
        await factories.room(organizer, app_id, createdAt=moment, isPublic=False)
    expected = await ids(client, headers if signed_in else None, limit=100)

    seen: list[str] = []
    query: dict[str, Any] = {"limit": 4}
    while True:
        page = await client.get(ROOMS, params=query, headers=headers if signed_in else {})
        seen += [each["id"] for each in page.json()["data"]]
        await factories.room(organizer, app_id)
        cursor = page.json()["meta"]["nextCursor"]
        if cursor is None:
            break
        query["cursor"] = cursor

    assert seen == expected
    assert len(seen) == (22 if signed_in else 11)


async def test_pages_are_numbered_and_counted(
    client: httpx.AsyncClient, organizer: asyncpg.Record
) -> None:
    app_id = (await factories.app())["appId"]
    for _ in range(5):
        await factories.room(organizer, app_id)

    first = (await client.get(ROOMS, params={"limit": 2})).json()
    third = (await client.get(ROOMS, params={"limit": 2, "page": 3})).json()
    beyond = (await client.get(ROOMS, params={"limit": 2, "page": 9})).json()

    cursor = first["meta"].pop("nextCursor")
    assert cursor
    assert first["meta"] == {
        "page": 1,
        "limit": 2,
        "total": 5,
        "pages": 3,
        "totalPages": 3,
        "totalIsCapped": False,
    }
    assert len(third["data"]) == 1
    assert third["meta"]["nextCursor"] is None
    assert (beyond["data"], beyond["meta"]["total"]) == ([], 5)


async def test_counts_are_of_the_living(client: httpx.AsyncClient) -> None:
    room = await factories.room()
    somebody = await factories.participant(room["id"])
    await factories.participant(room["id"], deletedAt=factories.now())
    prize = await factories.prize(room["id"], quantity=2, quantityRemaining=1)
    await factories.prize(room["id"], deletedAt=factories.now())
    await factories.winner(room["id"], somebody["id"], prize["id"])
    await factories.winner(room["id"], somebody["id"], prize["id"], deletedAt=factories.now())

    listed = (await client.get(ROOMS)).json()["data"][0]
    single = (await client.get(f"{ROOMS}/{room['id']}")).json()["data"]

    assert listed["_count"] == {"participants": 2, "prizes": 1, "winners": 1}
    assert single["_count"] == listed["_count"]
    assert "manifest" not in listed["app"]


async def test_what_is_not_named_stays(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers
) -> None:
    room = await factories.room(organizer, description="As it was")

    changed = await client.patch(
        f"{ROOMS}/{room['id']}", json={"name": "Renamed", "isPublic": False}, headers=headers
    )

    shown = changed.json()["data"]
    assert (shown["name"], shown["isPublic"]) == ("Renamed", False)
    assert (shown["description"], shown["appSettings"]) == ("As it was", factories.SETTINGS)
    assert shown["updatedAt"] > shown["createdAt"]


async def test_new_settings_replace_the_old_ones_whole_if_they_fit(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers
) -> None:
    path = f"{ROOMS}/{(await factories.room(organizer))['id']}"
    new = {"ticketCount": 5, "drawDate": "2027-01-01T00:00:00Z"}

    changed = await client.patch(path, json={"appSettings": new}, headers=headers)
    partial = await client.patch(path, json={"appSettings": {"ticketCount": 6}}, headers=headers)

    assert changed.json()["data"]["appSettings"] == new
    assert (partial.status_code, code_of(partial)) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("present", "wanted", "status"),
    [
        ("DRAFT", "ACTIVE", 200),
        ("ACTIVE", "COMPLETED", 200),
        ("ACTIVE", "DRAFT", 409),
        ("DRAFT", "COMPLETED", 409),
        ("COMPLETED", "ACTIVE", 409),
        ("CANCELLED", "CANCELLED", 200),
    ],
)
async def test_a_status_goes_by_the_graph(
    client: httpx.AsyncClient,
    organizer: asyncpg.Record,
    headers: Headers,
    present: str,
    wanted: str,
    status: int,
) -> None:
    path = f"{ROOMS}/{(await factories.room(organizer, status=present))['id']}"

    answer = await client.patch(path, json={"status": wanted}, headers=headers)

    assert answer.status_code == status
    if status == 409:
        assert code_of(answer) == "INVALID_TRANSITION"
        assert answer.json()["error"]["details"]["from"] == present


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED"])
async def test_a_closed_room_is_not_changed_but_deleted(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers, status: str
) -> None:
    path = f"{ROOMS}/{(await factories.room(organizer, status=status))['id']}"

    changed = await client.patch(path, json={"name": "Renamed"}, headers=headers)
    deleted = await client.delete(path, headers=headers)

    assert (changed.status_code, code_of(changed)) == (409, "ROOM_CLOSED")
    assert deleted.json() == {"data": {"success": True}}


async def test_with_a_room_everything_in_it_is_gone(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers
) -> None:
    room = await factories.room(organizer)
    prize = await factories.prize(room["id"])
    path = f"{ROOMS}/{room['id']}"

    await client.delete(path, headers=headers)

    for below in ("", "/participants", "/prizes", f"/prizes/{prize['id']}", "/winners"):
        assert (await client.get(path + below, headers=headers)).status_code == 404
    row = await fetchrow("SELECT * FROM rooms WHERE id = $1", room["id"])
    assert row is not None
    assert row["deletedAt"] is not None


async def test_who_deletes_themselves_leaves_no_room_open(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers
) -> None:
    room = await factories.room(organizer)
    await client.delete(f"/api/v1/users/{organizer['id']}", headers=headers)
    assert (await client.get(f"{ROOMS}/{room['id']}")).status_code == 404


async def test_a_list_shows_a_room_as_it_is_shown_alone(client: httpx.AsyncClient) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 60_000, tzinfo=UTC)
    organizer = await factories.user(name='Ann "\\\n☃𝄞\x7f</script>', avatar="https://e.org/a.png")
    settings = {"a": [1, 2.5, None, True, {"ключ": '"'}], "ticketCount": 10**20}
    room = await factories.room(
        organizer,
        name="\t'{}'",
        description="x\u2028y",
        appSettings=jsonb(settings),
        createdAt=moment,
    )
    await factories.prize(room["id"])

    listed = (await client.get("/api/v1/rooms")).json()["data"]
    alone = (await client.get(f"/api/v1/rooms/{room['id']}")).json()["data"]

    del alone["app"]["manifest"]
    assert listed == [alone]
    assert alone["createdAt"] == "2026-01-02T03:04:05.060Z"
    assert alone["_count"] == {"participants": 1, "prizes": 1, "winners": 0}


async def test_hidden_settings_are_shown_to_moderators_alone_and_in_no_list(
    client: httpx.AsyncClient,
) -> None:
    await seed.seed()
    room_id = seed.TRIVIA
    path = f"/api/v1/rooms/{room_id}"
    moderator = await factories.user()
    await factories.participant(room_id, moderator["id"], role="MODERATOR")
    players = [await factories.user() for _ in range(2)]
    for player, role in zip(players, ("PARTICIPANT", "VIEWER"), strict=True):
        await factories.participant(room_id, player["id"], role=role)

    async def questions(answer: httpx.Response) -> list[set[str]]:
        return [set(each) for each in answer.json()["data"]["appSettings"]["questions"]]

    public = {"id", "text", "options", "timeLimit"}
    as_moderator = await client.get(path, headers=await factories.bearer(moderator))
    assert await questions(as_moderator) == [public | {"correctIndex"}] * 3
    assert await questions(await client.get(path)) == [public] * 3
    for player in players:
        answer = await client.get(path, headers=await factories.bearer(player))
        assert await questions(answer) == [public] * 3
    for caller in (moderator, *players):
        listed = await client.get("/api/v1/rooms", headers=await factories.bearer(caller))
        assert "correctIndex" not in listed.text
        assert '"questions"' in listed.text


@pytest.mark.parametrize("manifest", [{"meta": {}}, "text", {"settings": {"type": "nothing"}}])
async def test_no_room_is_opened_on_a_manifest_that_nobody_had_checked(
    client: httpx.AsyncClient, headers: Headers, manifest: object
) -> None:
    app = await factories.app(manifest=jsonb(manifest))
    body = {"name": "New", "appId": app["appId"], "appSettings": {}}

    answer = await client.post("/api/v1/rooms", headers=headers, json=body)

    assert (answer.status_code, code_of(answer)) == (409, "CONFLICT")
    assert await fetchval("SELECT count(*) FROM rooms") == 0
