"""Who gets into the page, and how hard it is for the others."""

import asyncio
import time

import httpx
import pytest

from app.admin import tables
from app.admin.accounts import (
    create_administrator,
    first_administrator,
    set_active,
    set_password,
)
from app.admin.attempts import visited_by, visitor_at
from app.admin.tables import ATTEMPTS, Administrator
from app.auth.tokens import token_hash
from app.database.engine import fetch, fetchrow, fetchval
from app.errors import Conflict, NotFound, ValidationFailed
from tests.admin.staff import LOGIN, NAME, PASSWORD, sign_in

USER = "/admin/api/user/"


async def test_who_signs_in_is_known_and_a_token_is_kept_as_its_hash(
    client: httpx.AsyncClient, administrator: str
) -> None:
    assert (await client.get(USER)).status_code == 401

    answer = await sign_in(client)

    assert answer.status_code == 200, answer.text
    assert (await client.get(USER)).json()["username"] == administrator
    kept = await fetchval("SELECT token FROM admin.administrator_sessions")
    assert kept == token_hash(client.cookies["id"])


async def test_who_signs_out_is_out(staff: httpx.AsyncClient) -> None:
    cookie = staff.cookies["id"]

    assert (await staff.post("/admin/public/logout/")).status_code == 200

    staff.cookies.set("id", cookie, domain="testserver.local", path="/admin")
    assert (await staff.get(USER)).status_code == 401
    assert await fetchval("SELECT count(*) FROM admin.administrator_sessions") == 0


@pytest.mark.parametrize(
    ("name", "password"), [(NAME, "wrong"), ("nobody", PASSWORD), (NAME, "x" * 1_000)]
)
async def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(
    client: httpx.AsyncClient,
    administrator: str,  # noqa: ARG001 - has to be there
    name: str,
    password: str,
) -> None:
    await client.get("/admin/")
    client.headers["X-CSRFToken"] = client.cookies["csrftoken"]

    answer = await client.post(LOGIN, json={"username": name, "password": password})

    assert (answer.status_code, answer.json()) == (401, {"detail": "Login failed"})
    assert "id" not in client.cookies


async def test_guessing_a_name_is_stopped_even_with_the_right_password_and_ends(
    administrator: str,
) -> None:
    guesses = [Administrator.login(administrator, f"guess {n}") for n in range(ATTEMPTS)]
    assert set(await asyncio.gather(*guesses)) == {None}

    assert await Administrator.login(administrator, PASSWORD) is None

    await fetch("UPDATE admin.failed_sign_ins SET since = since - interval '16 minutes'")
    assert await Administrator.login(administrator, PASSWORD) is not None
    assert await fetchval("SELECT sum(failures) FROM admin.failed_sign_ins") == 0


async def at(
    address: str, administrator: str, password: str = PASSWORD, browser: str | None = None
) -> int | None:
    """Try a password from an address, in a browser with this cookie or in one without."""
    with visited_by(visitor_at(address, browser)):
        return await Administrator.login(administrator, password)


async def test_who_knows_a_name_keeps_nobody_of_that_name_out(administrator: str) -> None:
    for n in range(ATTEMPTS + 1):
        assert await at("192.0.2.1", administrator, f"guess {n}") is None

    assert await at("192.0.2.1", administrator) is None
    assert await at("192.0.2.2", administrator) is not None

    await set_password(administrator, PASSWORD)
    assert await at("192.0.2.1", administrator) is not None


async def test_from_however_many_addresses_guessing_is_slowed_down_and_locks_nobody_out(
    administrator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ATTEMPTS_ELSEWHERE", 20)
    for n in range(21):
        await at(f"192.0.2.{n}", administrator, f"guess {n}")

    slowed = [await at("198.51.100.1", administrator, f"guess {n}") for n in range(2)]
    assert [*slowed, await at("198.51.100.1", administrator)] == [None] * 3
    assert await at("198.51.100.2", administrator, "mistyped") is None
    assert await at("198.51.100.2", administrator) is not None


async def test_a_browser_in_which_one_has_signed_in_has_attempts_of_its_own(
    client: httpx.AsyncClient, administrator: str
) -> None:
    """As in a hall, whose Wi-Fi gives one address to all."""
    await sign_in(client)
    transport = client._transport
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as stranger:
        statuses = [(await sign_in(stranger, f"guess {n}")).status_code for n in range(21)]
        assert statuses == [401] * 19 + [429] * 2  # one of the 20 was the sign-in above
        assert (await sign_in(stranger)).status_code == 429

    assert (await sign_in(client)).status_code == 200
    for n in range(ATTEMPTS + 1):
        await at("127.0.0.1", administrator, f"guess {n}", client.cookies["csrftoken"])
    assert (await sign_in(client)).status_code == 401


async def test_what_is_counted_of_a_siege_goes_with_the_attempts_that_follow(
    administrator: str,
) -> None:
    for n in range(20):
        await at(f"192.0.2.{n}", administrator, "guess")
    await fetch("UPDATE admin.failed_sign_ins SET since = since - interval '16 minutes'")

    for n in range(4):
        await at("198.51.100.1", administrator, f"guess {n}")

    assert await fetchval("SELECT count(*) FROM admin.failed_sign_ins") == 2


async def test_a_browser_that_is_not_used_for_long_is_forgotten(
    client: httpx.AsyncClient, administrator: str
) -> None:
    await sign_in(client)
    await fetch("UPDATE admin.known_browsers SET seen_at = now() - interval '91 days'")
    async with httpx.AsyncClient(
        transport=client._transport, base_url="http://testserver"
    ) as another:
        await sign_in(another)

    known = await fetch("SELECT token FROM admin.known_browsers")
    assert [row["token"] for row in known] == [token_hash(another.cookies["csrftoken"])]
    assert administrator


async def test_guessing_from_one_address_is_stopped(
    client: httpx.AsyncClient, administrator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ATTEMPTS", 1_000_000)

    statuses = [(await sign_in(client, f"guess {n}")).status_code for n in range(21)]

    assert statuses == [401] * 20 + [429]
    assert (await sign_in(client)).status_code == 429
    assert await Administrator.login(administrator, PASSWORD)


async def test_hashing_a_password_does_not_stop_the_server(
    client: httpx.AsyncClient, administrator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Administrator, "_pbkdf2_iteration_count", 1_500_000)
    await set_password(administrator, PASSWORD)
    await sign_in(client)  # builds the page

    async def others_are_served() -> bool:
        """Tell whether no pause of the event loop was as long as half of a sign-in."""
        started = time.perf_counter()
        login = asyncio.create_task(sign_in(client))
        longest = 0.0
        while not login.done():
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before)
        assert (await login).status_code == 200
        return longest < (time.perf_counter() - started) / 2

    # A busy machine may pause once for as long; hashing on the event loop does it each time.
    for _ in range(3):
        if await others_are_served():
            break
    else:
        pytest.fail("nobody is served while a password is hashed")


async def test_another_site_can_not_act_in_the_name_of_an_administrator(
    staff: httpx.AsyncClient,
) -> None:
    logout = "/admin/public/logout/"

    for headers in (
        {"X-CSRFToken": "wrong"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
    ):
        assert (await staff.post(logout, headers=headers)).status_code == 403, headers

    assert (await staff.get(USER)).status_code == 200
    same_site = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
    assert (await staff.post(logout, headers=same_site)).status_code == 200


async def test_every_answer_of_the_page_carries_the_protecting_headers(
    staff: httpx.AsyncClient,
) -> None:
    for path in ("/admin/", USER, "/admin/public/meta/", "/admin/nothing/", "/admin/api/nothing/"):
        headers = (await staff.get(path)).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert "script-src" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"


async def test_cookies_stay_with_the_page_and_out_of_reach_of_scripts(
    client: httpx.AsyncClient,
    administrator: str,  # noqa: ARG001 - has to be there
) -> None:
    answer = await sign_in(client)

    [cookie] = answer.headers.get_list("set-cookie")
    assert cookie.startswith("id=")
    assert cookie.endswith("; Path=/admin; SameSite=Strict")
    assert "HttpOnly" in cookie


async def test_an_administrator_who_is_locked_out_is_out_at_once(staff: httpx.AsyncClient) -> None:
    await set_active(NAME, active=False)

    assert (await staff.get(USER)).status_code == 401
    assert (await sign_in(staff)).status_code == 401

    await set_active(NAME, active=True)
    assert (await sign_in(staff)).status_code == 200


async def test_a_new_password_ends_the_sessions_of_the_old_one(staff: httpx.AsyncClient) -> None:
    await set_password(NAME, "another long passphrase")

    assert (await staff.get(USER)).status_code == 401
    assert (await sign_in(staff)).status_code == 401
    assert (await sign_in(staff, "another long passphrase")).status_code == 200


async def test_a_password_is_changed_in_the_page_and_a_weak_one_refused_in_words(
    staff: httpx.AsyncClient,
) -> None:
    async def change(new: str) -> httpx.Response:
        body = {"current_password": PASSWORD, "new_password": new, "confirm_new_password": new}
        return await staff.post("/admin/api/change-password/", json=body)

    weak = await change("aaaaaaaaaaaaaaaa")
    assert weak.status_code == 422
    assert "different characters" in weak.json()["detail"]
    assert (await staff.get(USER)).status_code == 200

    assert (await change("another long passphrase")).status_code == 303
    assert (await sign_in(staff, "another long passphrase")).status_code == 200


@pytest.mark.parametrize("password", ["short", "x" * 200, "aaaaaaaaaaaaaaaa", f"{NAME} was here!"])
async def test_a_weak_password_makes_nobody(
    database: str,  # noqa: ARG001 - bound there
    password: str,
) -> None:
    await fetch("DELETE FROM admin.administrators")

    with pytest.raises(ValidationFailed):
        await create_administrator(NAME, password)

    assert await fetchval("SELECT count(*) FROM admin.administrators") == 0


async def test_there_is_one_administrator_of_a_name(administrator: str) -> None:
    before = await fetchrow("SELECT * FROM admin.administrators")

    with pytest.raises(Conflict):
        await create_administrator(administrator, "another long passphrase")
    with pytest.raises(NotFound):
        await set_password("nobody", "another long passphrase")

    assert await fetchrow("SELECT * FROM admin.administrators") == before


async def test_the_first_administrator_is_made_once(
    database: str,  # noqa: ARG001 - bound there
) -> None:
    await fetch("DELETE FROM admin.administrators")

    made = await first_administrator()

    assert made is not None
    assert await Administrator.login(*made)
    assert await first_administrator() is None


@pytest.mark.usefixtures("database")
async def test_servers_that_start_together_make_one_administrator() -> None:
    await fetch("DELETE FROM admin.administrators")

    made = await asyncio.gather(*(first_administrator() for _ in range(4)))

    assert len([each for each in made if each is not None]) == 1
