"""The guide's ten lines of JavaScript in a real browser, on a page of another origin."""

import functools
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, async_playwright, expect

from app.settings import PROJECT_ROOT
from tests.chromium import CHROMIUM
from tests.events.following import ROOM, bearer
from tests.loopback import listening
from tests.server import Server, serving

GUIDE = PROJECT_ROOT / "app" / "events" / "README.md"
PRIZES = f"/api/v1/rooms/{ROOM}/prizes"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
WAIT_MILLISECONDS = 30_000
PAGE = """<!doctype html><title>Room</title><ol></ol>
<script type="module">
const server = %s, id = %s;
function show(what) {
  const item = document.createElement("li");
  item.textContent = JSON.stringify(what);
  document.querySelector("ol").append(item);
}
%s
</script>
"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="no Chromium here"
)


class Files(SimpleHTTPRequestHandler):
    """Serves the front-end."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server(module_database: str) -> Iterator[Server]:
    with serving(DATABASE_URL=module_database, SCHEDULES="") as server:
        yield server


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A tab; whatever the script throws fails the test."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page()
        page.set_default_timeout(WAIT_MILLISECONDS)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        yield page
        await browser.close()
        assert not faults


async def test_the_guides_javascript_shows_a_room_and_what_happens_in_it(
    page: Page, server: Server, tmp_path: Path
) -> None:
    [code] = re.findall(r"```javascript\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (tmp_path / "index.html").write_text(PAGE % (json.dumps(server.url), json.dumps(ROOM), code))
    shown = page.locator("li")
    with listening(functools.partial(Files, directory=tmp_path)) as port:
        await page.goto(f"http://localhost:{port}")
        await expect(shown).to_have_count(1, timeout=WAIT_MILLISECONDS)
        await expect(shown).to_contain_text(ROOM)
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            alice = await bearer(client)
            for name in ("Mug", "Cap"):
                made = await client.post(PRIZES, json={"name": name}, headers=alice)
                assert made.status_code == 201, made.text
        await expect(shown).to_have_count(3, timeout=WAIT_MILLISECONDS)
        told = [json.loads(text) for text in await shown.all_inner_texts()]
        assert [each["type"] for each in told[1:]] == ["prize.created", "prize.created"]
        assert [each["data"]["name"] for each in told[1:]] == ["Mug", "Cap"]
