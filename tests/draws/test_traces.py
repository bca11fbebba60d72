"""What a draw leaves behind: who did it, how it went, and never its secret before it is over."""

import base64
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
from prometheus_client import REGISTRY, generate_latest

from app.admin import tables
from app.admin.accounts import create_administrator
from app.database.engine import fetch, fetchval
from tests.admin.staff import NAME, PASSWORD, sign_in
from tests.draws.conftest import TEXT, Stage
from tests.logged import LINES


async def recorded() -> list[dict[str, Any]]:
    rows = await fetch("SELECT * FROM audit_log ORDER BY id")
    return [
        {**row, **{name: msgspec.json.decode(row[name] or "null") for name in ("before", "after")}}
        for row in rows
    ]


async def test_who_took_each_step_is_recorded_with_before_and_after(stage: Stage) -> None:
    announced = await stage.announce()
    await stage.send("POST", "/1/close", by="olga")
    await stage.ok("POST", "/1/draw")
    rows = await recorded()
    assert [(row["actor"], row["action"]) for row in rows] == [
        ("max", "announce draw"),
        ("olga", "close draw"),
        ("max", "fix public input"),
        ("max", "draw winners"),
    ]
    assert {(row["tableName"], row["rowId"]) for row in rows} == {("draws", announced["id"])}
    announcement, close, ready, draw = rows
    assert announcement["before"] is None
    assert announcement["after"]["commitment"] == announced["commitment"]
    assert (close["before"]["status"], close["after"]["status"]) == ("ANNOUNCED", "CLOSED")
    assert close["after"].keys() == {
        *("status", "plan", "planDigest", "closedAt", "leftOut", "guests"),
    }
    assert (ready["before"]["status"], ready["after"]["status"]) == ("CLOSED", "READY")
    assert ready["after"].keys() == {"status", "public", "readyAt"}
    assert (draw["before"]["status"], draw["after"]["status"]) == ("READY", "DRAWN")
    assert draw["before"]["drawnAt"] is None
    assert draw["after"]["drawnAt"] is not None


async def test_a_cancellation_is_recorded_with_its_reason(stage: Stage) -> None:
    await stage.announce()
    await stage.send("DELETE", "/1", by="olga", json={"reason": "rain"})
    last = (await recorded())[-1]
    assert (last["actor"], last["action"]) == ("olga", "cancel draw")
    assert (last["before"]["status"], last["after"]["status"]) == ("ANNOUNCED", "CANCELLED")
    assert last["after"]["reason"] == "rain"


async def test_an_immediate_draw_is_recorded_step_by_step(stage: Stage) -> None:
    await stage.announce(immediate=True)
    actions = [(row["tableName"], row["action"]) for row in await recorded()]
    assert actions == [
        ("draws", "announce draw"),
        ("draws", "close draw"),
        ("draws", "fix public input"),
        ("draws", "draw winners"),
    ]


async def test_what_is_refused_or_repeated_is_not_recorded(stage: Stage) -> None:
    await stage.announce()
    await stage.ok("POST", "/1/close")
    before = await recorded()
    await stage.ok("POST", "/1/close")
    await stage.refused(409, "POST", json={})
    await stage.refused(400, "POST", "/1/draw", json={"public": "x"})
    assert await recorded() == before


def counted(step: str, outcome: str) -> float:
    labels = {"step": step, "outcome": outcome}
    return REGISTRY.get_sample_value("event_platform_draw_steps_total", labels) or 0


async def test_steps_are_counted_by_outcome_and_measured(stage: Stage) -> None:
    names = ("announce", "close", "draw", "cancel")
    before = {name: (counted(name, "done"), counted(name, "refused")) for name in names}
    await stage.announce()
    await stage.refused(409, "POST", json={})
    await stage.refused(409, "POST", "/1/draw")
    await stage.ok("POST", "/1/close")
    await stage.ok("POST", "/1/draw")
    await stage.refused(409, "DELETE", "/1", json={"reason": "x"})
    gained = {
        name: (counted(name, "done") - done, counted(name, "refused") - refused)
        for name, (done, refused) in before.items()
    }
    assert gained == {"announce": (1, 1), "close": (1, 0), "draw": (1, 1), "cancel": (0, 1)}
    labels = {"step": "draw"}
    assert (REGISTRY.get_sample_value("event_platform_draw_seconds_sum", labels) or 0) > 0


def forms_of(secret: bytes) -> list[str]:
    """Return what the beginning of a secret looks like, in whatever form."""
    beginning = secret[:16]
    return [
        beginning.hex(),
        beginning.hex().upper(),
        base64.b64encode(beginning)[:20].decode(),
        base64.urlsafe_b64encode(beginning)[:20].decode(),
        repr(beginning)[2:-1],
    ]


@pytest.fixture
async def administrators(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    """Speak HTTP as somebody at the administrators' page, too."""
    monkeypatch.setattr(tables.Administrator, "_pbkdf2_iteration_count", 1_000)
    await fetch("DELETE FROM admin.administrators")
    await create_administrator(NAME, PASSWORD)
    await sign_in(stage.client)
    return stage.client


async def test_the_secret_of_an_unfinished_draw_is_nowhere(
    stage: Stage, administrators: httpx.AsyncClient
) -> None:
    id_ = (await stage.announce(entropy=TEXT))["id"]
    secret = await fetchval("SELECT secret FROM draws")
    shown = []
    for step in ("/1/close", "/1/record"):
        # Steps, and whatever goes wrong with them.
        with pytest.raises(asyncpg.CheckViolationError) as violation:
            await fetch("UPDATE draws SET reason = 'x'")
        shown += [str(violation.value), repr(violation.value)]
        for method, path in (("POST", ""), ("POST", "/1/draw"), ("DELETE", "/1"), ("GET", "/1")):
            shown.append((await stage.send(method, path)).text)
        await stage.send("POST", step)
    page = "/admin/api/tables/draws/"
    for url in (page, f"{page}{id_}/", f"{page}schema/", f"{page}ids/", f"{page}new/"):
        answer = await administrators.get(url)
        assert answer.status_code == 200, url
        shown.append(answer.text)
    for row in await recorded():
        assert "secret" not in {*(row["before"] or {}), *(row["after"] or {})}
    shown += [str(await recorded()), generate_latest().decode(), *LINES]
    for form in forms_of(secret):
        assert not [text for text in shown if form in text]


@pytest.mark.parametrize("column", ["secret", "seed"])
async def test_administrators_can_not_ask_for_it_either(
    stage: Stage, administrators: httpx.AsyncClient, column: str
) -> None:
    await stage.announce()
    for params in ({"__visible_fields": column}, {"__order": column}, {column: "a"}):
        answer = await administrators.get("/admin/api/tables/draws/", params=params)
        assert answer.status_code in {400, 422}
    [row] = (await administrators.get("/admin/api/tables/draws/")).json()["rows"]
    assert row["status"] == "ANNOUNCED"
    assert column not in row


async def test_administrators_change_no_draw(
    stage: Stage, administrators: httpx.AsyncClient
) -> None:
    id_ = (await stage.announce())["id"]
    before = await fetch("SELECT * FROM draws")
    page = f"/admin/api/tables/draws/{id_}/"
    assert (await administrators.patch(page, json={"status": "DRAWN"})).is_client_error
    assert (await administrators.delete(page)).is_client_error
    assert await fetch("SELECT * FROM draws") == before
