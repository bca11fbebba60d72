"""The dashboard: what it says, to whom, and that it costs little."""

import re

import httpx
import pytest

from app.admin import dashboard
from app.database.engine import fetch, fetchval
from tests import factories

URL = "/admin/api/dashboard/"
BROWSER = {"Accept": "text/html"}


async def test_it_says_what_is_going_on(staff: httpx.AsyncClient) -> None:
    room = await factories.room(status="ACTIVE")
    await factories.room(status="CANCELLED")
    await factories.room(status="CANCELLED", deletedAt=factories.now())
    await factories.session(room["createdBy"])
    await factories.token_blacklist("token", room["createdBy"])
    await fetch(
        'INSERT INTO task_runs (id, job, runner, outcome, error, "startedAt", "finishedAt") '
        "VALUES ('run', 'vacuum-analyze', 'here', 'FAILED', '<b>disk</b> full', now(), now())"
    )

    answer = await staff.get(URL)

    assert answer.headers["content-type"].startswith("text/html")
    said = re.sub(r"<[^>]+>|\s+", " ", answer.text)
    said = re.sub(r" +", " ", said)
    people = await fetchval("SELECT count(*) FROM users")
    for words in (
        f"{people} people",
        "1 active rooms",
        "1 live sessions",
        "1 revoked tokens",
        "Draft 0",
        "Cancelled 1",
        "vacuum-analyze",
        "Failed",
        "never ran",
    ):
        assert words in said, words
    assert "&lt;b&gt;disk&lt;/b&gt; full" in answer.text


async def test_a_large_count_stops(
    staff: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fetch(
        'INSERT INTO users (id, email, "updatedAt") '
        "SELECT 'u' || n, n || '@example.org', now() FROM generate_series(1, 10100) n"
    )

    assert "<strong>10,000+</strong>" in (await staff.get(URL)).text

    statements: list[str] = []

    async def counted(sql: str, *arguments: object) -> object:
        statements.append(sql)
        return await fetch(sql, *arguments)

    monkeypatch.setattr(dashboard, "fetch", counted)
    await staff.get(URL)
    assert len(statements) == 3
    assert statements[0].count("LIMIT 10001") == statements[0].count("count(*)")


async def test_who_is_not_signed_in_is_led_to_the_sign_in(client: httpx.AsyncClient) -> None:
    led = await client.get(URL, headers=BROWSER)
    assert (led.status_code, led.headers["location"]) == (303, "/admin/")
    assert (await client.get(URL)).status_code == 401
    bearer = await factories.bearer(await factories.user(isAdmin=True))
    assert (await client.get(URL, headers=bearer)).status_code == 401


async def test_it_loads_nothing_from_elsewhere_and_runs_no_script(staff: httpx.AsyncClient) -> None:
    text = (await staff.get(URL)).text

    assert "http" not in text
    assert "<script" not in text
    for file in re.findall(r'(?:href|src)="(\.\./\.\./platform/[\w.]+)"', text):
        assert (await staff.get(URL + file)).status_code == 200, file


async def test_it_is_linked_from_the_sidebar(staff: httpx.AsyncClient) -> None:
    links = (await staff.get("/admin/api/links/")).json()

    assert links["Dashboard"] == "./api/dashboard/"


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (2_500_000_000, "2 GB"), (5e15, "5,000,000 GB")],
)
def test_sizes_are_written_in_the_unit_in_which_they_are_read(value: float, written: str) -> None:
    assert dashboard.size(value) == written
