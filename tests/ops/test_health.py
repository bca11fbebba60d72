"""Readiness tells the state of each part, in under a second whatever hangs."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg
import httpx
import pytest

from app.asgi import create_app, database_pool, maintenance
from app.ops import health
from tests.ops.conftest import OwnPostgres
from tests.waiting import eventually


@pytest.fixture
async def client(own_postgres: OwnPostgres) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001 - the engine points there
    app = create_app()
    transport = httpx.ASGITransport(cast("Any", app), raise_app_exceptions=False)
    async with (
        database_pool(app),
        maintenance(app),
        httpx.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        yield client


async def ask(client: httpx.AsyncClient) -> httpx.Response:
    return await client.get("/health/ready")


async def is_ready(client: httpx.AsyncClient) -> bool:
    return (await ask(client)).is_success


async def test_ready_names_every_part(client: httpx.AsyncClient) -> None:
    await eventually(lambda: is_ready(client))
    answer = await ask(client)
    assert answer.status_code == 200
    parts = answer.json()["data"]["parts"]
    assert set(parts) == {"database", "listener", "migrations", "scheduler"}
    assert {part["state"] for name, part in parts.items() if name != "listener"} == {"ok"}


async def test_a_frozen_database_is_told_in_under_a_second(
    client: httpx.AsyncClient, own_postgres: OwnPostgres
) -> None:
    await ask(client)
    own_postgres.freeze()
    for _ in range(3):
        # This machine may be busy; a check that hangs is late each time.
        await eventually(lambda: is_told_in_under_a_second(client))
    assert (await client.get("/health/live")).status_code == 200

    own_postgres.thaw()
    await eventually(lambda: is_ready(client))


async def is_told_in_under_a_second(client: httpx.AsyncClient) -> bool:
    started = time.perf_counter()
    answer = await ask(client)
    took = time.perf_counter() - started
    assert answer.status_code == 503
    parts = answer.json()["error"]["details"]["parts"]
    assert parts["database"]["state"] == "failing"
    assert parts["database"]["reason"].startswith("no answer")
    assert parts["scheduler"] == {"state": "ok"}
    return took < 1


async def test_a_stopped_database_is_told(
    client: httpx.AsyncClient, own_postgres: OwnPostgres
) -> None:
    own_postgres.stop()
    answer = await ask(client)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["error"]["details"]["parts"]["database"]["state"] == "failing"
    own_postgres.start()
    await eventually(lambda: is_ready(client))


async def test_pending_migrations_are_named(
    client: httpx.AsyncClient, own_postgres: OwnPostgres
) -> None:
    connection = await asyncpg.connect(own_postgres.dsn)
    await connection.execute("DELETE FROM migration WHERE name LIKE '2026-11-22T15:10%'")
    await connection.close()

    async def are_named() -> bool:
        answer = await ask(client)
        assert answer.status_code == 503
        parts = answer.json()["error"]["details"]["parts"]
        pending = {"state": "failing", "reason": "pending: task_runs"}
        return bool(parts["migrations"] == pending and parts["database"] == {"state": "ok"})

    await eventually(are_named)


async def test_what_the_service_can_do_without_costs_no_503() -> None:
    async def lost() -> str:
        return "not connected"

    parts = await health.examine({"listener": lost, "database": lost})
    assert parts["listener"] == health.Part("degraded", "not connected")
    assert parts["database"] == health.Part("failing", "not connected")


async def test_one_bad_check_hides_no_other() -> None:
    async def broken() -> None:
        raise RuntimeError

    async def fine() -> None:
        pass

    parts = await health.examine({"broken": broken, "fine": fine})
    assert parts["broken"] == health.Part("failing", "RuntimeError")
    assert parts["fine"] == health.Part("ok")


async def test_a_late_check_ends_by_itself_and_says_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does one whose request was given up."""
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.01)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def late() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()
            raise ConnectionError

    parts = await health.examine({"database": late})
    assert parts["database"] == health.Part("failing", "no answer in 0.01 s")
    await asyncio.wait_for(ended.wait(), 60)

    monkeypatch.setattr(health, "CHECK_SECONDS", 60)
    begun.clear()
    ended.clear()
    request = asyncio.create_task(health.examine({"database": late}))
    await begun.wait()
    request.cancel()
    await asyncio.wait_for(ended.wait(), 60)

    await asyncio.sleep(0)
    del request
    gc.collect()
    assert "never retrieved" not in caplog.text
