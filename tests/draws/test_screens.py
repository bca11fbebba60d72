"""The addresses of the pages, whoever asks for whatever: cheap, and the same for what is hidden."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from app.database.engine import fetch
from app.draws import screens
from app.settings import load
from tests.draws.conftest import Stage
from tests.server import PRODUCTION

LONG = "a" * 2_800
ABSURD = [
    f"/rooms/{LONG}/draws/1",
    f"/rooms/{LONG * 2}/draws/1",
    "/rooms/room/draws/0",
    "/rooms/room/draws/-1",
    f"/rooms/room/draws/{2**31}",
    f"/rooms/room/draws/{'9' * 4_000}",
    f"/rooms/room/draws/{'9' * 5_000}",
]


def painted() -> int:
    return screens._paint.cache_info().misses


async def seen(client: httpx.AsyncClient, path: str) -> tuple[int, Any]:
    """Return what somebody without a token sees, but for what differs with each request."""
    answer = await client.get(path)
    body = answer.json()["error"] if answer.is_error else answer.content
    return answer.status_code, body if isinstance(body, bytes) else {**body, "requestId": None}


@pytest.mark.parametrize("suffix", ["", "/code.svg"])
@pytest.mark.parametrize("path", ABSURD)
async def test_what_no_draw_is_called_is_not_there(stage: Stage, path: str, suffix: str) -> None:
    await stage.announce()
    before, started = painted(), time.perf_counter()
    status, error = await seen(stage.client, f"{path}{suffix}")
    assert (status, error["code"]) == (404, "NOT_FOUND")
    assert time.perf_counter() - started < 0.2
    assert painted() == before


async def test_only_draws_that_anybody_may_see_have_a_code(stage: Stage) -> None:
    await fetch('UPDATE rooms SET "isPublic" = false')
    await stage.announce()
    before = painted()
    nowhere = await seen(stage.client, "/rooms/nowhere/draws/1/code.svg")
    assert nowhere[0] == 404
    # What the picture shows is what the record does.
    for path in ("/rooms/room/draws/1/code.svg", f"{stage.url}/1/record"):
        assert await seen(stage.client, path) == nowhere
    assert painted() == before
    await stage.ok("DELETE", "/1", json={"reason": "next"})
    await fetch('UPDATE rooms SET "isPublic" = true')
    await stage.announce()
    for number, status in ((1, 200), (2, 200), (3, 404)):
        assert (await seen(stage.client, f"/rooms/room/draws/{number}/code.svg"))[0] == status
    # What everybody could see stays everybody's, whatever the room was when it was announced.
    await fetch('UPDATE rooms SET "isPublic" = false')
    for number, status in ((1, 200), (2, 200), (3, 404)):
        assert (await seen(stage.client, f"/rooms/room/draws/{number}/code.svg"))[0] == status


async def test_a_code_is_painted_once_and_kept_for_a_while(stage: Stage) -> None:
    await stage.announce()
    screens._paint.cache_clear()
    answers = [await stage.client.get("/rooms/room/draws/1/code.svg") for _ in range(3)]
    assert len({answer.content for answer in answers}) == 1
    assert painted() == 1
    assert answers[0].headers["cache-control"] == "private, max-age=86400"
    assert screens._paint.cache_info().maxsize == screens.KEPT_CODES


@pytest.mark.parametrize(
    ("host", "settings", "leads_to"),
    [
        ("127.0.0.1:8477", {}, "http://127.0.0.1:8477"),
        ("192.168.1.5:8477", {}, "http://192.168.1.5:8477"),
        ("[fe80::1]:8000", {}, "http://[fe80::1]:8000"),
        ("a@b", {}, "http://127.0.0.1:8000"),
        ("b" * 3_000, {}, "http://127.0.0.1:8000"),
        ("other", {"PUBLIC_URL": "https://events.example/e"}, "https://events.example/e"),
        ("other", {**PRODUCTION, "DATABASE_URL": "postgresql://h/d"}, "http://127.0.0.1:8000"),
    ],
)
async def test_a_code_leads_to_where_the_page_was_found_unless_it_is_said(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    settings: dict[str, str],
    leads_to: str,
) -> None:
    await stage.announce()
    monkeypatch.setattr(screens, "settings", lambda: load(settings))
    monkeypatch.setattr(screens, "_paint", str.encode)
    path = "/rooms/room/draws/1/code.svg"
    painted = await stage.client.get(path, headers={"host": host})
    assert painted.text == f"{leads_to}/verify?draw=%2Frooms%2Froom%2Fdraws%2F1"


async def test_others_are_served_while_a_code_is_painted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.announce()

    def paint_slowly(_: str) -> bytes:
        time.sleep(0.5)
        return b"<svg/>"

    monkeypatch.setattr(screens, "_paint", paint_slowly)
    code = asyncio.create_task(stage.client.get("/rooms/room/draws/1/code.svg"))
    await asyncio.sleep(0.1)
    assert (await stage.client.get("/health/live")).is_success
    assert not code.done()
    assert (await code).content == b"<svg/>"
