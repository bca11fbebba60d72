"""Each read endpoint is one or two statements, and none of them reads a large table whole."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
from litestar.routes import HTTPRoute

from app.asgi import create_app
from app.database.engine import DB, fetch, fetchrow
from app.database.listing import Position
from app.http.pagination import write_cursor
from tests import factories
from tests.benchmarks.load import BIG_ROOM, Size, id_of, load

API = "/api/v1"
SIZE = Size(rooms=8_000, people=5_000, participants=40_000)
LARGE = {
    *("users", "rooms", "participants", "prizes", "winners", "room_counts"),
    *("quizzes", "rounds", "answers", "invitations", "events"),
    "webhook_deliveries",
}
CURSOR = write_cursor(Position(datetime.now(UTC) - timedelta(hours=3), id_of("r", 9)))
ROOM = f"/rooms/{BIG_ROOM}"
ROUND = id_of("o", 7)
APP_WEBHOOKS = "/apps/app_lottery_v1/webhooks"
OF_ADMINISTRATORS = (APP_WEBHOOKS, "/apps/app_lottery_v1/events")
READS = {
    "/auth/sessions": [""],
    "/auth/me": [""],
    "/users/{user_id}": [f"/users/{id_of('u', 8)}"],
    "/apps": [""],
    "/apps/{app_id}": ["/apps/app_lottery_v1"],
    "/apps/{app_id}/versions": ["/apps/app_lottery_v1/versions"],
    "/apps/{app_id}/webhooks": [APP_WEBHOOKS],
    "/apps/{app_id}/webhooks/{webhook_id}": [f"{APP_WEBHOOKS}/hook"],
    "/apps/{app_id}/webhooks/{webhook_id}/deliveries": [
        f"{APP_WEBHOOKS}/hook/deliveries",
        f"{APP_WEBHOOKS}/hook/deliveries?status=FAILED&type=winner.awarded",
    ],
    "/apps/{app_id}/events": ["/apps/app_lottery_v1/events"],
    "/rooms": [
        "",
        "/rooms?page=100",
        f"/rooms?cursor={CURSOR}",
        "/rooms?status=DRAFT",
        f"/rooms?createdBy={id_of('u', 7)}",
        "/rooms?isPublic=false",
    ],
    "/rooms/{room_id}": [ROOM],
    "/rooms/{room_id}/participants": [
        f"{ROOM}/participants?limit=20",
        f"{ROOM}/participants?limit=20&cursor={CURSOR}",
    ],
    "/rooms/{room_id}/participants/{participant_id}": [
        f"{ROOM}/participants/me",
        f"{ROOM}/participants/{id_of('p', 9)}",
    ],
    "/rooms/{room_id}/invitations": [
        f"{ROOM}/invitations?limit=20",
        f"{ROOM}/invitations?limit=20&cursor={CURSOR}",
    ],
    "/rooms/{room_id}/invitations/{invitation_id}": [f"{ROOM}/invitations/{id_of('i', 7)}"],
    "/rooms/{room_id}/prizes": [f"{ROOM}/prizes"],
    "/rooms/{room_id}/prizes/{prize_id}": [f"{ROOM}/prizes/{id_of('z', 1)}"],
    "/rooms/{room_id}/winners": [
        f"{ROOM}/winners?limit=20",
        f"{ROOM}/winners?limit=20&cursor={CURSOR}",
        f"{ROOM}/winners?prizeId={id_of('z', 1)}&limit=20",
        f"{ROOM}/winners?participantId={id_of('p', 9)}",
        f"{ROOM}/winners?claim=PENDING&limit=20",
        f"{ROOM}/winners?claim=EXPIRED&limit=20",
    ],
    "/rooms/{room_id}/winners/{winner_id}": [f"{ROOM}/winners/{id_of('w', 5)}"],
    "/rooms/{room_id}/draws": [f"{ROOM}/draws"],
    "/rooms/{room_id}/draws/{number}": [f"{ROOM}/draws/1"],
    "/rooms/{room_id}/draws/{number}/record": [f"{ROOM}/draws/1/record"],
    "/rooms/{room_id}/quiz": [f"{ROOM}/quiz"],
    "/rooms/{room_id}/rounds": [f"{ROOM}/rounds", f"{ROOM}/rounds?limit=20&cursor={CURSOR}"],
    "/rooms/{room_id}/rounds/{round_id}": [f"{ROOM}/rounds/{ROUND}"],
    "/rooms/{room_id}/rounds/{round_id}/answers": [
        f"{ROOM}/rounds/{ROUND}/answers?limit=20",
        f"{ROOM}/rounds/{ROUND}/answers?limit=20&cursor={CURSOR}",
    ],
    "/rooms/{room_id}/rounds/{round_id}/answers/{answer_id}": [
        f"{ROOM}/rounds/{ROUND}/answers/{id_of('a', 5)}"
    ],
    "/rooms/{room_id}/draws/{number}/winners": [f"{ROOM}/draws/1/winners"],
}
"""The reads of each address; without one, the address itself."""
STREAMED_OR_ELSEWHERE = {
    "/auth/ways",
    "/auth/{provider}",
    "/auth/{provider}/url",
    "/auth/{provider}/callback",
    "/rooms/{room_id}/participants.csv",
    "/rooms/{room_id}/expected.csv",
    "/rooms/{room_id}/winners.csv",
    "/rooms/{room_id}/draws/{number}/entrants.txt",
    "/rooms/{room_id}/events",
    "/me/events",
    "/users/me/export",
    "/rooms/{room_id}/draws/{number}/evidence.zip",
}
"""Files and streams, which are read piece by piece, and addresses that read nothing."""


def test_every_address_that_is_read_is_here() -> None:
    paths = {
        route.path_format.removeprefix(API)
        for route in create_app().routes
        if isinstance(route, HTTPRoute) and "GET" in route.methods
        if route.path_format.startswith(API)
    }

    assert paths == READS.keys() | STREAMED_OR_ELSEWHERE


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


async def tell(count: int) -> None:
    """Fill the log, and what is sent of it."""
    await factories.begun_log()
    await fetch(
        """
        INSERT INTO events (id, type, "roomId", audience, subject, content, "createdAt")
        SELECT 'e' || i, 'prize.created', $1, 'readers', 'z' || i, '{}', now()
        FROM generate_series(1, $2::int) i
        """,
        *(BIG_ROOM, count),
    )
    await fetch(
        """
        INSERT INTO webhook_deliveries (id, "webhookId", "eventId", type, "occurredAt", data)
        SELECT id, 'hook', id, type, "createdAt", '{}' FROM events
        """
    )
    await fetch("ANALYZE events, webhook_deliveries")


@pytest.mark.timeout(300)
async def test_a_read_is_one_or_two_statements_and_scans_no_large_table(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await load(SIZE)
    person = await fetchrow("SELECT * FROM users WHERE id = $1", id_of("u", 9))
    assert person is not None
    headers = await factories.bearer(person)
    await fetch("UPDATE participants SET role = 'MODERATOR' WHERE \"userId\" = $1", person["id"])
    drawn = await client.post(f"{API}{ROOM}/draws", json={"immediate": True}, headers=headers)
    assert drawn.status_code == 201, drawn.text
    administrator = await factories.bearer(await factories.user(isAdmin=True))
    await factories.delivery(await factories.webhook("app_lottery_v1", id="hook"))
    await tell(20_000)
    asked: list[tuple[str, tuple[object, ...]]] = []
    pool: Any = DB.pool
    original = pool.fetch

    async def record(sql: str, *arguments: object) -> Sequence[asyncpg.Record]:
        if "token_blacklist" not in sql:  # asked only while this process does not listen
            asked.append((sql, arguments))
        rows: Sequence[asyncpg.Record] = await original(sql, *arguments)
        return rows

    with monkeypatch.context() as recording:
        recording.setattr(pool, "fetch", record)
        for path in (path or address for address, paths in READS.items() for path in paths):
            before = len(asked)
            known = administrator if path.startswith(OF_ADMINISTRATORS) else headers
            answer = await client.get(f"{API}{path}", headers=known)
            assert answer.status_code == 200, (path, answer.text)
            assert 1 <= len(asked) - before <= 2, path

    for sql, arguments in asked:
        (row,) = await fetch(f"EXPLAIN (FORMAT JSON) {sql}", *arguments)
        plan = msgspec.json.decode(row[0])[0]["Plan"]
        scanned = {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
        assert not scanned & LARGE, (sql, scanned)
