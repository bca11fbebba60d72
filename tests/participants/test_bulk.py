"""Bringing in many people with one request, as JSON and as CSV, over HTTP."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchrow, fetchval
from tests import factories
from tests.answers import Headers, code_of
from tests.waiting import eventually, somebody_waits


@pytest.fixture
def path(room: asyncpg.Record) -> str:
    return f"/api/v1/rooms/{room['id']}/participants/bulk"


async def people(count: int) -> Sequence[str]:
    """Make people p1, p2 … with addresses p1@example.org …; return their ids."""
    await fetch(
        'INSERT INTO users (id, email, "updatedAt") '
        "SELECT 'p' || i, 'p' || i || '@example.org', now() FROM generate_series(1, $1::int) i",
        count,
    )
    return [f"p{number}" for number in range(1, count + 1)]


def outcomes(answer: httpx.Response) -> list[str]:
    """Return what became of each line; of one that failed, the error's code."""
    assert answer.status_code == 200, answer.text
    lines = answer.json()["data"]["lines"]
    return [each["error"]["code"] if each["error"] else each["outcome"] for each in lines]


async def send_csv(
    client: httpx.AsyncClient, path: str, headers: Headers, text: str | bytes
) -> httpx.Response:
    return await client.post(path, content=text, headers={**headers, "Content-Type": "text/csv"})


async def test_each_line_is_told_what_became_of_it(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, headers: Headers
) -> None:
    await people(9)
    await factories.participant(room["id"], "p3", role="VIEWER")
    left = await factories.participant(
        room["id"], "p4", role="MODERATOR", metadata='{"seat": 1}', deletedAt=factories.now()
    )
    await fetch("UPDATE users SET \"deletedAt\" = now() WHERE id = 'p5'")
    lines: list[tuple[Any, str]] = [
        ({"userId": "p1"}, "ADDED"),
        ({"email": " P2@Example.org ", "role": "MODERATOR", "metadata": {"a": [1]}}, "ADDED"),
        ({"userId": "p3", "role": "ORGANIZER"}, "ALREADY_IN"),
        ({"userId": "p4"}, "CAME_BACK"),
        ({"userId": "p5"}, "NOT_FOUND"),
        ({"email": "nobody@example.org", "name": "Nobody"}, "ADDED"),
        ({"userId": "p6", "role": "ADMIN"}, "FORBIDDEN"),
        ({"userId": "p6"}, "ADDED"),
        ({"userId": "p6", "role": "VIEWER"}, "ALREADY_IN"),
        ({"email": "P3@example.org"}, "ALREADY_IN"),
        ({"email": "NOBODY@example.org", "role": "VIEWER"}, "ALREADY_IN"),
        ({"userId": "p7", "email": "p7@example.org"}, "VALIDATION_ERROR"),
        ({"role": "VIEWER"}, "VALIDATION_ERROR"),
        ({"userId": "p7", "role": "KING"}, "VALIDATION_ERROR"),
        ({"userId": "p7", "metadata": {"a": "\0"}}, "VALIDATION_ERROR"),
        ({"userId": "p7", "metadata": {"a": "x" * 16_384}}, "VALIDATION_ERROR"),
        ({"userId": "p7", "nickname": "Di"}, "VALIDATION_ERROR"),
        ({"email": "nowhere"}, "VALIDATION_ERROR"),
        ({"email": "p7@example.org", "name": ""}, "VALIDATION_ERROR"),
        ({"userId": 7}, "VALIDATION_ERROR"),
        ("p7", "VALIDATION_ERROR"),
        (None, "VALIDATION_ERROR"),
    ]

    answer = await client.post(
        path, json={"participants": [line for line, _ in lines]}, headers=headers
    )

    assert outcomes(answer) == [outcome for _, outcome in lines]
    told = answer.json()["data"]
    assert [each["line"] for each in told["lines"]] == list(range(1, len(lines) + 1))
    counts = {name: told[name] for name in ("added", "cameBack", "alreadyIn", "failed")}
    assert counts == {"added": 4, "cameBack": 1, "alreadyIn": 4, "failed": 13}
    assert told["lines"][3]["participantId"] == left["id"]
    assert told["lines"][7]["participantId"] == told["lines"][8]["participantId"]
    assert told["lines"][5]["participantId"] == told["lines"][10]["participantId"]
    assert list(told["lines"][16]["error"]["details"]["fields"]) == ["$.nickname"]
    rows = await fetch(
        'SELECT COALESCE("userId", email), role, metadata FROM participants '
        "WHERE \"deletedAt\" IS NULL AND role <> 'ORGANIZER' ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [
        ("nobody@example.org", "PARTICIPANT", None),
        ("p1", "PARTICIPANT", None),
        ("p2@example.org", "MODERATOR", '{"a": [1]}'),
        ("p3", "VIEWER", None),
        ("p4", "PARTICIPANT", '{"seat": 1}'),
        ("p6", "PARTICIPANT", None),
    ]


CSV = {
    "CRLF": "userId,role,metadata\r\np1,VIEWER,\r\np2,,\r\n",
    "LF, no end": "userId,role\np1,VIEWER\np2,",
    "a byte order mark": "\ufeffuserId\np1\np2\n",
    "semicolons": "email;role\r\np1@example.org;VIEWER\r\np2@example.org;\r\n",
    "another order, spaces": "role , userId\nVIEWER, p1 \n,p2\n",
    "columns and lines that are blank": "userId,role,,\n\np1,VIEWER,,\n,,,\n\np2,,,\n",
    "quotes": '"userId","metadata"\n"p1","{""a"":\r\n""b,c""}"\n"p2",\n',
}


@pytest.mark.parametrize("text", CSV.values(), ids=CSV)
async def test_csv_is_read_as_spreadsheets_write_it(
    client: httpx.AsyncClient, path: str, headers: Headers, text: str
) -> None:
    await people(2)
    answer = await send_csv(client, path, headers, text)
    assert outcomes(answer) == ["ADDED", "ADDED"]


async def test_a_faulty_line_of_csv_is_told_by_its_number_in_the_file(
    client: httpx.AsyncClient, path: str, headers: Headers
) -> None:
    await people(4)
    text = (
        "userId,role,metadata\r\n"
        '"p1",,"{""a"":\r\n 1}"\r\n'
        "p2,viewer,\r\n"
        "\r\n"
        "p3,,not JSON\r\n"
        "p4,,,surplus\r\n"
        "p4,,\0\r\n"
        ",VIEWER,\r\n"
        "p2,,[1]\r\n"
    )

    answer = await send_csv(client, path, headers, text)

    lines = answer.json()["data"]["lines"]
    told = [
        (each["line"], list((each["error"] or {}).get("details", {}).values())) for each in lines
    ]
    assert [line for line, _ in told] == [2, 4, 6, 7, 8, 9, 10]
    assert [list(fields[0]) for _, fields in told[1:]] == [
        ["$.role"],
        ["$.metadata"],
        ["$['column 4']"],
        ["$.metadata"],
        ["$"],
        ["$.metadata"],
    ]
    assert outcomes(answer)[0] == "ADDED"


UNREADABLE: dict[str, tuple[str, bytes, str]] = {
    "no list": ("application/json", b"{}", "$.participants"),
    "no object": ("application/json", b"[]", "$"),
    "another member": ("application/json", b'{"participants": [], "all": 1}', "$.all"),
    "no array": ("application/json", b'{"participants": {}}', "$.participants"),
    "no lines": ("application/json", b'{"participants": []}', "$"),
    "too many": ("application/json", b'{"participants": [1' + b",1" * 10_000 + b"]}", "$"),
    "no lines of CSV": ("text/csv", b"userId\n", "$"),
    "too many of CSV": ("text/csv", b"userId\n" + b"p\n" * 10_001, "$"),
    "nothing": ("text/csv", b"", "$"),
    "another column": ("text/csv", b"userId,nickname\np1,x\n", "$.nickname"),
    "a column with an odd name": ("text/csv", b"user no\np1\n", "$['user no']"),
    "a column without a name": ("text/csv", b"userId,,role\np1,,\n", "$"),
    "a column twice": ("text/csv", b"userId,userId\np1,p1\n", "$.userId"),
    "nobody named": ("text/csv", b"role\nVIEWER\n", "$"),
    "never unquoted": ("text/csv", b'userId\n"p1\n', "$"),
    "not UTF-8": ("text/csv; charset=UTF-8", b"userId\n\xff\n", "$"),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_body_that_has_no_lines_is_refused_whole(
    client: httpx.AsyncClient, path: str, headers: Headers, name: str
) -> None:
    content_type, body, field = UNREADABLE[name]
    sent = {**headers, "Content-Type": content_type}
    answer = await client.post(path, content=body, headers=sent)
    assert (answer.status_code, code_of(answer)) == (400, "VALIDATION_ERROR")
    fields = answer.json()["error"]["details"]["fields"]
    assert field in fields
    assert "$." not in fields


@pytest.mark.parametrize("body", [b'{"participants": [{"userId": "\\ud800"}]}', b"{", b""])
async def test_what_is_not_json_is_refused_whole(
    client: httpx.AsyncClient, path: str, headers: Headers, body: bytes
) -> None:
    answer = await client.post(path, content=body, headers=headers)
    assert (answer.status_code, code_of(answer)) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("kind", ["text/plain", "text/csv; charset=latin-1", "multipart/form-data"])
async def test_other_kinds_of_bodies_are_refused(
    client: httpx.AsyncClient, path: str, headers: Headers, kind: str
) -> None:
    answer = await client.post(path, content=b"userId\n", headers={**headers, "Content-Type": kind})
    assert (answer.status_code, code_of(answer)) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_ten_thousand_lines_are_few_statements_and_a_larger_body_is_refused(
    client: httpx.AsyncClient, path: str, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await people(10_000)
    text = io.StringIO()
    csv.writer(text).writerows([("email", "metadata"), *((f"{i}@example.org", "{}") for i in ids)])
    statements = []
    original = asyncpg.Connection.fetch

    async def count(self: Any, sql: str, *arguments: Any, **options: Any) -> Any:
        statements.append(sql)
        return await original(self, sql, *arguments, **options)

    monkeypatch.setattr(asyncpg.Connection, "fetch", count)
    answer = await send_csv(client, path, headers, text.getvalue())
    larger = await send_csv(client, path, headers, b"x" * 5_000_001)

    assert answer.json()["data"]["added"] == 10_000
    assert len(statements) < 20
    assert (larger.status_code, code_of(larger)) == (413, "PAYLOAD_TOO_LARGE")
    assert "5,000,000" in larger.json()["error"]["message"]
    listed = await client.get(path.removesuffix("/bulk"), params={"limit": 3}, headers=headers)
    addresses = [each["email"] for each in listed.json()["data"]]
    assert addresses[1:] == ["p1@example.org", "p2@example.org"]


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED"])
async def test_a_closed_room_takes_nobody_in(
    client: httpx.AsyncClient, path: str, headers: Headers, status: str
) -> None:
    await people(1)
    await fetch('UPDATE rooms SET status = $1::"RoomStatus"', status)
    answer = await client.post(path, json={"participants": [{"userId": "p1"}]}, headers=headers)
    assert (answer.status_code, code_of(answer)) == (409, "ROOM_CLOSED")
    assert await fetchval("SELECT count(*) FROM participants") == 1


@pytest.mark.parametrize("is_public", [True, False])
async def test_a_moderator_grants_no_more_than_one_by_one(
    client: httpx.AsyncClient, *, is_public: bool
) -> None:
    await people(3)
    room, moderator = await factories.room(isPublic=is_public), await factories.user()
    await factories.participant(room["id"], moderator["id"], role="MODERATOR")
    roles = ("VIEWER", "PARTICIPANT", "MODERATOR")
    lines = [{"userId": f"p{n}", "role": role} for n, role in enumerate(roles, 1)]

    answer = await client.post(
        f"/api/v1/rooms/{room['id']}/participants/bulk",
        json={"participants": lines},
        headers=await factories.bearer(moderator),
    )

    assert outcomes(answer) == ["ADDED", "ADDED", "FORBIDDEN"]


async def test_the_same_request_with_the_same_key_is_answered_as_the_first_time(
    client: httpx.AsyncClient, path: str, headers: Headers
) -> None:
    await people(2)
    sent = {**headers, "Idempotency-Key": "list-1"}
    text = "userId\np1\np2\n"

    first = await send_csv(client, path, sent, text)
    again = await send_csv(client, path, sent, text)
    anew = await send_csv(client, path, headers, text)

    assert (outcomes(first), again.content) == (["ADDED", "ADDED"], first.content)
    assert outcomes(anew) == ["ALREADY_IN", "ALREADY_IN"]


async def test_requests_in_opposite_orders_at_once_neither_wait_for_ever_nor_add_twice(
    client: httpx.AsyncClient, path: str, headers: Headers
) -> None:
    ids = await people(500)
    orders = [ids, ids[::-1]] * 3

    answers = await asyncio.gather(
        *(
            client.post(
                path, json={"participants": [{"userId": i} for i in order]}, headers=headers
            )
            for order in orders
        )
    )

    assert [each.status_code for each in answers] == [200] * 6
    assert sum(each.json()["data"]["added"] for each in answers) == 500
    assert await fetchval("SELECT count(*) FROM participants") == 501


async def test_control_in_opposite_orders_they_wait_for_each_other(
    database: str, room: asyncpg.Record
) -> None:
    ids = await people(2)
    barrier = asyncio.Barrier(2)

    async def enter(order: Sequence[str]) -> None:
        connection = await asyncpg.connect(database)
        try:
            async with connection.transaction():
                for number, person in enumerate(order):
                    await connection.execute(
                        'INSERT INTO participants (id, "userId", "roomId", "updatedAt") '
                        "VALUES ($1, $2, $3, now())",
                        person + order[0],
                        person,
                        room["id"],
                    )
                    await barrier.wait() if number == 0 else None
        finally:
            await connection.close()

    with pytest.raises(asyncpg.DeadlockDetectedError):
        await asyncio.gather(enter(ids), enter(ids[::-1]))


@asynccontextmanager
async def held(database: str, statement: str) -> AsyncIterator[None]:
    """Do something in a transaction that is committed when the block ends."""
    connection = await asyncpg.connect(database)
    try:
        async with connection.transaction():
            await connection.execute(statement)
            yield
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE rooms SET status = 'CANCELLED'", "ROOM_CLOSED"),
        ('UPDATE rooms SET "deletedAt" = now()', "NOT_FOUND"),
        ("UPDATE users SET \"deletedAt\" = now() WHERE id = 'p1'", ["NOT_FOUND", "ADDED"]),
    ],
)
async def test_what_ends_meanwhile_is_waited_for(
    client: httpx.AsyncClient,
    database: str,
    path: str,
    headers: Headers,
    statement: str,
    expected: Any,
) -> None:
    await people(2)
    body = {"participants": [{"userId": "p1"}, {"userId": "p2"}]}

    async with held(database, statement):
        request = asyncio.create_task(client.post(path, json=body, headers=headers))
        await eventually(somebody_waits)
    answer = await request

    told = code_of(answer) if answer.is_error else outcomes(answer)
    assert told == expected
    row = await fetchrow("SELECT count(*) AS members FROM participants")
    assert row is not None
    assert row["members"] == (1 if answer.is_error else 2)


async def test_what_fails_half_way_leaves_nobody_in(
    client: httpx.AsyncClient, path: str, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await people(2)

    async def fail(*_: object) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr("app.participants.bulk._met", fail)
    body = {"participants": [{"userId": "p1"}, {"userId": "p2"}]}

    answer = await client.post(path, json=body, headers=headers)

    assert (answer.status_code, code_of(answer)) == (503, "SERVICE_UNAVAILABLE")
    assert await fetchval("SELECT count(*) FROM participants") == 1
