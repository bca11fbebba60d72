"""PUBLIC_URL with a path: below it everything works, behind a proxy that takes it off or not."""

import io
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

import httpx
import msgspec
import pytest
import segno
from playwright.async_api import Page, async_playwright, expect

from app import settings
from app.asgi import create_app
from app.http.public_path import take_off_public_path
from tests.auth.provider import CLIENT_ID, CLIENT_SECRET, Running, providing
from tests.chromium import CHROMIUM
from tests.conftest import fresh_database
from tests.reverse_proxy import proxying
from tests.server import free_port, serving
from tests.waiting import eventually

PATH = "/events"
FRONTEND = "http://front.example/app"
ROOM = "cdemo00000000000newyear25"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
WAIT_MILLISECONDS = 30_000
POLL_MILLISECONDS = 4_000
FILES = re.compile(r"""(?:src|href)=["']([^"'#]+)["']""")

expect.set_options(timeout=WAIT_MILLISECONDS)


class Site(msgspec.Struct, frozen=True):
    """A server with the demo data, behind a proxy."""

    host: str
    url: str
    """PUBLIC_URL."""
    direct_url: str
    greeting: str
    provider: Running

    @property
    def password(self) -> str:
        """Of the first administrator."""
        found = re.search(r"Sign in as admin with (\S+)", self.greeting)
        assert found, self.greeting
        return found[1]


@pytest.fixture(scope="module", params=[True, False], ids=["taken off", "left"])
async def site(
    request: pytest.FixtureRequest, server_url: str, template: str
) -> AsyncIterator[Site]:
    port, upstream_port = free_port(), free_port()
    host = f"http://127.0.0.1:{port}"
    async for database in fresh_database(server_url, template):
        with providing() as provider, proxying(port, upstream_port, PATH, strips=request.param):
            client = {"issuer": provider.issuer, "clientId": CLIENT_ID}
            with serving(
                DATABASE_URL=database,
                LITESTAR_PORT=str(upstream_port),
                PUBLIC_URL=f"{host}{PATH}/",
                FRONTEND_URL=FRONTEND,
                OIDC_PROVIDERS=json.dumps({"acme": {**client, "clientSecret": CLIENT_SECRET}}),
            ) as server:
                greeting = server.log.read_text()
                yield Site(host, f"{host}{PATH}", server.url, greeting, provider)


@pytest.fixture
async def browser(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """Go where addresses of the host lead."""
    async with httpx.AsyncClient(base_url=site.host, timeout=60) as browser:
        yield browser


@pytest.fixture
async def alice(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=site.host, timeout=60) as client:
        body = {"email": "alice@example.com", "password": "password123"}
        answer = await client.post(f"{PATH}/api/v1/auth/login", json=body)
        client.headers["Authorization"] = f"Bearer {answer.json()['data']['accessToken']}"
        yield client


async def test_the_host_has_other_applications(browser: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/eventsandmore/health/live", "/api/v1/rooms"):
        assert (await browser.get(path)).text.count("Another application") > 0
    assert (await browser.get(f"{PATH}/health/live")).status_code == 200


async def test_somebody_signs_in_with_a_provider(site: Site, browser: httpx.AsyncClient) -> None:
    start = (await browser.get(f"{PATH}/api/v1/auth/acme/url")).json()["data"]["url"]
    assert start.startswith(f"{site.url}/api/v1/auth/acme?")
    left = await browser.get(start)
    told = dict(parse_qsl(urlsplit(left.headers["Location"]).query))
    assert told["redirect_uri"] == f"{site.url}/api/v1/auth/acme/callback"
    assert f"Path={PATH}/api/v1/auth/acme;" in left.headers["Set-Cookie"]

    site.provider.provider.identify(told["nonce"])
    query = {"code": "a-code", "state": told["state"]}
    back = await browser.get(told["redirect_uri"], params=query)
    address, _, fragment = back.headers["Location"].partition("#")
    assert address == f"{FRONTEND}/auth/callback"
    assert not browser.cookies
    tokens = {name: values[0] for name, values in parse_qs(fragment).items()}
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    me = await browser.get(f"{PATH}/api/v1/auth/me", headers=headers)
    assert me.json()["data"]["email"] == "erin@example.com"


async def test_what_was_made_is_where_its_location_says(alice: httpx.AsyncClient) -> None:
    settings = {"ticketCount": 1, "drawDate": "2027-07-01T18:00:00Z"}
    room = {"name": "Picnic", "appId": "app_lottery_v1", "appSettings": settings}
    key = {"Idempotency-Key": "picnic"}
    made = await alice.post(f"{PATH}/api/v1/rooms", json=room, headers=key)
    place = made.headers["Location"]
    assert place == f"{PATH}/api/v1/rooms/{made.json()['data']['id']}"
    assert (await alice.get(place)).json()["data"]["name"] == "Picnic"
    again = await alice.post(f"{PATH}/api/v1/rooms", json=room, headers=key)
    assert again.headers["Location"] == place
    prize = await alice.post(f"{place}/prizes", json={"name": "Cake"})
    assert (await alice.get(prize.headers["Location"])).json()["data"]["name"] == "Cake"


async def test_the_api_page_and_the_description_are_below_the_path(
    browser: httpx.AsyncClient,
) -> None:
    described = (await browser.get(f"{PATH}/schema/openapi.json")).json()
    assert described["servers"] == [{"url": PATH}]
    page = await browser.get(f"{PATH}/schema")
    files = [address for address in FILES.findall(page.text) if not address.startswith("data:")]
    assert len(files) >= 3
    for address in files:
        answer = await browser.get(address)
        assert (answer.status_code, len(answer.content) > 1000) == (200, True), address


@pytest.mark.parametrize("path", [PATH, f"{PATH}/"])
async def test_the_front_page_leads_on_below_the_path(
    browser: httpx.AsyncClient, path: str
) -> None:
    page = await browser.get(path)
    links = [address for address in FILES.findall(page.text) if not address.startswith("data:")]
    assert {f"{PATH}/schema", f"{PATH}/verify", f"{PATH}/admin/"} <= set(links)
    assert len(links) > 20
    for address in links:
        assert (await browser.get(address)).status_code == 200, address


async def test_the_administrators_page_is_below_the_path(
    site: Site, browser: httpx.AsyncClient
) -> None:
    page = f"{PATH}/admin"
    bare = await browser.get(page)
    assert (bare.status_code, bare.headers["Location"]) == (302, f"{page}/")
    html = (await browser.get(f"{page}/")).text
    for address in FILES.findall(html):
        if not address.startswith("data:"):
            found = await browser.get(f"{page}/{address.removeprefix('./')}")
            assert found.status_code == 200, address
    led = await browser.get(f"{page}/api/dashboard/", headers={"Accept": "text/html"})
    assert led.headers["Location"] == f"{page}/"

    browser.headers["X-CSRFToken"] = browser.cookies["csrftoken"]
    browser.headers["Origin"] = site.host
    body = {"username": "admin", "password": site.password}
    signed_in = await browser.post(f"{page}/public/login/", json=body)
    assert f"; Path={page}; " in signed_in.headers["Set-Cookie"]
    assert "active rooms" in (await browser.get(f"{page}/api/dashboard/")).text
    row = await browser.patch(f"{page}/api/tables/rooms/{ROOM}/", json={"name": "Party"})
    assert row.json()["name"] == "Party"
    unended = await browser.get(f"{page}/api/dashboard")
    assert urlsplit(unended.headers["Location"]).path == f"{page}/api/dashboard/"
    assert (await browser.post(f"{page}/public/logout/")).is_success


async def test_the_greeting_names_addresses_that_work(
    site: Site, browser: httpx.AsyncClient
) -> None:
    for name in ("schema", "health/ready", "metrics", "admin/"):
        address = f"{site.direct_url}{PATH}/{name}"
        assert address in site.greeting
        assert (await browser.get(address)).status_code == 200, address
    assert f"POST {PATH}/api/v1/auth/login" in site.greeting


async def test_the_code_to_scan_leads_below_the_path(site: Site, alice: httpx.AsyncClient) -> None:
    draw = await drawn(alice)
    shown = await alice.get(f"{draw}/code.svg")
    wanted = io.BytesIO()
    address = quote(draw.removeprefix(PATH), safe="")
    segno.make(f"{site.url}/verify?draw={address}", micro=False).save(
        wanted, kind="svg", scale=8, border=2
    )
    assert shown.content == wanted.getvalue()


async def drawn(alice: httpx.AsyncClient) -> str:
    """Draw in the demo room, and return where the draw's page is."""
    draws = f"{PATH}/api/v1/rooms/{ROOM}/draws"
    made = await alice.post(draws, json={"immediate": True})
    assert made.status_code == 201, made.text
    return f"{PATH}/rooms/{ROOM}/draws/{made.json()['data']['number']}"


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A tab; whatever it logs as an error, or does not find, fails the test."""
    if CHROMIUM is None and "CI" not in os.environ:
        pytest.skip("no Chromium here")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page()
        page.set_default_timeout(WAIT_MILLISECONDS)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("response", lambda each: faults.append(each.url) if each.status == 404 else None)
        yield page
        await browser.close()
        assert not faults


async def test_the_pages_of_a_draw_work_in_a_browser(
    site: Site, page: Page, alice: httpx.AsyncClient
) -> None:
    await page.goto(f"{site.host}{await drawn(alice)}")
    await expect(page.locator("#status")).to_have_text("DRAWN")
    await expect(page.locator("#digest")).to_have_text(re.compile("^[0-9a-f]{64}$"))
    assert await page.evaluate("document.getElementById('code').naturalWidth > 0")
    await page.click("#link")
    await expect(page.locator("#verdict")).to_have_text("✓ This draw checks out.")
    assert page.url.startswith(f"{site.url}/verify?")


async def test_a_page_behind_a_proxy_that_keeps_streams_back_asks_instead(
    site: Site, page: Page, alice: httpx.AsyncClient
) -> None:
    draws = f"{PATH}/api/v1/rooms/{ROOM}/draws"
    number = (await alice.post(draws)).json()["data"]["number"]
    await page.clock.install()
    await page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    await page.goto(f"{site.url}/rooms/{ROOM}/draws/{number}")
    await expect(page.locator("#status")).to_have_text("ANNOUNCED")
    await eventually(lambda: page.evaluate("!isReading"))
    assert await page.evaluate("stream.readyState === EventSource.CONNECTING")
    await alice.request("DELETE", f"{draws}/{number}", json={"reason": "Rain."})
    await page.clock.run_for(POLL_MILLISECONDS)
    await expect(page.locator("#message")).to_have_text("Cancelled: Rain.")


async def test_the_api_page_and_the_administrators_page_work_in_a_browser(
    site: Site, page: Page
) -> None:
    await page.goto(f"{site.url}/schema")
    login = page.locator(".opblock-get").filter(has=page.locator('[data-path="/api/v1/apps"]'))
    await login.locator(".opblock-summary-control").click()
    await login.get_by_role("button", name="Try it out").click()
    await login.get_by_role("button", name="Execute").click()
    answer = login.locator(".live-responses-table .highlight-code code").first
    await expect(answer).to_contain_text("app_lottery_v1")

    await page.goto(f"{site.url}/admin/")
    await page.locator('input[name="username"]').fill("admin")
    await page.locator('input[name="password"]').fill(site.password)
    await page.get_by_role("button").filter(has_text="Login").click()
    await expect(page.locator(".dashboard")).to_contain_text("active rooms")


# The path by itself


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    settings.settings.cache_clear()
    yield monkeypatch
    settings.settings.cache_clear()


@pytest.mark.parametrize(
    ("path", "raw_path", "served"),
    [
        ("/events/api/v1/rooms", b"/events/api/v1/rooms", ("/api/v1/rooms", b"/api/v1/rooms")),
        ("/api/v1/rooms", b"/api/v1/rooms", None),
        ("/events", b"/events", ("/", b"/")),
        ("/events/", b"/events/", ("/", b"/")),
        ("/eventsandmore", b"/eventsandmore", None),
        ("/api/events/x", b"/api/events/x", None),
        ("/events/x", b"/%65vents/x", None),
        ("/events/events/x", b"/events/events/x", ("/events/x", b"/events/x")),
    ],
)
def test_the_path_is_taken_off_once_and_only_at_the_beginning(
    at: pytest.MonkeyPatch,
    path: str,
    raw_path: bytes,
    served: tuple[str, bytes] | None,
) -> None:
    at.setenv("PUBLIC_URL", f"https://example.org{PATH}")
    scope: dict[str, Any] = {"type": "http", "path": path, "raw_path": raw_path}
    take_off_public_path(scope)
    assert (scope["path"], scope["raw_path"]) == (served or (path, raw_path))
    lifespan = {"type": "lifespan"}
    take_off_public_path(lifespan)
    assert lifespan == {"type": "lifespan"}


def test_nothing_of_ours_begins_like_a_path_that_is_allowed() -> None:
    first = {route.path.split("/")[1] for route in create_app().routes}
    assert first == {*settings.OWN_PATHS, "admin", ""}
