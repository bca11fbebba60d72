"""What people say of themselves on joining is shown, and gives nobody a weight in draws."""

import csv
import io
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from app.database.engine import jsonb
from app.participants.service import divided
from tests import factories
from tests.answers import Headers, code_of

SAID = {"nickname": "Ann", "tickets": 1000}


class Room:
    """A room, its organizer, and somebody who has joined it with something to say."""

    def __init__(self, client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers) -> None:
        self.client = client
        self.id = room["id"]
        self.path = f"/api/v1/rooms/{room['id']}"
        self.headers = headers

    async def join(self, person: asyncpg.Record, metadata: Any = None) -> httpx.Response:
        return await self.client.post(
            f"{self.path}/participants",
            json={} if metadata is None else {"metadata": metadata},
            headers=await factories.bearer(person),
        )

    async def change(self, participant: str, metadata: Any) -> Any:
        answer = await self.client.patch(
            f"{self.path}/participants/{participant}",
            json={"metadata": metadata},
            headers=self.headers,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def weights(self) -> dict[str, str]:
        """Announce a draw of the tickets, close it, and read how many each entrant has.

        One of them by a moderator's word: else the close refuses the weight.
        """
        await factories.participant(self.id, metadata=jsonb({"tickets": 1}))
        await factories.prize(self.id)
        announced = await self.client.post(
            f"{self.path}/draws", json={"weightKey": "tickets"}, headers=self.headers
        )
        assert announced.status_code == 201, announced.text
        draw = f"{self.path}/draws/{announced.json()['data']['number']}"
        closed = await self.client.post(f"{draw}/close", headers=self.headers)
        assert closed.status_code == 200, closed.text
        lines = (await self.client.get(f"{draw}/entrants.txt")).text.splitlines()
        return dict(line.split() for line in lines)


@pytest.fixture
async def scene(client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record) -> Room:
    return Room(client, room, await factories.bearer(organizer))


async def test_who_joins_says_something_of_themselves_and_all_see_it(scene: Room) -> None:
    person = await factories.user()

    joined = await scene.join(person, SAID)
    shown = joined.json()["data"]
    listed = (await scene.client.get(f"{scene.path}/participants")).json()["data"]
    prize = await factories.prize(scene.id)
    won = await scene.client.post(
        f"{scene.path}/winners",
        json={"participantId": shown["id"], "prizeId": prize["id"]},
        headers=scene.headers,
    )

    assert joined.status_code == 201
    assert shown["metadata"] == shown["ownMetadata"] == SAID
    assert next(each for each in listed if each["id"] == shown["id"])["ownMetadata"] == SAID
    assert won.json()["data"]["participant"]["metadata"] == SAID
    assert won.json()["data"]["participant"]["ownMetadata"] == SAID


async def test_nobody_gives_themselves_a_weight_whatever_a_moderator_does_with_it(
    scene: Room,
) -> None:
    joined = [await scene.join(await factories.user(), SAID) for _ in range(4)]
    untouched, sent_back, heavier, emptied = (each.json()["data"]["id"] for each in joined)

    await scene.change(sent_back, {**SAID, "seat": "B4"})
    await scene.change(heavier, {**SAID, "tickets": 3})
    await scene.change(emptied, {})
    await scene.change(emptied, {"tickets": 1000})

    expected = {untouched: "1", sent_back: "1", heavier: "3", emptied: "1000"}
    assert (await scene.weights()).items() >= expected.items()


async def test_what_a_weight_can_not_be_stops_no_draw_if_somebody_said_it_of_themselves(
    scene: Room,
) -> None:
    joined = (await scene.join(await factories.user(), {"tickets": "many"})).json()["data"]

    assert (await scene.weights())[joined["id"]] == "1"


async def test_nobody_changes_what_they_said_after_a_moderator_has_read_it(scene: Room) -> None:
    person = await factories.user()
    read = (await scene.join(person, SAID)).json()["data"]
    for said in ({"tickets": 1}, {}, {"nickname": None}, {"seat": "A1"}):
        await scene.client.delete(
            f"{scene.path}/participants/me", headers=await factories.bearer(person)
        )
        await scene.join(person, said)

    saved = await scene.change(read["id"], {**read["metadata"], "seat": "B4"})

    assert (saved["metadata"], saved["ownMetadata"]) == ({**SAID, "seat": "B4"}, SAID)
    assert (await scene.weights())[read["id"]] == "1"


async def test_what_somebody_says_is_bounded_however_often_they_come_back(scene: Room) -> None:
    person = await factories.user()
    headers = await factories.bearer(person)
    answers = []
    for name in "abcd":
        answers.append(await scene.join(person, {name: "x" * 5_000}))
        await scene.client.delete(f"{scene.path}/participants/me", headers=headers)

    assert [answer.status_code for answer in answers] == [201, 200, 200, 400]
    assert list(answers[-1].json()["error"]["details"]["fields"]) == ["$.metadata"]


async def test_who_comes_back_may_add_something_and_keeps_what_moderators_said(
    scene: Room,
) -> None:
    person = await factories.user()
    one = (await scene.join(person, SAID)).json()["data"]
    await scene.change(one["id"], {**SAID, "seat": "B4"})
    me = f"{scene.path}/participants/me"
    headers = await factories.bearer(person)

    await scene.client.delete(me, headers=headers)
    silent = (await scene.join(person)).json()["data"]
    await scene.client.delete(me, headers=headers)
    back = await scene.join(person, {"nickname": "Bea", "team": "Red"})

    assert silent["metadata"] == {**SAID, "seat": "B4"}
    assert back.status_code == 200
    assert back.json()["data"]["metadata"] == {**SAID, "team": "Red", "seat": "B4"}
    assert back.json()["data"]["ownMetadata"] == {**SAID, "team": "Red"}


async def test_who_was_brought_in_joins_with_something_to_say_beside_their_weight(
    scene: Room,
) -> None:
    person = await factories.user()
    await scene.client.post(
        f"{scene.path}/participants",
        json={"email": person["email"], "metadata": {"tickets": 2}},
        headers=scene.headers,
    )

    joined = (await scene.join(person, SAID)).json()["data"]

    assert joined["metadata"] == {"nickname": "Ann", "tickets": 2}
    assert (await scene.weights())[joined["id"]] == "2"


async def test_an_export_that_is_imported_makes_nobody_s_own_words_a_moderator_s(
    scene: Room,
) -> None:
    await scene.join(await factories.user(), SAID)
    other = await factories.room(createdBy=(await factories.user())["id"])
    exported = await scene.client.get(f"{scene.path}/participants.csv", headers=scene.headers)
    rows = list(csv.DictReader(io.StringIO(exported.text)))
    organizer = await factories.user()
    await factories.participant(other["id"], organizer["id"], role="ORGANIZER")

    taken = await scene.client.post(
        f"/api/v1/rooms/{other['id']}/participants/bulk?extra=metadata",
        content=exported.content,
        headers={**await factories.bearer(organizer), "content-type": "text/csv"},
    )
    listed = (await scene.client.get(f"/api/v1/rooms/{other['id']}/participants")).json()["data"]

    assert [msgspec.json.decode(row["ownMetadata"]) for row in rows if row["ownMetadata"]] == [SAID]
    assert taken.status_code == 200, taken.text
    assert taken.json()["data"]["failed"] == 0
    assert {str(each["metadata"]) for each in listed} == {"None"}


async def test_what_somebody_said_goes_with_their_account(scene: Room) -> None:
    person = await factories.user()
    joined = (await scene.join(person, SAID)).json()["data"]
    prize = await factories.prize(scene.id)
    await factories.winner(scene.id, joined["id"], prize["id"])

    gone = await scene.client.delete(
        f"/api/v1/users/{person['id']}", headers=await factories.bearer(person)
    )
    winners = await scene.client.get(f"{scene.path}/winners", headers=scene.headers)

    assert gone.status_code == 200, gone.text
    assert winners.json()["data"][0]["participant"]["ownMetadata"] is None
    assert "Ann" not in winners.text


@pytest.mark.parametrize("metadata", [[1], "text", {"a": "x" * 16_384}, {"a": "\0"}], ids=str)
async def test_what_can_not_be_kept_is_refused_and_nobody_joins(scene: Room, metadata: Any) -> None:
    person = await factories.user()

    refused = await scene.join(person, metadata)
    listed = (await scene.client.get(f"{scene.path}/participants")).json()["data"]

    assert (refused.status_code, code_of(refused)) == (400, "VALIDATION_ERROR")
    assert person["id"] not in {each["userId"] for each in listed}


@pytest.mark.parametrize(
    ("wanted", "given", "own", "expected"),
    [
        (None, '{"a":1}', '{"b":2}', (None, None)),
        ({}, '{"a":1}', '{"b":2}', ("{}", None)),
        ({"b": 2}, None, '{"b":2}', ("{}", '{"b":2}')),
        ({"b": 2}, None, '{"b":2.0}', ("{}", '{"b":2.0}')),
        ({"b": 3}, None, '{"b":2}', ('{"b":3}', None)),
        ({"b": 2}, '{"b":2}', '{"b":2}', ('{"b":2}', None)),
        ({"a": 1, "b": None}, None, '{"b":null}', ('{"a":1}', '{"b":null}')),
    ],
)
def test_what_is_sent_back_as_it_was_stays_the_person_s(
    wanted: Any, given: str | None, own: str | None, expected: tuple[str | None, str | None]
) -> None:
    assert divided(wanted, given, own) == expected
