"""Everything that was logged here, and by servers that tests started; no secret may be in it.

A pytest plugin: after each test, what was logged since the one before is searched. So the test that
let a secret out is the one that fails, in whichever process it runs.
"""

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.auth.provider import CLIENT_SECRET

# Not the service's: clients, and a provider of sign-ins, tell the addresses that tests asked for.
OTHERS = ("httpx", "httpcore", "werkzeug")

FORBIDDEN = {
    "an access or ID token": r"eyJ[\w-]{10,}\.[\w-]{10,}",
    "a bearer header": r"(?i)bearer [\w-]{20,}",
    "an app's credentials": r"(?i)basic [A-Za-z0-9+/=]{16,}",
    "a refresh token, a state or a verifier": r"(?<![\w-])[A-Za-z0-9_-]{43}(?![\w-])",
    "a code": r"[?&\s'\"]code=[^&\s]",
    "a room's code": r"(?<![\w-])[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}(?![\w-])",
    "a token in an address": r"(access|refresh)_token=",
    "a password": r"password123",
    "the client's secret": re.escape(CLIENT_SECRET),
    "the signing secret": r"development-only-secret",
}

LINES: list[str] = []
"""Of this test until now."""

_formatter = logging.Formatter("%(name)s %(message)s")
_make_record = logging.getLogRecordFactory()


def collect(*arguments: Any, **options: Any) -> logging.LogRecord:
    """Make a record and keep it as the text that a log file would have.

    Handlers would not do: whoever configures logging removes those of others.
    """
    record = _make_record(*arguments, **options)
    if record.name.split(".")[0] not in OTHERS:
        LINES.append(_formatter.format(record))
    return record


logging.setLogRecordFactory(collect)


def secrets_in(lines: list[str]) -> list[str]:
    """Return what must not have been logged, each line after the kind of secret that it tells."""
    return [
        f"{kind}: {line}"
        for kind, pattern in FORBIDDEN.items()
        for line in lines
        if re.search(pattern, line)
    ]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Search once the test has given back what it used: a server's log is read when it ends."""
    yield
    found = secrets_in(LINES)
    LINES.clear()
    if found:
        pytest.fail("\n".join(["Logged:", *found]), pytrace=False)
