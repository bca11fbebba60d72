"""A real server and a real, headless browser on it."""

import asyncio
import itertools
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import url_of
from tests.server import serving

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MILLISECONDS = 30_000

expect.set_options(timeout=WAIT_MILLISECONDS)
_numbers = itertools.count()


class Site:
    """A server with the demo data, its database and its first administrator."""

    def __init__(self, url: str, dsn: str, password: str) -> None:
        self.url, self.dsn, self.password = url, dsn, password

    def ask(self, sql: str, *arguments: object) -> Any:
        return in_thread(self.dsn, sql, *arguments)

    def show(self, page: Page, place: str) -> None:
        """Go to a place of the page, from without: nothing of another place is left."""
        page.goto("about:blank")
        page.goto(f"{self.url}/admin/#/{place}")


def in_thread(dsn: str, sql: str, *arguments: object) -> Any:
    """Ask outside of the event loop that other tests run on."""

    async def ask() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(sql, *arguments)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(ask())).result()


@contextmanager
def new_site(server_url: str, logs: Path) -> Iterator[Site]:
    """Serve from a database of its own on a PostgreSQL server, until the block ends."""
    name = f"browser_{os.getpid()}_{next(_numbers)}"
    in_thread(server_url, f'CREATE DATABASE "{name}"')
    dsn = url_of(server_url, name)
    with serving(DATABASE_URL=dsn, ADMIN_MFA="optional") as server:
        log = server.log.read_text()
        server.log.replace(logs / "server.log")
        password = re.search(r"Sign in as admin with (\S+)", log)
        assert password, log
        yield Site(server.url, dsn, password[1])
    in_thread(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield browser
        browser.close()


def sign_in(page: Page, url: str, name: str, password: str) -> None:
    """Sign in by the form."""
    page.set_default_timeout(WAIT_MILLISECONDS)
    page.goto(f"{url}/admin/")
    page.locator('input[name="username"]').fill(name)
    page.locator('input[name="password"]').fill(password)
    page.get_by_role("button").filter(has_text="Login").click()
