"""Every endpoint, every role, public and private rooms; and a refusal changes no row.

What is expected is written out here, and owes nothing to `app.participants.roles`.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from app.asgi import create_app
from app.auth import codes
from app.auth.sessions import Device, open_session, token_policy
from app.database.engine import fetch, fetchval, jsonb
from app.database.ids import new_id
from app.invitations.codes import hash_of, new_code
from app.tables import DrawStatus
from app.web.pages import TABS
from tests import factories
from tests.applications.apps import manifest

pytestmark = pytest.mark.no_cover
"""Other tests reach each line that these do; being counted takes as long as they do."""

ROLES = (
    "anonymous",
    "outsider",
    "former",
    "VIEWER",
    "PARTICIPANT",
    "MODERATOR",
    "ORGANIZER",
    "ADMIN",
    "platform",
)
IN_THE_ROOM = ROLES[3:]
FROM_MODERATOR = frozenset(ROLES[5:])
FROM_ORGANIZER = frozenset(ROLES[6:])
EVERYBODY = frozenset(ROLES)
SIGNED_IN = EVERYBODY - {"anonymous"}
PLATFORM = frozenset({"platform"})
NOT_THERE = httpx.codes.NOT_FOUND
NO_LOG_HEARD = httpx.codes.SERVICE_UNAVAILABLE
"""No log is read in this process: a stream is refused when its door has been passed."""
NOT_CONFIGURED = dict.fromkeys(ROLES, httpx.codes.SERVICE_UNAVAILABLE)


class Endpoint(msgspec.Struct, frozen=True):
    """A request, and who may make it in a public room."""

    method: str
    path: str
    allowed: frozenset[str]
    body: Any = None
    success: int = 200
    also: Mapping[str, int] = {}
    """Who gets another answer than 200, 401 or 403, and which."""
    draw: DrawStatus | None = None
    """How far the room's draw has come, if there is one."""
    has_quiz: bool = False
    """Whether a question is being asked in the room, and another one can be."""


ENDPOINTS = [
    Endpoint("GET", "/rooms/{room}", EVERYBODY),
    Endpoint("PATCH", "/rooms/{room}", FROM_ORGANIZER, {"name": "Renamed"}),
    Endpoint("POST", "/rooms/{room}/upgrade", FROM_ORGANIZER, {"targetVersion": "1.1.0"}),
    Endpoint("DELETE", "/rooms/{room}", FROM_ORGANIZER),
    Endpoint("GET", "/rooms/{room}/participants", EVERYBODY),
    Endpoint(
        "POST",
        "/rooms/{room}/participants",
        SIGNED_IN,
        success=201,
        also={"former": 200, **dict.fromkeys(IN_THE_ROOM[:-1], 409)},
    ),
    Endpoint(
        "POST", "/rooms/{room}/participants", FROM_MODERATOR, {"userId": "{stranger}"}, success=201
    ),
    Endpoint(
        "POST",
        "/rooms/{room}/participants/bulk",
        FROM_MODERATOR,
        {"participants": [{"userId": "{stranger}"}]},
    ),
    Endpoint("GET", "/rooms/{room}/participants.csv", EVERYBODY),
    Endpoint("GET", "/rooms/{room}/expected.csv", FROM_MODERATOR),
    Endpoint("GET", "/rooms/{room}/participants/{participant}", EVERYBODY),
    Endpoint(
        "GET",
        "/rooms/{room}/participants/me",
        frozenset(IN_THE_ROOM[:-1]),
        also=dict.fromkeys(("outsider", "former", "platform"), NOT_THERE),
    ),
    Endpoint(
        "PATCH",
        "/rooms/{room}/participants/{participant}",
        FROM_MODERATOR,
        {"role": "VIEWER"},
    ),
    Endpoint("DELETE", "/rooms/{room}/participants/{participant}", FROM_MODERATOR),
    Endpoint(
        "DELETE",
        "/rooms/{room}/participants/me",
        frozenset(IN_THE_ROOM[:-1]),
        also={"platform": NOT_THERE},
    ),
    Endpoint("GET", "/rooms/{room}/invitations", FROM_MODERATOR),
    Endpoint("POST", "/rooms/{room}/invitations", FROM_MODERATOR, success=201),
    Endpoint("GET", "/rooms/{room}/invitations/{invitation}", FROM_MODERATOR),
    Endpoint("DELETE", "/rooms/{room}/invitations/{invitation}", FROM_MODERATOR),
    Endpoint("POST", "/rooms/{room}/guests", EVERYBODY, {"name": "Ann"}, success=201),
    Endpoint("GET", "/rooms/{room}/prizes", EVERYBODY),
    Endpoint("POST", "/rooms/{room}/prizes", FROM_MODERATOR, {"name": "Phone"}, success=201),
    Endpoint("GET", "/rooms/{room}/prizes/{prize}", EVERYBODY),
    Endpoint("PATCH", "/rooms/{room}/prizes/{prize}", FROM_MODERATOR, {"quantity": 7}),
    Endpoint("DELETE", "/rooms/{room}/prizes/{spare}", FROM_MODERATOR),
    Endpoint("GET", "/rooms/{room}/winners", EVERYBODY),
    Endpoint(
        "POST",
        "/rooms/{room}/winners",
        FROM_MODERATOR,
        {"participantId": "{participant}", "prizeId": "{spare}"},
        success=201,
    ),
    Endpoint("GET", "/rooms/{room}/winners.csv", EVERYBODY),
    Endpoint("GET", "/rooms/{room}/winners/{winner}", EVERYBODY),
    Endpoint("DELETE", "/rooms/{room}/winners/{winner}", FROM_ORGANIZER),
    Endpoint("POST", "/rooms/{room}/winners/{winner}/claim", FROM_MODERATOR),
    Endpoint("POST", "/rooms/{room}/winners/{winner}/decline", FROM_MODERATOR),
    Endpoint("GET", "/rooms/{room}/draws", EVERYBODY, draw=DrawStatus.DRAWN),
    Endpoint("POST", "/rooms/{room}/draws", FROM_MODERATOR, success=201),
    Endpoint("GET", "/rooms/{room}/draws/{draw}", EVERYBODY, draw=DrawStatus.ANNOUNCED),
    Endpoint("POST", "/rooms/{room}/draws/{draw}/close", FROM_MODERATOR, draw=DrawStatus.ANNOUNCED),
    Endpoint("POST", "/rooms/{room}/draws/{draw}/draw", FROM_MODERATOR, draw=DrawStatus.CLOSED),
    Endpoint(
        "DELETE",
        "/rooms/{room}/draws/{draw}",
        FROM_MODERATOR,
        {"reason": "The prize broke."},
        draw=DrawStatus.ANNOUNCED,
    ),
    Endpoint("GET", "/rooms/{room}/draws/{draw}/record", EVERYBODY, draw=DrawStatus.CLOSED),
    Endpoint("GET", "/rooms/{room}/draws/{draw}/winners", EVERYBODY, draw=DrawStatus.DRAWN),
    Endpoint("GET", "/rooms/{room}/draws/{draw}/entrants.txt", EVERYBODY, draw=DrawStatus.CLOSED),
    Endpoint(
        "GET",
        "/rooms/{room}/draws/{draw}/evidence.zip",
        FROM_MODERATOR,
        draw=DrawStatus.CLOSED,
    ),
    Endpoint("GET", "/rooms/{room}/events", EVERYBODY, success=NO_LOG_HEARD),
    Endpoint("GET", "/rooms/{room}/quiz", EVERYBODY, has_quiz=True),
    Endpoint("POST", "/rooms/{room}/quiz", FROM_ORGANIZER, has_quiz=True),
    Endpoint("POST", "/rooms/{room}/quiz/finish", FROM_ORGANIZER, has_quiz=True),
    Endpoint("GET", "/rooms/{room}/rounds", EVERYBODY, has_quiz=True),
    Endpoint(
        "POST",
        "/rooms/{room}/rounds",
        FROM_ORGANIZER,
        {"questionId": "another"},
        success=201,
        has_quiz=True,
    ),
    Endpoint("GET", "/rooms/{room}/rounds/{round}", EVERYBODY, has_quiz=True),
    Endpoint("POST", "/rooms/{room}/rounds/{round}/close", FROM_ORGANIZER, has_quiz=True),
    Endpoint("GET", "/rooms/{room}/rounds/{round}/answers", EVERYBODY, has_quiz=True),
    Endpoint(
        "POST",
        "/rooms/{room}/rounds/{round}/answers",
        frozenset({"PARTICIPANT"}),
        {"answerIndex": 1},
        success=201,
        has_quiz=True,
    ),
    Endpoint("GET", "/rooms/{room}/rounds/{round}/answers/{answer}", EVERYBODY, has_quiz=True),
]
ELSEWHERE = [
    Endpoint("GET", "/rooms", EVERYBODY),
    Endpoint(
        "POST",
        "/rooms",
        SIGNED_IN,
        {"name": "Mine", "appId": "{app}", "appSettings": factories.SETTINGS},
        success=201,
    ),
    Endpoint("GET", "/me/events", SIGNED_IN, success=NO_LOG_HEARD),
    Endpoint("POST", "/events/tickets", SIGNED_IN, success=201),
    Endpoint("POST", "/invitations/accept", SIGNED_IN, {"code": "{invitation_code}"}),
    Endpoint(
        "POST",
        "/invitations/find",
        frozenset(),
        {"code": "{fresh}"},
        also=dict.fromkeys(EVERYBODY, NOT_THERE),
    ),
    Endpoint("GET", "/users/{stranger}", SIGNED_IN),
    Endpoint("GET", "/users/me/export", SIGNED_IN),
    Endpoint("PATCH", "/users/{stranger}", frozenset(), {"name": "Hijacked"}),
    Endpoint("DELETE", "/users/{stranger}", frozenset()),
    Endpoint("PATCH", "/users/{self}", SIGNED_IN, {"name": "Renamed"}),
    Endpoint("DELETE", "/users/{self}", SIGNED_IN),
    Endpoint("GET", "/apps", EVERYBODY),
    Endpoint(
        "POST", "/apps", PLATFORM, {"appId": "app_{fresh}", "manifest": manifest()}, success=201
    ),
    Endpoint("GET", "/apps/{app}", EVERYBODY),
    Endpoint("PATCH", "/apps/{app}", PLATFORM, {"manifest": manifest("1.2.0")}),
    Endpoint("PATCH", "/apps/{app}", PLATFORM, {"isActive": False}),
    Endpoint("DELETE", "/apps/{spare_app}", PLATFORM),
    Endpoint("POST", "/apps/{app}/secret", PLATFORM, success=201),
    Endpoint("GET", "/apps/{app}/versions", EVERYBODY),
    Endpoint(
        "POST", "/apps/{app}/versions/{version}/deprecate", PLATFORM, {"reason": "Counts twice."}
    ),
    Endpoint("GET", "/apps/{app}/webhooks", PLATFORM),
    Endpoint(
        "POST", "/apps/{app}/webhooks", PLATFORM, {"url": "https://example.org/"}, success=201
    ),
    Endpoint("GET", "/apps/{app}/webhooks/{webhook}", PLATFORM),
    Endpoint("PATCH", "/apps/{app}/webhooks/{webhook}", PLATFORM, {"isActive": False}),
    Endpoint("DELETE", "/apps/{app}/webhooks/{webhook}", PLATFORM),
    Endpoint("POST", "/apps/{app}/webhooks/{webhook}/rotate", PLATFORM, success=201),
    Endpoint("POST", "/apps/{app}/webhooks/{webhook}/test", PLATFORM, success=201),
    Endpoint("GET", "/apps/{app}/webhooks/{webhook}/deliveries", PLATFORM),
    Endpoint("POST", "/apps/{app}/webhooks/{webhook}/deliveries/{delivery}/redeliver", PLATFORM),
    Endpoint(
        "POST",
        "/apps/{app}/webhooks/{webhook}/recover",
        PLATFORM,
        {"since": "2026-01-01T00:00:00Z"},
    ),
    Endpoint("GET", "/apps/{app}/events", PLATFORM),
    Endpoint("POST", "/auth/login", EVERYBODY, {"email": "{demo}", "password": "password123"}),
    Endpoint("POST", "/auth/email/code", EVERYBODY, {"email": "{demo}"}, success=202),
    Endpoint(
        "POST", "/auth/email/login", EVERYBODY, {"challenge": "{challenge}", "code": "{code}"}
    ),
    Endpoint("POST", "/auth/refresh", EVERYBODY, {"refreshToken": "{refresh_token}"}),
    Endpoint("GET", "/auth/ways", EVERYBODY),
    Endpoint("POST", "/auth/logout", SIGNED_IN),
    Endpoint("POST", "/auth/guests", SIGNED_IN, {"refreshToken": "{guest_token}"}),
    Endpoint("GET", "/auth/me", SIGNED_IN),
    Endpoint("GET", "/auth/sessions", SIGNED_IN),
    Endpoint("DELETE", "/auth/sessions", SIGNED_IN),
    Endpoint("DELETE", "/auth/sessions/{session}", SIGNED_IN),
    Endpoint(
        "DELETE",
        "/auth/sessions/{their_session}",
        frozenset(),
        also=dict.fromkeys(SIGNED_IN, NOT_THERE),
    ),
    Endpoint(
        "POST", "/auth/revocations", PLATFORM, {"userId": "{stranger}", "reason": "Lost"}, 201
    ),
    *(
        Endpoint("GET", f"/auth/{{provider}}{step}", frozenset(), also=NOT_CONFIGURED)
        for step in ("", "/url", "/callback")
    ),
    Endpoint("POST", "/auth/{provider}/callback", frozenset(), also=NOT_CONFIGURED),
]
OPEN_TO_ALL = [
    "/",
    "/auth/callback",
    "/dev/mails",
    "/health/live",
    "/health/ready",
    "/join",
    "/login",
    "/metrics",
    "/rooms/new",
    "/rooms/{room}",
    *(f"/rooms/{{room}}/{tab}" for tab in TABS),
    "/sign-in",
    "/verify",
    "/rooms/{room}/draws/{draw}",
    "/rooms/{room}/draws/{draw}/code.svg",
    "/schema",
    "/schema/openapi.json",
]
"""Pages, which show nothing of anybody."""
BESIDES = ("/admin", "/dev/mails/", "/mails/stop/", "/schema/", "/web/")
"""The administrators' page, which has roles and tests of its own; mails, in development alone, and
the link in them, which is enough for whoever has it; files of the API page."""


def name_of(endpoint: Endpoint) -> str:
    with_body = "+" if endpoint.body else ""
    return f"{endpoint.method}{with_body} {endpoint.path}"


class Scene(msgspec.Struct):
    """A room with somebody in it, and the person who asks."""

    headers: dict[str, str]
    ids: dict[str, str]

    def fill(self, template: Any) -> Any:
        match template:
            case str():
                return template.format_map(self.ids)
            case dict():
                return {name: self.fill(value) for name, value in template.items()}
            case list():
                return [self.fill(value) for value in template]
            case _:
                return template


async def scene(
    role: str, *, is_public: bool, draw: DrawStatus | None = None, has_quiz: bool = False
) -> Scene:
    app = await factories.released_app("1.0.0", "1.1.0")
    room = await factories.room(app_id=app["appId"], isPublic=is_public, guests=True)
    asker = None if role == "anonymous" else await factories.user(isAdmin=role == "platform")
    if asker is not None and role not in {"outsider", "platform"}:
        await factories.participant(
            room["id"],
            asker["id"],
            role="PARTICIPANT" if role == "former" else role,
            deletedAt=factories.now() if role == "former" else None,
        )
    participant = await factories.participant(room["id"])
    prize = await factories.prize(room["id"], quantity=3, quantityRemaining=2)
    spare = await factories.prize(room["id"], name="Gift card")
    claim = {"claimStatus": "PENDING", "claimBy": factories.now() + timedelta(days=1)}
    winner = await factories.winner(room["id"], participant["id"], prize["id"], **claim)
    stranger, demo = await factories.user(), await factories.user(provider="demo")
    theirs = await factories.session(stranger["id"])
    pair = await open_session(
        stranger["id"], stranger["email"], Device(None, None), factories.now()
    )
    headers = await factories.bearer(asker)
    webhook = await factories.webhook(room["appId"])
    await factories.begun_log()
    challenge = await codes.renew(stranger["email"])
    if draw is not None:
        await factories.draw(room["id"], draw)
    quiz = await ask(room["id"], participant["id"]) if has_quiz else {}
    ids = {
        "room": room["id"],
        "participant": participant["id"],
        "prize": prize["id"],
        "spare": spare["id"],
        "winner": winner["id"],
        "draw": "1",
        "app": room["appId"],
        "spare_app": (await factories.app())["appId"],
        "version": "1.0.0",
        "webhook": webhook["id"],
        "delivery": (await factories.delivery(webhook))["id"],
        "fresh": new_id(),
        **await invited(room),
        "stranger": stranger["id"],
        "self": asker["id"] if asker else "nobody",
        "demo": demo["email"],
        "challenge": challenge.secret,
        "guest_token": (await factories.guest(room["id"])).refreshToken,
        "code": codes.code_of(challenge.id, token_policy().keys[0].kid) or "",
        "refresh_token": pair.refreshToken,
        "session": await session_of(asker) if asker else theirs["id"],
        "their_session": theirs["id"],
        "provider": "google",
        **quiz,
    }
    return Scene(headers, ids)


async def invited(room: asyncpg.Record) -> dict[str, str]:
    """Invite into the room, and into another one."""
    code = new_code()
    digest = hash_of(code, token_policy().keys[0].invitation)
    await factories.invitation(await factories.room(), codeHash=digest)
    return {"invitation": (await factories.invitation(room))["id"], "invitation_code": code}


async def ask(room: str, participant: str) -> dict[str, str]:
    """Ask a question in the room, to which there is another, and let somebody answer it."""
    another = {**factories.QUESTION, "id": "another", "correctIndex": 0}
    settings = {**factories.SETTINGS, "questions": [another]}
    await fetch('UPDATE rooms SET "appSettings" = $2 WHERE id = $1', room, jsonb(settings))
    asked = await factories.round_(await factories.quiz(room))
    answer = await factories.answer(asked["id"], participant)
    return {"round": asked["id"], "answer": answer["id"]}


async def session_of(person: asyncpg.Record) -> str:
    found: str = await fetchval('SELECT id FROM sessions WHERE "userId" = $1', person["id"])
    return found


async def all_rows() -> list[tuple[str, str]]:
    """Return every row of every table as text, sorted."""
    every = await fetchval(
        """
        SELECT string_agg(format('SELECT %2$L, t::text FROM %1$I.%2$I t', schemaname, tablename),
            ' UNION ALL ')
        FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
        """
    )
    return sorted(map(tuple, await fetch(every)))


def expected_status(endpoint: Endpoint, role: str, *, hidden: bool) -> int:
    if hidden:
        return NOT_THERE
    if role in endpoint.also:
        return endpoint.also[role]
    if role in endpoint.allowed:
        return endpoint.success
    return 401 if role == "anonymous" else 403


async def send(client: httpx.AsyncClient, place: Scene, endpoint: Endpoint) -> httpx.Response:
    body = {} if endpoint.body is None else {"json": place.fill(endpoint.body)}
    path = "/api/v1" + place.fill(endpoint.path)
    return await client.request(endpoint.method, path, headers=place.headers, **body)


@pytest.mark.parametrize("is_public", [True, False], ids=["public", "private"])
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=name_of)
async def test_each_role_may_do_its_own_in_a_room(
    client: httpx.AsyncClient, endpoint: Endpoint, *, is_public: bool
) -> None:
    for role in ROLES:
        place = await scene(
            role, is_public=is_public, draw=endpoint.draw, has_quiz=endpoint.has_quiz
        )
        hidden = not is_public and role not in IN_THE_ROOM
        before = await all_rows()

        answer = await send(client, place, endpoint)

        expected = expected_status(endpoint, role, hidden=hidden)
        assert (role, answer.status_code) == (role, expected), answer.text
        changes = answer.is_success and endpoint.method != "GET"
        assert (await all_rows() != before) == changes, role


@pytest.mark.parametrize("endpoint", ELSEWHERE, ids=name_of)
async def test_each_person_may_do_their_own_elsewhere(
    client: httpx.AsyncClient, endpoint: Endpoint
) -> None:
    for role in ROLES:
        place = await scene(role, is_public=True)
        before = await all_rows()

        answer = await send(client, place, endpoint)

        expected = expected_status(endpoint, role, hidden=False)
        assert (role, answer.status_code) == (role, expected), answer.text
        changes = answer.is_success and endpoint.method != "GET"
        assert (await all_rows() != before) == changes, role


INPUTS: list[dict[str, Any]] = [
    {},
    {"json": {"no": "such member"}},
    {"json": {"role": "NO_SUCH_ROLE", "quantity": -1}},
    {"content": b"{ not json"},
    {"content": b"x" * 1_500_000},
    {"content": b"a=b", "extra": "application/x-www-form-urlencoded"},
    {"params": {"nonsense": "1"}},
    {"params": {"limit": "0", "cursor": "rubbish"}},
]


@pytest.mark.parametrize("role", ["anonymous", "outsider", "former"])
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=name_of)
async def test_a_private_room_is_told_by_nothing_from_one_that_is_not_there(
    client: httpx.AsyncClient, endpoint: Endpoint, role: str
) -> None:
    place = await scene(role, is_public=False, has_quiz=endpoint.has_quiz)
    missing = Scene(place.headers, {**place.ids, "room": "c" + "0" * 24})

    for given in INPUTS:
        options = {name: value for name, value in given.items() if name != "extra"}
        sent = {**place.headers, "If-Match": '"1"'}
        if "extra" in given:
            sent["Content-Type"] = given["extra"]
        told = [
            await client.request(
                endpoint.method, "/api/v1" + each.fill(endpoint.path), headers=sent, **options
            )
            for each in (place, missing)
        ]
        assert [each.status_code for each in told] == [404, 404], given
        assert shape(told[0]) == shape(told[1])


def shape(answer: httpx.Response) -> tuple[Any, ...]:
    """Return all of an answer that a client could compare, but for the request's id."""
    error = answer.json()["error"]
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return answer.status_code, error["code"], error["message"], error["details"], headers


@pytest.mark.parametrize("path", OPEN_TO_ALL)
async def test_a_page_is_the_same_for_everybody_and_about_no_room(
    client: httpx.AsyncClient, path: str
) -> None:
    told = set()
    for role in ("anonymous", "outsider", "ORGANIZER", "platform"):
        place = await scene(role, is_public=False)
        for room in (place.ids["room"], "c" + "0" * 24):
            here = Scene(place.headers, {**place.ids, "room": room})
            answer = await client.get(here.fill(path), headers=here.headers)
            told.add((answer.status_code, answer.text if path.endswith("{draw}") else ""))

    assert len(told) == 1, told


def test_the_walk_leaves_out_no_endpoint() -> None:
    walked = {
        *((each.method, pattern_of(f"/api/v1{each.path}")) for each in [*ENDPOINTS, *ELSEWHERE]),
        *(("GET", pattern_of(path)) for path in OPEN_TO_ALL),
    }
    served = {
        (method, pattern_of(route.path_format))
        for route in create_app().routes
        if not route.path_format.startswith(BESIDES)
        or route.path_format.removeprefix("/schema/") == "openapi.json"
        for method in route.methods - {"OPTIONS"}
    }
    assert walked == served


def pattern_of(path: str) -> str:
    """Write a path with its parameters bare; a participant's `me` stands for one."""
    return re.sub(r"{\w+}", "{}", path.replace("/participants/me", "/participants/{}"))
