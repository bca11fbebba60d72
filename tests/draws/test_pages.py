"""The two pages in a real browser, against the real server."""

import base64
import io
import os
import random
import shutil
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import msgspec
import pytest
import segno
from msgspec.structs import replace
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Page,
    ViewportSize,
    async_playwright,
    expect,
)

from app.draws.record import Record
from tests.conftest import fresh_database
from tests.draws import records, vectors
from tests.draws.conftest import Stage
from tests.draws.test_record import LATER_ACCUSATIONS
from tests.server import Server, serving

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ROOM = "cdemo00000000000newyear25"
PUBLIC_URL = "https://events.example.org"
PHONE: ViewportSize = {"width": 390, "height": 844}
WAIT_MILLISECONDS = 30_000
MUTATIONS = 80
"""Of each kind of record."""
VERIFY = (Path(__file__).parents[2] / "app/draws/pages/verify.html").as_uri()
GOOD, BAD = "✓ This draw checks out.", "✗ This draw does not check out."
PICTURES = os.environ.get("DRAW_PICTURES")
"""A folder for screenshots of the pages; those of the README are in `app/draws/pages`."""
NAMES = ["Ada", "Boris", "Chloé", "Dmitri", "Éva", "Farid", "Grace", "Hana", "Ivo", "Jun", "Kofi"]

expect.set_options(timeout=WAIT_MILLISECONDS)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="no Chromium here"
)


@pytest.fixture(scope="module")
async def server(server_url: str, template: str) -> AsyncIterator[Server]:
    async for url in fresh_database(server_url, template):
        with serving(DATABASE_URL=url, PUBLIC_URL=PUBLIC_URL) as server:
            connection = await asyncpg.connect(url)
            for number, name in enumerate(NAMES):
                await connection.execute(
                    'INSERT INTO users (id, email, name, "updatedAt") VALUES ($1, $1, $2, now())',
                    f"person{number:02}",
                    name,
                )
                await connection.execute(
                    'INSERT INTO participants (id, "userId", "roomId", "updatedAt") '
                    "VALUES ($1, $1, $2, now())",
                    f"person{number:02}",
                    ROOM,
                )
            await connection.close()
            yield server


@pytest.fixture
async def organizer(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """Speak as Alice."""
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=60) as client:
        login = {"email": "alice@example.com", "password": "password123"}
        tokens = await ok(client.post("/auth/login", json=login))
        client.headers["authorization"] = f"Bearer {tokens['accessToken']}"
        yield client


async def ok(call: Awaitable[httpx.Response]) -> dict[str, Any]:
    data: dict[str, Any] = (await call).raise_for_status().json()["data"]
    return data


async def opened(organizer: httpx.AsyncClient) -> str:
    """Open a room with something to win, and return its address."""
    settings = {"ticketCount": 1, "drawDate": "2027-07-01T18:00:00Z"}
    body = {"name": "Picnic", "appId": "app_lottery_v1", "appSettings": settings}
    room = f"/rooms/{(await ok(organizer.post('/rooms', json=body)))['id']}"
    await ok(organizer.patch(room, json={"status": "ACTIVE"}))
    await ok(organizer.post(f"{room}/prizes", json={"name": "Cake"}))
    return room


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A tab; whatever the page logs as an error, a violated policy too, fails the test."""
    tab = await browser.new_page()
    tab.set_default_timeout(WAIT_MILLISECONDS)
    errors: list[str] = []
    tab.on("console", lambda said: errors.append(said.text) if is_error(said) else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    await tab.close()
    assert errors == []


def is_error(said: ConsoleMessage) -> bool:
    return said.type == "error" and "404 (Not Found)" not in said.text


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


async def test_an_audience_follows_a_draw_and_checks_it(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    draws = f"/rooms/{ROOM}/draws"
    form = {"alphabet": "1-6", "length": 3}
    entropy = {"kind": "text", "label": "Three dice on stage", "format": form}
    announced = await ok(organizer.post(draws, json={"entropy": entropy}))
    await page.set_viewport_size({"width": 1280, "height": 720})
    await page.goto(f"{server.url}{draws}/1")
    await expect(page.locator("#status")).to_have_text("ANNOUNCED")
    await expect(page.locator("#commitment")).to_have_text(announced["commitment"])
    await expect(page.locator("#prizes")).to_contain_text("Headphones \N{MULTIPLICATION SIGN} 2")
    await expect(page.locator("#entropy")).to_have_text("Three dice on stage: 3 digits from 1 to 6")
    await expect(page.locator("#digest")).to_be_hidden()
    await expect(page.locator("#invitation")).to_contain_text("as soon as it is drawn")
    await page.wait_for_function("document.getElementById('code').naturalWidth > 0")
    await picture(page, "announced")

    await ok(organizer.post(f"{draws}/1/close"))
    await expect(page.locator("#status")).to_have_text("CLOSED")
    await expect(page.locator("#count")).to_have_text("12")
    drawn = await ok(organizer.post(f"{draws}/1/draw", json={"public": "426"}))
    await expect(page.locator("#status")).to_have_text("DRAWN")
    await expect(page.locator("#winners li")).to_have_count(len(drawn["winners"]))
    people = {f"person{number:02}": name for number, name in enumerate(NAMES)}
    for index, win in enumerate(drawn["winners"]):
        name = people.get(win["participantId"], "Charlie Davis")
        await expect(page.locator("#winners li").nth(index)).to_contain_text(name)
    record = (await organizer.get(f"{draws}/1/record")).json()
    await expect(page.locator("#digest")).to_have_text(record["recordDigest"])
    assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    await picture(page, "drawn")

    await page.set_viewport_size(PHONE)
    await page.click("#link")
    await expect(page.locator("#verdict")).to_have_text(GOOD)
    await expect(page.locator("#steps .good")).to_have_count(10)
    await expect(page.locator("#steps")).to_contain_text("Three dice on stage: “426”")
    await expect(page.locator("#winners li")).to_have_count(len(drawn["winners"]))
    await expect(page.locator("#digest code")).to_have_text(record["recordDigest"])
    assert await fits(page)
    await picture(page, "checked")


async def test_the_code_to_scan_leads_to_the_check(
    server: Server, organizer: httpx.AsyncClient
) -> None:
    room = await opened(organizer)
    await ok(organizer.post(f"{room}/draws"))
    shown = await organizer.get(f"{server.url}{room}/draws/1/code.svg")
    wanted = io.BytesIO()
    address = f"{PUBLIC_URL}/verify?draw={quote(f'{room}/draws/1', safe='')}"
    segno.make(address, micro=False).save(wanted, kind="svg", scale=8, border=2)
    assert shown.content == wanted.getvalue()


async def test_a_cancelled_draw_shows_why(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    room = await opened(organizer)
    await ok(organizer.post(f"{room}/draws"))
    await ok(
        organizer.request("DELETE", f"{room}/draws/1", json={"reason": "Rain <b>all</b> day."})
    )
    await page.set_viewport_size(PHONE)
    await page.goto(f"{server.url}{room}/draws/1")
    await expect(page.locator("#message")).to_have_text("Cancelled: Rain <b>all</b> day.")
    assert await fits(page)
    await page.goto(f"{server.url}/verify")
    await page.fill("#address", f"{PUBLIC_URL}{room}/draws/1")
    # It was never closed, so there is no list to fetch.
    await page.click("button")
    await expect(page.locator("#verdict")).to_have_text("Cancelled: Rain <b>all</b> day.")
    for address, said in {f"{room}/draws/2": "no such public draw", "x": "An address ends"}.items():
        await page.fill("#address", address)
        await page.click("button")
        await expect(page.locator("#verdict")).to_contain_text(said)


async def fits(page: Page) -> bool:
    width: bool = await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return width


def files(folder: Path, record: Record, entrants: bytes = records.ENTRANTS_TXT) -> list[str]:
    contents = {"record.json": msgspec.json.encode(record), "entrants.txt": entrants}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in contents]


async def test_files_are_checked_without_any_server(page: Page, tmp_path: Path) -> None:
    await page.set_viewport_size(PHONE)
    await page.goto(VERIFY)
    for record in records.all_drawn()[:2]:
        await page.set_input_files("#files", files(tmp_path, record))
        await expect(page.locator("#verdict")).to_have_text(GOOD)
        await expect(page.locator("#winners li")).to_have_count(3)
    # The page says what a browser can't check.
    drand = records.all_drawn()[2]
    await page.set_input_files("#files", files(tmp_path, drand))
    await expect(page.locator("#steps .unsure")).to_contain_text(f"drand round {vectors.ROUND}")
    assert await fits(page)
    await page.set_input_files("#files", files(tmp_path, drand, b"bob 1\n"))
    await expect(page.locator("#steps .bad")).to_contain_text("SHA-256 of entrants.txt is")
    await expect(page.locator("#verdict")).to_have_text(BAD)
    assert await fits(page)
    await page.set_input_files("#files", files(tmp_path, drand)[1:])
    await expect(page.locator("#verdict")).to_contain_text("Choose record.json")


async def test_files_are_dropped_into_the_page(page: Page) -> None:
    await page.goto(VERIFY)
    dropped = await page.evaluate_handle(
        """(contents) => {
            const carried = new DataTransfer();
            for (const [name, text] of Object.entries(contents))
                carried.items.add(new File([text], name));
            return carried;
        }""",
        {
            "entrants.txt": records.ENTRANTS_TXT.decode(),
            "record.json": msgspec.json.encode(records.drawn()).decode(),
        },
    )
    await page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    await expect(page.locator("#verdict")).to_have_text(GOOD)


async def test_a_draw_that_is_not_over_is_no_wrong_one(page: Page, tmp_path: Path) -> None:
    await page.goto(VERIFY)
    await page.set_input_files("#files", files(tmp_path, records.closed()))
    await expect(page.locator("#verdict")).to_contain_text("Nothing was drawn yet")
    await expect(page.locator("#steps .unsure")).to_contain_text(vectors.COMMITMENT)
    await page.set_input_files("#files", files(tmp_path, replace(records.closed(), seed="00" * 32)))
    await expect(page.locator("#verdict")).to_have_text(BAD)


ACCUSATIONS = [
    ({"secret": "00" * 32}, "SHA-256 of the secret is"),
    ({"planDigest": "00" * 32}, "SHA-256 of the canonical plan is"),
    ({"seed": "00" * 32}, "the seed is 71cd16"),
    ({"undrawn": 1}, "the number of undrawn units is 0"),
    ({"number": 2}, "SHA-256 of the record is"),
]


@pytest.mark.parametrize(("changes", "sentence"), ACCUSATIONS)
async def test_the_page_names_the_first_wrong_step(
    page: Page, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    await page.goto(VERIFY)
    await page.set_input_files("#files", files(tmp_path, replace(records.drawn(), **changes)))
    await expect(page.locator("#verdict")).to_have_text(BAD)
    assert await page.locator("#steps li").last.get_attribute("class") == "bad"
    await expect(page.locator("#steps .bad")).to_have_count(1)
    await expect(page.locator("#steps .bad")).to_contain_text(sentence)


async def test_the_page_passes_every_true_record_and_no_changed_one(page: Page) -> None:
    await page.goto(VERIFY)
    chance = random.Random(3)  # noqa: S311 - must repeat
    for record, entrants in [*records.of_every_kind(), *records.of_every_later_kind()]:
        content = msgspec.json.encode(record)
        true, twice = (content, entrants), (content[:-1] + b',"number":1}', entrants)
        forged = [*records.mutations(content, entrants, chance)]
        verdicts = await _verdicts(page, [true, twice, *chance.sample(forged, MUTATIONS)])
        assert verdicts[0].startswith(("✓", "Cancelled: "))
        assert set(verdicts[1:]) == {BAD}


async def test_the_page_finds_what_the_command_finds_of_what_came_later(page: Page) -> None:
    await page.goto(VERIFY)
    pairs = [
        (
            msgspec.json.encode(records.changed(record, **changes)),
            b"" if record.plan is None else records.ENTRANTS_TXT,
        )
        for record, _, changes, _ in LATER_ACCUSATIONS
    ]
    assert set(await _verdicts(page, pairs)) == {BAD}


async def _verdicts(page: Page, pairs: list[tuple[bytes, bytes]]) -> list[str]:
    """Check pairs of files in the page, and return what it says of each."""
    verdicts: list[str] = await page.evaluate(
        """async (pairs) => {
            const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const verdicts = [];
            for (const pair of pairs) {
                await check(...pair.map(bytes));
                verdicts.push(document.getElementById("verdict").textContent);
            }
            return verdicts;
        }""",
        [[base64.b64encode(content).decode() for content in pair] for pair in pairs],
    )
    return verdicts


async def test_the_pages_run_nothing_but_their_own(stage: Stage) -> None:
    await stage.announce()
    for path in ("/verify", "/rooms/room/draws/1", "/rooms/room/draws/1/code.svg"):
        answer = (await stage.client.get(path)).raise_for_status()
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src '")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<svg" in answer.text
