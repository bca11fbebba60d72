"""The shape of every request and answer, on the real application."""

import base64
import json
from typing import Any

import asyncpg
import httpx
import pytest

from app.asgi import create_app
from app.database.engine import fetch, fetchval
from app.errors import AppError
from tests import factories
from tests.answers import Headers

ROOMS = "/api/v1/rooms"
SAYS_NOTHING = "Something went wrong on our side."


@pytest.fixture
def prizes(room: asyncpg.Record) -> str:
    return f"{ROOMS}/{room['id']}/prizes"


def error_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Return the error after checking that it has the contract's shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"code", "message", "details", "requestId"}
    assert error["requestId"] == answer.headers["x-request-id"]
    return error


async def test_every_status_of_the_framework_has_the_shape_of_errors(
    client: httpx.AsyncClient, prizes: str, headers: Headers
) -> None:
    nowhere = await client.get("/api/v1/nowhere")
    wrong_method = await client.put(ROOMS)
    too_large = await client.post(prizes, content=b" " * 10_000_000, headers=headers)
    form = await client.post(prizes, data={"name": "Phone"}, headers=headers)
    stranger = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "PUT"}
    preflight = await client.options(ROOMS, headers=stranger)

    assert error_of(nowhere, 404)["code"] == "NOT_FOUND"
    assert error_of(wrong_method, 405)["code"] == "METHOD_NOT_ALLOWED"
    assert {*wrong_method.headers["allow"].split(", ")} == {"GET", "HEAD", "OPTIONS", "POST"}
    assert error_of(too_large, 413)["code"] == "PAYLOAD_TOO_LARGE"
    assert error_of(form, 415)["code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert error_of(preflight, 400)["message"] == "Disallowed CORS method, Origin."


async def test_a_bug_says_nothing_about_itself(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError("the secret is 42")

    monkeypatch.setattr("app.rooms.controller.service.list_rooms", fail)

    error = error_of(await client.get(ROOMS), 500)

    assert error == {**error, "code": "INTERNAL_ERROR", "message": SAYS_NOTHING, "details": {}}


@pytest.mark.parametrize(
    "failure",
    [asyncpg.ConnectionDoesNotExistError("gone"), ConnectionRefusedError(), TimeoutError()],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_lost_database_is_a_503_that_says_when_to_come_back(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    async def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr("app.rooms.controller.service.list_rooms", fail)

    answer = await client.get(ROOMS)

    assert error_of(answer, 503)["code"] == "SERVICE_UNAVAILABLE"
    assert int(answer.headers["retry-after"]) > 0


async def test_nobody_signed_in_is_told_how_to(client: httpx.AsyncClient) -> None:
    answer = await client.post(ROOMS, json={})
    assert error_of(answer, 401)["code"] == "UNAUTHORIZED"
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_sane_request_id_is_kept_and_another_is_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.get(ROOMS, headers={"X-Request-Id": "trace-7:a.b_c"})
    replaced = await client.get(ROOMS, headers={"X-Request-Id": "x" * 129})
    broken = await client.get(ROOMS, headers={"X-Request-Id": "a b"})

    assert kept.headers["x-request-id"] == "trace-7:a.b_c"
    assert len(replaced.headers["x-request-id"]) == 25
    assert len(broken.headers["x-request-id"]) == 25


async def test_times_are_rfc_3339_in_utc_with_milliseconds(
    client: httpx.AsyncClient, room: asyncpg.Record
) -> None:
    shown = (await client.get(f"{ROOMS}/{room['id']}")).json()["data"]
    expected = room["createdAt"].strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    assert shown["createdAt"] == expected


BROKEN_BODIES = {
    "nothing": b"",
    "not JSON": b"{ name",
    "a list": b"[]",
    "text": b'"name"',
    "bytes that are not UTF-8": b'{"name": "\xff"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "half a surrogate pair": b'{"name": "\\ud800"}',
    "NUL": b'{"name": "a\\u0000b"}',
    "NUL in a name": b'{"name": "x", "metadata": {"\\u0000": 1}}',
    "the same member twice": b'{"name": "x", "name": "y"}',
    "the same member twice, inside": b'{"name": "x", "metadata": {"a": 1, "a": 2}}',
    "a number out of range": b'{"name": "x", "metadata": {"n": 1e400}}',
    "NaN": b'{"name": "x", "metadata": {"n": NaN}}',
    "an integer of 401 digits": b'{"name": "x", "metadata": {"n": 1' + b"0" * 400 + b"}}",
    "an integer of 5,001 digits": b'{"name": "x", "metadata": {"n": 1' + b"0" * 5000 + b"}}",
    "too deep": b'{"name": "x", "metadata": ' + b'{"a":' * 33 + b"1" + b"}" * 33 + b"}",
    "very deep": b'{"name": "x", "metadata": {"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "never closed": b"[" * 500_000,
    "metadata of more than 16 kB": b'{"name": "x", "metadata": {"a": "' + b"x" * 16_384 + b'"}}',
    "metadata that are no object": b'{"name": "x", "metadata": [1]}',
    "a wrong kind": b'{"name": 5}',
}


@pytest.mark.parametrize("body", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
async def test_a_broken_body_is_refused_and_changes_nothing(
    client: httpx.AsyncClient, prizes: str, headers: Headers, body: bytes
) -> None:
    answer = await client.post(prizes, content=body, headers=headers)

    assert error_of(answer, 400)["code"] == "VALIDATION_ERROR"
    assert await fetchval("SELECT count(*) FROM prizes") == 0


SEEN = (
    "1 to 255 characters in one line, some of which can be seen; without controls and "
    "bidirectional overrides."
)
IN_WORDS: list[tuple[str, Any, str]] = [
    ("name", "", "Expected string of length >= 1."),
    ("name", " \t", SEEN),
    ("name", "\u200b\u3164", "Has nothing to see in it."),
    ("name", "gpj\u202eexe", "Has a control character (U+202E), which would show it otherwise."),
    ("description", "\u2066", "Has a control character (U+2066), which would show it otherwise."),
    ("name", None, "Expected string, got null."),
    ("description", 5, "Expected string or null, got integer."),
    ("quantity", 1.5, "Expected integer, got number."),
    ("quantity", 0, "Expected integer >= 1."),
    ("imageUrl", "javascript:alert(1)", "The http or https address of a picture."),
    ("imageUrl", "https://", "The http or https address of a picture."),
    ("imageUrl", "https://example.com/a b", "The http or https address of a picture."),
    ("imageUrl", "https://example.com/a\n", "The http or https address of a picture."),
    ("metadata", [], "Expected object or null, got array."),
    ("Name", "x", "Unknown field."),
]


@pytest.mark.parametrize(("field", "value", "message"), IN_WORDS)
async def test_a_wrong_value_is_told_in_words(
    client: httpx.AsyncClient, prizes: str, headers: Headers, field: str, value: Any, message: str
) -> None:
    answer = await client.post(prizes, json={"name": "x", field: value}, headers=headers)
    assert error_of(answer, 400)["details"]["fields"] == {f"$.{field}": message}


async def test_of_very_many_unknown_fields_a_thousand_are_told(
    client: httpx.AsyncClient, prizes: str, headers: Headers
) -> None:
    body = {f"field{number}": 1 for number in range(50_000)}
    told = error_of(await client.post(prizes, json=body, headers=headers), 400)["details"]["fields"]
    assert told.pop("$.name") == "Required."
    assert len(told) == 1_000


async def test_what_is_none_of_several_is_told_them(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    statuses = "Expected one of DRAFT, ACTIVE, COMPLETED, CANCELLED."
    path = f"{ROOMS}/{room['id']}"
    in_body = await client.patch(path, json={"status": "active"}, headers=headers)
    in_query = await client.get(ROOMS, params={"status": "active"})

    assert error_of(in_body, 400)["details"]["fields"] == {"$.status": statuses}
    assert error_of(in_query, 400)["details"]["fields"] == {"status": statuses}


@pytest.mark.parametrize("odd", [{}, {"sort": "name"}], ids=["known", "unknown"])
async def test_every_failing_part_of_a_query_is_named(
    client: httpx.AsyncClient, odd: dict[str, str]
) -> None:
    query = {"page": "x", "limit": "0", "isPublic": "perhaps", "cursor": "A" * 201, **odd}
    told = error_of(await client.get(ROOMS, params=query), 400)["details"]["fields"]
    assert told == {
        "page": "Expected integer, got string.",
        "limit": "Expected integer >= 1.",
        "isPublic": "Expected boolean or null, got string.",
        "cursor": "Expected string of length <= 200.",
        **dict.fromkeys(odd, "Unknown query parameter."),
    }


async def test_a_number_beyond_doubles_is_refused_wherever_it_stands(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    huge = 10**400
    path = f"{ROOMS}/{room['id']}"
    administrator = await factories.bearer(await factories.user(isAdmin=True))
    settings = {**factories.SETTINGS, "ticketCount": huge}
    refused = {
        "$.appSettings.ticketCount": await client.patch(
            path, json={"appSettings": settings}, headers=headers
        ),
        "$.settings.a[1]": await client.post(
            f"{path}/upgrade",
            json={"targetVersion": "2.0.0", "settings": {"a": [1, huge]}},
            headers=headers,
        ),
        "$.manifest.settings.minProperties": await client.post(
            "/api/v1/apps",
            json={"appId": "app_huge", "manifest": {"settings": {"minProperties": huge}}},
            headers=administrator,
        ),
    }
    for field, answer in refused.items():
        assert error_of(answer, 400)["details"]["fields"] == {field: "A number out of range."}


METADATA = [
    {},
    {"zero": -0.0, "tiny": 5e-324, "huge": 15 * 10**307, "long": 2**63 - 1, "low": -(2**63)},
    {"text": "é 🎁 \u2028 \u007f", "": [None, True, {"a": [[]]}]},
    {"full": "x" * (16_384 - len('{"full":""}'))},
]


@pytest.mark.parametrize("metadata", METADATA)
async def test_metadata_come_back_as_they_were_sent(
    client: httpx.AsyncClient, prizes: str, headers: Headers, metadata: Any
) -> None:
    body = {"name": "x", "metadata": metadata}
    added = await client.post(prizes, json=body, headers=headers)
    assert added.status_code == 201, added.text
    shown = (await client.get(prizes)).json()["data"][0]["metadata"]
    assert shown == added.json()["data"]["metadata"] == metadata


@pytest.mark.parametrize("content_type", [None, "application/json", "application/ld+json; a=b"])
async def test_json_is_read_whatever_it_is_called(
    client: httpx.AsyncClient, prizes: str, headers: Headers, content_type: str | None
) -> None:
    sent = headers if content_type is None else {**headers, "Content-Type": content_type}
    answer = await client.post(prizes, content=b'{"name": "Phone"}', headers=sent)
    assert answer.status_code == 201


@pytest.mark.parametrize("text", ["%00", "%ff", "%ed%a0%80", "..%2f..", "'", "a" * 5000, "%0a"])
@pytest.mark.parametrize(
    "place",
    ["/rooms/{}", "/rooms/{}/prizes", "/rooms/{room}/prizes/{}", "/users/{}", "/apps/{}"],
)
async def test_an_odd_id_is_not_found(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers, place: str, text: str
) -> None:
    path = "/api/v1" + place.replace("{room}", room["id"]).replace("{}", text)
    answer = await client.get(path, headers=headers)
    error_of(answer, 400 if answer.status_code == 400 else 404)


def cursor(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"page": "0"}, "page"),
        ({"page": "-1"}, "page"),
        ({"page": "x"}, "page"),
        ({"page": "1e3"}, "page"),
        ({"page": "9" * 30}, "page"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"page": "101", "limit": "100"}, "page"),
        ({"page": "2", "cursor": cursor(["2025-01-01T00:00:00Z", "a"])}, "page"),
        ({"cursor": "rubbish"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": cursor([1, 2])}, "cursor"),
        ({"cursor": cursor(["2025-01-01T00:00:00", "a"])}, "cursor"),
        ({"cursor": cursor(["0001-01-01T00:00:00+14:00", "a"])}, "cursor"),
        ({"cursor": cursor(["2025-01-01T00:00:00Z", "a\0"])}, "cursor"),
        ({"cursor": "A" * 201}, "cursor"),
        ({"status": "SLEEPING"}, "status"),
        ({"isPublic": "perhaps"}, "isPublic"),
        ({"sort": "name", "x": "1"}, "sort"),
    ],
    ids=str,
)
async def test_a_query_that_makes_no_sense_is_refused_by_name(
    client: httpx.AsyncClient, query: dict[str, str], field: str
) -> None:
    error = error_of(await client.get(ROOMS, params=query), 400)
    assert error["code"] == "VALIDATION_ERROR"
    assert field in error["details"]["fields"]


@pytest.mark.parametrize("name", ["appId", "createdBy"])
async def test_a_filter_with_odd_characters_finds_nothing(
    client: httpx.AsyncClient, name: str
) -> None:
    assert (await client.get(ROOMS, params={name: "'; --"})).json()["data"] == []
    error_of(await client.get(f"{ROOMS}?{name}=%00"), 400)


async def test_a_cursor_at_the_ends_of_time_works(client: httpx.AsyncClient) -> None:
    for year in ("0001", "9999"):
        at_the_end = cursor([f"{year}-12-31T00:00:00Z", "a"])
        assert (await client.get(ROOMS, params={"cursor": at_the_end})).status_code == 200


async def test_a_list_is_counted_no_further_than_needed(
    client: httpx.AsyncClient, room: asyncpg.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.database.listing.COUNTED_AHEAD", 3)
    path = f"{ROOMS}/{room['id']}/participants"
    for _ in range(7):
        await factories.participant(room["id"])

    async def counted(page: int) -> tuple[int, int, bool]:
        meta = (await client.get(path, params={"limit": 2, "page": page})).json()["meta"]
        return meta["total"], meta["pages"], meta["totalIsCapped"]

    assert await counted(1) == (5, 3, True)
    assert await counted(2) == (7, 4, True)
    assert await counted(3) == (8, 4, False)


async def test_what_is_made_is_found_where_its_location_says(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    person = await factories.user()
    member, prize = await factories.participant(room["id"]), await factories.prize(room["id"], 5)
    base = f"{ROOMS}/{room['id']}"
    opened = {"name": "x", "appId": room["appId"], "appSettings": factories.SETTINGS}
    award = {"participantId": member["id"], "prizeId": prize["id"]}
    bodies: dict[str, Any] = {
        ROOMS: opened,
        f"{base}/participants": {"userId": person["id"]},
        f"{base}/prizes/": {"name": "x"},
        f"{base}/winners": award,
        f"{base}/draws": {},
    }

    for path, body in bodies.items():
        made = await client.post(path, json=body, headers={**headers, "Idempotency-Key": path})
        again = await client.post(path, json=body, headers={**headers, "Idempotency-Key": path})
        found = await client.get(made.headers["location"], headers=headers)

        assert (made.status_code, found.status_code) == (201, 200), made.text
        assert found.json() == made.json()
        assert again.headers["location"] == made.headers["location"]


def written_by_proxies(tag: str) -> list[str]:
    """Return what has become of a tag of ours once its answer was compressed on the way."""
    bare = tag.strip('"')
    return [
        f"W/{tag}",  # nginx, Cloudflare
        f'"{bare}-gzip"',  # Apache, Caddy
        f'"{bare}-br"',
        f'W/"{bare}-zstd"',
        f'"{bare};gzip"',  # LiteSpeed
        f'"{bare}--gzip"',  # Jetty
        f"{tag}-gzip",  # Apache 2.2
    ]


SINGLE = ["", "/participants/me", "/prizes/{prize}", "/winners/{winner}"]


@pytest.fixture
async def paths(room: asyncpg.Record, organizer: asyncpg.Record) -> dict[str, str]:
    prize = await factories.prize(room["id"], quantity=9, quantityRemaining=8)
    own = await fetchval('SELECT id FROM participants WHERE "userId" = $1', organizer["id"])
    winner = await factories.winner(room["id"], own, prize["id"])
    base = f"{ROOMS}/{room['id']}"
    ids = {"prize": prize["id"], "winner": winner["id"]}
    paths = {place: base + place.format_map(ids) for place in SINGLE}
    return {**paths, "/users": f"/api/v1/users/{organizer['id']}"}


@pytest.mark.parametrize("place", [*SINGLE, "/users"])
async def test_a_single_resource_has_a_tag_by_which_it_is_not_sent_twice(
    client: httpx.AsyncClient, paths: dict[str, str], headers: Headers, place: str
) -> None:
    first = await client.get(paths[place], headers=headers)
    tag = first.headers["etag"]

    for known in (tag, *written_by_proxies(tag), f'"other", {tag}', "*"):
        again = await client.get(paths[place], headers={**headers, "If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    other = await client.get(paths[place], headers={**headers, "If-None-Match": '"other"'})
    assert other.status_code == 200


CHANGES = {
    "": {"name": "Renamed"},
    "/participants/me": {"metadata": {"a": 1}},
    "/prizes/{prize}": {"quantity": 7},
    "/users": {"name": "Renamed"},
}


@pytest.mark.parametrize("place", CHANGES)
async def test_a_change_of_what_has_changed_since_is_refused(
    client: httpx.AsyncClient, paths: dict[str, str], headers: Headers, place: str
) -> None:
    path, body = paths[place], CHANGES[place]
    seen = (await client.get(path, headers=headers)).headers["etag"]

    changed = await client.patch(path, json=body, headers={**headers, "If-Match": seen})
    stale = [
        await client.patch(path, json=body, headers={**headers, "If-Match": seen}),
        await client.delete(path, headers={**headers, "If-Match": seen}),
        await client.patch(path, json=body, headers={**headers, "If-Match": "rubbish"}),
        await client.patch(path, json=body, headers={**headers, "If-Match": ""}),
        *[
            await client.patch(path, json=body, headers={**headers, "If-Match": known})
            for known in written_by_proxies(seen)
        ],
    ]
    fresh = changed.headers["etag"]
    either = {**headers, "If-Match": f"{seen}, {fresh}"}
    again = await client.patch(path, json=body, headers=either)
    anyway = await client.patch(path, json=body, headers={**headers, "If-Match": "*"})

    assert changed.status_code == 200
    assert [error_of(each, 412)["code"] for each in stale] == ["PRECONDITION_FAILED"] * len(stale)
    assert (again.status_code, anyway.status_code) == (200, 200)
    assert (await client.get(path, headers=headers)).headers["etag"] == anyway.headers["etag"]


@pytest.mark.parametrize("place", CHANGES)
async def test_a_tag_that_a_compressing_proxy_has_rewritten_is_still_of_what_was_seen(
    client: httpx.AsyncClient, paths: dict[str, str], headers: Headers, place: str
) -> None:
    path, body = paths[place], CHANGES[place]
    tag = (await client.get(path, headers=headers)).headers["etag"]

    for number in range(len(written_by_proxies(tag))):
        known = written_by_proxies(tag)[number]
        changed = await client.patch(path, json=body, headers={**headers, "If-Match": known})
        assert changed.status_code == 200, known
        tag = changed.headers["etag"]


@pytest.mark.parametrize("place", ["/winners/{winner}", "/prizes/{prize}", ""])
async def test_what_was_seen_is_deleted_and_nothing_else(
    client: httpx.AsyncClient, paths: dict[str, str], headers: Headers, place: str
) -> None:
    await client.delete(paths["/winners/{winner}"], headers=headers) if "prize" in place else None
    tag = (await client.get(paths[place], headers=headers)).headers["etag"]

    refused = await client.delete(paths[place], headers={**headers, "If-Match": '"0-0"'})
    lines = [*headers.items(), ("If-Match", '"0-0" ,'), ("If-Match", f"\t{tag}")]
    deleted = await client.delete(paths[place], headers=lines)

    error_of(refused, 412)
    assert deleted.status_code == 200


async def test_who_joins_does_not_stand_in_the_way_of_who_changes_the_room(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    path = f"{ROOMS}/{room['id']}"
    seen = (await client.get(path)).headers["etag"]
    await factories.participant(room["id"])

    shown = await client.get(path, headers={"If-None-Match": seen})
    changed = await client.patch(path, json={"name": "x"}, headers={**headers, "If-Match": seen})

    assert (shown.status_code, shown.json()["data"]["_count"]["participants"]) == (200, 2)
    assert changed.status_code == 200


@pytest.mark.parametrize("path", ["", "/{room}", "/{room}/participants.csv", "/nowhere"])
async def test_head_is_answered_as_get_without_the_body(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str
) -> None:
    address = ROOMS + path.replace("{room}", room["id"])
    whole, head = await client.get(address), await client.head(address)

    assert (head.status_code, head.content) == (whole.status_code, b"")
    kept = {"content-type", "content-length", "etag", "content-disposition"}
    assert {n: v for n, v in head.headers.items() if n in kept} == {
        n: v for n, v in whole.headers.items() if n in kept
    }
    assert "HEAD" in (await client.options(ROOMS)).headers["allow"]


async def test_a_body_that_is_missing_is_asked_for(
    client: httpx.AsyncClient, prizes: str, headers: Headers
) -> None:
    # Litestar tells of more fields once the description was made.
    await client.get("/schema/openapi.json")
    missing = error_of(await client.post(prizes, headers=headers), 400)
    malformed = error_of(await client.post(prizes, content=b"{", headers=headers), 400)
    assert missing["details"] == {"fields": {"$": "Send a JSON body."}}
    assert malformed["details"] == {"fields": {"$": "Not valid JSON."}}


async def test_a_body_that_breaks_off_is_no_failure_of_ours(
    client: httpx.AsyncClient, prizes: str, headers: Headers, caplog: pytest.LogCaptureFixture
) -> None:
    request = client.build_request("POST", prizes, content=b'{"name": "Pho', headers=headers)
    scope: Any = {
        "type": "http",
        "method": "POST",
        "path": prizes,
        "raw_path": prizes.encode(),
        "query_string": b"",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 5),
    }
    pieces = [{"type": "http.disconnect"}, {"type": "http.request", "body": b'{"', "more_body": 1}]
    sent: list[Any] = []

    async def receive() -> Any:
        return pieces.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    await create_app()(scope, receive, send)

    assert sent[0]["status"] == 400
    assert not [each for each in caplog.records if each.levelname == "ERROR"]
    assert await fetchval("SELECT count(*) FROM prizes") == 0


def every_error(tree: type[AppError] = AppError) -> set[type[AppError]]:
    return {tree}.union(*(every_error(each) for each in tree.__subclasses__()))


def test_each_error_has_a_status_of_its_own_kind() -> None:
    for error in every_error():
        assert 400 <= error.status < 600
        assert error.code == error.code.upper()
        assert error.default_message.endswith(".")


async def test_browsers_of_a_local_front_end_may_ask(client: httpx.AsyncClient) -> None:
    answer = await client.options(
        ROOMS,
        headers={
            "Origin": "http://localhost:3000",
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization, content-type, if-match, "
            "idempotency-key",
        },
    )
    assert answer.is_success
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    shown = await client.get(ROOMS, headers={"Origin": "http://localhost:3000"})
    assert "etag" in shown.headers["access-control-expose-headers"]


def test_the_application_is_built_without_a_database() -> None:
    assert create_app().routes


async def test_a_name_of_before_that_nobody_sees_keeps_nobody_from_changing_the_rest(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    await fetch("UPDATE rooms SET name = $1 WHERE id = $2", "\u200b", room["id"])
    path = f"{ROOMS}/{room['id']}"
    changed = await client.patch(path, json={"description": "One\nTwo"}, headers=headers)
    assert changed.json()["data"]["description"] == "One\nTwo"
    refused = await client.patch(path, json={"name": "\u2800"}, headers=headers)
    assert error_of(refused, 400)["details"]["fields"] == {"$.name": "Has nothing to see in it."}
