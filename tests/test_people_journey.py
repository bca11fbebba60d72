"""From a spreadsheet of colleagues to ten winners who were told, and one who is forgotten."""

import asyncio
import os
import re
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from playwright.async_api import Page, async_playwright

from app.database.engine import fetchval
from app.draws.record import check
from app.settings import PROJECT_ROOT
from tests.admin.browser import CHROMIUM, FLAGS
from tests.draws.conftest import age
from tests.mails.server import Mailbox, receiving
from tests.server import Server, free_port, run, serving
from tests.sockets.conftest import bound
from tests.users.test_erasing import places_of
from tests.waiting import eventually

__all__ = ["bound"]

FILES = Path(__file__).parent / "participants" / "csv"
COLLEAGUES = 300
PRIZES = {"Weekend in Riga": 1, "Headphones": 3, "Cinema ticket": 6}
WON = sum(PRIZES.values())
ALTERNATES = 3
BY_HAND = "send-mails: never; expire-claims: never"


class Site(NamedTuple):
    """A server with its mail server, and who calls it."""

    server: Server
    settings: Mapping[str, str]
    mailbox: Mailbox
    clients: AsyncExitStack

    async def sign_in(self, address: str, number: int = 1) -> "Caller":
        """Let somebody sign in, by the code of this number."""
        http = httpx.AsyncClient(base_url=f"{self.server.url}/api/v1", timeout=60)
        caller = Caller(self, await self.clients.enter_async_context(http))
        return await caller.sign_in(address, number)

    async def do(self, job: str) -> None:
        """Run a job whose time has come."""
        command = ("uv", "run", "litestar", "tasks", "run", job)
        done = await asyncio.to_thread(lambda: run(*command, cwd=PROJECT_ROOT, **self.settings))
        assert done.returncode == 0, done.stderr

    async def tell(self, room_id: str, wins: int) -> None:
        """Send what is written about so many wins."""

        async def are_written() -> bool:
            written = "SELECT count(*) FROM mails WHERE kind = 'you-won' AND \"roomId\" = $1"
            return bool(await fetchval(written, room_id) == wins)

        await eventually(are_written)
        await self.do("send-mails")

    async def mails_to(self, address: str, subject: str, least: int = 1) -> list[EmailMessage]:
        """Return what somebody was sent, as soon as there is so much."""

        def arrived() -> list[EmailMessage]:
            return [
                mail
                for mail in self.mailbox.mails
                if address in mail["To"] and subject in mail["Subject"]
            ]

        async def are_there() -> bool:
            return len(arrived()) >= least

        await eventually(are_there)
        return arrived()

    async def code_to(self, address: str, number: int = 1) -> str:
        """Return the code in the mail of this number."""
        *_, mail = await self.mails_to(address, "code", number)
        code = re.search(r"\b\d{6}\b", text_of(mail))
        assert code is not None
        return code[0]


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
async def site(bound: str, mailbox: Mailbox) -> AsyncIterator[Site]:
    async with receiving(mailbox):
        port = free_port()
        settings = {
            "DATABASE_URL": bound,
            "LITESTAR_PORT": str(port),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "MAIL_URL": f"smtp://127.0.0.1:{mailbox.port}",
            "MAIL_FROM": "Prizes <prizes@firma.example>",
        }
        with serving(PROJECT_ROOT, SCHEDULES=BY_HAND, **settings) as server:
            async with AsyncExitStack() as clients:
                yield Site(server, settings, mailbox, clients)


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A phone."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield await browser.new_page(viewport={"width": 390, "height": 844})
        await browser.close()


class Caller:
    """Somebody who signs in with a code that is sent to their address."""

    def __init__(self, site: Site, http: httpx.AsyncClient) -> None:
        self.site = site
        self.http = http

    async def sign_in(self, address: str, number: int = 1) -> "Caller":
        asked = await self.ok("POST", "/auth/email/code", json={"email": address})
        code = await self.site.code_to(address, number)
        tokens = await self.ok(
            "POST", "/auth/email/login", json={"challenge": asked["challenge"], "code": code}
        )
        self.http.headers["authorization"] = f"Bearer {tokens['accessToken']}"
        self.id = tokens["user"]["id"]
        return self

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        return await self.http.request(method, path, **options)

    async def ok(self, method: str, path: str, **options: Any) -> Any:
        answer = await self.send(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()["data"]


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    text: str = body.get_content()
    return text


def spreadsheet(count: int) -> str:
    lines = [f"Colleague {n:03},colleague{n:03}@firma.example,{n % 3 + 1}" for n in range(count)]
    return "\n".join(["ФИО,Email,Билеты", *lines])


async def bring_in(organizer: Caller, people: str) -> None:
    """Import what spreadsheets have."""
    path, csv = f"{people}/bulk?extra=metadata", {"content-type": "text/csv"}
    utf8 = (FILES / "excel_utf8_bom.csv").read_bytes()
    assert (await organizer.ok("POST", path, content=utf8, headers=csv))["added"] == 5
    ansi = {"content-type": "text/csv; charset=windows-1251"}
    again = (FILES / "excel_windows1251.csv").read_bytes()
    assert (await organizer.ok("POST", path, content=again, headers=ansi))["added"] == 0
    faulty = "email,Билеты\n\nno address,1\n"
    found = await organizer.ok("POST", path, content=faulty.encode(), headers=csv)
    assert (found["added"], found["lines"][0]["line"]) == (0, 3), found
    many = spreadsheet(COLLEAGUES - 5).encode()
    assert (await organizer.ok("POST", path, content=many, headers=csv))["added"] == COLLEAGUES - 5


async def draw_in_public(organizer: Caller, room: str) -> str:
    """Announce, close and draw, and return the draw's address."""
    dice = {"kind": "text", "label": "Five dice", "format": {"alphabet": "1-6", "length": 5}}
    terms = {"weightKey": "Билеты", "alternates": ALTERNATES, "entropy": dice}
    draw = f"{room}/draws/1"
    await organizer.ok("POST", f"{room}/draws", json=terms)
    assert (await organizer.ok("POST", f"{draw}/close"))["entrantCount"] == COLLEAGUES
    await organizer.ok("POST", f"{draw}/draw", json={"public": "42615"})
    return draw


@pytest.mark.skipif(not CHROMIUM.exists() and not os.environ.get("CI"), reason="no Chromium here")
async def test_ten_of_three_hundred_win_are_told_and_one_is_forgotten(
    site: Site, page: Page
) -> None:
    organizer = await site.sign_in("olga@firma.example")
    settings = {"ticketCount": 10, "drawDate": "2027-07-01T18:00:00Z"}
    body = {"name": "Friday", "appId": "app_lottery_v1", "appSettings": settings}
    room_id = (await organizer.ok("POST", "/rooms", json={**body, "isPublic": False}))["id"]
    room = f"/rooms/{room_id}"
    await bring_in(organizer, f"{room}/participants")
    await organizer.ok("PATCH", room, json={"status": "ACTIVE", "isPublic": True})
    for name, quantity in PRIZES.items():
        prize = {"name": name, "quantity": quantity, "claim": {"within": "P7D"}}
        await organizer.ok("POST", f"{room}/prizes", json=prize)

    draw = await draw_in_public(organizer, room)
    wins = [await Win.of(organizer, room, win) for win in await wins_of(organizer, draw)]
    assert len(wins) == WON
    await check_screen(page, f"{site.server.url}{draw}", wins)

    # They are told. The first declines, the second says nothing, the others take it.
    await site.tell(room_id, WON)
    declining, silent, *others = wins
    for win in wins:
        [mail] = await site.mails_to(win.address, "You have won")
        assert win.name in text_of(mail)
    loser = await site.sign_in(declining.address)
    await loser.ok("POST", f"{room}/winners/{declining.id}/decline")
    *_, heir = [await Win.of(organizer, room, win) for win in await wins_of(organizer, draw)]
    for win in (*others, heir):
        await organizer.ok("POST", f"{room}/winners/{win.id}/claim")
    await age(7)
    await site.do("expire-claims")

    # The next ones in the order have it, as anybody can recompute.
    record, entrants = await files_of(organizer, draw)
    assert check(record, entrants).passed
    told = msgspec.json.decode(record)
    *_, late = [await Win.of(organizer, room, win) for win in await wins_of(organizer, draw)]
    assert [(each["participantId"], each["status"], each["next"]) for each in told["claims"]] == [
        (declining.participant, "DECLINED", heir.participant),
        (silent.participant, "EXPIRED", late.participant),
    ]
    line = {each["participantId"] for each in told["nextInLine"]}
    assert {heir.participant, late.participant} <= line
    await site.tell(room_id, WON + 2)

    # One of them finds the win, takes it, and wants to be forgotten.
    [mail] = await site.mails_to(late.address, "You have won")
    await take_on_our_page(site, page, mail, late)
    winner = await site.sign_in(late.address, 2)
    assert (await organizer.ok("GET", f"{room}/winners/{late.id}"))["claim"][
        "status"
    ] == "CONFIRMED"
    assert await places_of(late.name, late.address)
    answer = await winner.http.request("DELETE", f"/users/{winner.id}", json={"erase": True})
    assert answer.is_success, answer.text

    await eventually(lambda: is_forgotten(late))
    assert (await files_of(organizer, draw))[0] == record
    await check_files(organizer, room, draw, late)
    log = site.server.log.read_text()
    assert late.name not in log
    assert late.address not in log


class Win(NamedTuple):
    """A win, and what only moderators see of its winner."""

    id: str
    participant: str
    name: str
    address: str

    @classmethod
    async def of(cls, organizer: Caller, room: str, win: Mapping[str, Any]) -> "Win":
        id_ = win["participantId"]
        person = await organizer.ok("GET", f"{room}/participants/{id_}")
        return cls(win["winnerId"], id_, person["user"]["name"], person["email"])


async def wins_of(organizer: Caller, draw: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await organizer.ok("GET", f"{draw}/winners"))["wins"]
    return found


async def files_of(caller: Caller, draw: str) -> tuple[bytes, bytes]:
    record, entrants = [
        (await caller.send("GET", f"{draw}/{name}")).raise_for_status().content
        for name in ("record", "entrants.txt")
    ]
    return record, entrants


async def check_screen(page: Page, url: str, wins: Sequence[Win]) -> None:
    """See that everybody reads initials, and nobody's name."""
    await page.goto(url)
    shown = page.locator("#winners")
    await shown.wait_for()
    text = await shown.inner_text()
    for win in wins:
        assert win.name not in text, text
        assert win.name[0] in text


async def take_on_our_page(site: Site, page: Page, mail: EmailMessage, win: Win) -> None:
    """Follow the link of a mail, sign in with a code, and take what was won."""
    link = re.search(r"http://\S+/join\S+", text_of(mail))
    assert link is not None
    await page.goto(link[0])
    await page.get_by_role("link", name="Sign in with a code by mail").click()
    await page.get_by_label("Your e-mail address").fill(win.address)
    await page.get_by_role("button", name="Send me a code").click()
    await page.get_by_label("The code").fill(await site.code_to(win.address))
    await page.get_by_role("button", name="Sign in").click()
    if picture := os.environ.get("JOURNEY_PICTURE"):
        await page.get_by_role("button", name="I take it").wait_for()
        await page.screenshot(path=picture, full_page=True)
    await page.get_by_role("button", name="I take it").click()
    await page.get_by_text("It is yours.").wait_for()


async def is_forgotten(win: Win) -> bool:
    return not await places_of(win.name, win.address)


async def check_files(organizer: Caller, room: str, draw: str, gone: Win) -> None:
    """See that no file says who somebody was."""
    exports = [f"{room}/{name}" for name in ("participants.csv", "winners.csv", "expected.csv")]
    for path in (*exports, f"{draw}/winners", f"{draw}/evidence.zip"):
        content = (await organizer.send("GET", path)).raise_for_status().content
        texts = [content]
        if path.endswith(".zip"):
            with zipfile.ZipFile(BytesIO(content)) as archive:
                assert {"record.json", "entrants.txt"} <= {*archive.namelist()}
                texts = [archive.read(name) for name in archive.namelist()]
        for word in (gone.name, gone.address):
            assert not any(word.encode() in text for text in texts), path
