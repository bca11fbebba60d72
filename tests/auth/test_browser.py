"""The whole sign-in in a real browser: our server, a real provider, and a front-end's page."""

import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import oidc_provider_mock  # type: ignore[import-untyped]
import pytest
from playwright.async_api import Locator, Page, async_playwright, expect

from app.settings import PROJECT_ROOT
from tests.auth.provider import CLIENT_ID, CLIENT_SECRET, providing
from tests.chromium import CHROMIUM
from tests.factories import SETTINGS
from tests.loopback import listening
from tests.mails.server import Mailbox, receiving
from tests.server import free_port, serving
from tests.waiting import eventually

WAIT_MILLISECONDS = 30_000
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")

expect.set_options(timeout=WAIT_MILLISECONDS)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="no Chromium here"
)


class FrontEnd(BaseHTTPRequestHandler):
    """Every page of it is the same; what matters is its address."""

    page = b"<h1>Welcome back</h1>"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def front_end() -> Iterator[str]:
    with listening(FrontEnd) as port:
        yield f"http://127.0.0.1:{port}"


def fragment_of(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).fragment).items()}


class Site(msgspec.Struct, frozen=True):
    """A server with a provider of sign-ins and a front-end."""

    url: str
    front: str
    mail_port: int = 0
    """Where it hands over mails."""


@pytest.fixture(scope="module")
def site(module_database: str) -> Iterator[Site]:
    person = oidc_provider_mock.User(
        sub="erin", claims={"email": "erin@example.com", "email_verified": True, "name": "Erin"}
    )
    port, mail_port = free_port(), free_port()
    with (
        oidc_provider_mock.run_server_in_thread(
            user_claims=[person], require_nonce=True
        ) as provider,
        front_end() as front,
    ):
        client = {
            "issuer": f"http://localhost:{provider.server_port}",
            "clientId": "events",
            "clientSecret": "made up for this test",
        }
        with serving(
            DATABASE_URL=module_database,
            LITESTAR_PORT=str(port),
            PUBLIC_URL=f"http://127.0.0.1:{port}",
            FRONTEND_URL=front,
            OIDC_PROVIDERS=json.dumps({"acme": client}),
            MAIL_URL=f"smtp://127.0.0.1:{mail_port}?tls=none",
            MAIL_FROM="prizes@example.org",
        ) as server:
            yield Site(server.url, front, mail_port)


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = await browser.new_context(viewport={"width": 1200, "height": 1400})
        page = await context.new_page()
        page.set_default_timeout(WAIT_MILLISECONDS)
        yield page
        await browser.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the provider's own, in its thread
async def test_browser_walks_the_whole_sign_in(site: Site, page: Page) -> None:
    # Away, and refused there.
    start = f"{site.url}/api/v1/auth/acme?redirect_url=/rooms/7"
    await page.goto(start)
    await page.get_by_role("button", name="Deny").click()
    await page.wait_for_url(f"{site.front}/login?error=oauth_failed")
    # This provider does not say which sign-in was refused.
    left = await page.context.cookies()
    assert len(left) == 1

    # Away, and back as Erin.
    await page.goto(start)
    await page.get_by_role("button", name="erin", exact=True).click()
    await page.wait_for_url(re.compile(f"^{site.front}/"))
    assert page.url.startswith(f"{site.front}/auth/callback#"), page.url
    found = fragment_of(page)
    assert found["redirect_url"] == "/rooms/7"
    assert found["expires_in"] == "3600"
    assert await page.context.cookies() == left

    headers = {"Authorization": f"Bearer {found['access_token']}"}
    async with httpx.AsyncClient(base_url=site.url, timeout=60) as api:
        me = await api.get("/api/v1/auth/me", headers=headers)
        assert me.json()["data"]["email"] == "erin@example.com"
        pair = await api.post("/api/v1/auth/refresh", json={"refreshToken": found["refresh_token"]})
        assert pair.status_code == 200


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the provider, as above
async def test_the_page_for_front_ends_signs_in_and_out_in_two_tabs(
    site: Site, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    monkeypatch.setattr(FrontEnd, "page", example_page(site).encode())
    await page.goto(f"{site.front}/auth/callback#access_token=x&refresh_token=x&expires_in=3600")
    await expect(page.get_by_text("Nobody is signed in.")).to_be_visible()

    await page.goto(f"{site.front}/rooms/7")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name="Deny").click()
    await expect(page.get_by_text("Nobody was signed in: try again.")).to_be_visible()
    await page.goto(f"{site.front}/rooms/7")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name="erin", exact=True).click()
    signed_in = "Signed in as erin@example.com."
    await expect(page.get_by_text(signed_in)).to_be_visible()
    assert page.url == f"{site.front}/rooms/7"

    tab = await page.context.new_page()
    tab.on("pageerror", lambda error: faults.append(str(error)))
    await tab.goto(site.front)
    await expect(tab.get_by_text(signed_in)).to_be_visible()
    refreshed: list[str] = []
    page.context.on("request", lambda request: refreshed.append(f"{request.method} {request.url}"))
    await page.evaluate(
        "localStorage.setItem('tokens', JSON.stringify({...JSON.parse(localStorage.tokens),"
        " until: 0}))"
    )
    for each in (page, tab):
        await each.get_by_role("button", name="Who am I?").click()
    await expect(page.get_by_text(signed_in)).to_be_visible()
    await page.wait_for_function("JSON.parse(localStorage.tokens).until > Date.now()")
    assert refreshed.count(f"POST {site.url}/api/v1/auth/refresh") == 1

    await tab.get_by_role("button", name="Sign out").click()
    for each in (page, tab):
        await expect(each.get_by_text("Nobody is signed in.")).to_be_visible()
    await page.goto(f"{site.front}/login?error=oauth_failed&reason=ACCESS_DENIED")
    await expect(page.get_by_text("Nobody was signed in: ACCESS_DENIED.")).to_be_visible()
    assert not faults


def example_page(site: Site) -> str:
    """Return the page of the documentation, with where this server is."""
    told = (PROJECT_ROOT / "app" / "auth" / "FRONT_END.md").read_text()
    (page,) = re.findall(r"```html\n(.*?)```", told, re.DOTALL)
    ours = f'const API = "{site.url}/api/v1", PROVIDER = "acme";'
    written, count = re.subn(r"const API = .*", ours, page)
    assert count == 1
    return str(written)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the provider, as above
async def test_browser_signs_in_with_a_code_and_no_other_browser_does(
    site: Site, page: Page
) -> None:
    mailbox = Mailbox()
    async with receiving(mailbox, site.mail_port):
        await page.goto(f"{site.url}/sign-in")
        await page.get_by_label("Your e-mail address").fill("Erin@Example.com")
        await page.get_by_role("button", name="Send me a code").click()
        await expect(page.get_by_text("We have sent a code to Erin@Example.com")).to_be_visible()
        link = await link_in(mailbox)

    await page.get_by_label("The code").fill("000 001" if link.endswith("0") else "000 000")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("The code is wrong")

    assert page.context.browser is not None
    elsewhere = await page.context.browser.new_page()
    await elsewhere.goto(link)
    await expect(elsewhere.get_by_text("This browser did not ask for a code.")).to_be_visible()
    await expect(elsewhere.get_by_role("button")).to_have_count(0)

    tab = await page.context.new_page()
    await tab.goto(link)
    assert "#" not in tab.url
    await tab.get_by_role("button", name="Sign in").click()
    await tab.wait_for_url(f"{site.front}/auth/callback#**")
    headers = {"Authorization": f"Bearer {fragment_of(tab)['access_token']}"}
    async with httpx.AsyncClient(base_url=site.url, timeout=60) as api:
        me = await api.get("/api/v1/auth/me", headers=headers)
    assert me.json()["data"]["email"] == "erin@example.com"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # as above
async def test_who_is_invited_by_an_address_signs_in_and_joins_on_our_page(
    site: Site, page: Page
) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    room = await private_room(site, "erin@example.com")
    planted = f"{site.url}/join?room={room}#access_token=planted&refresh_token=x&expires_in=1"
    await page.goto(planted)
    await expect(page.get_by_text("You see which room it is when")).to_be_visible()
    assert page.url == f"{site.url}/join?room={room}"

    await page.get_by_role("link", name="Sign in with Acme").click()
    await page.get_by_role("button", name="erin", exact=True).click()
    await expect(page.get_by_text("Office lottery")).to_be_visible()
    assert page.url == f"{site.url}/join?room={room}", "tokens don't stay in the address"
    await expect(page.get_by_text("erin@example.com")).to_be_visible()
    await page.get_by_role("button", name="Join").click()
    await expect(page.get_by_text("You are in.")).to_be_visible()

    await page.get_by_role("link", name="Go on").click()
    await page.wait_for_url(re.compile(f"^{site.front}/auth/callback#"))
    found = fragment_of(page)
    assert found["redirect_url"] == f"/rooms/{room}"
    async with httpx.AsyncClient(base_url=f"{site.url}/api/v1", timeout=60) as api:
        headers = {"Authorization": f"Bearer {found['access_token']}"}
        seat = await api.get(f"/rooms/{room}/participants/me", headers=headers)
    assert seat.json()["data"]["userId"] is not None
    assert not faults


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # as above
async def test_a_code_leads_through_the_sign_in_into_a_private_room(site: Site, page: Page) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url + str(request.headers)))
    room = await private_room(site)
    async with httpx.AsyncClient(base_url=f"{site.url}/api/v1", timeout=60) as api:
        made = await api.post(f"/rooms/{room}/invitations", headers=await alice(api))
    code, link = (made.json()["data"][name] for name in ("code", "link"))

    await page.goto(f"{site.url}/join")
    await page.get_by_label("The code that you were given").fill("7K2MX-9QD4R")
    await page.get_by_role("button", name="Go on").click()
    await expect(page.get_by_role("alert")).to_contain_text("There is no such invitation")
    await page.goto(link)  # in a tab that is open already
    await expect(page.get_by_text("Office lottery")).to_be_visible()
    assert page.url == f"{site.url}/join"
    await page.get_by_role("link", name="Sign in with a code by mail").click()
    mailbox = Mailbox()
    async with receiving(mailbox, site.mail_port):
        await page.get_by_label("Your e-mail address").fill("frida@example.com")
        await page.get_by_role("button", name="Send me a code").click()
        mailed = await link_in(mailbox)
    await page.get_by_label("The code").fill(mailed[-6:])
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name="Join").click()
    await expect(page.get_by_text("You are in.")).to_be_visible()
    await page.get_by_role("link", name="Go on").click()
    await page.wait_for_url(re.compile(f"^{site.front}/auth/callback#"))
    assert fragment_of(page)["redirect_url"] == f"/rooms/{room}"
    assert not [each for each in asked if code in each.replace(link, "", 1)]
    assert not faults


async def link_in(mailbox: Mailbox) -> str:
    """Wait for a code, which comes before the job of the next minute; return its link.

    A mail about something else may come first.
    """
    found: list[str] = []

    async def has_come() -> bool:
        texts = [mail.get_body(("plain",)) for mail in mailbox.mails]
        written = "".join(text.get_content() for text in texts if text is not None)
        found[:] = re.findall(r"http\S+/sign-in\?\S+#[0-9]{6}", written)
        return bool(found)

    await eventually(has_come, 20)
    return found[0]


async def private_room(site: Site, *invited: str) -> str:
    """Let Alice open a private room and bring people in by their addresses."""
    async with httpx.AsyncClient(base_url=f"{site.url}/api/v1", timeout=60) as api:
        api.headers.update(await alice(api))
        room = await api.post(
            "/rooms",
            json={
                "name": "Office lottery",
                "appId": "app_lottery_v1",
                "appSettings": SETTINGS,
                "isPublic": False,
            },
        )
        room_id: str = room.json()["data"]["id"]
        for address in invited:
            added = await api.post(f"/rooms/{room_id}/participants", json={"email": address})
            assert added.status_code == 201
    return room_id


async def alice(api: httpx.AsyncClient) -> dict[str, str]:
    """Sign Alice in."""
    person = {"email": "alice@example.com", "password": "password123"}
    token = (await api.post("/auth/login", json=person)).json()["data"]["accessToken"]
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def posting_site(module_database: str) -> Iterator[Site]:
    """A server with a provider at another site, which has browsers post its answers."""
    port = free_port()
    with providing() as provider, front_end() as front:
        client = {"issuer": provider.issuer, "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET}
        with serving(
            DATABASE_URL=module_database,
            LITESTAR_PORT=str(port),
            PUBLIC_URL=f"http://localhost:{port}",
            FRONTEND_URL=front,
            OIDC_PROVIDERS=json.dumps({"apple": {**client, "responseMode": "form_post"}}),
        ):
            yield Site(f"http://localhost:{port}", front)


async def test_browser_brings_an_answer_that_another_site_has_it_post(
    posting_site: Site, page: Page
) -> None:
    await page.goto(f"{posting_site.url}/api/v1/auth/apple?redirect_url=/rooms/7")
    await page.wait_for_url(re.compile(f"^{posting_site.front}/"))
    assert page.url.startswith(f"{posting_site.front}/auth/callback#"), page.url
    assert fragment_of(page)["redirect_url"] == "/rooms/7"
    assert not await page.context.cookies()


async def test_somebody_signs_in_on_the_api_page_and_calls_an_operation(
    site: Site, page: Page
) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    await page.goto(f"{site.url}/schema")
    await expect(page.get_by_text("Copy accessToken from the answer")).to_be_visible()

    me = operation(page, "GET", "/api/v1/auth/me")
    assert json.loads(await answer_of(me))["error"]["code"] == "UNAUTHORIZED"

    login = operation(page, "POST", "/api/v1/auth/login")
    pair = json.loads(await answer_of(login))["data"]

    await page.get_by_role("button", name="Authorize").first.click()
    await expect(page.get_by_text("An app's appId as the user name")).to_be_visible()
    form = page.locator(".auth-container").filter(has_text="bearer")
    await form.get_by_label("auth-bearer-value").fill(pair["accessToken"])
    await form.get_by_role("button", name="Apply credentials").click()
    await form.get_by_role("button", name="Close").click()

    await me.get_by_role("button", name="Clear").click()
    assert json.loads(await answer_of(me))["data"]["email"] == "alice@example.com"
    assert not faults


def operation(page: Page, method: str, path: str) -> Locator:
    """Return an operation's place on the page."""
    return page.locator(f".opblock-{method.lower()}").filter(
        has=page.locator(f'[data-path="{path}"]')
    )


async def answer_of(place: Locator) -> str:
    """Try an operation out with the example that it shows, and return the body of the answer."""
    if not await place.get_by_role("button", name="Execute").is_visible():
        await place.locator(".opblock-summary-control").click()
        await place.get_by_role("button", name="Try it out").click()
    await place.get_by_role("button", name="Execute").click()
    return await place.locator(".live-responses-table .highlight-code code").first.inner_text()
