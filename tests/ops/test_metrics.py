"""What Prometheus sees, also of several workers, and what dashboard and alerts ask for."""

import json
import re
from pathlib import Path

import httpx
import pytest
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from app import ops
from app.database.engine import fetch, fetchrow
from app.ops import exposition
from app.settings import PROJECT_ROOT, Environment, Settings
from tests.server import serving
from tests.waiting import eventually

FOLDER = Path(ops.__file__).parent
README = (FOLDER / "README.md").read_text()
ALERTS = (FOLDER / "alerts.yml").read_text()
OUR_NAME = re.compile(r"event_platform_\w+")


def exported() -> set[str]:
    names = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    for family in REGISTRY.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
        names |= {family.name + suffix for suffix in suffixes.get(family.type, ("",))}
    return names


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    named = {name for expression in asked for name in OUR_NAME.findall(expression)}
    assert named
    assert named <= exported()


def test_the_alerts_ask_for_metrics_that_there_are_and_are_explained() -> None:
    named = set(OUR_NAME.findall(ALERTS))
    assert named
    assert named <= exported()
    alerts = re.findall(r"alert: (\w+)", ALERTS)
    assert alerts
    assert [alert for alert in alerts if f"**{alert}**" not in README] == []


def test_every_metric_is_on_the_dashboard() -> None:
    dashboard = (FOLDER / "dashboard.json").read_text()
    ours = {family.name for family in REGISTRY.collect() if OUR_NAME.match(family.name)}
    assert [name for name in ours if name not in dashboard] == []


async def test_requests_are_counted_by_route_template(client: httpx.AsyncClient) -> None:
    await client.get("/api/v1/rooms/no-such-room")
    await client.get("/api/v1/rooms/another")
    await client.get("/nowhere/at/all")
    await client.get("/admin/api/tables/")
    text = (await client.get("/metrics")).text
    assert 'route="/api/v1/rooms/{room_id}",status="404"} ' in text
    assert 'route="/admin",status="401"' in text
    assert 'route="unknown",status="404"' in text
    assert "no-such-room" not in text
    assert "nowhere" not in text


async def test_production_shows_metrics_to_who_has_the_token(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_configured(token: str | None) -> None:
        production = Settings(ENVIRONMENT=Environment.PRODUCTION, METRICS_TOKEN=token)
        monkeypatch.setattr(exposition, "settings", lambda: production)

    as_configured(None)
    assert (await client.get("/metrics")).status_code == 404
    as_configured("sesame")
    assert (await client.get("/metrics")).status_code == 404
    for token, status in (("sesame", 200), ("another", 404), ("sésame", 404)):
        answer = await client.get(
            "/metrics", headers={b"Authorization": f"Bearer {token}".encode()}
        )
        assert answer.status_code == status


async def test_prometheus_is_told_the_format_once(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.headers.get_list("content-type") == [CONTENT_TYPE_LATEST]


@pytest.mark.usefixtures("database")
async def test_samples_are_the_plans_figures() -> None:
    await fetch(
        """
        INSERT INTO token_blacklist (id, "tokenHash", "expiresAt", "userId")
        SELECT n::text, n::text, now() + n * interval '1 hour', 'u'
        FROM generate_series(-2, 3) n WHERE n <> 0
        """
    )
    row = await fetchrow(exposition.TABLES)
    assert row is not None
    exposition.record_tables(dict(row))
    values = {
        state: REGISTRY.get_sample_value("event_platform_blacklist_entries", {"state": state})
        for state in ("active", "expired")
    }
    assert values == {"active": 3, "expired": 2}
    size = REGISTRY.get_sample_value("event_platform_table_bytes", {"table": "token_blacklist"})
    assert size is not None
    assert size > 0


@pytest.mark.timeout(120)
async def test_two_workers_count_together(migrated_database: str) -> None:
    # A connection for each request, so that both workers get some.
    headers = {"Connection": "close"}
    with serving(PROJECT_ROOT, "--wc", "2", DATABASE_URL=migrated_database) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
            for _ in range(40):
                (await client.get("/api/v1/rooms")).raise_for_status()
            # A request is counted right after its answer was sent.
            await eventually(lambda: every_worker_tells(client, 40))
            assert await every_worker_tells(client, 40)


async def every_worker_tells(client: httpx.AsyncClient, requests: int) -> bool:
    return {await requests_to_rooms(client) for _ in range(6)} == {requests}


async def requests_to_rooms(client: httpx.AsyncClient) -> float:
    text = (await client.get("/metrics")).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "event_platform_request_seconds_count"
        and sample.labels["route"] == "/api/v1/rooms"
    )
