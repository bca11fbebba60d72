"""The two pages in a real browser, against the real server."""

import base64
import io
import os
import random
import re
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
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
    Route,
    ViewportSize,
    async_playwright,
    expect,
)

from app.database.ids import new_id
from app.draws.record import Record
from tests.axe import WITHOUT_AXE, axe, barriers_on
from tests.chromium import CHROMIUM
from tests.conftest import fresh_database
from tests.draws import records, vectors
from tests.draws.conftest import Stage
from tests.draws.test_record import CLAIMS_ACCUSATIONS, LATER_ACCUSATIONS
from tests.server import Server, serving
from tests.waiting import eventually

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
REFUSED = re.compile(r"responded with a status of (400|404|429|503)|ERR_FAILED")
"""Browsers log what was not answered, which is no error of the page."""
STREAMS = re.compile("/events[?]")
POLL_MILLISECONDS, RETRY_MILLISECONDS, FOLLOWING_MILLISECONDS = 4_000, 20_000, 30_000
GOOD, BAD = "✓ This draw checks out.", "✗ This draw does not check out."
PICTURES = os.environ.get("DRAW_PICTURES")
"""A folder for screenshots of the pages; those of the README are in `app/draws/pages`."""
NAMES = ["Ada", "Boris", "Chloé", "Dmitri", "Éva", "Farid", "Grace", "Hana", "Ivo", "Jun", "Kofi"]

__all__ = ["axe"]

expect.set_options(timeout=WAIT_MILLISECONDS)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="no Chromium here"
)


@pytest.fixture(scope="module")
async def server(server_url: str, template: str) -> AsyncIterator[Server]:
    async for url in fresh_database(server_url, template):
        with serving(DATABASE_URL=url, PUBLIC_URL=PUBLIC_URL) as server:
            connection = await asyncpg.connect(url)
            await connection.execute("UPDATE rooms SET \"showName\" = 'FULL'")
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
    body = {
        "name": "Picnic",
        "appId": "app_lottery_v1",
        "appSettings": settings,
        "showName": "FULL",
    }
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
    return said.type == "error" and not REFUSED.search(said.text)


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
    # The page's policy forbids what `wait_for_function` would evaluate.
    await expect(page.locator("#code")).not_to_have_js_property("naturalWidth", 0)
    await picture(page, "announced")

    await ok(organizer.post(f"{draws}/1/close"))
    await expect(page.locator("#status")).to_have_text("CLOSED")
    await expect(page.locator("#count")).to_have_text("12 take part; the list is fixed")
    drawn = await ok(organizer.post(f"{draws}/1/draw", json={"public": "426"}))
    await expect(page.locator("#status")).to_have_text("DRAWN")
    await expect(page.locator("#winners li")).to_have_count(len(drawn["winners"]))
    people = {f"person{number:02}": name for number, name in enumerate(NAMES)}
    for index, win in enumerate(drawn["winners"]):
        name = people.get(win["participantId"], "Charlie Davis")
        await expect(page.locator("#winners li").nth(index)).to_contain_text(name)
    await expect(page.locator("#entropy")).to_have_text("Three dice on stage: 426")
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


async def announced(page: Page, organizer: httpx.AsyncClient, server: Server) -> str:
    """Show a new draw on a page whose clock stands still, and return where the draws are."""
    draws = f"{await opened(organizer)}/draws"
    await ok(organizer.post(draws))
    await page.clock.install()
    await page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    await page.goto(f"{server.url}{draws}/1")
    await expect(page.locator("#status")).to_have_text("ANNOUNCED")
    return draws


async def following(page: Page) -> None:
    await until(page, "stream.readyState === EventSource.OPEN && !isReading")


async def until(page: Page, expression: str) -> None:
    """Wait for what the page's policy lets no test await within it."""
    await eventually(lambda: page.evaluate(expression))


async def test_a_page_hears_of_each_step_and_asks_for_nothing_meanwhile(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    draws = await announced(page, organizer, server)
    await following(page)
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.url.rpartition("/")[2]))
    # No time passes here, so what is shown is told by the stream.
    await ok(organizer.post(f"{draws}/1/close"))
    await expect(page.locator("#status")).to_have_text("CLOSED")
    await ok(organizer.patch(draws.removesuffix("/draws"), json={"name": "Ball"}))
    await until(page, "namesAreOld")
    await page.clock.run_for(FOLLOWING_MILLISECONDS - 1)
    assert asked == ["1"]
    await page.clock.run_for(1)
    await expect(page.locator("#title")).to_have_text("Ball: draw 1")
    assert asked == ["1", "1", "prizes?limit=1000", draws.split("/")[2]]

    await ok(organizer.post(f"{draws}/1/draw", json={}))
    await expect(page.locator("#digest")).to_be_visible()
    assert await page.evaluate("stream.readyState === EventSource.CLOSED")
    asked.clear()
    await page.clock.run_for(10 * FOLLOWING_MILLISECONDS)
    assert asked == []


async def test_a_stream_that_died_unnoticed_is_made_up_for(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    draws = await announced(page, organizer, server)
    await following(page)
    await page.evaluate("OF_THE_DRAW.forEach((type) => stream.removeEventListener(type, refresh))")
    await ok(organizer.post(f"{draws}/1/close"))
    await page.clock.run_for(FOLLOWING_MILLISECONDS)
    await expect(page.locator("#status")).to_have_text("CLOSED")


@pytest.mark.parametrize("status", [404, 429, 503, None])
async def test_a_page_that_can_not_follow_asks_until_it_can(
    page: Page, server: Server, organizer: httpx.AsyncClient, status: int | None
) -> None:
    async def refuse(route: Route) -> None:
        await (route.abort() if status is None else route.fulfill(status=status, body="{}"))

    await page.route(STREAMS, refuse)
    draws = await announced(page, organizer, server)
    await until(page, "stream.readyState !== EventSource.OPEN && !isReading")
    await ok(organizer.post(f"{draws}/1/close"))
    await page.clock.run_for(POLL_MILLISECONDS - 1)
    await page.evaluate("stream.dispatchEvent(new Event('error'))")
    await page.clock.run_for(1)
    await expect(page.locator("#status")).to_have_text("CLOSED")

    await page.unroute(STREAMS)
    await until(page, "!isReading")
    await page.clock.run_for(RETRY_MILLISECONDS)
    await following(page)
    await ok(organizer.request("DELETE", f"{draws}/1", json={"reason": "Rain."}))
    await expect(page.locator("#message")).to_have_text("Cancelled: Rain.")


async def test_a_draw_is_shown_on_when_its_room_turns_private(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    draws = await announced(page, organizer, server)
    await following(page)
    await ok(organizer.patch(draws.removesuffix("/draws"), json={"isPublic": False}))
    await until(page, "stream.readyState === EventSource.CLOSED && !isReading")
    await ok(organizer.post(f"{draws}/1/close"))
    await page.clock.run_for(POLL_MILLISECONDS)
    await expect(page.locator("#status")).to_have_text("CLOSED")
    await expect(page.locator("#title")).to_have_text("Picnic: draw 1")
    await expect(page.locator("#prizes")).to_contain_text("Cake")


async def test_asking_stays_within_what_anonymous_visitors_may(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    await page.route(STREAMS, lambda route: route.fulfill(status=429, body="{}"))
    await announced(page, organizer, server)
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.url))
    for _ in range(60_000 // POLL_MILLISECONDS):
        await until(page, "!isReading")
        await page.clock.run_for(POLL_MILLISECONDS)
    await until(page, "!isReading")
    assert 15 <= len(asked) <= 18


async def test_a_page_that_is_refused_waits_as_long_as_it_is_told(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    draws = await announced(page, organizer, server)
    await following(page)
    refusal = {"status": 429, "headers": {"Retry-After": "50"}, "body": "{}"}
    await page.route(re.compile("/draws/1$"), lambda route: route.fulfill(**refusal))
    await ok(organizer.post(f"{draws}/1/close"))
    await expect(page.locator("#message")).to_contain_text("Too many ask")
    await page.unroute_all()
    await page.clock.run_for(49_000)
    await expect(page.locator("#status")).to_have_text("ANNOUNCED")
    await page.clock.run_for(1_000)
    await expect(page.locator("#status")).to_have_text("CLOSED")
    await expect(page.locator("#message")).to_contain_text("Nobody is in this draw")


async def test_a_draw_that_was_shown_is_not_taken_for_gone(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    draws = await announced(page, organizer, server)
    await following(page)
    # As a proxy answers while the server restarts.
    await page.route(re.compile("/draws/1$"), lambda route: route.fulfill(status=404, body="-"))
    await ok(organizer.post(f"{draws}/1/close"))
    await expect(page.locator("#message")).to_contain_text("trying again")
    await page.unroute_all()
    await page.clock.run_for(POLL_MILLISECONDS)
    await expect(page.locator("#status")).to_have_text("CLOSED")


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
    await page.fill("#address", f"{server.url}{room}/draws/1")
    # It was never closed, so there is no list to fetch.
    await page.click("button")
    await expect(page.locator("#verdict")).to_have_text("Cancelled: Rain <b>all</b> day.")
    await expect(page.locator("#steps .void")).to_have_text(
        [f"No {what} was fixed: it was cancelled before the close" for what in ("list", "plan")]
    )
    for address, said in {f"{room}/draws/2": "no such public draw", "x": "An address ends"}.items():
        await page.fill("#address", address)
        await page.click("button")
        await expect(page.locator("#verdict")).to_contain_text(said)
        await expect(page.locator("#steps li")).to_have_count(0)


async def test_an_address_leads_to_this_server_or_nowhere(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    room = await opened(organizer)
    await ok(organizer.post(f"{room}/draws", json={"immediate": True}))
    path, host = f"{room}/draws/1", server.url.removeprefix("http://")
    await page.goto(f"{server.url}/verify")
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.url))
    for elsewhere in ("https://events.example.org", "events.example.org", f"{server.url}/other"):
        await page.fill("#address", f"{elsewhere}{path}")
        await page.click("button")
        await expect(page.locator("#verdict")).to_contain_text(f"leads to {elsewhere}.")
        await expect(page.locator("#verdict")).to_contain_text(f"This page asks {host} alone")
    assert asked == []
    for here in (
        path,
        f"{server.url}{path}",
        f"{host}{path}?x=1",
        f"{server.url}/verify?draw={quote(path, safe='')}",
        f"HTTP://{host}/api/v1{path}/record",
    ):
        await page.fill("#address", here)
        await page.click("button")
        await expect(page.locator("#verdict")).to_have_text(GOOD)
        asked.clear()


async def test_a_check_by_address_names_the_winners_as_the_screen_does(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    room = await opened(organizer)
    await ok(organizer.post(f"{room}/prizes", json={"name": "Tea"}))
    people = await joined(organizer, room, "<b>Ann</b>", None)
    drawn = await ok(organizer.post(f"{room}/draws", json={"immediate": True}))
    [second, first] = (await organizer.get(f"{room}/winners")).json()["data"]
    await ok(organizer.delete(f"{room}/winners/{second['id']}"))
    names = {people[0]: "<b>Ann</b>", people[1]: f"Participant …{people[1][-5:]}"}
    taken = {second["participantId"]: " (taken back since)", first["participantId"]: ""}
    prizes = {first["prizeId"]: first["prize"]["name"], second["prizeId"]: second["prize"]["name"]}
    await page.set_viewport_size(PHONE)
    await page.goto(f"{server.url}/verify?draw={room}/draws/1")
    await expect(page.locator("#winners b")).to_have_text(
        [
            f"{prizes[win['prizeId']]} → {names[win['participantId']]}{taken[win['participantId']]}"
            for win in drawn["winners"]
        ]
    )
    ids = [f"{win['prizeId']} → {win['participantId']} (place" for win in drawn["winners"]]
    await expect(page.locator("#winners span")).to_contain_text(ids)
    await expect(page.locator("#notes")).to_contain_text("Drawn at once")
    await expect(page.locator("#notes")).to_contain_text("what this server calls people")
    assert await fits(page)

    # A room that is not shown names nobody, and what it drew still checks out.
    await ok(organizer.patch(room, json={"isPublic": False}))
    await page.reload()
    await expect(page.locator("#verdict")).to_have_text(GOOD)
    await expect(page.locator("#winners span")).to_contain_text(ids)
    await expect(page.locator("#winners b")).to_have_count(0)


@pytest.mark.parametrize(("status", "said"), [(429, "Too many ask from here"), (503, "not ready")])
@pytest.mark.parametrize("file", ["record", "entrants.txt"])
async def test_what_could_not_be_fetched_is_no_wrong_draw(
    page: Page, server: Server, organizer: httpx.AsyncClient, status: int, said: str, file: str
) -> None:
    room = await opened(organizer)
    await ok(organizer.post(f"{room}/draws", json={"immediate": True}))
    await page.route(re.compile(f"/{file}$"), lambda route: route.fulfill(status=status, body="{}"))
    await page.goto(f"{server.url}/verify?draw={room}/draws/1")
    await expect(page.locator("#verdict")).to_contain_text(said)
    await expect(page.locator("#steps li")).to_have_count(0)


async def joined(organizer: httpx.AsyncClient, room: str, *names: str | None) -> list[str]:
    """Bring people in, and return their ids as participants."""
    people = [
        {"email": f"{new_id()}@example.org", **({} if name is None else {"name": name})}
        for name in names
    ]
    added = [await ok(organizer.post(f"{room}/participants", json=person)) for person in people]
    return [person["id"] for person in added]


async def test_a_drawn_page_tells_what_went_into_the_draw(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    room = await opened(organizer)
    _, *staff = await joined(organizer, room, "<b>Ann</b>", "Ben", "Cem")
    reasons = [{"participantId": each, "reason": "<i>Works</i> here."} for each in staff]
    await ok(organizer.post(f"{room}/draws", json={"exclusions": reasons}))
    await page.goto(f"{server.url}{room}/draws/1")
    excluded = "2 excluded: “<i>Works</i> here.” (2)"
    await expect(page.locator("#facts li")).to_have_text([excluded])
    await expect(page.locator("#entropy")).to_have_text("Nothing")
    await expect(page.locator("#chosen")).to_have_text(", chosen before anything else")
    await ok(organizer.post(f"{room}/draws/1/close"))
    await ok(organizer.post(f"{room}/draws/1/draw"))
    await expect(page.locator("#entropy")).to_have_text("Nothing came in from outside.")
    await expect(page.locator("#facts li")).to_have_text([excluded])
    await expect(page.locator("#winners h3")).to_have_text(["Cake"])
    await expect(page.locator("#winners li")).to_have_text(["<b>Ann</b>"])
    await expect(page.locator("#prizes")).to_be_hidden()

    await ok(organizer.post(f"{room}/prizes", json={"name": "Tea"}))
    await ok(organizer.post(f"{room}/draws", json={"immediate": True}))
    await page.goto(f"{server.url}{room}/draws/2")
    await expect(page.locator("#facts li")).to_have_text(
        [
            "Drawn at once: nobody could check the commitment beforehand.",
            "Left out besides: 1 with a prize already.",
        ]
    )
    await expect(page.locator("#chosen")).to_be_empty()


async def test_who_takes_over_what_is_not_claimed_is_shown_with_both_names(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    room = await opened(organizer)
    [cake] = (await organizer.get(f"{room}/prizes")).json()["data"]
    claim = {"claim": {"within": "P1DT12H"}}
    await ok(organizer.patch(f"{room}/prizes/{cake['id']}", json=claim))
    await joined(organizer, room, "Ann")
    await joined(organizer, room, "Ben")
    await ok(organizer.post(f"{room}/draws", json={"alternates": 1}))
    await page.goto(f"{server.url}{room}/draws/1")
    await expect(page.locator("#prizes li")).to_have_text(
        [re.compile("^Cake . 1, to be claimed within 1 day 12 hours$")]
    )
    await ok(organizer.post(f"{room}/draws/1/close"))
    await ok(organizer.post(f"{room}/draws/1/draw"))
    await expect(page.locator("#winners li small")).to_contain_text(["To be claimed by"])

    [first] = (await organizer.get(f"{room}/winners")).json()["data"]
    names = [first["participant"]["user"]["name"]]
    names.append("Ann" if names == ["Ben"] else "Ben")
    await ok(organizer.post(f"{room}/winners/{first['id']}/decline"))
    items = page.locator("#winners li")
    declined = f"{names[0]}Declined by staff: goes to {names[1]}."
    await expect(items.first).to_have_text(declined)
    await expect(items.last).to_contain_text(f"{names[1]}Takes over from {names[0]}.To be claimed")
    [second] = (await organizer.get(f"{room}/winners")).json()["data"]
    await ok(organizer.post(f"{room}/winners/{second['id']}/claim"))
    await expect(items.last).to_contain_text("Claimed.")

    await page.goto(f"{server.url}/verify?draw={room}/draws/1")
    await expect(page.locator("#verdict")).to_have_text(GOOD)
    await expect(page.locator("#winners b")).to_have_text([f"Cake → {name}" for name in names])
    shown = page.locator("#winners li span")
    await expect(shown.first).to_contain_text("declined by staff for them: goes to")
    await expect(shown.last).to_contain_text("takes over from")


async def test_what_was_taken_back_keeps_its_winner_s_name_and_leads_on(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    room = await opened(organizer)
    await joined(organizer, room, "Ann")
    await ok(organizer.post(f"{room}/draws", json={"immediate": True}))
    [award] = (await organizer.get(f"{room}/winners")).json()["data"]
    await ok(organizer.delete(f"{room}/winners/{award['id']}"))
    [ben] = await joined(organizer, room, None)
    await page.goto(f"{server.url}{room}/draws/1")
    await expect(page.locator("#winners li")).to_have_text(["AnnTaken back."])

    await ok(organizer.post(f"{room}/draws", json={"replaces": award["id"]}))
    again = (
        "Cake is drawn again: it was taken back from Ann, who won it in draw 1. They are left out."
    )
    await page.reload()
    await expect(page.locator("#winners li")).to_have_text(
        ["AnnTaken back, drawn again in draw 2."]
    )
    await page.click("#winners a")
    await expect(page.locator("#status")).to_have_text("ANNOUNCED")
    await expect(page.locator("#facts li")).to_have_text([again])
    await ok(organizer.post(f"{room}/draws/2/close"))
    await ok(organizer.post(f"{room}/draws/2/draw"))
    # Nobody has said a name of who won.
    await expect(page.locator("#winners li")).to_have_text([f"Participantid …{ben[-5:]}"])
    await expect(page.locator("#facts li")).to_have_text(
        [again, "Left out besides: 1 from whom it was taken back."]
    )
    await page.click("#facts a")
    await expect(page.locator("#winners li")).to_contain_text(["Ann"])


async def test_what_was_not_awarded_is_told_where_it_was_won(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    room = await opened(organizer)
    [ann] = await joined(organizer, room, "Ann")
    drawn = await ok(organizer.post(f"{room}/draws"))
    await ok(organizer.post(f"{room}/draws/1/close"))
    award = {"participantId": ann, "prizeId": drawn["prizes"][0]["id"]}
    await ok(organizer.post(f"{room}/winners", json=award))
    await ok(organizer.post(f"{room}/draws/1/draw"))
    await page.goto(f"{server.url}{room}/draws/1")
    await expect(page.locator("#winners li")).to_have_text(
        ["AnnNot awarded: the winner holds this prize already."]
    )


async def test_the_draw_of_a_deleted_room_says_what_its_ids_are(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    room = await opened(organizer)
    [ann] = await joined(organizer, room, "Ann")
    drawn = await ok(organizer.post(f"{room}/draws", json={"immediate": True}))
    await page.goto(f"{server.url}{room}/draws/1")
    await expect(page.locator("#winners li")).to_have_text(["Ann"])
    await expect(page.locator("#nameless")).to_be_hidden()
    await ok(organizer.delete(room))
    await page.set_viewport_size(PHONE)
    await page.reload()
    await expect(page.locator("#nameless")).to_contain_text("Ids stand for its people and prizes")
    await expect(page.locator("#title")).to_have_text("Draw 1")
    await expect(page.locator("#winners h3")).to_have_text(
        [f"Prize 1id {drawn['prizes'][0]['id']}"]
    )
    await expect(page.locator("#winners li")).to_have_text([f"Participantid {ann}"])
    assert await fits(page)


async def test_a_draw_that_is_not_shown_may_be_private(page: Page, server: Server) -> None:
    await page.goto(f"{server.url}/rooms/{ROOM}/draws/7")
    await expect(page.locator("#message")).to_contain_text("The room may be private")
    await expect(page.locator("#status")).to_be_hidden()


async def test_many_winners_of_one_prize_stand_below_its_name(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    room = await opened(organizer)
    await ok(organizer.post(f"{room}/prizes", json={"name": "Ice cream", "quantity": 40}))
    await joined(organizer, room, "A" * 100, *(f"Person {number}" for number in range(40)))
    await ok(organizer.post(f"{room}/draws", json={"immediate": True}))
    await page.goto(f"{server.url}{room}/draws/1")
    await expect(page.locator("#winners h3")).to_have_text(["Cake", "Ice cream"])
    await expect(page.locator("#winners section").nth(1).locator("li")).to_have_count(40)
    for size in ((1280, 720), (1920, 1080), (390, 844)):
        await page.set_viewport_size({"width": size[0], "height": size[1]})
        assert await fits(page)


async def test_a_screen_turns_pages_of_winners_that_it_is_too_low_for(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    room = await opened(organizer)
    await ok(organizer.post(f"{room}/prizes", json={"name": "Ice cream", "quantity": 99}))
    await joined(organizer, room, *(f"Person {number}" for number in range(100)))
    await ok(organizer.post(f"{room}/draws", json={"immediate": True}))
    await page.set_viewport_size({"width": 1280, "height": 800})
    await page.clock.install()
    await page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    await page.goto(f"{server.url}{room}/draws/1")
    await expect(page.locator("#turn")).to_have_text(re.compile("^1 / [2-9]$"))
    count = int((await page.inner_text("#turn"))[-1])
    shown = []
    for _ in range(count):
        assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        shown += await page.locator("#winners li:visible .who").all_inner_texts()
        await page.clock.run_for(10_000)
    assert sorted(shown) == sorted(f"Person {number}" for number in range(100))
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#turn")).to_have_text(f"2 / {count}")
    await page.click("#pause")
    await page.clock.run_for(60_000)
    await expect(page.locator("#turn")).to_have_text(f"2 / {count}")
    await page.set_viewport_size(PHONE)
    await expect(page.locator("#winners li:visible")).to_have_count(100)


async def test_winners_are_revealed_one_by_one_by_key_or_timer(
    page: Page, server: Server, organizer: httpx.AsyncClient
) -> None:
    room = await opened(organizer)
    await ok(organizer.post(f"{room}/prizes", json={"name": "Tea", "quantity": 2}))
    await joined(organizer, room, "Ann", "Ben", "Cem")
    await ok(organizer.post(f"{room}/draws", json={"immediate": True}))
    await page.set_viewport_size({"width": 1280, "height": 800})
    await page.clock.install()
    await page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    await page.goto(f"{server.url}{room}/draws/1#reveal=5")
    names = page.locator("#winners .who:visible")
    await expect(page.locator("#turn")).to_have_text("0 / 3")
    await expect(names).to_have_count(0)
    await page.keyboard.press("Space")
    await expect(names).to_have_count(1)
    await page.clock.run_for(5_000)
    await expect(names).to_have_count(2)
    await page.clock.run_for(5_000)
    await expect(names).to_have_count(3)
    await expect(page.locator("#turns")).to_be_hidden()
    await page.click("#reveal")
    await expect(page.locator("#reveal")).to_have_attribute("aria-pressed", "false")


async def test_a_screen_speaks_the_language_of_the_browser(
    browser: Browser, server: Server, organizer: httpx.AsyncClient
) -> None:
    room = await opened(organizer)
    await joined(organizer, room, "Ann", "Ben")
    await ok(organizer.post(f"{room}/draws"))
    await ok(organizer.post(f"{room}/draws/1/close"))
    for locale, query, said in (
        ("ru-RU", "", "2 участвуют; список зафиксирован"),
        ("de-DE", "", "2 take part; the list is fixed"),
        ("de-DE", "?language=ru", "2 участвуют; список зафиксирован"),
    ):
        tab = await browser.new_page(locale=locale)
        await tab.goto(f"{server.url}{room}/draws/1{query}")
        await expect(tab.locator("#count")).to_have_text(said)
        await tab.close()


async def test_a_draw_that_there_can_not_be_leads_on(page: Page, server: Server) -> None:
    answer = await page.goto(f"{server.url}/rooms/{ROOM}/draws/0")
    assert answer is not None
    assert answer.status == 404
    await expect(page.locator("#title")).to_have_text("There is no such draw")
    await page.click("#front")
    await expect(page).to_have_url(f"{server.url}/")


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
    await page.fill("#address", "/rooms/r1/draws/1")
    await page.click("button")
    await expect(page.locator("#verdict")).to_contain_text("A saved page asks no server")


async def test_a_list_that_is_missing_is_no_wrong_one(page: Page, tmp_path: Path) -> None:
    await page.goto(VERIFY)
    for record in (records.drawn(), records.cancelled()):
        await page.set_input_files("#files", files(tmp_path, record)[:1])
        await expect(page.locator("#verdict")).to_contain_text("Choose entrants.txt with it")
        await expect(page.locator("#steps .bad")).to_have_count(0)
    short = files(tmp_path, records.short_of_entrants(), b"")
    for given in (short, short[:1]):
        await page.set_input_files("#files", given)
        await expect(page.locator("#verdict")).to_have_text(GOOD)
        await expect(page.locator("#notes")).to_contain_text("3 unit(s) found nobody.")
    early = files(tmp_path, records.cancelled_early(), b"")
    for given in (early, early[:1]):
        await page.set_input_files("#files", given)
        await expect(page.locator("#verdict")).to_have_text("Cancelled: The prize broke.")
        await expect(page.locator("#steps .void")).to_have_count(2)


async def test_the_page_says_of_a_draw_what_its_winners_do_not_tell(
    page: Page, tmp_path: Path
) -> None:
    await page.goto(VERIFY)
    for record, said in (
        (records.drawn(), "Nothing came in from outside. 1 excluded: “works here”. Draw number"),
        (records.redrawn(), "taken back from the winner w1."),
        (records.passed_over({"bob"}), "1 turn(s) went to the next: the account was deleted."),
        (records.changed(records.drawn(), immediate=True), "Drawn at once"),
    ):
        await page.set_input_files("#files", files(tmp_path, record))
        await expect(page.locator("#notes")).to_contain_text(said)
    await page.set_input_files("#files", files(tmp_path, records.unawarded()))
    await expect(page.locator("#winners")).to_contain_text("(place 2, unawarded: HOLDS_PRIZE)")


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
        for record, _, changes, _ in [*LATER_ACCUSATIONS, *CLAIMS_ACCUSATIONS]
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


@WITHOUT_AXE
async def test_nothing_keeps_people_from_the_pages(
    page: Page, server: Server, organizer: httpx.AsyncClient, axe: str
) -> None:
    room = await opened(organizer)
    await joined(organizer, room, "Ann", None)
    draw = f"{server.url}{room}/draws/1"
    await page.goto(draw)
    await expect(page.locator("#message")).to_contain_text("no such public draw")
    assert await barriers_on(page, axe) == []
    await ok(organizer.post(f"{room}/draws"))
    for step, status in (("", "ANNOUNCED"), ("/close", "CLOSED"), ("/draw", "DRAWN")):
        if step:
            await ok(organizer.post(f"{room}/draws/1{step}"))
        await page.goto(draw)
        await expect(page.locator("#status")).to_have_text(status)
        await expect(page.locator("#code")).not_to_have_js_property("naturalWidth", 0)
        assert await barriers_on(page, axe) == []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        await page.goto(f"{server.url}/verify")
        assert await barriers_on(page, axe) == []
        await page.goto(f"{server.url}/verify?draw={room}/draws/1")
        await expect(page.locator("#verdict")).to_have_text(GOOD)
        assert await barriers_on(page, axe) == []


async def test_the_pages_run_nothing_but_their_own(stage: Stage) -> None:
    await stage.announce()
    for path in ("/verify", "/rooms/room/draws/1", "/rooms/room/draws/1/code.svg"):
        answer = (await stage.client.get(path)).raise_for_status()
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src '")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<svg" in answer.text
