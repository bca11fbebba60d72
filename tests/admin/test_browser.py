"""The page in a real browser, on a real server; the database is read after each step."""

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from app.admin.tables import Administrator
from app.auth.tokens import token_hash
from app.database.seed import LOTTERY
from tests.admin.browser import CHROMIUM, Site, chromium, new_site, sign_in

pytestmark = [
    pytest.mark.skipif(
        not CHROMIUM.exists() and not os.environ.get("CI"), reason="there is no Chromium"
    ),
    pytest.mark.timeout(300),
]
DORA, PASSWORD = "dora", "a long enough passphrase"
WAIT_SECONDS = 30


@pytest.fixture(scope="module")
def site(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with new_site(server_url, tmp_path_factory.mktemp("log")) as site:
        yield site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def said_by_console() -> list[str]:
    """Keep what the browser complains about."""
    return []


@pytest.fixture(scope="module")
def page(site: Site, browser: Browser, said_by_console: list[str]) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1200, "height": 800}) as context:
        page = context.new_page()
        page.on("console", lambda message: said_by_console.append(message.text))
        page.on("pageerror", lambda error: said_by_console.append(f"uncaught: {error}"))
        sign_in(page, site.url, "admin", site.password)
        page.locator('a[href="#/rooms/"]').first.wait_for()
        yield page


@pytest.fixture
def dialogs(page: Page) -> Iterator[list[str]]:
    """Accept what the page asks, and keep what it says."""
    said: list[str] = []

    def accept(dialog: Any) -> None:
        said.append(dialog.message)
        dialog.accept()

    page.on("dialog", accept)
    yield said
    page.remove_listener("dialog", accept)


@pytest.fixture
def dora(site: Site) -> Iterator[str]:
    """Make another administrator, whose sessions are not those of `page`."""
    hashed = Administrator.hash_password(PASSWORD, iterations=1_000)
    site.ask("INSERT INTO admin.administrators (username, password) VALUES ($1, $2)", DORA, hashed)
    yield DORA
    site.ask("DELETE FROM admin.administrators WHERE username = $1", DORA)


def wait_until(page: Page, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)


def fill(page: Page, name: str, value: str) -> None:
    field = page.locator(f'form [name="{name}"]')
    if field.evaluate("field => field.tagName") == "SELECT":
        field.select_option(value)
    else:
        field.fill(value)


def submit(page: Page, site: Site, form: str, **fields: str) -> Locator:
    """Fill a form in and send it; return where the page says how it went."""
    site.show(page, f"forms/{form}")
    for name, value in fields.items():
        fill(page, name, value)
    page.locator("form button").last.click()
    return page.locator("body")


def test_a_wrong_password_lets_nobody_in(site: Site, browser: Browser) -> None:
    sessions = "SELECT count(*) FROM admin.administrator_sessions"
    before = site.ask(sessions)
    with browser.new_context() as context:
        page = context.new_page()
        sign_in(page, site.url, "admin", "wrong")
        expect(page.locator("body")).to_contain_text("Problem logging in")
        assert page.locator('input[name="password"]').count() == 1
    assert site.ask(sessions) == before


def test_the_first_page_is_the_dashboard_and_its_numbers_lead_on(page: Page, site: Site) -> None:
    site.show(page, "")
    dashboard = page.locator(".dashboard")
    people = site.ask('SELECT count(*) FROM users WHERE "deletedAt" IS NULL')
    expect(dashboard).to_contain_text(f"{people}\n  people")
    dashboard.get_by_role("link", name="Draft").click()
    expect(page.locator("table:visible")).to_contain_text("Private Office Lottery")
    page.get_by_role("link", name="Dashboard").click()
    expect(page.locator("main .dashboard")).to_contain_text("vacuum-analyze")
    page.get_by_role("link", name="active rooms").click()
    expect(page.locator("table:visible")).to_contain_text("New Year")


def test_a_list_shows_names_links_and_filters(page: Page, site: Site) -> None:
    site.show(page, "rooms")
    table = page.locator("table:visible")
    for said in ("New Year Lottery 2025", "app_lottery_v1", "alice@example.com", "CREATED BY"):
        expect(table).to_contain_text(said, ignore_case=True)
    expect(page.get_by_text("Add Row")).to_be_hidden()

    page.get_by_text("Show filters").click()
    fill(page, "status", "DRAFT")
    page.get_by_role("button", name="Apply").click()

    expect(table).not_to_contain_text("Christmas")
    expect(table).to_contain_text("Private Office Lottery")


def test_links_lead_from_a_room_to_its_prizes_and_winners(page: Page, site: Site) -> None:
    site.show(page, "winners")
    table = page.locator("table:visible")
    expect(table).to_contain_text("bob@example.com")
    table.get_by_role("link", name="New Year Lottery 2025").click()
    page.get_by_text("Show referencing tables").click()
    page.get_by_text("prizes with a matching").click()
    expect(table).to_contain_text("Headphones")
    expect(table).not_to_contain_text("Christmas")


def test_saving_a_row_changes_what_was_typed_and_nothing_else(page: Page, site: Site) -> None:
    whole = "SELECT (to_jsonb(r) - 'name' - 'updatedAt')::text FROM rooms r WHERE id = $1"
    room = site.ask("SELECT id FROM rooms WHERE name LIKE 'Christmas%'")
    before = site.ask(whole, room)
    site.show(page, f"rooms/{room}")
    expect(page.locator('[name="appManifestVersion"]').first).to_be_disabled()
    expect(page.locator('input[type="datetime-local"]').first).to_be_disabled()

    page.locator('[name="name"]').first.fill("Easter Trivia Quiz")
    page.get_by_role("button", name="Save").click()

    expect(page.locator("body")).to_contain_text("Successfully saved row")
    assert site.ask("SELECT name FROM rooms WHERE id = $1", room) == "Easter Trivia Quiz"
    assert site.ask(whole, room) == before
    recorded = 'SELECT actor FROM audit_log WHERE "rowId" = $1 ORDER BY id DESC'
    assert site.ask(recorded, room) == "admin"


def test_what_was_recorded_is_read_and_not_saved(page: Page, site: Site) -> None:
    submit(page, site, "platform-administrator", email="bob@example.com", isAdmin="false")
    expect(page.locator("body")).to_contain_text("no platform administrator")
    last = site.ask("SELECT max(id) FROM audit_log")

    site.show(page, f"audit_log/{last}")

    expect(page.locator('[name="actor"]').first).to_have_value("admin")
    expect(page.locator('[name="actor"]').first).to_be_disabled()
    expect(page.get_by_role("button", name="Save")).to_be_hidden()


@pytest.mark.parametrize(
    ("table", "text", "said"),
    [
        ("apps", "app_lottery_v1", "live room(s) use this app. Delete those rooms first."),
        ("prizes", "Gift card", "1 winner(s) hold this prize. Revoke them first."),
        ("users", "alice@example.com", "live room(s) are organized by this person alone."),
    ],
)
def test_a_refused_deletion_says_why(
    page: Page, site: Site, dialogs: list[str], table: str, text: str, said: str
) -> None:
    alive = f'SELECT count(*) FROM {table} WHERE "deletedAt" IS NULL'
    before = site.ask(alive)
    site.show(page, table)
    row = page.locator("tbody tr:visible").filter(has_text=text)
    row.locator("td").last.locator("a").first.click()
    row.get_by_text("Delete").click()
    wait_until(page, lambda: len(dialogs) == 2)

    assert said in dialogs[1]
    assert site.ask(alive) == before


def test_an_app_is_registered_its_faults_have_lines_and_its_secret_is_shown_once(
    page: Page, site: Site
) -> None:
    typed = json.dumps({**LOTTERY, "baseUrl": "nonsense"}, indent=2)
    body = submit(page, site, "register-an-app", appId="app_new_v1", manifest=typed)
    line = 1 + typed[: typed.index("baseUrl")].count("\n")
    fault = body.get_by_text(f"line {line}, /baseUrl")
    fault.click()
    selected = "text => text.value.slice(text.selectionStart, text.selectionEnd)"
    assert '"baseUrl": "nonsense"' in page.locator("form textarea").evaluate(selected)
    assert site.ask("SELECT count(*) FROM apps WHERE \"appId\" = 'app_new_v1'") == 0

    fill(page, "manifest", json.dumps(LOTTERY, indent=2))
    page.locator("form button").last.click()

    expect(body).to_contain_text("shown this once: ")
    secret = body.inner_text().partition("shown this once: ")[2].split()[0]
    kept = site.ask('SELECT "appSecret" FROM apps WHERE "appId" = \'app_new_v1\'')
    assert kept == token_hash(secret)

    body = submit(page, site, "rotate-a-secret", appId="app_new_v1")
    expect(body).to_contain_text("The new secret of app_new_v1, shown this once: ")
    assert site.ask('SELECT "appSecret" FROM apps WHERE "appId" = \'app_new_v1\'') != kept


def test_a_version_is_published_and_deprecated(page: Page, site: Site) -> None:
    version = 'SELECT "manifestVersion" FROM apps WHERE "appId" = \'app_lottery_v1\''
    newer = {**LOTTERY, "meta": {**LOTTERY["meta"], "version": "1.1.0"}}
    manifest = json.dumps(newer, indent=2)

    body = submit(page, site, "publish-a-version", appId="app_lottery_v1", manifest=manifest)
    expect(body).to_contain_text("app_lottery_v1 is at version 1.1.0.")
    assert site.ask(version) == "1.1.0"

    fields = {"appId": "app_lottery_v1", "version": "1.1.0", "reason": "counted twice"}
    body = submit(page, site, "deprecate-a-version", **fields)
    expect(body).to_contain_text("takes no new rooms")
    deprecated = 'SELECT "manifestDeprecationReason" FROM apps WHERE "appId" = $1'
    assert site.ask(deprecated, "app_lottery_v1") == "counted twice"


def test_somebodys_sessions_are_revoked(page: Page, site: Site) -> None:
    site.ask(
        'INSERT INTO sessions (id, "userId", "refreshToken", "expiresAt", "updatedAt") '
        "SELECT 'phone', id, 'hash', now() + interval '1 day', now() FROM users "
        "WHERE email = 'diana@example.com'"
    )

    body = submit(page, site, "revoke-sessions", email="diana@example.com", reason="phone stolen")

    expect(body).to_contain_text("1 session(s) of diana@example.com ended.")
    assert site.ask("SELECT count(*) FROM sessions WHERE id = 'phone'") == 0
    recorded = "SELECT actor FROM audit_log WHERE action = 'revoke sessions'"
    assert site.ask(recorded) == "admin"


def test_a_platform_administrator_is_made_and_unmade(page: Page, site: Site) -> None:
    is_admin = "SELECT \"isAdmin\" FROM users WHERE email = 'bob@example.com'"
    for wanted, said in (("true", "is a platform"), ("false", "is no platform")):
        body = submit(page, site, "platform-administrator", email="bob@example.com", isAdmin=wanted)
        expect(body).to_contain_text(f"bob@example.com {said} administrator.")
        assert site.ask(is_admin) is (wanted == "true")


def test_what_was_deleted_is_found_and_comes_back(
    page: Page, site: Site, dialogs: list[str]
) -> None:
    room = site.ask("SELECT id FROM rooms WHERE status = 'DRAFT'")
    deleted_at = 'SELECT "deletedAt" FROM rooms WHERE id = $1'
    site.show(page, "rooms")
    row = page.locator("tbody tr:visible").filter(has_text="Private Office")
    row.locator("td").last.locator("a").first.click()
    row.get_by_text("Delete").click()
    wait_until(page, lambda: site.ask(deleted_at, room) is not None)
    assert len(dialogs) == 1

    page.get_by_role("link", name="Deleted rooms").click()
    expect(page.locator("table:visible")).to_contain_text("Private Office")

    body = submit(page, site, "restore-something-deleted", table="rooms", id=room)
    expect(body).to_contain_text(f"rooms {room} is back.")
    assert site.ask(deleted_at, room) is None


def test_a_job_is_run_now(page: Page, site: Site) -> None:
    runs = "SELECT count(*) FROM task_runs WHERE job = 'cleanup-task-runs' AND slot IS NULL"
    before = site.ask(runs)

    body = submit(page, site, "run-a-job-now", job="cleanup-task-runs")

    expect(body).to_contain_text("cleanup-task-runs succeeded")
    assert site.ask(runs) == before + 1


def test_an_authenticator_is_set_up_and_asked_for_and_one_signs_out(
    site: Site, browser: Browser, dora: str
) -> None:
    user_id = site.ask("SELECT id FROM admin.administrators WHERE username = $1", dora)
    sessions = "SELECT count(*) FROM admin.administrator_sessions WHERE user_id = $1"
    with browser.new_context(viewport={"width": 1200, "height": 800}) as context:
        page = context.new_page()
        page.on("dialog", lambda dialog: dialog.accept())
        sign_in(page, site.url, dora, PASSWORD)
        page.get_by_text(dora).click()
        page.get_by_text("MFA Setup").click()
        page.locator('[name="password"]').fill(PASSWORD)
        page.get_by_role("button", name="Set up").click()
        totp = pyotp.TOTP(page.locator("code").inner_text())
        began = datetime.now(UTC)
        page.locator('[name="code"]').fill(totp.at(began))
        page.get_by_role("button", name="Confirm").click()
        expect(page.locator(".codes li")).to_have_count(8)
        kept = site.ask("SELECT recovery_codes[1] FROM admin.authenticators")
        assert kept == token_hash(page.locator(".codes li").first.inner_text())

        page.get_by_text("I have kept them").click()
        page.get_by_text(dora).click()
        page.get_by_text("Log Out").click()
        expect(page.locator('input[name="password"]')).to_be_visible()
        assert site.ask(sessions, user_id) == 0

        sign_in(page, site.url, dora, PASSWORD)
        expect(page.locator("body")).to_contain_text("MFA code required")
        assert site.ask(sessions, user_id) == 0
        page.get_by_placeholder("123456").fill(totp.at(began + timedelta(seconds=30)))
        page.get_by_role("button").filter(has_text="Login").click()
        page.locator('a[href="#/rooms/"]').first.wait_for()
        assert site.ask(sessions, user_id) == 1


def test_the_browser_had_nothing_to_complain_about(
    page: Page, site: Site, said_by_console: list[str]
) -> None:
    site.show(page, "rooms")
    page.locator("table:visible").wait_for()

    faults = ("Content Security Policy", "script-src", "uncaught", "refused to", "status of 404")
    complaints = [said for said in said_by_console if any(each in said for each in faults)]
    assert said_by_console
    assert not complaints
