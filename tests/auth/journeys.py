"""What a browser does to sign in with a provider: it leaves, and comes back."""

from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx

from app.database.engine import fetchval
from tests.auth.conftest import FRONTEND, Tokens
from tests.auth.provider import TestProvider

START, CALLBACK = "/api/v1/auth/acme", "/api/v1/auth/acme/callback"
OTHER = "/api/v1/auth/other"
FAILED = f"{FRONTEND}/login?error=oauth_failed"


async def leave(browser: httpx.AsyncClient, start: str = START, **query: str) -> dict[str, str]:
    """Begin a sign-in and return what the provider is told."""
    answer = await browser.get(start, params=query)
    assert answer.status_code == 302, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


async def come_back(browser: httpx.AsyncClient, place: str = CALLBACK, /, **query: str) -> str:
    """Return where the browser is sent in the end."""
    answer = await browser.get(place, params={"code": "a-code", **query})
    assert answer.status_code == 302, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    location: str = answer.headers["Location"]
    return location


async def post_back(browser: httpx.AsyncClient, place: str = CALLBACK, /, **form: str) -> str:
    """Return where the browser is sent in the end that a provider has post its answer."""
    headers = {"Origin": "https://provider.example", "Sec-Fetch-Site": "cross-site"}
    answer = await browser.post(place, data={"code": "a-code", **form}, headers=headers)
    assert answer.status_code == 303, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    location: str = answer.headers["Location"]
    return location


async def sign_in(
    browser: httpx.AsyncClient, provider: TestProvider, start: str = START, /, **claims: Any
) -> str:
    told = await leave(browser, start)
    provider.identify(told["nonce"], **claims)
    return await come_back(browser, f"{start}/callback", state=told["state"])


def tokens_in(location: str) -> Tokens:
    assert location.startswith(f"{FRONTEND}/auth/callback#"), location
    fragment = {k: v[0] for k, v in parse_qs(urlsplit(location).fragment).items()}
    return {
        "accessToken": fragment["access_token"],
        "refreshToken": fragment["refresh_token"],
        **fragment,
    }


async def counts() -> tuple[int, int]:
    return await fetchval("SELECT count(*) FROM users"), await fetchval(
        "SELECT count(*) FROM sessions"
    )
