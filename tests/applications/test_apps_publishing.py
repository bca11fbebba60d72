"""Publishing versions over HTTP: what is refused, what is kept, and what happens at once."""

import asyncio
import itertools
import json
import threading
from collections import Counter
from typing import Any

import asyncpg
import httpx
import pytest

from app.applications import publishing
from app.applications.compatibility import breaking_within_major
from app.database.engine import fetch, fetchval
from tests import factories
from tests.applications.apps import Administrator, error_of, manifest, schema
from tests.waiting import is_held_up

PUBLISHERS = 8
COUNT: Any = {"type": "integer", "minimum": 1}


async def versions_kept() -> tuple[str, list[str]]:
    """Return the present version, and those of the history in its order."""
    row = (await fetch('SELECT "manifestVersion", "manifestHistory" FROM apps'))[0]
    return row[0], [entry["version"] for entry in json.loads(row[1])]


async def test_publishing_keeps_what_was_before(administrator: Administrator) -> None:
    registered = await administrator.register()

    answer = await administrator.publish("1.1.0", baseUrl="https://raffle.example.com")

    shown = answer.json()["data"]
    assert shown["manifestVersion"] == "1.1.0"
    assert shown["manifest"] == manifest("1.1.0", baseUrl="https://raffle.example.com")
    assert "manifestHistory" not in shown
    assert json.loads(await fetchval('SELECT "manifestHistory" FROM apps')) == [
        {
            "version": "1.0.0",
            "manifest": manifest("1.0.0"),
            "publishedAt": registered["createdAt"],
            "deprecatedAt": None,
            "deprecationReason": None,
        }
    ]


@pytest.mark.parametrize(
    "version", ["1.4.0", "1.4.0+other.build", "1.4.0-rc.1", "1.3.9", "0.99.0", "1.2.0"]
)
async def test_a_version_must_be_greater_than_every_one_before(
    administrator: Administrator, version: str
) -> None:
    await administrator.register(version="1.2.0")
    await administrator.publish("1.4.0")

    details = error_of(await administrator.publish(version), 409, "VERSION_NOT_GREATER")

    assert details["version"] == version
    assert await versions_kept() == ("1.4.0", ["1.2.0"])


@pytest.mark.parametrize(
    ("former", "version"),
    [
        ("1.9.0", "1.10.0"),
        ("1.0.0-rc.1", "1.0.0-rc.2"),
        ("1.0.0-rc.2", "1.0.0"),
        ("0.9.0", "1.0.0"),
    ],
)
async def test_greater_is_meant_by_semver_not_by_letters(
    administrator: Administrator, former: str, version: str
) -> None:
    await administrator.register(version=former)
    assert (await administrator.publish(version)).status_code == 200


async def test_a_breaking_change_names_each_place_and_why(administrator: Administrator) -> None:
    before = schema(
        required=("tickets",),
        tickets={"type": "integer", "minimum": 1, "maximum": 100},
        color={"enum": ["red", "green", "blue"]},
        note={"type": ["string", "null"]},
    )
    after = schema(
        required=("tickets", "color"),
        tickets={"type": "integer", "minimum": 2, "maximum": 100},
        color={"enum": ["red", "green"]},
        note={"type": "string"},
    )
    await administrator.register(settings=before)
    fewer = manifest()["permissions"][1:]
    off = {**manifest()["capabilities"], "prizeFund": False}

    answer = await administrator.publish(
        "1.1.0", settings=after, permissions=fewer, capabilities=off
    )

    changes = error_of(answer, 409, "BREAKING_CHANGE")["changes"]
    places = {change["pointer"] for change in changes}
    assert len(places) == 6
    assert places > {"/permissions", "/capabilities/prizeFund"}
    for member in ("tickets", "color", "note"):
        assert any(member in place for place in places)
    assert all(change["reason"] for change in changes)
    assert await versions_kept() == ("1.0.0", [])
    major = await administrator.publish(
        "2.0.0", settings=after, permissions=fewer, capabilities=off
    )
    assert major.status_code == 200


async def test_what_breaks_with_an_earlier_version_of_the_major_is_refused_too(
    administrator: Administrator,
) -> None:
    """0.1.0 is of another major; 1.1.0 has dropped nothing, but 1.0.0 is no longer the last."""
    old = schema(n=COUNT)
    wider = schema(n=COUNT, extra={"type": "string"})
    other = schema(n=COUNT, extra={"type": "string"}, more={"type": "boolean"})
    await administrator.register(version="0.1.0", settings=schema(gone={"type": "string"}))
    assert (await administrator.publish("1.0.0", settings=wider)).status_code == 200
    assert (await administrator.publish("1.1.0", settings=other)).status_code == 200

    answer = await administrator.publish("1.2.0", settings=old)

    places = [each["pointer"] for each in error_of(answer, 409, "BREAKING_CHANGE")["changes"]]
    assert any("extra" in place for place in places)
    assert any("more" in place for place in places)


async def test_an_earlier_version_alone_is_enough_to_break(administrator: Administrator) -> None:
    """The present version was put there by hand: it is no proof of what came before it."""
    await administrator.register(settings=schema(n={"type": "integer"}))
    await administrator.publish("1.1.0", settings=schema(n={"type": "integer"}))
    tight = json.dumps(schema(n={"type": "integer", "maximum": 5}))
    await fetch("UPDATE apps SET manifest = jsonb_set(manifest, '{settings}', $1)", tight)

    answer = await administrator.publish("1.2.0", settings=json.loads(tight))

    error_of(answer, 409, "BREAKING_CHANGE")


async def test_versions_of_a_database_that_was_taken_over_stop_nobody(
    administrator: Administrator,
) -> None:
    await administrator.register()
    await fetch(
        """UPDATE apps SET "manifestVersion" = 'latest', manifest = '{"meta": {}}',
           "manifestHistory" = '[{"version": "v0", "manifest": {}}]'"""
    )

    assert (await administrator.publish("1.0.0")).status_code == 200

    versions = await administrator.versions()
    assert [each["version"] for each in versions] == ["1.0.0", "latest", "v0"]
    assert versions[-1]["publishedAt"] is None


async def test_a_room_obeys_its_version_for_ever_also_after_ten_releases(
    administrator: Administrator,
) -> None:
    await administrator.register(settings=schema(r0=COUNT))
    rooms = [(await administrator.open_room({"r0": 1})).json()["data"]["id"]]
    for major in range(2, 12):
        settings = schema(**{f"r{major - 1}": COUNT})
        assert (await administrator.publish(f"{major}.0.0", settings=settings)).status_code == 200
        opened = await administrator.open_room({f"r{major - 1}": 1})
        assert opened.status_code == 201, opened.text
        rooms.append(opened.json()["data"]["id"])

    for (own, room_id), other in itertools.product(enumerate(rooms), range(len(rooms))):
        answer = await administrator.client.patch(
            f"/api/v1/rooms/{room_id}",
            json={"appSettings": {f"r{other}": 2}},
            headers=administrator.headers,
        )
        assert answer.status_code == (200 if other == own else 400), (own, other)
    for own, room_id in enumerate(rooms):
        shown = (await administrator.client.get(f"/api/v1/rooms/{room_id}")).json()["data"]
        assert shown["appManifestVersion"] == f"{own + 1}.0.0"
        assert shown["app"]["manifestVersion"] == "11.0.0"
        assert shown["app"]["manifest"]["settings"] == schema(**{f"r{own}": COUNT})
        assert shown["appSettings"] == {f"r{own}": 2}


async def test_of_publishers_of_one_version_at_once_one_wins(administrator: Administrator) -> None:
    await administrator.register()

    answers = await asyncio.gather(
        *(
            administrator.publish("1.1.0", baseUrl=f"https://{number}.example.com")
            for number in range(PUBLISHERS)
        )
    )

    statuses = Counter(each.status_code for each in answers)
    assert statuses == {200: 1, 409: PUBLISHERS - 1}
    for each in answers:
        if each.status_code == 409:
            error_of(each, 409, "VERSION_NOT_GREATER")
    winner = next(each for each in answers if each.status_code == 200).json()["data"]
    shown = (await administrator.send("GET", "/app_raffle")).json()["data"]
    assert shown == winner
    assert await versions_kept() == ("1.1.0", ["1.0.0"])


async def test_of_versions_published_at_once_none_that_was_accepted_is_lost(
    administrator: Administrator,
) -> None:
    await administrator.register()
    wanted = [f"1.{minor}.0" for minor in range(1, PUBLISHERS + 1)]

    answers = await asyncio.gather(*(administrator.publish(version) for version in wanted))

    accepted = [
        version
        for version, answer in zip(wanted, answers, strict=True)
        if answer.status_code == 200
    ]
    assert wanted[-1] in accepted
    present, history = await versions_kept()
    assert [*history, present] == ["1.0.0", *accepted]
    times = [each["publishedAt"] for each in await administrator.versions()]
    assert times == sorted(times, reverse=True)


class HeldComparison:
    """Holds the first comparison up until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()
        monkeypatch.setattr(publishing, "breaking_within_major", self)

    def __call__(self, *manifests: Any) -> Any:
        is_first = not self.begun.is_set()
        self.begun.set()
        if is_first:
            assert self.let_go.wait(timeout=30)
        return breaking_within_major(*manifests)


async def test_rooms_are_opened_while_a_publisher_compares(
    administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await administrator.register()
    held = HeldComparison(monkeypatch)
    publication = asyncio.create_task(administrator.publish("1.1.0"))
    await asyncio.to_thread(held.begun.wait, 30)

    room = await administrator.open_room(factories.SETTINGS)
    held.let_go.set()

    assert room.json()["data"]["appManifestVersion"] == "1.0.0"
    assert (await publication).json()["data"]["manifestVersion"] == "1.1.0"


@pytest.mark.parametrize(
    ("meanwhile", "code"), [("1.1.0", "BREAKING_CHANGE"), ("1.3.0", "VERSION_NOT_GREATER")]
)
async def test_what_is_published_during_a_comparison_is_compared_too(
    administrator: Administrator, monkeypatch: pytest.MonkeyPatch, meanwhile: str, code: str
) -> None:
    await administrator.register(settings=schema(n=COUNT))
    held = HeldComparison(monkeypatch)
    late = asyncio.create_task(administrator.publish("1.2.0", settings=schema(n=COUNT)))
    await asyncio.to_thread(held.begun.wait, 30)

    other = await administrator.publish(meanwhile, settings=schema(n=COUNT, more=COUNT))
    held.let_go.set()

    assert other.status_code == 200
    error_of(await late, 409, code)
    assert await versions_kept() == (meanwhile, ["1.0.0"])


async def test_control_without_the_lock_a_published_version_is_lost(
    administrator: Administrator, database: str
) -> None:
    await administrator.register()
    barrier = asyncio.Barrier(2)

    async def publish(version: str) -> None:
        connection = await asyncpg.connect(database)
        (row,) = await connection.fetch("SELECT * FROM apps")
        history = json.loads(row["manifestHistory"])
        history.append({"version": row["manifestVersion"], "manifest": None})
        await barrier.wait()
        await connection.execute(
            'UPDATE apps SET "manifestVersion" = $1, "manifestHistory" = $2',
            version,
            json.dumps(history),
        )
        await connection.close()

    await asyncio.gather(publish("1.1.0"), publish("1.2.0"))

    present, history = await versions_kept()
    assert len({present, *history}) == 2


async def test_no_room_slips_through_while_its_app_is_deleted(
    administrator: Administrator,
) -> None:
    for round_ in range(12):
        app_id = f"app_{round_}"
        await administrator.register(app_id)
        opened, deleted, opened_later = await asyncio.gather(
            administrator.open_room(factories.SETTINGS, app_id),
            administrator.send("DELETE", f"/{app_id}"),
            administrator.open_room(factories.SETTINGS, app_id),
        )
        rooms = [each.status_code for each in (opened, opened_later)]
        if deleted.status_code == 200:
            assert rooms == [404, 404]
        else:
            error_of(deleted, 409, "APP_HAS_ROOMS")
            assert 201 in rooms
    assert await orphans() == 0


async def orphans() -> int:
    """Count the live rooms of deleted apps."""
    found: int = await fetchval(
        'SELECT count(*) FROM rooms r JOIN apps a USING ("appId") '
        'WHERE r."deletedAt" IS NULL AND a."deletedAt" IS NOT NULL'
    )
    return found


@pytest.mark.parametrize(
    "lock", ["FOR SHARE", "FOR KEY SHARE", ""], ids=["as it is", "weaker", "none"]
)
async def test_a_room_in_the_making_holds_its_app(
    administrator: Administrator, database: str, lock: str
) -> None:
    """The controls show what `FOR SHARE` is for: what an INSERT takes by itself is not enough."""
    await administrator.register()
    maker = await asyncpg.connect(database)
    transaction = maker.transaction()
    await transaction.start()
    await maker.fetch(f'SELECT FROM apps WHERE "deletedAt" IS NULL {lock}')
    person = await factories.user()

    deletion = asyncio.create_task(administrator.send("DELETE", "/app_raffle"))
    was_held_up = await is_held_up(deletion)
    await maker.execute(
        'INSERT INTO rooms (id, name, "appId", "appSettings", "createdBy", "updatedAt") '
        "VALUES ('r1', 'A raffle', 'app_raffle', '{}', $1, now())",
        person["id"],
    )
    await transaction.commit()
    await maker.close()
    answer = await deletion

    holds = lock == "FOR SHARE"
    assert was_held_up == holds
    assert answer.status_code == (409 if holds else 200)
    assert await orphans() == (0 if holds else 1)


async def test_a_room_that_waits_for_a_publisher_takes_the_new_version(
    administrator: Administrator, database: str
) -> None:
    await administrator.register()
    publisher = await asyncpg.connect(database)
    transaction = publisher.transaction()
    await transaction.start()
    new: Any = json.dumps(manifest("2.0.0", settings=schema(n=COUNT)))
    await publisher.execute("UPDATE apps SET \"manifestVersion\" = '2.0.0', manifest = $1", new)

    room = asyncio.create_task(administrator.open_room({"n": 1}))
    was_held_up = await is_held_up(room)
    await transaction.commit()
    await publisher.close()
    answer: httpx.Response = await room

    assert was_held_up
    assert answer.status_code == 201, answer.text
    assert answer.json()["data"]["appManifestVersion"] == "2.0.0"
