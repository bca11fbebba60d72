"""Every code of the error tree, produced by a real request.

Whether the description of the operation has it is checked for every answer, by `client`.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import httpx
import msgspec
import pytest

from app.auth import discovery
from app.database.engine import DB, fetch
from app.errors import FRAMEWORK_CODES, every_error
from app.sign_in import service as sign_in
from tests import factories
from tests.answers import Headers, code_of
from tests.applications.apps import manifest, schema
from tests.auth.conftest import Configure, configure  # noqa: F401 - a fixture
from tests.auth.provider import CLIENT_ID, CLIENT_SECRET, providing

LOGIN = "/auth/login"
STATUSES = {
    **{code: status for status, code in FRAMEWORK_CODES.items()},
    **{error.code: error.status for error in every_error()},
}


class World(msgspec.Struct):
    """A room, its organizer and how they speak HTTP."""

    client: httpx.AsyncClient
    headers: Headers
    room: asyncpg.Record
    patch: pytest.MonkeyPatch
    configure: Configure

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Headers | None = None,
        **options: Any,
    ) -> httpx.Response:
        sent = self.headers if headers is None else headers
        if body is not None:
            options["json"] = body
        return await self.client.request(method, f"/api/v1{path}", headers=sent, **options)

    async def in_room(self, method: str, path: str = "", body: Any = None) -> httpx.Response:
        return await self.send(method, f"/rooms/{self.room['id']}{path}", body)

    async def award(self, remaining: int = 1) -> httpx.Response:
        prize = await factories.prize(self.room["id"], quantityRemaining=remaining)
        winner = await factories.participant(self.room["id"])
        body = {"participantId": winner["id"], "prizeId": prize["id"]}
        return await self.in_room("POST", "/winners", body)

    async def of_apps(self, method: str, path: str, body: Any = None) -> httpx.Response:
        administrator = await factories.bearer(await factories.user(isAdmin=True))
        return await self.send(method, f"/apps{path}", body, administrator)

    async def publish(self, version: str, **changes: Any) -> httpx.Response:
        changed = {"manifest": manifest(version, **changes)}
        return await self.of_apps("PATCH", f"/{self.room['appId']}", changed)

    async def sign_in_with_a_provider(self, *identities: dict[str, Any]) -> httpx.Response:
        with providing() as running:
            client = {"issuer": running.issuer, "clientId": CLIENT_ID}
            self.configure(OIDC_PROVIDERS={"acme": {**client, "clientSecret": CLIENT_SECRET}})
            discovery._documents.clear()
            for identity in identities:
                left = await self.send("GET", "/auth/acme", headers={})
                told = dict(parse_qsl(urlsplit(left.headers["Location"]).query))
                running.provider.identify(told["nonce"], **identity)
                query = {"code": "a-code", "state": told["state"]}
                answer = await self.send("GET", "/auth/acme/callback", headers={}, params=query)
        return answer


Case = Callable[[World], Awaitable[httpx.Response]]
CASES: dict[str, Case] = {}


def case(code: str) -> Callable[[Case], Case]:
    def keep(produce: Case) -> Case:
        CASES[code] = produce
        return produce

    return keep


@case("VALIDATION_ERROR")
async def _(world: World) -> httpx.Response:
    return await world.send("POST", "/rooms", {})


@case("INVALID_MANIFEST")
async def _(world: World) -> httpx.Response:
    return await world.of_apps("POST", "", {"appId": "app_new", "manifest": {}})


@case("PRIZE_EXHAUSTED")
async def _(world: World) -> httpx.Response:
    return await world.award(remaining=0)


@case("UNAUTHORIZED")
async def _(world: World) -> httpx.Response:
    return await world.send("POST", "/rooms", {}, headers={})


@case("INVALID_CREDENTIALS")
async def _(world: World) -> httpx.Response:
    return await world.send("POST", LOGIN, {"email": "x@example.org", "password": "guess"})


@case("INVALID_TOKEN")
async def _(world: World) -> httpx.Response:
    return await world.send("GET", "/rooms", headers={"Authorization": "Bearer rubbish"})


@case("FORBIDDEN")
async def _(world: World) -> httpx.Response:
    await fetch("UPDATE participants SET role = 'MODERATOR'")
    return await world.in_room("PATCH", body={"name": "Mine"})


@case("ACCESS_DENIED")
async def _(world: World) -> httpx.Response:
    with providing() as running:
        client = {"issuer": running.issuer, "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET}
        world.configure(OIDC_PROVIDERS={"acme": client})
        discovery._documents.clear()
        left = await world.send("GET", "/auth/acme", headers={})
        told = dict(parse_qsl(urlsplit(left.headers["Location"]).query))
        refused = {"error": "access_denied", "state": told["state"]}
        return await world.send("GET", "/auth/acme/callback", headers={}, params=refused)


@case("ACCOUNT_DELETED")
async def _(world: World) -> httpx.Response:
    await factories.user(email="d@example.com", provider="demo", deletedAt=factories.now())
    return await world.send("POST", LOGIN, {"email": "d@example.com", "password": "password123"})


@case("EMAIL_NOT_VERIFIED")
async def _(world: World) -> httpx.Response:
    return await world.sign_in_with_a_provider({"email_verified": False})


@case("EMAIL_TAKEN")
async def _(world: World) -> httpx.Response:
    return await world.sign_in_with_a_provider({}, {"sub": "subject-2"})


@case("NOT_FOUND")
async def _(world: World) -> httpx.Response:
    return await world.send("GET", "/rooms/nowhere")


@case("METHOD_NOT_ALLOWED")
async def _(world: World) -> httpx.Response:
    return await world.send("PUT", "/rooms")


@case("PAYLOAD_TOO_LARGE")
async def _(world: World) -> httpx.Response:
    return await world.send("POST", "/rooms", content=b" " * 1_000_001)


@case("UNSUPPORTED_MEDIA_TYPE")
async def _(world: World) -> httpx.Response:
    return await world.send("POST", "/rooms", data={"name": "Mine"})


@case("CONFLICT")
async def _(world: World) -> httpx.Response:
    return await world.in_room("POST", "/participants")


@case("PRIZE_HAS_WINNERS")
async def _(world: World) -> httpx.Response:
    won = (await world.award()).json()["data"]
    return await world.in_room("DELETE", f"/prizes/{won['prizeId']}")


@case("APP_HAS_ROOMS")
async def _(world: World) -> httpx.Response:
    return await world.of_apps("DELETE", f"/{world.room['appId']}")


@case("ROOM_NOT_ACTIVE")
async def _(world: World) -> httpx.Response:
    await fetch("UPDATE rooms SET status = 'DRAFT'")
    return await world.award()


@case("ROOM_CLOSED")
async def _(world: World) -> httpx.Response:
    await fetch("UPDATE rooms SET status = 'COMPLETED'")
    return await world.in_room("POST", "/prizes", {"name": "Phone"})


@case("INVALID_TRANSITION")
async def _(world: World) -> httpx.Response:
    return await world.in_room("PATCH", body={"status": "DRAFT"})


@case("VERSION_NOT_GREATER")
async def _(world: World) -> httpx.Response:
    return await world.publish("1.0.0")


@case("BREAKING_CHANGE")
async def _(world: World) -> httpx.Response:
    return await world.publish("1.1.0", settings=schema(["a"], a={"type": "string"}))


@case("MIGRATION_REQUIRED")
async def _(world: World) -> httpx.Response:
    await world.publish("2.0.0", settings=schema(["a"], a={"type": "string"}))
    return await world.in_room("POST", "/upgrade", {"targetVersion": "2.0.0"})


@case("PRECONDITION_FAILED")
async def _(world: World) -> httpx.Response:
    seen = {**world.headers, "If-Match": '"0-0"'}
    return await world.send("PATCH", f"/rooms/{world.room['id']}", {"name": "x"}, seen)


@case("RATE_LIMIT_EXCEEDED")
async def _(world: World) -> httpx.Response:
    world.configure(RATE_LIMITS=True, RATE_LIMIT_ANONYMOUS="1/minute")
    await world.send("GET", "/rooms", headers={})
    return await world.send("GET", "/rooms", headers={})


@case("OAUTH_NOT_CONFIGURED")
async def _(world: World) -> httpx.Response:
    return await world.send("GET", "/auth/google/url")


@case("MAIL_NOT_CONFIGURED")
async def _(world: World) -> httpx.Response:
    world.patch.setattr(sign_in, "status_of_new", lambda _: None)
    return await world.send("POST", "/auth/email/code", {"email": "anna@example.org"})


@case("SERVICE_UNAVAILABLE")
async def _(world: World) -> httpx.Response:
    world.patch.setattr(DB, "pool", None)
    world.patch.setitem(DB.config, "dsn", "postgresql://nobody@127.0.0.1:1/nowhere")
    return await world.send("GET", "/rooms", headers={})


@case("INTERNAL_ERROR")
async def _(world: World) -> httpx.Response:
    await fetch("ALTER TABLE prizes RENAME TO away")
    try:
        return await world.in_room("GET", "/prizes")
    finally:
        await fetch("ALTER TABLE away RENAME TO prizes")


@pytest.fixture
def world(
    client: httpx.AsyncClient,
    headers: Headers,
    room: asyncpg.Record,
    monkeypatch: pytest.MonkeyPatch,
    configure: Configure,  # noqa: F811 - the fixture
) -> World:
    return World(client, headers, room, monkeypatch, configure)


@pytest.mark.parametrize("code", STATUSES)
async def test_the_code_is_what_a_client_gets(world: World, code: str) -> None:
    answer = await CASES[code](world)
    world.patch.undo()

    if answer.is_redirect:
        assert answer.headers["Location"].endswith(f"/login?error=oauth_failed&reason={code}")
    else:
        assert (answer.status_code, code_of(answer)) == (STATUSES[code], code)


def test_each_code_has_a_request_that_produces_it_and_no_other_is_told() -> None:
    assert set(CASES) == set(STATUSES)


async def test_a_page_lists_every_code(client: httpx.AsyncClient) -> None:
    page = await client.get("/schema/conventions")
    listed = re.findall(r"^<tr><td><code>(\w+)</code></td><td>(\d+)</td>", page.text, re.MULTILINE)
    assert {code: int(status) for code, status in listed} == STATUSES
