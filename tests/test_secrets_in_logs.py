"""No token, secret or code is ever logged: `logged.py` searches what each test has logged."""

import logging
import re
import sys
from pathlib import Path

import httpx
import pytest

from tests.logged import FORBIDDEN, LINES, secrets_in
from tests.server import GREETINGS, run, serving

SAMPLES = {
    "an access or ID token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.x",
    "a bearer header": f"Authorization: Bearer {'a-B_9' * 5}",
    "an app's credentials": "Authorization: Basic YXBwX3JhZmZsZTpzZWNyZXQ=",
    "a refresh token, a state or a verifier": f"refresh {'a-B_9' * 8}abc failed",
    "a code": "GET /callback?code=xyz",
    "a room's code": "accepted 7K2MX-9QD4R at once",
    "a token in an address": "GET /there#access_token=x",
    "a password": "signed in with password123",
    "the client's secret": "a secret of the provider's client",
    "the signing secret": "JWT_SECRET=development-only-secret",
}


def test_what_is_logged_is_searched() -> None:
    logging.getLogger("any.module").warning("a %s", marker := "record to be found")
    assert any(marker in line for line in LINES)


def test_what_servers_log_is_searched(migrated_database: str) -> None:
    with serving(DATABASE_URL=migrated_database) as server:
        httpx.get(f"{server.url}/api/v1/marker-to-be-found", timeout=60)
    assert any("marker-to-be-found" in line for line in LINES)
    assert not any(line.startswith(GREETINGS) for line in LINES)


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_secrets_are_recognized(kind: str) -> None:
    assert re.search(FORBIDDEN[kind], SAMPLES[kind])
    assert f"{kind}: {SAMPLES[kind]}" in secrets_in(["all is well", SAMPLES[kind]])


LEAKS = """
import logging
import pytest

@pytest.fixture(scope="module")
def server():
    yield
    logging.warning("said at its end: Bearer 0123456789abcdef0123456789")

def test_quiet():
    logging.warning("all is well")

def test_loud():
    logging.warning("signed in with password123")

def test_of_a_server(server):
    pass
"""


def test_the_test_that_logs_a_secret_fails(tmp_path: Path) -> None:
    """So does the last one of those that share a server whose log has one."""
    leaks = tmp_path / "test_leaks.py"
    leaks.write_text(LEAKS)
    options = ("-c", "/dev/null", "-p", "no:randomly", "-p", "tests.logged", "-rA", "--tb=short")
    ended = run(sys.executable, "-m", "pytest", *options, str(leaks))
    assert ended.returncode == 1, ended.stderr
    assert re.findall(r"^(\w+) .*::(\w+)", ended.stdout, re.MULTILINE)[-5:] == [
        ("PASSED", "test_quiet"),
        ("PASSED", "test_loud"),
        ("PASSED", "test_of_a_server"),
        ("ERROR", "test_loud"),
        ("ERROR", "test_of_a_server"),
    ]
    assert "a password: root signed in with password123" in ended.stdout
    assert "a bearer header: root said at its end" in ended.stdout
