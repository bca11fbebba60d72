"""Fixtures of the tests of apps."""

import httpx
import pytest

from tests import factories
from tests.applications.apps import Administrator


@pytest.fixture
async def administrator(client: httpx.AsyncClient) -> Administrator:
    person = await factories.user(isAdmin=True)
    return Administrator(client, await factories.bearer(person))
