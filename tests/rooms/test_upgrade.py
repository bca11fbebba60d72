"""Moving rooms up to later versions of their app, over HTTP."""

import asyncio
import json
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.database.engine import fetch, fetchrow, jsonb
from app.rooms.upgrade import merge
from tests import factories
from tests.applications.apps import error_of, manifest, schema
from tests.waiting import is_held_up

COUNT: Any = {"type": "integer", "minimum": 1}
COLOR: Any = {"enum": ["red", "green"]}
NESTED: Any = {"type": "object", "properties": {"a": COUNT, "b": COUNT}, "required": ["a"]}
RELEASES: dict[str, Any] = {
    "1.0.0": schema(tickets=COUNT, note={"type": "string"}, nested=NESTED),
    "1.1.0": schema(
        tickets=COUNT, note={"type": "string"}, nested=NESTED, list=schema(x={"type": "array"})
    ),
    "2.0.0": schema(
        required=("tickets", "color", "owner"),
        tickets={"type": "integer", "minimum": 10},
        color=COLOR,
        owner={"type": "string"},
    ),
    "2.1.0": schema(
        required=("tickets", "color", "owner"),
        tickets={"type": "integer", "minimum": 10},
        color=COLOR,
        owner={"type": "string"},
        more={"type": "boolean"},
    ),
}
PRESENT = {"tickets": 5, "note": "Keep.", "nested": {"a": 1, "b": 2}}
TO_SECOND = {"tickets": 50, "color": "red", "owner": "Olga", "note": None, "nested": None}
SECOND = {"tickets": 50, "color": "red", "owner": "Olga"}


class Place(msgspec.Struct, frozen=True):
    """A room on 1.0.0 of an app that has gone on to 2.1.0, with its organizer."""

    client: httpx.AsyncClient
    headers: dict[str, str]
    room_id: str
    app_id: str

    async def upgrade(
        self, target: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        return await self.client.post(
            f"/api/v1/rooms/{self.room_id}/upgrade",
            json={"targetVersion": target, **more},
            headers={**self.headers, **(headers or {})},
        )

    async def show(self) -> httpx.Response:
        return await self.client.get(f"/api/v1/rooms/{self.room_id}", headers=self.headers)

    async def change(self, **body: Any) -> httpx.Response:
        return await self.client.patch(
            f"/api/v1/rooms/{self.room_id}", json=body, headers=self.headers
        )


def entry(version: str, **more: Any) -> dict[str, Any]:
    return {
        "version": version,
        "manifest": manifest(version, settings=RELEASES[version]),
        "publishedAt": "2026-01-01T00:00:00.000Z",
        "deprecatedAt": None,
        "deprecationReason": None,
        **more,
    }


@pytest.fixture
async def place(client: httpx.AsyncClient) -> Place:
    *earlier, present = RELEASES
    app = await factories.app(
        manifestVersion=present,
        manifest=jsonb(entry(present)["manifest"]),
        manifestHistory=jsonb([entry(each) for each in earlier]),
    )
    organizer = await factories.user()
    room = await factories.room(organizer, app["appId"], appSettings=jsonb(PRESENT))
    return Place(client, await factories.bearer(organizer), room["id"], app["appId"])


async def kept() -> asyncpg.Record:
    """Return the only room's row, with what tells whether it was written."""
    row = await fetchrow("SELECT *, xmin FROM rooms")
    assert row is not None
    return row


async def test_settings_that_fit_need_nothing_to_go_up(place: Place) -> None:
    before = (await place.show()).json()["data"]

    answer = await place.upgrade("1.1.0")

    assert answer.status_code == 200, answer.text
    room = answer.json()["data"]
    assert room["appManifestVersion"] == "1.1.0"
    assert room["app"]["manifest"] == manifest("1.1.0", settings=RELEASES["1.1.0"])
    assert room["app"]["manifestVersion"] == "2.1.0"
    assert room["appSettings"] == PRESENT
    assert room["updatedAt"] > before["updatedAt"]
    shown = await place.show()
    assert shown.json()["data"] == room
    assert shown.headers["etag"] == answer.headers["etag"]


async def test_given_settings_are_merged_into_the_present_ones(place: Place) -> None:
    answer = await place.upgrade("1.1.0", settings={"tickets": 6, "nested": {"b": None, "a": 3}})
    assert answer.json()["data"]["appSettings"] == {**PRESENT, "tickets": 6, "nested": {"a": 3}}

    answer = await place.upgrade("2.0.0", settings=TO_SECOND)

    assert answer.json()["data"]["appSettings"] == SECOND
    assert (await place.change(appSettings=PRESENT)).status_code == 400
    assert (await place.change(appSettings={**SECOND, "tickets": 11})).status_code == 200


async def test_what_is_missing_and_what_is_wrong_is_listed_and_nothing_changes(
    place: Place,
) -> None:
    before = await kept()

    for preview in (False, True):
        answer = await place.upgrade("2.0.0", settings={"color": "blue"}, preview=preview)

        details = error_of(answer, 409, "MIGRATION_REQUIRED")
        assert (details["from"], details["to"]) == ("1.0.0", "2.0.0")
        assert details["missing"] == ["$.settings.owner"]
        assert set(details["fields"]) == {
            "$.settings.owner",
            "$.settings.color",
            "$.settings.tickets",
            "$.settings.note",
            "$.settings.nested",
        }
    assert await kept() == before


async def test_a_preview_shows_the_room_as_it_would_be_and_changes_nothing(place: Place) -> None:
    before = await kept()
    shown = (await place.show()).json()["data"]

    preview = await place.upgrade("2.0.0", settings=TO_SECOND, preview=True)

    assert preview.status_code == 200
    expected = {
        **shown,
        "appSettings": SECOND,
        "appManifestVersion": "2.0.0",
        "app": {**shown["app"], "manifest": entry("2.0.0")["manifest"]},
    }
    assert preview.json()["data"] == expected
    assert await kept() == before
    done = await place.upgrade("2.0.0", settings=TO_SECOND)
    assert done.json()["data"] == {**expected, "updatedAt": done.json()["data"]["updatedAt"]}


async def test_an_upgrade_holds_to_what_was_previewed(place: Place) -> None:
    preview = await place.upgrade("2.0.0", settings=TO_SECOND, preview=True)
    if_match = {"If-Match": preview.headers["etag"]}
    await place.change(name="Another name")

    late = await place.upgrade("2.0.0", settings=TO_SECOND, headers=if_match)

    error_of(late, 412, "PRECONDITION_FAILED")
    preview = await place.upgrade("2.0.0", settings=TO_SECOND, preview=True)
    if_match = {"If-Match": preview.headers["etag"]}
    in_time = await place.upgrade("2.0.0", settings=TO_SECOND, headers=if_match)
    assert in_time.status_code == 200


@pytest.mark.parametrize("target", ["1.1.0", "1.1.0+build", "1.0.0", "1.1.0-rc.1", "0.0.1"])
async def test_a_room_never_goes_down_and_does_not_stay(place: Place, target: str) -> None:
    await place.upgrade("1.1.0")
    before = await kept()

    for preview in (False, True):
        details = error_of(await place.upgrade(target, preview=preview), 409, "VERSION_NOT_GREATER")
        assert details == {"version": target, "present": "1.1.0"}
    assert await kept() == before


async def test_higher_is_meant_by_semver(place: Place) -> None:
    history = [entry("1.0.0"), {**entry("1.1.0"), "version": "1.10.0"}]
    await fetch('UPDATE apps SET "manifestHistory" = $1', jsonb(history))
    await fetch("UPDATE rooms SET \"appManifestVersion\" = '1.9.0'")
    assert (await place.upgrade("1.10.0")).status_code == 200


async def test_a_version_that_was_never_published_is_not_there(place: Place) -> None:
    error_of(await place.upgrade("1.0.1"), 404, "NOT_FOUND")
    error_of(await place.upgrade("3.0.0"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"$.targetVersion"}),
        ({"targetVersion": "latest"}, {"$.targetVersion"}),
        ({"targetVersion": "1.1"}, {"$.targetVersion"}),
        ({"targetVersion": "1.1.0", "settings": None}, {"$.settings"}),
        ({"targetVersion": "1.1.0", "preview": "yes", "x": 1}, {"$.preview", "$.x"}),
        ({"targetVersion": "1.1.0", "settings": {"note": "x" * 40_000}}, {"$.settings"}),
    ],
)
async def test_what_does_not_have_the_form_of_an_upgrade_is_refused(
    place: Place, body: Any, fields: set[str]
) -> None:
    answer = await place.client.post(
        f"/api/v1/rooms/{place.room_id}/upgrade", json=body, headers=place.headers
    )
    assert set(error_of(answer, 400, "VALIDATION_ERROR")["fields"]) == fields


async def test_settings_deeper_than_can_be_merged_are_refused(place: Place) -> None:
    for depth in (33, 90, 400, 5_000):
        nested = '{"a":' * depth + "1" + "}" * depth
        body = f'{{"targetVersion": "1.1.0", "settings": {nested}}}'
        answer = await place.client.post(
            f"/api/v1/rooms/{place.room_id}/upgrade", content=body, headers=place.headers
        )
        error_of(answer, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED"])
async def test_a_closed_room_stays_where_it_is(place: Place, status: str) -> None:
    await place.change(status=status)
    before = await kept()
    for preview in (False, True):
        error_of(await place.upgrade("1.1.0", preview=preview), 409, "ROOM_CLOSED")
    assert await kept() == before


async def test_a_deprecated_version_takes_no_room_but_keeps_those_it_has(place: Place) -> None:
    since = "2026-05-06T07:08:09.500Z"
    stamped = {"deprecatedAt": since, "deprecationReason": "Counts twice."}
    history = [entry("1.0.0", **stamped), entry("1.1.0", **stamped), entry("2.0.0")]
    await fetch('UPDATE apps SET "manifestHistory" = $1', jsonb(history))

    refused = await place.upgrade("1.1.0")

    error_of(refused, 409, "CONFLICT")
    assert "Counts twice." in refused.json()["error"]["message"]
    shown = await place.show()
    assert shown.headers["deprecation"] == "@1778051289"
    assert shown.json()["data"]["app"]["deprecation"] == {
        "deprecatedAt": since,
        "reason": "Counts twice.",
    }
    assert (await place.change(appSettings={**PRESENT, "tickets": 7})).status_code == 200
    moved = await place.upgrade("2.0.0", settings=TO_SECOND)
    assert moved.status_code == 200
    for answer in (moved, await place.show()):
        assert "deprecation" not in answer.headers
        assert "deprecation" not in answer.json()["data"]["app"]


async def test_rooms_of_a_closed_app_can_still_go_up(place: Place) -> None:
    await fetch('UPDATE apps SET "isActive" = false')
    assert (await place.upgrade("1.1.0")).status_code == 200


async def test_changes_and_upgrades_at_once_leave_settings_that_fit_their_version(
    place: Place,
) -> None:
    answers = await asyncio.gather(
        *(place.change(appSettings={**PRESENT, "tickets": number}) for number in range(1, 7)),
        place.upgrade("2.0.0", settings=TO_SECOND),
        *(place.change(appSettings={**SECOND, "tickets": number}) for number in range(11, 17)),
        place.upgrade("2.1.0", settings={**TO_SECOND, "more": True}),
    )

    assert {answer.status_code for answer in answers} <= {200, 400, 409}
    room = (await place.show()).json()["data"]
    again = await place.change(appSettings=room["appSettings"])
    assert again.status_code == 200, (room["appManifestVersion"], room["appSettings"])
    assert room["appManifestVersion"] == "2.1.0"


async def test_a_change_that_waits_for_an_upgrade_is_held_to_the_new_version(
    place: Place, database: str
) -> None:
    """The control is the old version: on it, the change would be accepted."""
    other = await asyncpg.connect(database)
    transaction = other.transaction()
    await transaction.start()
    await other.execute(
        'UPDATE rooms SET "appManifestVersion" = \'2.0.0\', "appSettings" = $1', json.dumps(SECOND)
    )

    change = asyncio.create_task(place.change(appSettings=PRESENT))
    was_held_up = await is_held_up(change)
    await transaction.commit()
    await other.close()

    assert was_held_up
    error_of(await change, 400, "VALIDATION_ERROR")
    await fetch("UPDATE rooms SET \"appManifestVersion\" = '1.0.0'")
    assert (await place.change(appSettings=PRESENT)).status_code == 200


VECTORS: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
"""The test cases of RFC 7396, appendix A."""


@pytest.mark.parametrize(("target", "patch", "result"), VECTORS)
def test_merging_follows_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge(target, patch) == result


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(target=DOCUMENTS, patch=DOCUMENTS)
def test_merging_twice_is_merging_once_and_spares_what_it_is_given(target: Any, patch: Any) -> None:
    before = json.dumps([target, patch])
    once = merge(target, patch)
    assert merge(once, patch) == once
    assert json.dumps([target, patch]) == before
