"""What curl can try at the page's API beside what the page does: nothing breaks, nothing opens."""

from typing import Any

import httpx
import pytest

from app.database.engine import fetch, fetchrow, fetchval
from tests import factories
from tests.admin.staff import LOGIN, NAME, row_url, sign_in
from tests.admin.test_tables import everything

USER = "/admin/api/user/"
TABLES = "/admin/api/tables/"


@pytest.mark.parametrize(
    ("place", "params"),
    [
        ("rooms/", {"status": "NONSENSE"}),
        ("rooms/count/", {"status": "NONSENSE"}),
        ("rooms/", {"__page_size": "-5"}),
        ("rooms/", {"__page_size": "999999"}),
        ("rooms/", {"__page": "99999999999999999999"}),
        ("rooms/", {"__order": "name;drop"}),
        ("rooms/", {"__visible_fields": "createdBy.email"}),
        ("rooms/", {"appSettings": "x"}),
        ("rooms/", {"name": "\0"}),
        ("rooms/ids/", {"limit": "-1"}),
        ("rooms/ids/", {"limit": "1", "offset": "-1"}),
        ("rooms/ids/", {"limit": "99999999999999999999", "search": "x"}),
        ("prizes/", {"quantity": "99999999999999"}),
        ("draws/", {"status": "x"}),
        ("draws/", {"secret": "x"}),
        ("draws/", {"secret__match": "starts", "secret": "x"}),
        ("draws/", {"__order": "seed"}),
        ("audit_log/999999999999999999999999/", {}),
        ("audit_log/x/", {}),
        ("rooms/%00/", {}),
        ("idempotency_keys/", {}),
        ("draw_entrants/", {}),
        ("administrators/", {}),
        ("authenticators/", {}),
    ],
)
async def test_odd_questions_are_refused(
    staff: httpx.AsyncClient, place: str, params: dict[str, str]
) -> None:
    answer = await staff.get(TABLES + place, params=params or None)

    assert 400 <= answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/admin/openapi.json",
        "/admin/api/openapi.json",
        "/admin/public/openapi.json",
        "/admin/docs",
        "/admin/api/docs/",
        "/admin/public/docs/",
        "/admin/api/media/",
        "/admin/platform/..%2f..%2fsettings.py",
        "/admin/assets/..%2findex.html",
        "/admin//api/tables/rooms/",
        "/admin/%2e%2e/api/v1/rooms",
    ],
)
async def test_there_is_nothing_behind_the_page(staff: httpx.AsyncClient, path: str) -> None:
    assert (await staff.get(path)).status_code == 404


BODIES = (
    b"[]",
    b"null",
    b"5",
    b"{",
    b"\xff",
    b'{"name":"\\ud800"}',
    b'{"a":1,"a":2}',
    b"[" * 5_000,
)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
async def test_a_body_that_is_no_object_changes_nothing(
    staff: httpx.AsyncClient, content_type: str
) -> None:
    room = await factories.room()
    before = await everything()
    for method, url in (
        ("PATCH", row_url("rooms", room["id"])),
        ("POST", "/admin/api/forms/register-an-app/"),
        ("POST", "/admin/api/change-password/"),
        ("POST", LOGIN),
    ):
        for body in BODIES:
            answer = await staff.request(
                method, url, content=body, headers={"Content-Type": content_type}
            )
            assert 400 <= answer.status_code < 500, (method, url, body, answer.text)

    assert await everything() == before
    assert (await staff.get(USER)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"username": 5, "password": 6},
        {"username": {"a": 1}, "password": ["x"]},
        {"username": NAME, "password": None},
        {"username": NAME, "password": True},
        {"username": "\0", "password": "x"},
        {"username": "' OR 1=1 --", "password": "' OR 1=1 --"},
        {},
    ],
)
async def test_odd_credentials_let_nobody_in(
    client: httpx.AsyncClient,
    administrator: str,  # noqa: ARG001 - has to be there
    body: dict[str, Any],
) -> None:
    await client.get("/admin/")
    client.headers["X-CSRFToken"] = client.cookies["csrftoken"]

    answer = await client.post(LOGIN, json=body)

    assert 400 <= answer.status_code < 500, answer.text
    assert "id" not in client.cookies


async def test_nothing_is_changed_without_the_token_against_other_sites(
    staff: httpx.AsyncClient,
) -> None:
    room = await factories.room()
    before = await everything()
    del staff.headers["X-CSRFToken"]

    for method, url, body in (
        ("PATCH", row_url("rooms", room["id"]), {"name": "x"}),
        ("DELETE", row_url("rooms", room["id"]), {}),
        ("POST", "/admin/api/forms/run-a-job-now/", {"job": "cleanup-tokens"}),
        ("POST", "/admin/public/logout/", {}),
    ):
        for headers in ({}, {"X-CSRFToken": ""}, {"X-CSRFToken": "guess"}):
            answer = await staff.request(method, url, json=body, headers=headers)
            assert answer.status_code == 403, (method, url, headers)

    assert await everything() == before
    assert (await staff.get(USER)).status_code == 200


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE admin.administrator_sessions SET expiry_date = now() - interval '1 second'",
        "UPDATE admin.administrator_sessions SET max_expiry_date = now() - interval '1 second'",
        "DELETE FROM admin.administrators",
        "UPDATE admin.administrators SET active = false",
        "UPDATE admin.administrators SET admin = false",
    ],
)
async def test_a_session_that_is_over_opens_nothing(
    staff: httpx.AsyncClient, statement: str
) -> None:
    room = await factories.room()
    url = row_url("rooms", room["id"])
    assert (await staff.get(url)).status_code == 200

    await fetch(statement)

    assert (await staff.get(url)).status_code == 401
    assert (await staff.patch(url, json={"name": "x"})).status_code == 401
    assert (await staff.delete(url)).status_code == 401
    form = "/admin/api/forms/run-a-job-now/"
    assert (await staff.post(form, json={"job": "cleanup-tokens"})).status_code == 401
    assert await fetchval("SELECT name FROM rooms") == room["name"]


async def test_a_session_ends_however_often_it_is_used(staff: httpx.AsyncClient) -> None:
    await fetch(
        "UPDATE admin.administrator_sessions SET max_expiry_date = now() + interval '1 minute'"
    )

    assert (await staff.get(USER)).status_code == 200

    row = await fetchrow("SELECT * FROM admin.administrator_sessions")
    assert row is not None
    assert row["expiry_date"] == row["max_expiry_date"]


async def test_signing_in_again_makes_another_session(staff: httpx.AsyncClient) -> None:
    first = staff.cookies["id"]

    await sign_in(staff)

    assert staff.cookies["id"] != first
    assert await fetchval("SELECT count(*) FROM admin.administrator_sessions") == 2


async def test_the_secret_of_an_open_draw_is_in_no_answer(staff: httpx.AsyncClient) -> None:
    room = await factories.room(status="ACTIVE")
    await factories.prize(room["id"])
    organizer = await fetchrow("SELECT * FROM users WHERE id = $1", room["createdBy"])
    bearer = await factories.bearer(organizer)
    announced = await staff.post(f"/api/v1/rooms/{room['id']}/draws", headers=bearer, json={})
    assert announced.status_code == 201, announced.text
    draw = await fetchrow("SELECT * FROM draws")
    assert draw is not None
    await staff.patch(row_url("rooms", room["id"]), json={"name": "to have a record"})

    answers = [
        await staff.get(TABLES + place, params=params)
        for place, params in (
            ("draws/", {"__readable": "true"}),
            (f"draws/{draw['id']}/", {"__readable": "true"}),
            ("draws/schema/", None),
            ("draws/new/", None),
            ("draws/ids/", None),
            ("audit_log/", {"__page_size": "100"}),
        )
    ]

    for answer in answers:
        assert answer.status_code == 200
        assert draw["secret"].hex() not in answer.text
    listed, single, schema, *_ = (answer.json() for answer in answers)
    for shown in (listed["rows"][0], single, schema["properties"]):
        assert "commitment" in shown
        assert not {"secret", "seed"} & shown.keys()
    before = await everything()
    for change in ({"status": "DRAWN"}, {"winners": "[]"}, {"secret": "aa"}, {"commitment": "x"}):
        assert (await staff.patch(row_url("draws", draw["id"]), json=change)).status_code == 422
    assert (await staff.delete(row_url("draws", draw["id"]))).status_code == 422
    assert await everything() == before
