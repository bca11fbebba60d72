"""A code from an authenticator app besides the password: set up, asked for, guessed, lost."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pyotp
import pytest

from app import settings
from app.admin import second_factor
from app.admin.accounts import reset_second_factor
from app.admin.attempts import visited_by, visitor_at
from app.admin.second_factor import ATTEMPTS, begin, confirm, take_code
from app.auth.tokens import token_hash
from app.database.engine import fetch, fetchrow, fetchval
from app.settings import SettingsError
from tests.admin.staff import LOGIN, NAME, PASSWORD, sign_in
from tests.server import PRODUCTION, RANDOM_SECRET

SETUP = "/admin/api/mfa-setup/"
USER = "/admin/api/user/"
KEY = "a key for authenticators in the tests"


NOW = datetime(2026, 11, 22, 18, 0, 5, tzinfo=UTC)


class Clock:
    """Stands still: a step never ends between a code's making and its taking."""

    @staticmethod
    def now(_: object) -> datetime:
        return NOW


@pytest.fixture(autouse=True)
def mode(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Set ADMIN_MFA; `optional` unless a test says otherwise."""
    monkeypatch.setattr(second_factor, "datetime", Clock)
    monkeypatch.setenv("ADMIN_MFA", getattr(request, "param", "optional"))
    monkeypatch.setenv("ADMIN_MFA_KEY", KEY)
    settings.settings.cache_clear()
    yield
    settings.settings.cache_clear()


REQUIRED = pytest.mark.parametrize("mode", ["required"], indirect=True)


async def step(staff: httpx.AsyncClient, action: str, **fields: str) -> httpx.Response:
    """Post the setup page's form as a browser does."""
    token = {"csrftoken": staff.cookies["csrftoken"]}
    return await staff.post(SETUP, data={"action": action, **token, **fields})


def code_at(secret: str, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at(NOW + timedelta(seconds=30 * steps))


async def enrol(staff: httpx.AsyncClient) -> tuple[str, list[str]]:
    """Set an authenticator up in the page; return its secret and the recovery codes."""
    started = await step(staff, "start", password=PASSWORD)
    [secret] = re.findall(r"<code>([A-Z2-7]{32})</code>", started.text)
    confirmed = await step(staff, "confirm", code=code_at(secret, -1))
    return secret, re.findall(r"<li>([a-z0-9]{8}-[a-z0-9]{8})</li>", confirmed.text)


async def sign_in_with(client: httpx.AsyncClient, code: object) -> httpx.Response:
    body = {"username": NAME, "password": PASSWORD, "mfa_code": code}
    return await client.post(LOGIN, json=body)


async def administrator_id() -> int:
    found: int = await fetchval("SELECT id FROM admin.administrators WHERE username = $1", NAME)
    return found


async def test_who_has_an_authenticator_signs_in_with_a_code_and_each_works_once(
    staff: httpx.AsyncClient,
) -> None:
    secret, _ = await enrol(staff)

    asked = await sign_in(staff)
    assert (asked.status_code, asked.json()) == (401, {"detail": "MFA code required"})
    code = code_at(secret)
    assert (await sign_in_with(staff, code)).status_code == 200
    assert (await staff.get(USER)).status_code == 200

    again = await sign_in_with(staff, code)
    assert (again.status_code, again.json()) == (401, {"detail": "MFA failed"})
    assert (await sign_in_with(staff, code_at(secret, -1))).status_code == 401
    assert (await sign_in_with(staff, code_at(secret, 1))).status_code == 200


async def test_of_two_who_give_the_same_code_at_once_one_gets_in(
    staff: httpx.AsyncClient,
) -> None:
    secret, recovery_codes = await enrol(staff)
    person = await administrator_id()

    for code in (code_at(secret), recovery_codes[0]):
        taken = await asyncio.gather(*(take_code(person, code, NOW) for _ in range(2)))
        assert sorted(taken) == [False, True]


async def test_the_secret_is_encrypted_and_codes_are_kept_as_hashes(
    staff: httpx.AsyncClient,
) -> None:
    secret, recovery_codes = await enrol(staff)

    row = await fetchrow("SELECT * FROM admin.authenticators")
    assert row is not None
    assert len(set(recovery_codes)) == second_factor.RECOVERY_CODES
    assert row["recovery_codes"] == [token_hash(code) for code in recovery_codes]
    assert secret not in str(row)
    assert not [code for code in recovery_codes if code in str(row)]


async def test_a_recovery_code_lets_in_once(staff: httpx.AsyncClient) -> None:
    _, recovery_codes = await enrol(staff)

    assert (await sign_in_with(staff, recovery_codes[3].upper())).status_code == 200
    assert (await sign_in_with(staff, recovery_codes[3])).status_code == 401
    assert (await sign_in_with(staff, recovery_codes[4])).status_code == 200
    left = await fetchval("SELECT cardinality(recovery_codes) FROM admin.authenticators")
    assert left == len(recovery_codes) - 2


@pytest.mark.parametrize("code", ["", "000000", "12345", "zzzzzzzz-zzzzzzzz", 0, None, ["x"], {}])
async def test_anything_else_lets_nobody_in(staff: httpx.AsyncClient, code: object) -> None:
    await enrol(staff)

    answer = await sign_in_with(staff, code)

    assert answer.status_code == (401 if isinstance(code, str) else 400)


async def test_guessing_is_stopped_even_with_the_right_code_and_ends(
    staff: httpx.AsyncClient,
) -> None:
    secret, recovery_codes = await enrol(staff)

    guesses = [sign_in_with(staff, f"{n:06}") for n in range(ATTEMPTS)]
    await asyncio.gather(*guesses)

    assert (await sign_in_with(staff, code_at(secret))).status_code == 401
    assert (await sign_in_with(staff, recovery_codes[0])).status_code == 401
    await fetch("UPDATE admin.failed_sign_ins SET since = since - interval '16 minutes'")
    assert (await sign_in_with(staff, code_at(secret))).status_code == 200


async def test_who_knows_the_password_guesses_no_code_from_anywhere_and_keeps_nobody_out(
    staff: httpx.AsyncClient,
) -> None:
    secret, recovery_codes = await enrol(staff)
    person = await administrator_id()

    async def at(address: str, code: str) -> bool:
        with visited_by(visitor_at(address, None)):
            return await take_code(person, code, NOW)

    for n in range(ATTEMPTS):
        assert not await at(f"192.0.2.{n}", f"{n:06}")

    assert not await at("192.0.2.9", code_at(secret))
    assert (await sign_in_with(staff, code_at(secret))).status_code == 200
    assert await at("198.51.100.1", recovery_codes[0])
    assert not await at("192.0.2.9", code_at(secret, 1))


async def test_right_codes_do_not_count_as_guesses(staff: httpx.AsyncClient) -> None:
    secret, _ = await enrol(staff)
    person = await administrator_id()

    for n in range(ATTEMPTS * 2):
        later = NOW + timedelta(seconds=30 * n)
        with visited_by(visitor_at(f"192.0.2.{n}", None)):
            assert await take_code(person, code_at(secret, n), later)


async def test_an_authenticator_counts_when_a_code_of_it_was_given_back(
    staff: httpx.AsyncClient,
) -> None:
    assert "password is wrong" in (await step(staff, "start", password="wrong")).text
    assert await fetchval("SELECT count(*) FROM admin.authenticators") == 0
    started = await step(staff, "start", password=PASSWORD)
    assert "data:image/svg+xml" in started.text

    assert "code is wrong" in (await step(staff, "confirm", code="000000")).text

    assert (await sign_in(staff)).status_code == 200
    assert "Set up an authenticator" in (await staff.get(SETUP)).text
    assert (await step(staff, "nonsense")).status_code == 400


async def test_a_mistyped_code_keeps_what_was_scanned_and_shows_it_to_nobody(
    staff: httpx.AsyncClient,
) -> None:
    assert "Your password" in (await step(staff, "confirm", code="000000")).text
    started = await step(staff, "start", password=PASSWORD)
    [secret] = re.findall(r"<code>([A-Z2-7]{32})</code>", started.text)

    mistyped = await step(staff, "confirm", code="000000")

    assert mistyped.status_code == 422
    assert 'inputmode="numeric"' in mistyped.text
    assert secret not in mistyped.text
    assert "svg" not in mistyped.text.partition("<main>")[2]
    confirmed = await step(staff, "confirm", code=code_at(secret))
    assert "recovery codes" in confirmed.text


async def test_setting_up_signs_out_every_other_browser(staff: httpx.AsyncClient) -> None:
    await fetch(
        "INSERT INTO admin.administrator_sessions (token, user_id, expiry_date, max_expiry_date) "
        "VALUES ('another', $1, now() + interval '1 hour', now() + interval '1 hour')",
        await administrator_id(),
    )

    await enrol(staff)

    assert (await staff.get(USER)).status_code == 200
    assert await fetchval("SELECT count(*) FROM admin.administrator_sessions") == 1


async def test_a_confirmed_authenticator_is_replaced_by_nobody(staff: httpx.AsyncClient) -> None:
    await enrol(staff)
    before = await fetchrow("SELECT * FROM admin.authenticators")

    assert "already" in (await step(staff, "start", password=PASSWORD)).text
    assert "wrong" in (await step(staff, "remove", password=PASSWORD, code="000000")).text
    assert "wrong" in (await step(staff, "remove", password="wrong", code="000000")).text

    after = await fetchrow("SELECT * FROM admin.authenticators")
    assert before is not None
    assert after is not None
    assert (after["secret"], after["recovery_codes"]) == (
        before["secret"],
        before["recovery_codes"],
    )


async def test_an_authenticator_is_taken_away_with_password_and_code(
    staff: httpx.AsyncClient,
) -> None:
    _, recovery_codes = await enrol(staff)

    await step(staff, "remove", password=PASSWORD, code=recovery_codes[0])

    assert (await sign_in(staff)).status_code == 200
    recorded = await fetch('SELECT actor, action FROM audit_log ORDER BY "createdAt", id')
    assert [tuple(record) for record in recorded] == [
        (NAME, "set up authenticator"),
        (NAME, "remove authenticator"),
    ]


async def test_another_site_can_not_set_one_up(staff: httpx.AsyncClient) -> None:
    del staff.headers["X-CSRFToken"]
    body = {"action": "start", "password": PASSWORD}

    assert (await staff.post(SETUP, data=body)).status_code == 403
    answer = await step(staff, "start", password=PASSWORD)
    assert answer.status_code == 200
    foreign = {"Origin": "https://evil.example"}
    body["csrftoken"] = staff.cookies["csrftoken"]
    assert (await staff.post(SETUP, data=body, headers=foreign)).status_code == 403


async def test_nobody_sets_one_up_without_signing_in(
    client: httpx.AsyncClient,
    administrator: str,  # noqa: ARG001 - has to be there
) -> None:
    assert (await client.get(SETUP)).status_code in {303, 401}
    client.headers["X-CSRFToken"] = client.cookies["csrftoken"]
    assert (await step(client, "start", password=PASSWORD)).status_code == 401


@REQUIRED
async def test_where_it_is_required_nobody_does_anything_before(staff: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", "/admin/api/tables/rooms/"),
        ("GET", "/admin/api/dashboard/"),
        ("POST", "/admin/api/forms/run-a-job-now/"),
        ("POST", "/admin/api/change-password/"),
        ("GET", "/admin/api/tables/rooms/user/"),
        ("DELETE", "/admin/api/tables/rooms/x/"),
    ):
        refused = await staff.request(method, path, json=None if method == "GET" else {})
        assert (refused.status_code, refused.headers["x-second-factor"]) == (403, "required")
    assert (await staff.get(USER)).status_code == 200

    await enrol(staff)

    assert (await staff.get("/admin/api/tables/rooms/")).status_code == 200


@pytest.mark.parametrize("mode", ["off"], indirect=True)
async def test_where_it_is_off_there_is_no_setup_and_no_code_is_asked_for(
    staff: httpx.AsyncClient,
) -> None:
    assert (await staff.get(SETUP)).status_code == 404
    person = await administrator_id()
    secret = await begin(person)
    assert secret
    assert await confirm(person, code_at(secret), "session", NOW)

    assert (await sign_in(staff)).status_code == 200


async def test_a_lost_device_is_forgotten_and_its_owner_signed_out(
    staff: httpx.AsyncClient,
) -> None:
    await enrol(staff)

    await reset_second_factor(NAME)

    assert (await staff.get(USER)).status_code == 401
    assert (await sign_in(staff)).status_code == 200


async def test_keys_are_replaced_without_anybody_losing_the_authenticator(
    staff: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, _ = await enrol(staff)
    person = await administrator_id()

    async def takes(keys: str, steps: int) -> bool:
        monkeypatch.setenv("ADMIN_MFA_KEY", keys)
        settings.settings.cache_clear()
        later = NOW + timedelta(seconds=30 * steps)
        return await take_code(person, pyotp.TOTP(secret).at(later), later)

    assert not await takes("another key, unknown here", 0)
    assert await takes(f"new key,{KEY}", 1)
    assert not await takes(KEY, 2)
    assert await takes("new key", 3)


def test_production_wants_a_key_of_its_own() -> None:
    production = {
        **PRODUCTION,
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "ADMIN_MFA": "required",
    }
    for key, said in (
        (None, "missing"),
        ("short", "shorter"),
        (settings.DEVELOPMENT_SECRET, "exa"),
    ):
        given = {**production, **({"ADMIN_MFA_KEY": key} if key else {})}
        with pytest.raises(SettingsError, match=f"ADMIN_MFA_KEY is (an )?{said}"):
            settings.load(given)
    for enough in ({"ADMIN_MFA": "off"}, {"ADMIN_MFA_KEY": RANDOM_SECRET}):
        settings.load({**production, **enough})
