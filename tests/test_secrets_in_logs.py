"""No token, secret or code is ever logged: searched in what the suite has logged until now.

`conftest.py` collects every record that this process makes, of every logger, and puts these tests
last; `server.py` adds what the servers wrote that tests started.
"""

import logging
import re

import httpx
import pytest

from tests.auth.provider import CLIENT_SECRET
from tests.logged import LINES
from tests.server import GREETINGS, serving

FORBIDDEN = {
    "an access or ID token": r"eyJ[\w-]{10,}\.[\w-]{10,}",
    "a bearer header": r"(?i)bearer [\w-]{20,}",
    "an app's credentials": r"(?i)basic [A-Za-z0-9+/=]{16,}",
    "a refresh token, a state or a verifier": r"(?<![\w-])[A-Za-z0-9_-]{43}(?![\w-])",
    "a code": r"[?&\s'\"]code=[^&\s]",
    "a token in an address": r"(access|refresh)_token=",
    "a password": r"password123",
    "the client's secret": re.escape(CLIENT_SECRET),
    "the signing secret": r"development-only-secret",
}


@pytest.mark.parametrize("pattern", FORBIDDEN.values(), ids=FORBIDDEN)
def test_nothing_secret_was_logged(pattern: str) -> None:
    assert not [line for line in LINES if re.search(pattern, line)]


def test_what_is_logged_is_searched() -> None:
    logging.getLogger("any.module").warning("a %s", marker := "record to be found")
    assert any(marker in line for line in LINES)


def test_what_servers_log_is_searched(migrated_database: str) -> None:
    with serving(DATABASE_URL=migrated_database) as server:
        httpx.get(f"{server.url}/api/v1/marker-to-be-found", timeout=60)
    assert any("marker-to-be-found" in line for line in LINES)
    assert not any(line.startswith(GREETINGS) for line in LINES)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.x", "an access or ID token"),
        (f"refresh {'a-B_9' * 8}abc failed", "a refresh token, a state or a verifier"),
        ("GET /callback?code=xyz", "a code"),
        ("Authorization: Basic YXBwX3JhZmZsZTpzZWNyZXQ=", "an app's credentials"),
    ],
)
def test_secrets_would_be_recognized(line: str, kind: str) -> None:
    assert re.search(FORBIDDEN[kind], line)
