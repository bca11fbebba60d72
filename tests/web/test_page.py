"""The page in a real browser, against the real server: what people do there from end to end."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, FilePayload, Page, ViewportSize, async_playwright, expect

from tests.axe import WITHOUT_AXE, axe, barriers_on
from tests.chromium import CHROMIUM
from tests.server import Server, serving

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
PHONE: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": 1280, "height": 800}
WAIT_MILLISECONDS = 30_000
SPREADSHEET = Path(__file__).parents[1] / "participants/csv/excel_windows1251.csv"

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


async def open_room(page: Page, name: str) -> None:
    """Open a lottery as Alice, with three people in it."""
    await sign_in(page, "alice@example.com")
    await page.get_by_role("link", name="Open a room").click()
    await page.get_by_role("textbox", name="Name").fill(name)
    await page.get_by_label("Draw date").fill("2030-01-01T18:00")
    await page.get_by_label("Ticket count").fill("300")
    await page.get_by_role("button", name="Open it").click()
    await expect(page.get_by_role("heading", name=name)).to_be_visible()
    await page.get_by_role("button", name="Open the room").click()
    await expect(page.locator(".status")).to_have_text("open")
    await tab(page, "People")
    for person in ("Erin Young", "Farid Zand", "Grace Wu"):
        address = f"{person.split()[0].lower()}@example.com"
        await page.get_by_label("E-mail address").fill(address)
        await page.get_by_role("textbox", name="Name").fill(person)
        await page.get_by_role("button", name="Add somebody").click()
        await expect(page.get_by_text(address)).to_be_visible()


async def tab(page: Page, name: str) -> None:
    await page.get_by_role("navigation", name="Parts of the room").get_by_text(name).click()


async def add_prize(page: Page, name: str, quantity: int, days: str = "") -> None:
    await tab(page, "Prizes")
    form = page.locator("section", has=page.get_by_role("heading", name="Add a prize"))
    await form.get_by_label("What it is").fill(name)
    await form.get_by_label("How many").fill(str(quantity))
    await form.get_by_label("Days to claim it in").fill(days)
    await form.get_by_role("button", name="Add a prize").click()
    await expect(page.get_by_text(f"{quantity} of {quantity} left")).to_be_visible()


async def test_an_organizer_draws_with_dice_and_sees_to_what_follows(page: Page) -> None:
    await open_room(page, "Friday")
    await add_prize(page, "Headphones", 1, days="7")
    await tab(page, "Draw")
    await page.get_by_label("Dice that you will throw").fill("2")
    await page.get_by_label("How many are in line").fill("1")
    await page.get_by_role("button", name="Announce a draw").click()
    await page.get_by_role("button", name="Close it").click()
    await expect(page.get_by_text("3 people take part")).to_be_visible()
    await page.reload()  # A closed laptop loses nothing.
    await page.get_by_label("2 dice, thrown before").fill("77")
    await page.get_by_role("button", name="Draw the winners").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.get_by_label("2 dice, thrown before").fill("3 6")
    await page.get_by_role("button", name="Draw the winners").click()
    await expect(page.get_by_text("has to claim it")).to_be_visible()
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Save the evidence (ZIP)").click()
    assert (await download.value).suggested_filename == "draw-1.zip"

    first = await page.locator("ol > li b").text_content()
    await tab(page, "Winners")
    await page.get_by_role("button", name="They do not want it").click()
    await page.get_by_role("group").get_by_role("button", name="They do not want it").click()
    await expect(page.locator(".rows")).not_to_contain_text(str(first))
    await page.get_by_role("button", name="They take it").click()
    await expect(page.get_by_text("has taken it")).to_be_visible()
    second = await page.locator(".rows b").text_content()
    await page.get_by_role("button", name="Take it back").click()
    await page.get_by_role("group").get_by_role("button", name="Take it back").click()
    await expect(page.get_by_text("Nobody has won anything yet.")).to_be_visible()

    await tab(page, "Draw")
    await page.get_by_role("button", name="Draw this again").click()
    redraw = page.locator("section", has=page.get_by_role("heading", name="Draw 2"))
    await expect(redraw).to_contain_text("draws again what was taken back")
    await expect(redraw).to_contain_text("2 dice, thrown before everybody's eyes")
    await redraw.get_by_role("button", name="Close it").click()
    await redraw.get_by_label("2 dice, thrown before").fill("11")
    await redraw.get_by_role("button", name="Draw the winners").click()
    await expect(redraw).to_contain_text(f"Draws again what {second} had won")
    await expect(redraw.locator("ol > li b")).not_to_have_text(str(second))


async def test_prizes_are_changed_and_awarded_by_hand(page: Page) -> None:
    await open_room(page, "Monday")
    await add_prize(page, "Mug", 2)
    await page.get_by_role("button", name="Change").click()
    form = page.locator("li form")
    await form.get_by_label("How many").fill("1")
    await form.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("1 of 1 left")).to_be_visible()
    await tab(page, "Winners")
    await page.get_by_label("Who").select_option(label="Grace Wu")
    await page.get_by_label("What").select_option(label="Mug")
    await page.get_by_role("button", name="Award by hand").click()
    await expect(page.locator(".rows")).to_contain_text("Grace Wu")
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Winners (CSV)").click()
    assert "Grace Wu" in (await (await download.value).path()).read_text()
    await tab(page, "Prizes")
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("group").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("alert")).to_contain_text("Revoke the wins first")


async def test_people_come_in_from_a_spreadsheet_and_by_a_code(page: Page) -> None:
    await open_room(page, "Wednesday")
    await page.get_by_label("The file").set_input_files(SPREADSHEET)
    await expect(page.get_by_text("5 people would come in")).to_be_visible()
    await expect(page.get_by_text("Анна")).to_be_visible()
    await expect(page.get_by_text("can be tickets in a draw")).to_be_visible()
    await page.get_by_role("button", name="Bring in 5 people").click()
    await expect(page.get_by_text("5 people are in; 0 were here before.")).to_be_visible()

    faulty: FilePayload = {
        "name": "again.csv",
        "mimeType": "text/csv",
        "buffer": b"Email\nanna\ne@example.com\n",
    }
    await page.get_by_label("The file").set_input_files(faulty)
    await expect(page.get_by_text("Line 2:")).to_be_visible()
    await page.get_by_role("button", name="Bring in 1 person").click()
    await expect(page.get_by_text("1 person is in; 0 were here before.")).to_be_visible()

    await page.get_by_label("For how many people").fill("2")
    await page.get_by_role("button", name="Make a code").click()
    link = str(await page.locator(".card .card a").get_attribute("href"))
    assert "/join#" in link
    await expect(page.get_by_alt_text("QR code of the link")).to_be_visible()
    await page.get_by_role("button", name="Revoke it").click()
    await page.get_by_role("group").get_by_role("button", name="Revoke it").click()
    await expect(page.get_by_text("0 people have come in of 2")).to_have_count(0)

    row = page.locator(".rows > li", has_text="grace@example.com")
    await row.get_by_role("button", name="Change").click()
    await row.get_by_label("Role").select_option("VIEWER")
    await expect(row.locator("small").first).to_contain_text("viewer")
    await row.get_by_role("button", name="Take them out").click()
    await row.get_by_role("group").get_by_role("button", name="Take them out").click()
    await expect(row).to_have_count(0)


async def test_who_joins_sees_what_they_won_and_takes_it(
    page: Page, browser: Browser, server: Server
) -> None:
    await open_room(page, "Tuesday")
    await add_prize(page, "Tea", 1, days="3")
    context = await browser.new_context(base_url=server.url, viewport=PHONE, locale="en-GB")
    phone = await context.new_page()
    await sign_in(phone, "diana@example.com")
    await phone.goto(page.url.removesuffix("/prizes"))
    await phone.get_by_role("button", name="Take part").click()
    await expect(phone.get_by_text("You are in this room: participant.")).to_be_visible()
    await tab(page, "Winners")
    await expect(page.get_by_label("Who").locator("option", has_text="Diana")).to_have_count(1)
    await page.get_by_label("Who").select_option(label="Diana Martinez")
    await page.get_by_label("What").select_option(label="Tea")
    await page.get_by_role("button", name="Award by hand").click()
    await phone.get_by_role("button", name="I take it").click()
    await expect(phone.get_by_text("It is yours.")).to_be_visible()
    await expect(page.get_by_text("has taken it")).to_be_visible()
    await context.close()


async def test_the_page_speaks_russian(browser: Browser, server: Server) -> None:
    context = await browser.new_context(base_url=server.url, locale="ru-RU")
    page = await context.new_page()
    await page.goto("/")
    await expect(page.get_by_role("heading", name="Общедоступные комнаты")).to_be_visible()
    assert await page.locator("html").get_attribute("lang") == "ru"
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", name="Public rooms")).to_be_visible()
    await context.close()


async def test_a_guest_who_signs_in_keeps_the_seat(page: Page, server: Server) -> None:
    answer = await page.request.post(
        f"{server.url}/api/v1/auth/login",
        data={"email": "alice@example.com", "password": "password123"},
    )
    organizer = {"Authorization": f"Bearer {(await answer.json())['data']['accessToken']}"}
    room = {
        "name": "Hall",
        "appId": "app_lottery_v1",
        "appSettings": {"ticketCount": 9, "drawDate": "2030-01-01T18:00:00Z"},
        "guests": True,
    }
    rooms = f"{server.url}/api/v1/rooms"
    opened = await page.request.post(rooms, data=room, headers=organizer)
    hall = (await opened.json())["data"]["id"]

    await page.goto(f"/rooms/{hall}")
    await page.get_by_label("Your name").fill("Ann")
    await page.get_by_role("button", name="Come in").click()
    await expect(page.get_by_text("You are a guest here")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("You are a guest here")).to_be_visible()
    await sign_in(page, "diana@example.com")
    await expect(page.get_by_text("Diana Martinez")).to_be_visible()
    await page.goto(f"/rooms/{hall}")
    await expect(page.get_by_text("You are in this room: participant.")).to_be_visible()
    people = await page.request.get(f"{rooms}/{hall}/participants", headers=organizer)
    found = {each["user"]["name"]: each["isGuest"] for each in (await people.json())["data"]}
    assert found == {"Alice Johnson": False, "Diana Martinez": False}


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
