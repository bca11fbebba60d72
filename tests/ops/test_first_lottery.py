"""What `app/ops/FIRST_LOTTERY.md` has one enter, entered."""

import json
import re
from typing import Any

import httpx
import pytest

from app.database.embedded.server import DATABASE, SUPERUSER
from app.settings import PROJECT_ROOT, load
from tests import factories

TOLD = (PROJECT_ROOT / "app" / "ops" / "FIRST_LOTTERY.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", TOLD, re.DOTALL)
    return str(found)


async def test_the_manifest_is_registered_and_opens_a_room(client: httpx.AsyncClient) -> None:
    administrator = await factories.bearer(await factories.user(isAdmin=True))
    app: dict[str, Any] = {"appId": "app_raffle_v1", "manifest": json.loads(block("json"))}
    registered = await client.post("/api/v1/apps", json=app, headers=administrator)
    assert registered.status_code == 201, registered.text

    settings = {"ticketCount": 10, "drawDate": "2027-07-01T18:00:00Z"}
    room = {"name": "Friday", "appId": "app_raffle_v1", "appSettings": settings}
    opened = await client.post("/api/v1/rooms", json=room, headers=administrator)
    assert opened.status_code == 201, opened.text


def test_the_settings_start_a_server_in_production() -> None:
    lines = (line.strip().partition("=") for line in block("ini").splitlines() if line.strip())
    given = {name: value for name, _, value in lines}
    secrets = {
        name: "kU7xN2vQe9RmT4yLz8WbH1sJd6FgC3aP" for name, value in given.items() if value == "…"
    }
    loaded = load({**given, **secrets})
    assert loaded.in_production
    assert loaded.MAIL_FROM is not None


@pytest.mark.parametrize("said", [f"-U {SUPERUSER} {DATABASE}", '"$PWD/.data/postgres/data"'])
def test_where_the_embedded_database_is(said: str) -> None:
    assert said in TOLD
