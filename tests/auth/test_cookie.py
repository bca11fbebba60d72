"""The refresh token in a cookie: for the page at the server's own address, and for nobody else."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from app.auth.cookie import cookie_name
from app.auth.tokens import token_hash
from app.database.engine import fetchval
from app.settings import settings
from tests.auth.conftest import Configure, SignIn, Tokens, bearer
from tests.auth.test_sessions import assert_refused, refresh, rows

REFRESH, LOGOUT = "/api/v1/auth/refresh", "/api/v1/auth/logout"
HOST = "http://testserver.local"
OWN = {"Origin": HOST, "Sec-Fetch-Site": "same-origin"}
PUBLIC = "https://events.example.org"

pytestmark = pytest.mark.usefixtures("people")


@pytest.fixture
async def browser(client: httpx.AsyncClient, sign_in: SignIn) -> httpx.AsyncClient:
    """A client whose cookie holds the refresh token of Alice."""
    await kept(client, await sign_in())
    return client


async def ask(
    client: httpx.AsyncClient, body: object = None, headers: Mapping[str, str] = OWN
) -> httpx.Response:
    given = {"cookie": True} if body is None else body
    return await client.post(f"{HOST}{REFRESH}", json=given, headers=headers)


async def kept(client: httpx.AsyncClient, tokens: Tokens) -> dict[str, Any]:
    answer = await ask(client, {"refreshToken": tokens["refreshToken"], "cookie": True})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()["data"]
    return told


async def test_the_browser_keeps_the_token_and_no_script_reads_it(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    answer = await ask(client, {"refreshToken": (await sign_in())["refreshToken"], "cookie": True})
    assert answer.json()["data"].keys() == {"accessToken", "expiresIn"}
    said = answer.headers["set-cookie"].lower()
    for part in ("httponly", "samesite=strict", "path=/api/v1/auth", "max-age=2592000"):
        assert part in said.split("; ")
    assert token_hash(client.cookies["refresh_token"]) == (await rows())[0]["refreshToken"]


async def test_the_cookie_is_all_that_is_needed_from_then_on(browser: httpx.AsyncClient) -> None:
    before = browser.cookies["refresh_token"]
    answer = await ask(browser)
    assert answer.status_code == 200
    assert browser.cookies["refresh_token"] != before
    assert answer.json()["data"].keys() == {"accessToken", "expiresIn"}
    me = await browser.get("/api/v1/auth/me", headers=bearer(answer.json()["data"]))
    assert me.status_code == 200


async def test_tabs_that_renew_at_once_all_go_on(browser: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(ask(browser) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(await rows()) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "http://sub.testserver.local", "Sec-Fetch-Site": "same-site"},
        {"Origin": f"{HOST}:8080"},
        {"Origin": "https://testserver.local"},
        {"Origin": HOST, "Sec-Fetch-Site": "cross-site"},
        {"Origin": HOST, "Sec-Fetch-Site": "none"},
        {"Origin": HOST, "Content-Type": "text/plain"},
        {"Origin": HOST, "Content-Type": "application/jsonp"},
    ],
)
async def test_nobody_else_uses_the_cookie(
    browser: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    before = await rows()
    cookie = browser.cookies["refresh_token"]
    answer = await browser.post(f"{HOST}{REFRESH}", content='{"cookie": true}', headers=headers)
    # What is not JSON at all is refused before.
    assert answer.status_code in {400, 403, 415}, answer.text
    assert "set-cookie" not in answer.headers
    assert await rows() == before
    assert browser.cookies["refresh_token"] == cookie


async def test_nobody_else_plants_a_session_in_the_browser(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    tokens = await sign_in()
    body = {"refreshToken": tokens["refreshToken"], "cookie": True}
    answer = await ask(client, body, {"Origin": "https://elsewhere.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert "set-cookie" not in answer.headers
    assert (await refresh(client, tokens["refreshToken"])).status_code == 200


async def test_without_a_cookie_or_with_two_there_is_no_session(browser: httpx.AsyncClient) -> None:
    name, token = "refresh_token", browser.cookies["refresh_token"]
    browser.cookies.clear()
    for cookies in ("", f"{name}=", f"{name}=planted; {name}={token}", f"x{name}={token}"):
        await assert_refused(await ask(browser, headers={**OWN, "Cookie": cookies}))
    assert (await ask(browser, headers={**OWN, "Cookie": f"{name}={token}"})).status_code == 200


async def test_who_does_not_say_cookie_is_served_as_before(browser: httpx.AsyncClient) -> None:
    answer = await ask(browser, {})
    assert answer.status_code == 400
    assert list(answer.json()["error"]["details"]["fields"]) == ["$.refreshToken"]
    told = (await refresh(browser, browser.cookies["refresh_token"])).json()["data"]
    assert told.keys() == {"accessToken", "refreshToken", "expiresIn"}


async def test_a_stolen_token_of_a_cookie_ends_the_session_when_it_is_used_again(
    browser: httpx.AsyncClient,
) -> None:
    stolen = browser.cookies["refresh_token"]
    for _ in range(3):
        assert (await ask(browser)).status_code == 200
    await assert_refused(await refresh(browser, stolen))
    await assert_refused(await ask(browser))
    assert not await fetchval("SELECT count(*) FROM sessions")


async def test_leaving_takes_the_cookie_back(browser: httpx.AsyncClient) -> None:
    token = (await ask(browser)).json()["data"]
    left = await browser.post(f"{HOST}{LOGOUT}", headers=bearer(token))
    assert left.json() == {"data": {"success": True}}
    assert "max-age=0" in left.headers["set-cookie"].lower()
    assert "refresh_token" not in browser.cookies
    await assert_refused(await ask(browser))


async def test_clients_without_the_cookie_get_none_when_they_leave(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    left = await client.post(LOGOUT, headers=bearer(await sign_in()))
    assert "set-cookie" not in left.headers


async def test_with_https_the_page_is_at_public_url_whatever_the_host_says(
    client: httpx.AsyncClient, sign_in: SignIn, configure: Configure
) -> None:
    token = (await sign_in())["refreshToken"]
    configure(PUBLIC_URL=f"{PUBLIC}/lots", RATE_LIMITS="on")
    assert settings().serves_https
    body = {"refreshToken": token, "cookie": True}
    assert (await ask(client, body)).status_code == 403
    answer = await ask(client, body, {"Origin": PUBLIC})
    said = answer.headers["set-cookie"]
    assert said.startswith(f"{cookie_name()}=")
    assert cookie_name() == "__Secure-refresh_token"
    assert {"secure", "path=/lots/api/v1/auth"} <= set(said.lower().split("; "))
