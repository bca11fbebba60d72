"""Whose address a room's moderators see, and that nobody is told who has an account."""

import asyncio
import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from app.database.audit import acting
from app.database.engine import fetch, fetchrow, fetchval, transaction
from app.participants.service import leave_everywhere
from tests import factories
from tests.answers import Headers, code_of
from tests.waiting import is_held_up

HIDDEN = "hidden@example.org"


@pytest.fixture
def path(room: asyncpg.Record) -> str:
    return f"/api/v1/rooms/{room['id']}/participants"


@pytest.fixture
async def stranger(client: httpx.AsyncClient) -> asyncpg.Record:  # noqa: ARG001 - bound there
    """Return somebody who never agreed to anything."""
    return await factories.user(email=HIDDEN, name="Stranger")


async def add(
    client: httpx.AsyncClient, path: str, headers: Headers, **body: object
) -> dict[str, Any]:
    answer = await client.post(path, json=body, headers=headers)
    assert answer.status_code in {200, 201}, answer.text
    shown: dict[str, Any] = answer.json()["data"]
    return shown


async def add_many(
    client: httpx.AsyncClient, path: str, headers: Headers, lines: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    body = {"participants": lines}
    answer = await client.post(f"{path}/bulk", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    told: list[dict[str, Any]] = answer.json()["data"]["lines"]
    return told


async def all_that_is_told(
    client: httpx.AsyncClient, room: asyncpg.Record, person_id: str, headers: Headers
) -> str:
    """Read everything that may show somebody who is in a room, and has won there."""
    base = f"/api/v1/rooms/{room['id']}"
    paths = [
        f"/api/v1/users/{person_id}",
        base,
        "/api/v1/rooms",
        *(f"{base}/{name}" for name in ("participants", "participants.csv")),
        *(f"{base}/{name}" for name in ("winners", "winners.csv", "draws")),
    ]
    paths += [
        f"{base}/participants/{row['id']}"
        for row in await fetch('SELECT id FROM participants WHERE "deletedAt" IS NULL')
    ]
    paths += [f"{base}/winners/{row['id']}" for row in await fetch("SELECT id FROM winners")]
    answers = [await client.get(each, headers=headers) for each in paths]
    assert {each.status_code for each in answers} <= {200, 401, 404}
    return "\n".join(f"{each.headers}\n{each.text}" for each in answers)


async def win(room: asyncpg.Record, participant_id: str) -> None:
    prize = await factories.prize(room["id"], quantityRemaining=0)
    await factories.winner(room["id"], participant_id, prize["id"])


@pytest.mark.parametrize("reader", ["MODERATOR", "ORGANIZER", "ADMIN", "platform"])
@pytest.mark.parametrize("by", ["one", "many", "after leaving", "changed"])
async def test_who_was_brought_in_by_id_keeps_the_address_to_themselves(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    path: str,
    headers: Headers,
    stranger: asyncpg.Record,
    reader: str,
    by: str,
) -> None:
    person = await factories.user(isAdmin=reader == "platform")
    if reader != "platform":
        await factories.participant(room["id"], person["id"], role=reader)
    match by:
        case "many":
            await add_many(client, path, headers, [{"userId": stranger["id"]}])
        case "after leaving":
            own = await factories.bearer(stranger)
            await client.post(path, headers=own)
            await client.delete(f"{path}/me", headers=own)
            await add(client, path, headers, userId=stranger["id"])
        case _:
            await add(client, path, headers, userId=stranger["id"])
    row = await fetchrow('SELECT * FROM participants WHERE "userId" = $1', stranger["id"])
    assert row is not None
    await win(room, row["id"])
    if by == "changed":
        one = f"{path}/{row['id']}"
        await client.patch(one, json={"role": "VIEWER", "metadata": {"a": 1}}, headers=headers)

    told = await all_that_is_told(client, room, stranger["id"], await factories.bearer(person))

    assert "Stranger" in told
    assert HIDDEN not in told


@pytest.mark.parametrize("way", ["joined", "brought in, then joined", "opened the room"])
async def test_who_agreed_shows_it_to_moderators_as_it_is_now(
    client: httpx.AsyncClient, stranger: asyncpg.Record, way: str
) -> None:
    own = await factories.bearer(stranger)
    room = await factories.room()
    path = f"/api/v1/rooms/{room['id']}/participants"
    organizer = await fetchrow("SELECT * FROM users WHERE id = $1", room["createdBy"])
    headers = await factories.bearer(organizer)
    match way:
        case "opened the room":
            body = {"name": "Mine", "appId": room["appId"], "appSettings": factories.SETTINGS}
            opened = await client.post("/api/v1/rooms", json=body, headers=own)
            [room] = await fetch("SELECT * FROM rooms WHERE id = $1", opened.json()["data"]["id"])
            headers = await factories.bearer(await factories.user(isAdmin=True))
        case "joined":
            assert (await client.post(path, headers=own)).status_code == 201
        case _:
            await add(client, path, headers, userId=stranger["id"], role="VIEWER")
            joined = await client.post(path, headers=own)
            assert (joined.status_code, joined.json()["data"]["role"]) == (200, "VIEWER")
            assert (await client.post(path, headers=own)).status_code == 409

    assert HIDDEN in await all_that_is_told(client, room, stranger["id"], headers)
    await fetch("UPDATE users SET email = 'later@example.org' WHERE id = $1", stranger["id"])
    told = await all_that_is_told(client, room, stranger["id"], headers)
    assert told.count("later@example.org") >= 3
    assert HIDDEN not in told


async def test_who_was_brought_in_by_address_shows_that_one_and_no_later_one(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    path: str,
    headers: Headers,
    stranger: asyncpg.Record,
) -> None:
    own = await factories.bearer(stranger)
    await add(client, path, headers, email=HIDDEN)
    await client.post(path, headers=own)
    await client.delete(f"{path}/me", headers=own)
    again = await add(client, path, headers, email=HIDDEN)
    await fetch("UPDATE users SET email = 'later@example.org' WHERE id = $1", stranger["id"])

    told = await all_that_is_told(client, room, stranger["id"], headers)

    assert (again["userId"], again["email"]) == (stranger["id"], HIDDEN)
    assert HIDDEN in told
    assert "later@example.org" not in told


@pytest.mark.parametrize("role", [None, "outsider", "VIEWER", "PARTICIPANT"])
async def test_others_see_no_address_however_somebody_came(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    path: str,
    headers: Headers,
    stranger: asyncpg.Record,
    role: str | None,
) -> None:
    row = await add(client, path, headers, email="asked@example.org", name="Asked")
    await win(room, row["id"])
    await client.post(path, headers=await factories.bearer(stranger))
    reader = None if role is None else await factories.user()
    if reader is not None and role != "outsider":
        await factories.participant(room["id"], reader["id"], role=role)

    told = await all_that_is_told(client, room, stranger["id"], await factories.bearer(reader))

    assert "Asked" in told
    assert "@example.org" not in told.replace(f"{reader and reader['email']}", "")


def shape(told: Any) -> Any:
    """Return what is told without ids, times and the address itself."""
    if isinstance(told, dict):
        return {
            name: "…"
            if name in {"id", "participantId", "joinedAt", "updatedAt", "email"}
            and value is not None
            else shape(value)
            for name, value in told.items()
            if name != "line"
        }
    return [shape(each) for each in told] if isinstance(told, list) else told


PEOPLE = {
    "has an account": {},
    "has none": None,
    "deleted it": {"deletedAt": factories.now()},
    "never proved the address": {"emailVerified": None},
    "is in the room by id": {},
    "is expected in another room": {},
}


@pytest.mark.parametrize("way", ["one", "many", "CSV"])
async def test_nothing_tells_who_has_an_account(
    client: httpx.AsyncClient, path: str, headers: Headers, way: str
) -> None:
    elsewhere = await factories.room()
    emails = []
    for number, values in enumerate(PEOPLE.values()):
        emails.append(email := f"p{number}@example.org")
        if values is not None:
            await factories.user(email=email, name="An account's", **values)
    by_id = await fetchval("SELECT id FROM users WHERE email = $1", emails[4])
    await add(client, path, headers, userId=by_id)
    await fetch(
        'INSERT INTO participants (id, "roomId", email, "updatedAt") VALUES ($1, $1, $2, now())',
        elsewhere["id"],
        emails[5],
    )
    told: list[Any] = []

    async def give(emails: Sequence[str]) -> None:
        """Bring all of them in, and keep everything that is answered."""
        match way:
            case "one":
                answers = [
                    await client.post(path, json={"email": email}, headers=headers)
                    for email in emails
                ]
                told.append([(each.status_code, shape(each.json()["data"])) for each in answers])
            case "many":
                lines = [{"email": email} for email in emails]
                told.append(shape(await add_many(client, path, headers, lines)))
            case _:
                answer = await client.post(
                    f"{path}/bulk",
                    content="email\n" + "\n".join(emails),
                    headers={**headers, "Content-Type": "text/csv"},
                )
                told.append(shape(answer.json()["data"]["lines"]))

    await give(emails)
    listed = (await client.get(path, headers=headers)).json()["data"]
    told.append(shape([each for each in listed if each.get("email") in emails]))
    file = (await client.get(f"{path}.csv", headers=headers)).text
    rows = [row for row in csv.DictReader(io.StringIO(file)) if row["email"] in emails]
    told.append([{**row, "id": "", "email": "", "joinedAt": ""} for row in rows])
    for each in listed:
        if each.get("email") in emails:
            await client.delete(f"{path}/{each['id']}", headers=headers)
    await give(emails)

    assert [len(each) for each in told] == [len(PEOPLE)] * len(told)
    for each in told:
        assert all(one == each[0] for one in each), each


async def test_bringing_in_by_address_reads_no_account(
    client: httpx.AsyncClient, path: str, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    original = asyncpg.Connection.fetch

    async def keep(self: Any, sql: str, *arguments: Any, **options: Any) -> Any:
        statements.append(f"{sql} {arguments}")
        return await original(self, sql, *arguments, **options)

    monkeypatch.setattr(asyncpg.Connection, "fetch", keep)
    await add_many(client, path, headers, [{"email": "asked@example.org"}])

    about_it = [each for each in statements if "asked@example.org" in each]
    assert about_it
    assert not [each for each in about_it if "users" in each]


async def test_who_is_known_in_the_room_is_found_by_the_address(
    client: httpx.AsyncClient, path: str, headers: Headers, stranger: asyncpg.Record
) -> None:
    own = await factories.bearer(stranger)
    joined = (await client.post(path, headers=own)).json()["data"]

    [there] = await add_many(client, path, headers, [{"email": HIDDEN}])
    twice = await client.post(path, json={"email": HIDDEN}, headers=headers)
    await client.delete(f"{path}/me", headers=own)
    [back] = await add_many(client, path, headers, [{"email": HIDDEN}])

    assert (there["outcome"], there["participantId"]) == ("ALREADY_IN", joined["id"])
    assert (twice.status_code, code_of(twice)) == (409, "CONFLICT")
    assert (back["outcome"], back["participantId"]) == ("CAME_BACK", joined["id"])


async def test_who_is_expected_by_address_is_in_as_soon_as_they_have_signed_in(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers
) -> None:
    room = await factories.room(organizer, isPublic=False)
    base = f"/api/v1/rooms/{room['id']}"
    row = await add(
        client, f"{base}/participants", headers, email=HIDDEN, name="Di", role="MODERATOR"
    )
    own = await factories.bearer(await factories.user(email=HIDDEN))

    shown = await client.get(base, headers=own)
    listed = (await client.get("/api/v1/rooms", headers=own)).json()
    me = (await client.get(f"{base}/participants/me", headers=own)).json()["data"]
    made = await client.post(f"{base}/prizes", json={"name": "Ice cream"}, headers=own)

    assert shown.status_code == 200
    assert [each["id"] for each in listed["data"]] == [room["id"]]
    assert listed["meta"]["total"] == 1
    assert (me["id"], me["userId"], me["user"]) == (
        row["id"],
        None,
        {"id": None, "name": "Di", "avatar": None},
    )
    assert made.status_code == 201


@pytest.mark.parametrize(
    "values",
    [{"emailVerified": None}, {"email": "other@example.org"}, {"email": "HIDDEN@example.org"}],
)
async def test_nobody_else_is(
    client: httpx.AsyncClient,
    organizer: asyncpg.Record,
    headers: Headers,
    values: dict[str, Any],
) -> None:
    room = await factories.room(organizer, isPublic=False)
    base = f"/api/v1/rooms/{room['id']}"
    await add(client, f"{base}/participants", headers, email=HIDDEN)
    own = await factories.bearer(await factories.user(**{"email": HIDDEN, **values}))

    answers = [
        await client.get(base, headers=own),
        await client.post(f"{base}/participants", headers=own),
        await client.get(f"{base}/participants/me", headers=own),
        await client.delete(f"{base}/participants/me", headers=own),
    ]

    assert [each.status_code for each in answers] == [404] * 4
    assert (await client.get("/api/v1/rooms", headers=own)).json()["data"] == []


@pytest.mark.parametrize("status", ["DRAFT", "ACTIVE", "COMPLETED", "CANCELLED"])
@pytest.mark.parametrize("is_public", [True, False])
async def test_joining_takes_up_the_row_with_what_it_has_won(
    client: httpx.AsyncClient,
    organizer: asyncpg.Record,
    headers: Headers,
    stranger: asyncpg.Record,
    status: str,
    *,
    is_public: bool,
) -> None:
    room = await factories.room(organizer, isPublic=is_public)
    base = f"/api/v1/rooms/{room['id']}"
    row = await add(
        client,
        f"{base}/participants",
        headers,
        email=HIDDEN,
        name="Di",
        role="VIEWER",
        metadata={"a": 1},
    )
    await win(room, row["id"])
    await fetch('UPDATE rooms SET status = $1::"RoomStatus"', status)
    own = await factories.bearer(stranger)

    joined = await client.post(f"{base}/participants", headers=own)
    again = await client.post(f"{base}/participants", headers=own)

    assert joined.status_code == 200, joined.text
    shown = joined.json()["data"]
    assert (shown["id"], shown["userId"], shown["role"]) == (row["id"], stranger["id"], "VIEWER")
    assert shown["metadata"] == {"a": 1}
    assert shown["user"] == {"id": stranger["id"], "name": "Stranger", "avatar": None}
    assert (again.status_code, code_of(again)) == (409, "CONFLICT")
    [won] = (await client.get(f"{base}/winners", headers=own)).json()["data"]
    assert won["participant"]["userId"] == stranger["id"]


async def test_a_row_of_ones_own_is_kept_and_the_other_is_given_up(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    path: str,
    headers: Headers,
    stranger: asyncpg.Record,
) -> None:
    mine = await add(client, path, headers, userId=stranger["id"], role="VIEWER")
    waiting = await add(client, path, headers, email=HIDDEN, name="Asked", role="MODERATOR")
    await win(room, waiting["id"])
    own = await factories.bearer(stranger)

    joined = await client.post(path, headers=own)
    listed = (await client.get(path, headers=headers)).json()["data"]
    [won] = (await client.get(f"/api/v1/rooms/{room['id']}/winners", headers=headers)).json()[
        "data"
    ]
    added = await client.post(path, json={"email": HIDDEN}, headers=headers)

    assert (joined.status_code, joined.json()["data"]["id"]) == (200, mine["id"])
    assert [each["email"] for each in listed][1:] == [HIDDEN]
    assert (won["participantId"], won["participant"]["user"]["name"]) == (waiting["id"], "Asked")
    assert added.status_code == 409


async def test_who_left_and_is_expected_again_comes_back_as_what_they_are_expected(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers, stranger: asyncpg.Record
) -> None:
    room = await factories.room(organizer, isPublic=False)
    path = f"/api/v1/rooms/{room['id']}/participants"
    own = await factories.bearer(stranger)
    mine = await add(client, path, headers, userId=stranger["id"], metadata={"old": 1})
    await client.delete(f"{path}/me", headers=own)
    await add(client, path, headers, email=HIDDEN, role="MODERATOR", metadata={"new": 1})

    joined = await client.post(path, headers=own)

    assert joined.status_code == 200, joined.text
    shown = joined.json()["data"]
    assert (shown["id"], shown["role"], shown["metadata"]) == (mine["id"], "MODERATOR", {"new": 1})


async def test_who_does_not_want_to_come_leaves(
    client: httpx.AsyncClient, organizer: asyncpg.Record, headers: Headers, stranger: asyncpg.Record
) -> None:
    room = await factories.room(organizer, isPublic=False)
    base = f"/api/v1/rooms/{room['id']}"
    await add(client, f"{base}/participants", headers, email=HIDDEN)
    own = await factories.bearer(stranger)

    left = await client.delete(f"{base}/participants/me", headers=own)

    assert left.status_code == 200
    assert (await client.get(base, headers=own)).status_code == 404
    assert (await client.post(f"{base}/participants", headers=own)).status_code == 404
    again = await add(client, f"{base}/participants", headers, email=HIDDEN)
    assert again["userId"] is None


async def test_an_address_that_another_account_joined_with_stays_with_it(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, stranger: asyncpg.Record
) -> None:
    await client.post(path, headers=await factories.bearer(stranger))
    await fetch("UPDATE users SET email = 'later@example.org' WHERE id = $1", stranger["id"])
    heir = await factories.bearer(await factories.user(email=HIDDEN))

    joined = await client.post(path, headers=heir)
    again = await client.post(path, headers=heir)

    assert (joined.status_code, again.status_code) == (201, 409)
    rows = await fetch('SELECT email FROM participants WHERE "roomId" = $1', room["id"])
    assert Counter(row["email"] for row in rows)[HIDDEN] == 1


async def test_who_never_came_is_no_organizer_to_leave_a_room_to(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, headers: Headers
) -> None:
    row = await add(client, path, headers, email=HIDDEN, role="ORGANIZER")

    left = await client.delete(f"{path}/me", headers=headers)
    given = await client.patch(
        f"/api/v1/rooms/{room['id']}", json={"createdBy": row["id"]}, headers=headers
    )
    previewed = await client.delete(
        f"/api/v1/users/{room['createdBy']}", params={"preview": "true"}, headers=headers
    )

    assert (left.status_code, given.status_code) == (409, 409)
    assert [each["id"] for each in previewed.json()["data"]["deletes"]] == [room["id"]]


async def test_who_deletes_the_account_is_forgotten_by_address_and_stays_expected_elsewhere(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    path: str,
    headers: Headers,
    stranger: asyncpg.Record,
) -> None:
    other = await factories.room()
    own = await factories.bearer(stranger)
    await client.post(f"/api/v1/rooms/{other['id']}/participants", headers=own)
    await add(client, path, headers, email=HIDDEN)

    await client.delete(f"/api/v1/users/{stranger['id']}", headers=own)

    rows = await fetch('SELECT "roomId", "deletedAt" FROM participants WHERE email = $1', HIDDEN)
    assert [tuple(row) for row in rows] == [(room["id"], None)]


async def test_an_address_is_awarded_and_drawn_like_anybody(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, headers: Headers
) -> None:
    row = await add(client, path, headers, email=HIDDEN, name="Di")
    base = f"/api/v1/rooms/{room['id']}"
    prizes = [await factories.prize(room["id"]) for _ in range(2)]

    awarded = await client.post(
        f"{base}/winners",
        json={"participantId": row["id"], "prizeId": prizes[0]["id"]},
        headers=headers,
    )
    drawn = await client.post(
        f"{base}/draws",
        json={
            "prizes": [{"id": prizes[1]["id"]}],
            "onePrizeEach": False,
            "immediate": True,
        },
        headers=headers,
    )

    assert awarded.status_code == 201, awarded.text
    assert [each["participantId"] for each in drawn.json()["data"]["winners"]] == [row["id"]]
    names = [
        each["participant"]["user"]["name"]
        for each in (await client.get(f"{base}/winners")).json()["data"]
    ]
    assert names == ["Di", "Di"]


@pytest.mark.usefixtures("database")
async def test_the_trace_of_a_change_has_neither_address_nor_name(
    room: asyncpg.Record, stranger: asyncpg.Record
) -> None:
    row = await factories.participant(room["id"], stranger["id"], name="Given")

    async with transaction(), acting("alice", "delete"):
        await leave_everywhere(stranger["id"])

    record = await fetchrow('SELECT * FROM audit_log WHERE "rowId" = $1', row["id"])
    assert record is not None
    assert "deletedAt" in record["after"]
    assert not {"email", "name"} & msgspec.json.decode(record["before"]).keys()


async def test_requests_with_the_same_addresses_at_once_add_each_once(
    client: httpx.AsyncClient, path: str, headers: Headers
) -> None:
    lines = [{"email": f"p{number}@example.org"} for number in range(300)]
    ids = [{"userId": (await factories.user())["id"]} for _ in range(100)]
    orders = [lines + ids, ids + lines[::-1]] * 3

    told = await asyncio.gather(*(add_many(client, path, headers, each) for each in orders))

    outcomes = Counter(line["outcome"] for lines in told for line in lines)
    assert outcomes == {"ADDED": 400, "ALREADY_IN": 2_000}
    assert len({line["participantId"] for lines in told for line in lines}) == 400


async def test_people_who_join_while_their_addresses_are_brought_in_are_in_once(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, headers: Headers
) -> None:
    people = [await factories.user(email=f"p{number}@example.org") for number in range(20)]
    own = [await factories.bearer(each) for each in people]
    lines = [{"email": each["email"]} for each in people]

    joined, told = await asyncio.gather(
        asyncio.gather(*(client.post(path, headers=each) for each in own)),
        asyncio.gather(*(add_many(client, path, headers, each) for each in (lines, lines[::-1]))),
    )

    assert {each.status_code for each in joined} <= {200, 201}
    assert {line["outcome"] for each in told for line in each} <= {"ADDED", "ALREADY_IN"}
    rows = await fetch(
        'SELECT "userId", email FROM participants WHERE "roomId" = $1 AND "deletedAt" IS NULL',
        room["id"],
    )
    expected = {(each["id"], each["email"]) for each in people}
    assert len(rows) == 21
    assert expected <= {tuple(row) for row in rows}


@pytest.mark.parametrize("first", ["join", "removal"])
async def test_of_joining_and_being_taken_out_at_once_the_later_holds(
    client: httpx.AsyncClient,
    database: str,
    organizer: asyncpg.Record,
    headers: Headers,
    stranger: asyncpg.Record,
    first: str,
) -> None:
    room = await factories.room(organizer, isPublic=False)
    path = f"/api/v1/rooms/{room['id']}/participants"
    row = await add(client, path, headers, email=HIDDEN)
    own = await factories.bearer(stranger)
    requests = {
        "join": client.post(path, headers=own),
        "removal": client.delete(f"{path}/{row['id']}", headers=headers),
    }

    lock = await asyncpg.connect(database)
    async with lock.transaction():
        await lock.execute("SELECT 1 FROM rooms WHERE id = $1 FOR UPDATE", room["id"])
        running = {first: asyncio.create_task(requests.pop(first))}
        assert await is_held_up(running[first])
        [second] = requests
        running[second] = asyncio.create_task(requests[second])
        await asyncio.sleep(0.1)
    await lock.close()

    assert (await running["removal"]).status_code == 200
    assert (await running["join"]).status_code == (200 if first == "join" else 404)
    now = await fetchrow("SELECT * FROM participants WHERE id = $1", row["id"])
    assert now is not None
    assert now["deletedAt"] is not None


async def test_who_joins_while_the_address_is_brought_in_beside_is_told_to_try_again(
    client: httpx.AsyncClient,
    database: str,
    room: asyncpg.Record,
    path: str,
    headers: Headers,
    stranger: asyncpg.Record,
) -> None:
    await add(client, path, headers, userId=stranger["id"])
    own = await factories.bearer(stranger)

    import_ = await asyncpg.connect(database)
    async with import_.transaction():
        await import_.execute(
            'INSERT INTO participants (id, "roomId", email, "updatedAt") '
            "VALUES ($1, $1, $2, now())",
            room["id"],
            HIDDEN,
        )
        join = asyncio.create_task(client.post(path, headers=own))
        assert await is_held_up(join)
    await import_.close()
    again = await client.post(path, headers=own)

    assert (await join).status_code == 409
    assert again.status_code == 200
    assert [each["email"] for each in (await client.get(path, headers=headers)).json()["data"]][
        1:
    ] == [HIDDEN]


@pytest.mark.parametrize("address", ["mi\u212ae@example.com", "mi\u00adke@example.com", "mike"])
async def test_address_that_could_be_taken_for_another_brings_nobody_in(
    client: httpx.AsyncClient, path: str, headers: Headers, address: str
) -> None:
    before = await fetchval("SELECT count(*) FROM participants")
    alone = await client.post(path, json={"email": address}, headers=headers)
    assert (alone.status_code, code_of(alone)) == (400, "VALIDATION_ERROR")
    assert list(alone.json()["error"]["details"]["fields"]) == ["$.email"]
    [told] = await add_many(client, path, headers, [{"email": address}])
    assert told["error"]["details"]["fields"].keys() == {"$.email"}
    assert await fetchval("SELECT count(*) FROM participants") == before


async def test_one_address_in_two_spellings_is_brought_in_once(
    client: httpx.AsyncClient, path: str, headers: Headers
) -> None:
    await add(client, path, headers, email="Élodie@BÜCHER.de")
    again = await client.post(path, json={"email": "élodie@xn--bcher-kva.de"}, headers=headers)
    assert (again.status_code, code_of(again)) == (409, "CONFLICT")
    [kept] = await fetch("SELECT email FROM participants WHERE email LIKE '%xn--%'")
    assert kept["email"] == "élodie@xn--bcher-kva.de"
