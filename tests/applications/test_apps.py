"""Registering, showing, closing, deprecating and deleting apps over HTTP."""

import hashlib
import logging
from typing import Any

import httpx
import pytest

from app.applications.manifest import parse_manifest
from app.database.engine import fetch, fetchrow, fetchval
from app.database.seed import APPS as DEMO_APPS
from tests import factories
from tests.applications.apps import APPS, Administrator, error_of, manifest


async def everything_kept() -> str:
    """Return all rows of all tables as one text."""
    tables = await fetch(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    rows = [row[0] for (table,) in tables for row in await fetch(f"SELECT t::text FROM {table} t")]
    return "\n".join(rows)


@pytest.mark.parametrize("app_id", DEMO_APPS)
def test_the_demo_apps_could_be_published(app_id: str) -> None:
    assert parse_manifest(DEMO_APPS[app_id]) == DEMO_APPS[app_id]


async def test_a_registered_app_is_there_for_everyone(
    client: httpx.AsyncClient, administrator: Administrator
) -> None:
    body = {"appId": "app_raffle", "manifest": manifest("0.3.0-beta.1")}
    answer = await administrator.send("POST", "", body)
    registered = answer.json()["data"]

    shown = (await client.get(answer.headers["location"])).json()["data"]
    listed = (await client.get(APPS)).json()["data"]

    secret = registered.pop("appSecret")
    assert registered == shown == listed[0]
    assert (shown["appId"], shown["manifestVersion"]) == ("app_raffle", "0.3.0-beta.1")
    assert (shown["isActive"], shown["deprecation"]) == (True, None)
    assert shown["manifest"] == manifest("0.3.0-beta.1")
    assert secret not in str(shown)


async def test_a_secret_is_shown_once_and_kept_as_its_hash(
    administrator: Administrator, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        first = (await administrator.register())["appSecret"]
        answer = await administrator.send("POST", "/app_raffle/secret")
        second = answer.json()["data"]["appSecret"]
        await administrator.publish("1.1.0")
        shown = [
            (await administrator.send("GET", path)).text
            for path in ("", "/app_raffle", "/app_raffle/versions")
        ]

    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert len(first) == len(second) == 43
    assert first != second
    kept = await fetchval('SELECT "appSecret" FROM apps')
    assert kept == hashlib.sha256(second.encode()).hexdigest()
    everywhere = [await everything_kept(), caplog.text, *shown]
    assert not [place for place in everywhere if first in place or second in place]
    assert not [place for place in everywhere[1:] if kept in place]


async def test_a_registration_that_is_sent_again_is_done_once_and_keeps_no_secret(
    administrator: Administrator,
) -> None:
    body = {"appId": "app_raffle", "manifest": manifest()}
    headers = {**administrator.headers, "Idempotency-Key": "register-1"}

    first = await administrator.client.post(APPS, json=body, headers=headers)
    again = await administrator.client.post(APPS, json=body, headers=headers)

    assert first.status_code == 201
    error_of(again, 409, "CONFLICT")
    assert first.json()["data"]["appSecret"] not in await everything_kept()


@pytest.mark.parametrize(
    "app_id",
    ["ab", "a" * 65, "1app", "_app", "App", "app-x", "app x", "app\n", "äpp", "", "app\0x"],
)
async def test_an_app_id_of_another_form_is_refused(
    administrator: Administrator, app_id: str
) -> None:
    answer = await administrator.send("POST", "", {"appId": app_id, "manifest": manifest()})
    details = error_of(answer, 400, "VALIDATION_ERROR")
    assert list(details["fields"]) == ["$.appId"]
    assert await fetchval("SELECT count(*) FROM apps") == 0


async def test_an_app_id_is_taken_for_good(administrator: Administrator) -> None:
    await administrator.register()
    again = {"appId": "app_raffle", "manifest": manifest()}
    error_of(await administrator.send("POST", "", again), 409, "CONFLICT")

    await administrator.send("DELETE", "/app_raffle")

    error_of(await administrator.send("POST", "", again), 409, "CONFLICT")


async def test_every_fault_of_a_manifest_is_listed_by_its_pointer(
    administrator: Administrator,
) -> None:
    broken = manifest(
        "1.0",
        baseUrl="http://example.com",
        permissions=["rooms:read", "rooms:read", "rooms:burn"],
        capabilities={"prizeFund": "yes"},
        settings={"type": "object", "properties": {"n": {"type": "integr"}}},
    )
    register = {"appId": "app_raffle", "manifest": broken}

    details = error_of(await administrator.send("POST", "", register), 400, "INVALID_MANIFEST")

    pointers = {fault["pointer"] for fault in details["faults"]}
    assert pointers >= {
        "/meta/version",
        "/baseUrl",
        "/permissions",
        "/permissions/2",
        "/capabilities/prizeFund",
        "/settings/properties/n/type",
    }
    assert await fetchval("SELECT count(*) FROM apps") == 0
    await administrator.register()
    published = await administrator.send("PATCH", "/app_raffle", {"manifest": broken})
    assert error_of(published, 400, "INVALID_MANIFEST") == details


async def test_apps_are_listed_oldest_first_and_paged(
    client: httpx.AsyncClient, administrator: Administrator
) -> None:
    for number in range(5):
        await administrator.register(f"app_{number}")

    pages, query = [], {"limit": "2"}
    while True:
        page = (await client.get(APPS, params=query)).json()
        pages.append([each["appId"] for each in page["data"]])
        assert page["meta"]["total"] == 5
        if page["meta"]["nextCursor"] is None:
            break
        query["cursor"] = page["meta"]["nextCursor"]

    assert pages == [["app_0", "app_1"], ["app_2", "app_3"], ["app_4"]]


async def test_a_closed_app_is_seen_by_administrators_alone_and_takes_no_new_rooms(
    client: httpx.AsyncClient, administrator: Administrator
) -> None:
    await administrator.register()
    person = await factories.bearer(await factories.user())

    closed = await administrator.send("PATCH", "/app_raffle", {"isActive": False})

    assert closed.json()["data"]["isActive"] is False
    assert (await client.get(APPS)).json()["data"] == []
    for headers in ({}, person):
        for path in ("", "/versions"):
            answer = await client.get(f"{APPS}/app_raffle{path}", headers=headers)
            error_of(answer, 404, "NOT_FOUND")
    assert (await administrator.send("GET", "/app_raffle")).status_code == 200
    assert len(await administrator.versions()) == 1
    error_of(await administrator.open_room(factories.SETTINGS), 409, "CONFLICT")

    await administrator.send("PATCH", "/app_raffle", {"isActive": True})

    assert (await client.get(f"{APPS}/app_raffle")).status_code == 200
    assert (await administrator.open_room(factories.SETTINGS)).status_code == 201


async def test_a_change_of_nothing_changes_nothing(administrator: Administrator) -> None:
    await administrator.register()
    before = await fetchrow("SELECT *, xmin FROM apps")

    for body in ({}, {"isActive": True}):
        assert (await administrator.send("PATCH", "/app_raffle", body)).status_code == 200

    assert await fetchrow("SELECT *, xmin FROM apps") == before


async def test_an_app_with_live_rooms_stays_and_says_how_many(
    administrator: Administrator,
) -> None:
    await administrator.register()
    rooms = [await administrator.open_room(factories.SETTINGS) for _ in range(3)]
    ids = [answer.json()["data"]["id"] for answer in rooms]
    delete_room = "/api/v1/rooms/{}"

    for left in (3, 2, 1):
        details = error_of(await administrator.send("DELETE", "/app_raffle"), 409, "APP_HAS_ROOMS")
        assert details == {"rooms": left}
        await administrator.client.delete(
            delete_room.format(ids[left - 1]), headers=administrator.headers
        )
    gone = await administrator.send("DELETE", "/app_raffle")

    assert (gone.status_code, gone.json()) == (200, {"data": {"success": True}})
    for method in ("GET", "PATCH", "DELETE"):
        error_of(await administrator.send(method, "/app_raffle", {}), 404, "NOT_FOUND")
    error_of(await administrator.open_room(factories.SETTINGS), 404, "NOT_FOUND")
    assert await fetchval('SELECT count(*) FROM apps WHERE "deletedAt" IS NOT NULL') == 1


async def test_if_match_protects_an_app(administrator: Administrator) -> None:
    await administrator.register()
    tag = (await administrator.send("GET", "/app_raffle")).headers["etag"]
    stale = {**administrator.headers, "If-Match": tag}
    await administrator.publish("1.1.0")

    for method in ("PATCH", "DELETE"):
        answer = await administrator.client.request(
            method, f"{APPS}/app_raffle", json={"isActive": False}, headers=stale
        )
        error_of(answer, 412, "PRECONDITION_FAILED")

    fresh = (await administrator.send("GET", "/app_raffle")).headers["etag"]
    answer = await administrator.client.patch(
        f"{APPS}/app_raffle",
        json={"isActive": False},
        headers={**administrator.headers, "If-Match": fresh},
    )
    assert answer.status_code == 200
    assert answer.headers["etag"] != fresh


async def test_versions_come_newest_first_with_the_current_one(
    administrator: Administrator,
) -> None:
    registered = await administrator.register()
    for version in ("1.1.0", "1.2.0-rc.1", "1.2.0"):
        assert (await administrator.publish(version)).status_code == 200

    versions = await administrator.versions()

    assert [each["version"] for each in versions] == ["1.2.0", "1.2.0-rc.1", "1.1.0", "1.0.0"]
    assert [each["current"] for each in versions] == [True, False, False, False]
    published = [each["publishedAt"] for each in versions]
    assert published == sorted(published, reverse=True)
    assert published[-1] == registered["createdAt"]
    assert set(versions[0]) == {
        "version",
        "publishedAt",
        "deprecatedAt",
        "deprecationReason",
        "current",
    }
    assert not [each for each in versions if each["deprecatedAt"] or each["deprecationReason"]]


async def test_versions_are_paged(client: httpx.AsyncClient, administrator: Administrator) -> None:
    await administrator.register()
    for minor in range(1, 5):
        await administrator.publish(f"1.{minor}.0")
    path = f"{APPS}/app_raffle/versions"

    first = (await client.get(path, params={"limit": "2"})).json()
    await administrator.publish("1.5.0")
    cursor = first["meta"]["nextCursor"]
    second = (await client.get(path, params={"limit": "2", "cursor": cursor})).json()
    by_page = (await client.get(path, params={"limit": "2", "page": "3"})).json()

    assert [each["version"] for each in first["data"]] == ["1.4.0", "1.3.0"]
    assert [each["version"] for each in second["data"]] == ["1.2.0", "1.1.0"]
    assert (first["meta"]["total"], second["meta"]["total"]) == (5, 6)
    assert [each["version"] for each in by_page["data"]] == ["1.1.0", "1.0.0"]
    assert by_page["meta"]["nextCursor"] is None


async def test_an_earlier_version_is_deprecated_and_its_rooms_say_so(
    administrator: Administrator,
) -> None:
    await administrator.register()
    room = (await administrator.open_room(factories.SETTINGS)).json()["data"]
    await administrator.publish("1.1.0")
    path = "/app_raffle/versions/1.0.0/deprecate"

    answer = await administrator.send("POST", path, {"reason": "Counts twice."})

    assert answer.status_code == 200
    told = answer.json()["data"]
    assert (told["version"], told["current"]) == ("1.0.0", False)
    assert told["deprecationReason"] == "Counts twice."
    present, earlier = await administrator.versions()
    assert earlier == told
    assert (present["version"], present["deprecatedAt"]) == ("1.1.0", None)
    shown = await get_room(administrator, room["id"])
    assert shown.json()["data"]["app"]["deprecation"] == {
        "deprecatedAt": told["deprecatedAt"],
        "reason": "Counts twice.",
    }
    assert shown.json()["data"]["app"]["manifest"] == manifest("1.0.0")
    new = (await administrator.open_room(factories.SETTINGS)).json()["data"]
    assert new["appManifestVersion"] == "1.1.0"
    assert "deprecation" not in new["app"]


async def get_room(administrator: Administrator, room_id: str) -> httpx.Response:
    return await administrator.client.get(f"/api/v1/rooms/{room_id}", headers=administrator.headers)


async def test_a_deprecated_present_version_takes_no_new_rooms_until_the_next(
    administrator: Administrator,
) -> None:
    await administrator.register()
    room = (await administrator.open_room(factories.SETTINGS)).json()["data"]
    await administrator.send("POST", "/app_raffle/versions/1.0.0/deprecate", {"reason": "Broken."})

    refused = await administrator.open_room(factories.SETTINGS)

    error_of(refused, 409, "CONFLICT")
    assert "Broken." in refused.json()["error"]["message"]
    shown = (await administrator.send("GET", "/app_raffle")).json()["data"]
    assert shown["deprecation"]["reason"] == "Broken."
    assert shown["isActive"] is True
    changed = await administrator.client.patch(
        f"/api/v1/rooms/{room['id']}", json={"name": "Still here"}, headers=administrator.headers
    )
    assert changed.status_code == 200
    await administrator.publish("1.0.1")
    assert (await administrator.send("GET", "/app_raffle")).json()["data"]["deprecation"] is None
    earlier = (await administrator.versions())[1]
    assert (earlier["deprecationReason"], earlier["current"]) == ("Broken.", False)
    assert (await administrator.open_room(factories.SETTINGS)).status_code == 201


async def test_a_version_is_deprecated_once_and_must_exist(administrator: Administrator) -> None:
    await administrator.register()
    for version in ("1.1.0-rc.1", "1.1.0+build.7"):
        await administrator.publish(version)
    for version in ("1.0.0", "1.1.0-rc.1", "1.1.0+build.7"):
        path = f"/app_raffle/versions/{version}/deprecate"
        await administrator.send("POST", path, {"reason": "First."})
        error_of(await administrator.send("POST", path, {"reason": "Second."}), 409, "CONFLICT")
    assert {each["deprecationReason"] for each in await administrator.versions()} == {"First."}
    for path in ("/app_raffle/versions/9.9.9", "/app_of_nobody/versions/1.0.0"):
        answer = await administrator.send("POST", f"{path}/deprecate", {"reason": "Gone."})
        error_of(answer, 404, "NOT_FOUND")


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 501}, {"reason": None}])
async def test_a_deprecation_has_a_reason(
    administrator: Administrator, body: dict[str, Any]
) -> None:
    await administrator.register()
    answer = await administrator.send("POST", "/app_raffle/versions/1.0.0/deprecate", body)
    assert list(error_of(answer, 400, "VALIDATION_ERROR")["fields"]) == ["$.reason"]
    assert [each["deprecatedAt"] for each in await administrator.versions()] == [None]
