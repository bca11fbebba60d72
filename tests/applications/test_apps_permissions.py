"""Who manages apps; the walk of all endpoints is in tests/test_permissions.py."""

from typing import Any

import httpx
import pytest

from app.database.engine import fetch
from tests import factories
from tests.applications.apps import APPS, Administrator, manifest


@pytest.mark.parametrize("body", [{}, {"appId": "NO"}, {"manifest": {}}, [], {"no": "such"}])
async def test_who_may_not_learns_nothing_of_what_a_body_needs(
    client: httpx.AsyncClient, body: Any
) -> None:
    answer = await client.post(
        APPS, json=body, headers=await factories.bearer(await factories.user())
    )
    assert answer.status_code == 403


async def test_who_is_no_administrator_any_more_may_not(administrator: Administrator) -> None:
    await fetch('UPDATE users SET "isAdmin" = false')
    answer = await administrator.send("POST", "", {"appId": "app_x", "manifest": manifest()})
    assert answer.status_code == 403
    assert await fetch("SELECT FROM apps") == []
