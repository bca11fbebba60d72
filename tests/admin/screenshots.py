"""Takes the README's pictures of the administrators' page.

Usage: python -m tests.admin.screenshots

Needs Chromium. Serves the demo data from a database of its own, as the tests do.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, expect

from app.database.embedded.server import EmbeddedServer
from app.settings import DATA_DIRECTORY, PROJECT_ROOT
from tests.admin.browser import Site, chromium, new_site, sign_in

PICTURES = PROJECT_ROOT / "app" / "admin" / "pictures"
SIZE = ViewportSize(width=1200, height=720)
MANIFEST = """{
  "meta": {
    "name": "Raffle",
    "version": "one"
  },
  "baseUrl": "raffle.example"
}"""
HISTORY = """
    INSERT INTO task_runs (id, job, runner, outcome, "startedAt", "finishedAt", rows)
    SELECT job || n, job, 'demo',
           (CASE WHEN n = 5 THEN 'FAILED' ELSE 'SUCCEEDED' END)::"TaskOutcome",
           now() - n * interval '1 day', now() - n * interval '1 day' + interval '2 s', n * 17
    FROM generate_series(1, 11) n, unnest(ARRAY['cleanup-tokens', 'cleanup-task-runs']) job
"""


def main() -> None:
    """Take them all."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as logs, _postgresql() as server_url:  # noqa: SIM117 - too long a line
        with new_site(server_url, Path(logs)) as site, chromium() as browser:
            site.ask(HISTORY)
            page = browser.new_page(viewport=SIZE)
            page.on("dialog", lambda dialog: dialog.accept())
            sign_in(page, site.url, "admin", site.password)
            page.locator('a[href="#/rooms/"]').first.wait_for()
            take_all(page, site)


def take_all(page: Page, site: Site) -> None:
    """Take each picture."""
    site.show(page, "")
    page.locator(".dashboard").wait_for()
    _take(page, "dashboard")
    site.show(page, "rooms")
    expect(page.locator("table:visible")).to_contain_text("New Year")
    _take(page, "list")
    page.get_by_role("link", name="Christmas").click()
    expect(page.locator('[name="createdBy"]')).to_be_disabled()
    _take(page, "edit")
    _show_a_refusal(page, site)
    _take(page, "refused")
    site.show(page, "forms/register-an-app")
    page.locator('[name="appId"]').fill("app_raffle_v1")
    page.locator('[name="manifest"]').fill(MANIFEST)
    page.locator("form button").last.click()
    expect(page.locator("body")).to_contain_text("line 4, /meta/version")
    page.evaluate("scrollTo(0, 0)")
    _take(page, "form")


def _show_a_refusal(page: Page, site: Site) -> None:
    site.show(page, "prizes")
    page.get_by_role("link", name="Gift card").click()
    expect(page.locator('[name="name"]').first).to_have_value("Gift card")
    page.locator('a:has([data-icon="ellipsis-vertical"])').first.click()
    page.get_by_text("Delete", exact=True).click()
    expect(page.locator("body")).to_contain_text("hold this prize")


def _take(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=PICTURES / f"{name}.png")


@contextmanager
def _postgresql() -> Iterator[str]:
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    server = EmbeddedServer(DATA_DIRECTORY / "test-postgres", durable=False)
    server.join()
    try:
        yield server.dsn("postgres")
    finally:
        server.leave()


if __name__ == "__main__":
    main()
