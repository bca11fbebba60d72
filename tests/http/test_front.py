"""The page at `/`."""

import re

import httpx
import pytest
from msgspec.structs import replace

from app.http.front import PAGE, _written
from app.settings import ADMIN_OFF, settings

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
LINK = re.compile('<a href="([^"]+)">')


@pytest.mark.parametrize("accept", [BROWSER, "*/*", "Text/HTML", "text/html;q=inf"])
async def test_who_takes_a_page_finds_what_leads_on(client: httpx.AsyncClient, accept: str) -> None:
    answer = await client.get("/", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["vary"] == "Accept"
    links = LINK.findall(answer.text)
    assert links == ["/schema", "/verify", "/admin/", "/health/ready"]
    for link in links:
        assert (await client.get(link)).status_code in {200, 503}, link


@pytest.mark.parametrize(
    "accept", ["application/json", "application/json, text/plain, */*", "image/*", ""]
)
async def test_a_program_is_told_that_there_is_nothing(
    client: httpx.AsyncClient, accept: str
) -> None:
    answer = await client.get("/", headers={"Accept": accept})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")
    elsewhere = await client.get("/nowhere", headers={"Accept": accept})
    assert answer.json()["error"]["message"] == elsewhere.json()["error"]["message"]


async def test_head_has_no_body(client: httpx.AsyncClient) -> None:
    answer = await client.head("/", headers={"Accept": BROWSER})
    assert (answer.status_code, answer.content) == (200, b"")


async def test_nothing_runs_on_it_and_nothing_comes_from_elsewhere(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src 'none';" in policy
    assert "unsafe" not in policy
    assert "//" not in answer.text


@pytest.mark.parametrize("path", ["/staff", ADMIN_OFF])
def test_a_page_for_administrators_that_was_moved_or_switched_off_is_not_told(path: str) -> None:
    links = LINK.findall(_written(PAGE.read_text(), replace(settings(), ADMIN_PATH=path)))
    assert links == ["/schema", "/verify", "/health/ready"]
