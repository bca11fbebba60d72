"""Administrators of the page, and their clients."""

import functools
from typing import Any

import httpx
import pytest

from app.admin import mount, page, tables
from app.admin.accounts import create_administrator
from app.database.engine import fetch
from app.settings import settings
from tests.admin.staff import NAME, PASSWORD, sign_in


@pytest.fixture
async def administrator(database: str) -> str:  # noqa: ARG001 - bound there
    """Make an administrator, the only one, and return the name."""
    await fetch("DELETE FROM admin.administrators")
    await create_administrator(NAME, PASSWORD)
    return NAME


@pytest.fixture
async def staff(
    client: httpx.AsyncClient,
    administrator: str,  # noqa: ARG001 - has to be there
) -> httpx.AsyncClient:
    """Speak HTTP to the page as an administrator who is signed in."""
    await sign_in(client)
    return client


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash as in earnest, less often."""
    monkeypatch.setattr(tables.Administrator, "_pbkdf2_iteration_count", 1_000)


@functools.cache
def _one_page(given: str) -> Any:  # noqa: ARG001 - what the page is made of
    return page.create_page()


@pytest.fixture(autouse=True)
def page_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests share a page, which takes a second to build, but no count of sign-ins."""
    monkeypatch.setattr(mount, "_build", lambda: _one_page(repr(settings())))
    page.SIGN_IN_LIMIT.blocked.clear()
    page.SIGN_IN_LIMIT.request_dict.clear()
