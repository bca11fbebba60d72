"""Stopping mails by their link, and looking at them in development."""

import re

import asyncpg
import httpx
import pytest

from app.asgi import create_app
from app.database.engine import fetch, fetchval
from app.errors import NotFound
from app.mails import previews, stops
from app.mails.stops import Stop
from app.settings import Environment, Settings
from tests.mails.conftest import told, win

ANNA = Stop.of("en", "you-won", "anna@example.org")


async def stops_kept() -> list[str]:
    return [row["id"] for row in await fetch("SELECT id FROM mail_stops")]


async def test_looking_at_the_link_stops_nothing(client: httpx.AsyncClient) -> None:
    page = await client.get(f"/mails/stop/{ANNA.token}")
    assert page.status_code == 200
    assert '<form method="post"><button>Send no more</button></form>' in page.text
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert (await client.head(f"/mails/stop/{ANNA.token}")).status_code == 200
    assert await stops_kept() == []


async def test_the_button_stops_them_once_or_again(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        one_click = {"List-Unsubscribe": "One-Click"}
        done = await client.post(f"/mails/stop/{ANNA.token}", data=one_click)
        assert done.status_code == 200
        assert "You get no more mails of this kind." in done.text
    assert await stops_kept() == [ANNA.digest]
    assert "anna" not in str(await fetch("SELECT * FROM mail_stops"))


async def test_the_page_speaks_the_language_of_the_mail(client: httpx.AsyncClient) -> None:
    russian = Stop.of("ru", "you-won", "anna@example.org")
    assert russian.digest == ANNA.digest
    page = await client.get(f"/mails/stop/{russian.token}")
    assert '<html lang="ru">' in page.text
    assert "Больше не присылать" in page.text


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        ANNA.token[:-1] + ("0" if ANNA.token[-1] != "0" else "1"),
        ANNA.token.replace("en.", "ru."),
        ANNA.token.replace("you-won", "another"),
        ANNA.token.replace(ANNA.digest, "0" * 64),
        ANNA.token.upper(),
        ANNA.token + "0",
    ],
)
async def test_a_link_that_is_none_of_ours_stops_nothing(
    client: httpx.AsyncClient, method: str, token: str
) -> None:
    answer = await client.request(method, f"/mails/stop/{token}")
    assert answer.status_code == 404
    assert await stops_kept() == []


def test_a_link_works_as_long_as_its_secret_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def secrets(*known: str) -> None:
        monkeypatch.setattr(stops, "settings", lambda: Settings(JWT_SECRET=known))

    secrets("old")
    token = Stop.of("en", "you-won", "anna@example.org").token
    secrets("new", "old")
    assert stops.read_token(token).digest == ANNA.digest
    secrets("new")
    with pytest.raises(NotFound):
        stops.read_token(token)


async def test_what_was_written_can_be_looked_at(
    client: httpx.AsyncClient, connection: asyncpg.Connection, room: asyncpg.Record
) -> None:
    assert "There are none yet." in (await client.get("/dev/mails")).text
    await win(room, email="anna@example.org", name="<b>Anna</b>", prize="<i>Skis</i>")
    (mail,) = await told(connection)

    listed = await client.get("/dev/mails")
    assert "anna@example.org" in listed.text
    assert "&lt;i&gt;Skis&lt;/i&gt;" in listed.text
    assert re.findall(r'href="(/dev/[^"]*)"', listed.text) == [
        f"/dev/mails/{mail['id']}",
        f"/dev/mails/{mail['id']}/text",
    ]
    html = await client.get(f"/dev/mails/{mail['id']}")
    assert "Hello &lt;b&gt;Anna&lt;/b&gt;," in html.text
    assert "script-src 'none'" in html.headers["Content-Security-Policy"]
    text = await client.get(f"/dev/mails/{mail['id']}/text")
    assert text.headers["Content-Type"].startswith("text/plain")
    assert "Subject: You have won: <i>Skis</i>\n" in text.text
    assert "Hello <b>Anna</b>," in text.text


async def test_what_there_is_no_mail_of_is_not_shown(
    client: httpx.AsyncClient, connection: asyncpg.Connection, room: asyncpg.Record
) -> None:
    assert (await client.get("/dev/mails/none")).status_code == 404
    await win(room)
    (mail,) = await told(connection)
    await fetch('UPDATE winners SET "deletedAt" = now()')
    gone = await client.get(f"/dev/mails/{mail['id']}")
    assert gone.status_code == 404
    assert "The win was revoked." in (await client.get("/dev/mails")).text
    assert await fetchval("SELECT count(*) FROM mails") == 1


def test_production_has_no_such_pages() -> None:
    assert previews.previews(Settings(ENVIRONMENT=Environment.PRODUCTION)) == []
    paths = {route.path for route in create_app().routes}
    assert {"/dev/mails", "/mails/stop/{token:str}"} <= paths
