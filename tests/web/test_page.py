"""The page in a real browser, against the real server: what people do there from end to end."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from tests.axe import WITHOUT_AXE, axe, barriers_on
from tests.server import Server, serving

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
PHONE: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": 1280, "height": 800}
WAIT_MILLISECONDS = 30_000

__all__ = ["axe"]

expect.set_options(timeout=WAIT_MILLISECONDS)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="no Chromium here"
)


@pytest.fixture(scope="module")
async def server(module_database: str) -> AsyncIterator[Server]:
    with serving(DATABASE_URL=module_database) as server:
        yield server


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        yield await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture
async def page(browser: Browser, server: Server) -> AsyncIterator[Page]:
    """A tab on a phone, in which nothing may go wrong unseen."""
    context = await browser.new_context(base_url=server.url, viewport=PHONE, locale="en-GB")
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    await context.close()
    assert faults == []


async def sign_in(page: Page, email: str) -> None:
    """Sign in as a demo person."""
    await page.goto("/login")
    await page.get_by_text("As a demo person").click()
    await page.get_by_label("Who").select_option(email)
    await page.locator("details").get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


async def test_a_reload_keeps_who_is_signed_in_and_no_script_reads_how(page: Page) -> None:
    await sign_in(page, "bob@example.com")
    await page.reload()
    await expect(page.get_by_text("Bob Smith")).to_be_visible()
    kept = await page.evaluate("JSON.stringify([document.cookie, {...localStorage}])")
    assert "refresh" not in kept
    [cookie] = await page.context.cookies("http://127.0.0.1/api/v1/auth")
    assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")

    other = await page.context.new_page()
    await other.goto("/")
    await expect(other.get_by_text("Bob Smith")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(other.get_by_role("link", name="Sign in", exact=True)).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("link", name="Sign in", exact=True)).to_be_visible()


async def test_tokens_that_nobody_asked_for_sign_nobody_in(page: Page, server: Server) -> None:
    answer = await page.request.post(
        f"{server.url}/api/v1/auth/login",
        data={"email": "diana@example.com", "password": "password123"},
    )
    tokens = (await answer.json())["data"]
    planted = f"#access_token={tokens['accessToken']}&refresh_token={tokens['refreshToken']}"
    await page.goto(f"/auth/callback{planted}&expires_in=3600&redirect_url=/rooms/new")
    await expect(page.get_by_text("Is that you?")).to_be_visible()
    assert "access_token" not in page.url
    await page.get_by_role("button", name="That is not me").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_what_failed_at_a_provider_is_told_in_words(page: Page) -> None:
    await page.goto("/login?error=oauth_failed&reason=EMAIL_NOT_VERIFIED")
    await expect(page.get_by_role("alert")).to_contain_text("Verify it there")


async def test_a_room_is_opened_from_what_its_app_asks(page: Page) -> None:
    await sign_in(page, "alice@example.com")
    await page.get_by_role("link", name="Open a room").click()
    await page.get_by_role("textbox", name="Name").fill("Friday")
    await page.get_by_label("Draw date").fill("2030-01-01T18:00")
    await page.get_by_label("Ticket count").fill("300")
    await page.get_by_role("button", name="Open it").click()
    await expect(page.get_by_role("heading", name="Friday")).to_be_visible()
    await page.get_by_role("button", name="Open the room").click()
    await expect(page.locator(".status")).to_have_text("open")
    await page.get_by_role("navigation", name="Parts of the room").get_by_text("People").click()
    await page.get_by_label("E-mail address").fill("erin@example.com")
    await page.get_by_role("button", name="Add somebody").click()
    await expect(page.get_by_text("erin@example.com")).to_be_visible()


async def test_the_page_speaks_russian(browser: Browser, server: Server) -> None:
    context = await browser.new_context(base_url=server.url, locale="ru-RU")
    page = await context.new_page()
    await page.goto("/")
    await expect(page.get_by_role("heading", name="Общедоступные комнаты")).to_be_visible()
    assert await page.locator("html").get_attribute("lang") == "ru"
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", name="Public rooms")).to_be_visible()
    await context.close()


@WITHOUT_AXE
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_keeps_people_from_using_it(page: Page, axe: str, scheme: str) -> None:
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await page.goto("/login")
    await expect(page.get_by_text("As a demo person")).to_be_visible()
    assert await barriers_on(page, axe) == []
    await sign_in(page, "alice@example.com")
    room = "/rooms/cdemo00000000000newyear25"
    tabs = [f"{room}{tab}" for tab in ("", "/people", "/prizes", "/draw", "/winners")]
    for path in ("/", "/rooms/new", *tabs):
        await page.goto(path)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await expect(page.get_by_text("Loading")).to_have_count(0)
        assert await barriers_on(page, axe) == [], path
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], path
