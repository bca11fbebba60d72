"""Existing clients, Python's and the browser's, on real servers."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest
from playwright.async_api import Page, async_playwright

from app.auth.sessions import token_policy
from app.auth.tokens import ACCESS_TOKEN_TTL_SECONDS, mint_access_token
from app.database.ids import new_id
from tests import factories
from tests.auth.test_browser import FLAGS, front_end
from tests.chromium import CHROMIUM
from tests.events.following import following
from tests.npm import NPM, file_of
from tests.server import Server, serving
from tests.sockets.conftest import MOST, POLLING, WEBSOCKET, Client, Party, Site

FRONT = "http://localhost:3000"
JAVASCRIPT_VERSION = "4.8.4"
JAVASCRIPT_SHA512 = (
    "7wjKAvVXYOJsbmUgkWbnhPD4bFpkqrUR0++XOjpGFmqDqsqV1CI93VTraeExLxpjxEqrWgFoSRZu1ihjLWfkAA=="
)
TRANSPORTS = pytest.mark.parametrize("transports", [WEBSOCKET, POLLING], ids=["ws", "polling"])
IN_BROWSER = pytest.mark.skipif(
    (CHROMIUM is None or NPM is None) and "CI" not in os.environ, reason="no Chromium or npm here"
)
ENGINE = "/socket.io/?EIO=4&transport="


def server_for(site: Site, transports: Sequence[str]) -> Server:
    return site.two if transports == WEBSOCKET else site.one


async def token_until(party: Party, seconds: float) -> str:
    """Sign the player in with a token that has so long to live."""
    session = await factories.session(party.player["id"])
    issued = factories.now() + timedelta(seconds=seconds - ACCESS_TOKEN_TTL_SECONDS)
    return mint_access_token(
        party.player["id"],
        party.player["email"],
        session["id"],
        policy=token_policy(),
        now=issued,
        jti=new_id(),
    )


@TRANSPORTS
async def test_who_may_not_connect_is_told_why(party: Party, transports: Sequence[str]) -> None:
    url = server_for(party.site, transports).url
    revoked = await factories.token(party.player)
    headers = {"Authorization": f"Bearer {revoked}"}
    (await party.http.post(f"{url}/api/v1/auth/logout", headers=headers)).raise_for_status()
    tokens = [
        ("No token provided", None),
        ("Invalid token", "abc"),
        ("Invalid token", ["abc"]),
        ("Token expired", await token_until(party, -1)),
        ("Token revoked", revoked),
    ]
    for reason, token in tokens:
        client = Client(url, token, transports)
        party.clients.append(client)
        assert await client.refusal() == f"Authentication failed: {reason}"


@TRANSPORTS
async def test_what_happens_is_told_as_existing_clients_know_it(
    party: Party, transports: Sequence[str]
) -> None:
    client = await party.client(server=server_for(party.site, transports), transports=transports)
    answer = await client.ask("room:subscribe", {"roomId": party.id})
    room = {"id": party.id, "name": "New Year Lottery", "status": "ACTIVE"}
    assert answer == {"success": True, "room": room}
    assert await client.next() == ("room:subscribed", {"roomId": party.id, "room": room})

    await party.told_all(client)

    async def told(name: str) -> Any:
        found, content = await client.next()
        assert (found, content.pop("roomId")) == (name, party.id)
        assert content.pop("timestamp").endswith("Z")
        return content

    guest = await factories.user()
    joined = await party.send("POST", "/participants", {"userId": guest["id"]})
    seat = f"/participants/{joined['id']}"
    assert await told("participant:joined") == {"participant": await party.shows(seat)}
    await party.send("PATCH", seat, {"metadata": {"seat": 7}})
    content = await told("participant:updated")
    assert (content["participantId"], content["changes"]) == (
        joined["id"],
        {"metadata": {"seat": 7}},
    )
    assert content["participant"] == await party.shows(seat)

    prize = await party.send("POST", "/prizes", {"name": "Mug", "quantity": 2})
    path = f"/prizes/{prize['id']}"
    assert await told("prize:created") == {"prize": prize}
    await party.send("PATCH", path, {"name": "Cup"})
    assert await told("prize:updated") == {
        "prizeId": prize["id"],
        "changes": {"name": "Cup"},
        "prize": await party.shows(path),
    }

    won = {"participantId": joined["id"], "prizeId": prize["id"]}
    winner = await party.send("POST", "/winners", won)
    path_of_winner = f"/winners/{winner['id']}"
    assert await told("winner:selected") == {"winner": await party.shows(path_of_winner)}
    await party.send("DELETE", path_of_winner)
    assert await told("winner:removed") == {"winnerId": winner["id"], **won}

    await party.send("DELETE", path)
    assert await told("prize:deleted") == {"prizeId": prize["id"]}
    await party.send("DELETE", seat)
    left = {"participantId": joined["id"], "userId": guest["id"]}
    assert await told("participant:left") == left

    await party.send("PATCH", "", {"description": "Hurry"})
    content = await told("room:updated")
    assert content["changes"] == {"description": "Hurry"}
    assert content["room"]["_count"] == {"participants": 2, "prizes": 0, "winners": 0}
    await party.send("PATCH", "", {"status": "COMPLETED"})
    assert await told("room:status_changed") == {"oldStatus": "ACTIVE", "newStatus": "COMPLETED"}

    await party.send("DELETE")
    assert await told("room:deleted") == {}
    assert await client.next() == ("room:unsubscribed", {"roomId": party.id})


async def test_a_draw_is_told_step_by_step(party: Party) -> None:
    client = await party.client()
    await client.subscribe(party.id)
    await factories.prize(party.id)
    draw = await party.send("POST", "/draws", {})
    announced = await client.until("draw:announced")
    assert announced["draw"]["id"] == draw["id"]
    await party.send("DELETE", f"/draws/{draw['number']}", {"reason": "A mistake"})
    assert (await client.until("draw:cancelled"))["draw"]["status"] == "CANCELLED"


async def test_of_more_than_a_hundred_who_join_the_count_is_told(party: Party) -> None:
    client = await party.client()
    await client.subscribe(party.id)
    people = [{"email": f"{new_id()}@example.org"} for _ in range(101)]
    await party.send("POST", "/participants/bulk", {"participants": people})
    told = await client.until("room:updated")
    assert told["changes"] == {"_count": {"participants": 103, "prizes": 0, "winners": 0}}
    assert told["room"]["_count"]["participants"] == 103


async def test_only_members_follow_a_room(party: Party) -> None:
    outsider = await party.client(await factories.user())
    private = await Party(party.http, party.site).open(is_public=False)
    for room, message in {
        party.id: "Only who is in the room can follow it.",
        private.id: "There is no such room.",
    }.items():
        answer = await outsider.ask("room:subscribe", {"roomId": room})
        error = {"code": "SUBSCRIPTION_FAILED", "message": message}
        assert answer == {"success": False, "error": error}
    member = await party.client()
    await member.subscribe(party.id)
    await party.send("PATCH", "", {"name": "Heard"})
    await member.until("room:updated")
    assert outsider.told.empty()


async def test_who_is_out_of_a_room_hears_of_that_and_nothing_more(party: Party) -> None:
    client, other = await party.client(), await party.client(party.organizer)
    for each in (client, other):
        await each.subscribe(party.id)
    await party.told_all(client)
    await other.until("room:updated")
    await party.send("DELETE", f"/participants/{party.seat['id']}")
    assert (await client.next())[0] == "participant:left"
    assert await client.next() == ("room:unsubscribed", {"roomId": party.id})
    await party.send("PATCH", "", {"name": "After that"})
    await other.until("room:updated")
    assert (await client.ask("room:unsubscribe", {"roomId": party.id}))["success"]
    assert (await client.next())[0] == "room:unsubscribed"


async def test_who_unsubscribes_hears_nothing_more(party: Party) -> None:
    client = await party.client()
    await client.subscribe(party.id)
    await party.told_all(client)
    await client.ask("room:unsubscribe", {"roomId": party.id})
    assert await client.next() == ("room:unsubscribed", {"roomId": party.id})
    other = await party.client(party.organizer)
    await other.subscribe(party.id)
    await party.send("PATCH", "", {"name": "Unheard"})
    await other.until("room:updated")
    await client.subscribe(party.id)


async def test_two_servers_tell_the_same(party: Party) -> None:
    here = await party.client(server=party.site.two)
    there = await party.client(server=party.site.one, transports=["polling", "websocket"])
    for each in (here, there):
        await each.subscribe(party.id)
    for number in range(3):
        url = (party.site.one, party.site.two)[number % 2].url
        path = f"{url}/api/v1/rooms/{party.id}"
        answer = await party.http.patch(path, json={"name": f"{number}"}, headers=party.headers)
        answer.raise_for_status()
    heard = [[await each.until("room:updated") for _ in range(3)] for each in (here, there)]
    assert heard[0] == heard[1]


async def test_clients_of_a_killed_worker_come_back_and_hear_on(party: Party) -> None:
    clients = [await party.client() for _ in range(MOST)]
    for each in clients:
        await each.subscribe(party.id)
    await asyncio.to_thread(party.site.two.kill_workers)
    for each in clients:
        await each.until("disconnect")
        await each.until("connect")
        await each.subscribe(party.id)
    http = httpx.AsyncClient(base_url=party.site.one.url)
    async with http:
        path = f"/api/v1/rooms/{party.id}"
        await http.patch(path, json={"name": "Back"}, headers=party.headers)
    for each in clients:
        assert (await each.until("room:updated"))["changes"] == {"name": "Back"}


@TRANSPORTS
async def test_who_signs_out_is_disconnected(party: Party, transports: Sequence[str]) -> None:
    server = server_for(party.site, transports)
    token = await factories.token(party.player)
    client = await party.client(token=token, server=server, transports=transports)
    await client.subscribe(party.id)
    headers = {"Authorization": f"Bearer {token}"}
    (await party.http.post("/api/v1/auth/logout", headers=headers)).raise_for_status()
    await client.until("disconnect")
    again = Client(server.url, token, transports)
    party.clients.append(again)
    assert await again.refusal() == "Authentication failed: Token revoked"


async def test_a_token_that_expires_disconnects(party: Party) -> None:
    token = await token_until(party, 4)
    client = await party.client(token=token)
    await client.until("disconnect")
    again = Client(party.site.two.url, token)
    party.clients.append(again)
    assert await again.refusal() == "Authentication failed: Token expired"


async def test_sockets_and_streams_of_a_person_count_together(party: Party) -> None:
    server = party.site.one
    headers = await factories.bearer(party.player)
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=20) as http,
        following(http, "/me/events", headers=headers),
    ):
        for _ in range(MOST - 1):
            await party.client(server=server)
        again = Client(server.url, await factories.token(party.player))
        party.clients.append(again)
        assert await again.refusal() == f"At most {MOST} streams at once: end one first."


async def test_a_client_follows_a_hundred_rooms_and_no_more(party: Party) -> None:
    client = await party.client(party.organizer)
    rooms = [await factories.room(party.organizer, party.room["appId"]) for _ in range(101)]
    answers = [await client.ask("room:subscribe", {"roomId": room["id"]}) for room in rooms]
    assert [each["success"] for each in answers] == [True] * 100 + [False]
    assert "At most 100 rooms" in answers[-1]["error"]["message"]


NONSENSE = [
    *("x", "9", "4", "44", "4x", "4{}", '4["a"]', "42", "42{}", "42[]", "42[1]", "42[{}]"),
    *('42["connect"]', '42["connect",{},{}]', '42["room:subscribe"]', "43[]", "431[]"),
    *('421["room:subscribe",null]', '422["room:subscribe",{"roomId":"\\u0000"}]'),
    *('423["room:subscribe",{"roomId":["a"]},"more"]', '42/other,["room:subscribe"]'),
    *("40/other,{}", '40{"token":"again"}', "4" + "[" * 30_000, "b", "b!", "4" + "x" * 70_000),
    *('451-["a",{"_placeholder":true,"num":0}]', "4999999999-[]", '42["disconnect"]', "1"),
    b"\x00\x01",
]


@pytest.mark.parametrize("words", NONSENSE, ids=lambda words: repr(words[:24]))
async def test_nonsense_harms_nobody(party: Party, words: str | bytes) -> None:
    """Whoever sends it may be disconnected, or answered."""
    token = await factories.token(party.player)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{party.site.one.url}{ENGINE}websocket") as socket,
    ):
        assert (await socket.receive_str())[0] == "0"
        await socket.send_str(f'40{{"token":"{token}"}}')
        assert (await socket.receive_str())[:2] == "40"
        await (socket.send_str(words) if isinstance(words, str) else socket.send_bytes(words))
        await socket.send_str('427["room:unsubscribe",{"roomId":"none"}]')
        async with asyncio.timeout(10):
            async for message in socket:
                if str(message.data).startswith("437"):
                    break
    log = party.site.one.log.read_text()
    assert "Traceback" not in log, log[-3000:]


async def test_a_request_that_is_cut_off_harms_nobody(party: Party) -> None:
    url = urlsplit(party.site.one.url)
    _, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(
        f"POST {ENGINE}polling&sid=none HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n4".encode()
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert await (await party.client(server=party.site.one)).ask(
        "room:unsubscribe", {"roomId": "x"}
    )
    assert "Traceback" not in party.site.one.log.read_text()


@pytest.mark.parametrize("body", ["2", "4" * 70_000], ids=["no message", "too large"])
async def test_what_is_not_for_a_server_is_refused_at_once(party: Party, body: str) -> None:
    url = f"{party.site.one.url}{ENGINE}polling"
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as answer:
            url += f"&sid={json.loads((await answer.text())[1:])['sid']}"
        async with asyncio.timeout(5):
            async with session.post(url, data="40{}") as answer:
                assert answer.status == 200
            async with session.post(url, data=body) as answer:
                assert answer.status == 400
            async with session.get(url) as answer:
                assert answer.status == 400


@pytest.mark.parametrize("packet", ['42["anything"]', "3", "5"])
async def test_a_flood_ends_the_connection(party: Party, packet: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{party.site.one.url}{ENGINE}websocket") as socket,
    ):
        async with asyncio.timeout(10):
            with suppress(aiohttp.ClientConnectionResetError):  # it is over before all is sent
                for _ in range(300):
                    await socket.send_str(packet)
            async for _ in socket:
                pass
        assert socket.closed


async def test_pages_of_other_origins_are_kept_out_as_with_rest(party: Party) -> None:
    url = f"{party.site.one.url}{ENGINE}"
    allowed = {"https://front.example": True, FRONT: True, "https://evil.example": False}
    async with aiohttp.ClientSession() as session:
        for origin, may in allowed.items():
            headers = {"Origin": origin}
            async with session.get(f"{url}polling", headers=headers) as answer:
                assert answer.headers.get("Access-Control-Allow-Origin") == (
                    origin if may else None
                )
            opening = session.ws_connect(f"{url}websocket", headers=headers)
            if may:
                await (await opening).close()
                continue
            with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
                await opening
            assert refusal.value.status == 403


async def test_open_sockets_do_not_hold_up_the_stop(bound: str, party: Party) -> None:
    with serving(DATABASE_URL=bound, SCHEDULES="") as server:
        for transports in (WEBSOCKET, POLLING):
            client = await party.client(server=server, transports=transports)
            await client.subscribe(party.id)
        began = time.monotonic()
        await asyncio.to_thread(server.end, signal.SIGTERM)
        assert time.monotonic() - began < 8
        for client in party.clients:
            await client.until("disconnect")


@pytest.fixture(scope="module")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fetch the browser's client."""
    return file_of(
        "socket.io-client",
        JAVASCRIPT_VERSION,
        "dist/socket.io.min.js",
        sha512=JAVASCRIPT_SHA512,
        folder=tmp_path_factory.mktemp("javascript"),
    )


@pytest.fixture
async def page(javascript: str) -> AsyncIterator[Page]:
    """Open a front-end's page, of another origin than the server's, with the client."""
    with front_end() as front:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = await browser.new_page()
            await page.goto(front)
            await page.add_script_tag(content=javascript)
            await page.evaluate("window.told = []")
            yield page
            await browser.close()


CONNECT = """([url, token, transports]) => new Promise((done) => {
  window.socket?.disconnect();
  window.told = [];
  window.socket = io(url, {auth: {token}, transports, forceNew: true, reconnectionDelay: 100});
  socket.onAny((name, content) => told.push([name, content]));
  socket.on("disconnect", (reason) => told.push(["disconnect", reason]));
  socket.on("connect", () => { told.push(["connect", ""]); done("connected"); });
  socket.on("connect_error", (error) => done(error.message));
})"""
SUBSCRIBE = "(roomId) => new Promise((done) => socket.emit('room:subscribe', {roomId}, done))"


async def heard(page: Page, name: str) -> Any:
    await page.wait_for_function(
        "(name) => told.some((each) => each[0] === name)", arg=name, timeout=30_000
    )
    return await page.evaluate("(name) => told.find((each) => each[0] === name)[1]", name)


@IN_BROWSER
@TRANSPORTS
async def test_a_page_follows_a_room_by_the_javascript_client(
    party: Party, page: Page, transports: Sequence[str]
) -> None:
    server = server_for(party.site, transports)
    refused = await page.evaluate(CONNECT, [server.url, "abc", transports])
    assert refused == "Authentication failed: Invalid token"

    token = await factories.token(party.player)
    assert await page.evaluate(CONNECT, [server.url, token, transports]) == "connected"
    answer = await page.evaluate(SUBSCRIBE, party.id)
    assert (answer["success"], answer["room"]["name"]) == (True, "New Year Lottery")
    assert (await heard(page, "room:subscribed"))["roomId"] == party.id
    prize = await party.send("POST", "/prizes", {"name": "Mug"})
    assert (await heard(page, "prize:created"))["prize"] == prize

    headers = {"Authorization": f"Bearer {token}"}
    (await party.http.post("/api/v1/auth/logout", headers=headers)).raise_for_status()
    reason = await heard(page, "disconnect")
    # Who polls may not be there to hear it: then it is refused when it comes back.
    assert reason == "io server disconnect" or transports == POLLING
    refused = await page.evaluate(CONNECT, [server.url, token, transports])
    assert refused == "Authentication failed: Token revoked"


@IN_BROWSER
async def test_a_page_comes_back_by_itself_after_its_worker_was_killed(
    party: Party, page: Page
) -> None:
    server = party.site.two
    token = await factories.token(party.player)
    await page.evaluate(CONNECT, [server.url, token, WEBSOCKET])
    await page.evaluate("told = []")
    await asyncio.to_thread(server.kill_workers)
    assert await heard(page, "disconnect") in {"transport close", "transport error"}
    await heard(page, "connect")
    assert (await page.evaluate(SUBSCRIBE, party.id))["success"]
    prize = await party.send("POST", "/prizes", {"name": "Mug"})
    assert (await heard(page, "prize:created"))["prize"] == prize
