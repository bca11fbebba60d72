"""Wins that have to be claimed: who says so, until when, and what becomes of the unit."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.claims.service import EXPIRING_JOB, expire, overdue_prizes
from app.database.engine import fetch, fetchrow, fetchval
from app.prizes.claims import fault_of_within
from tests import factories
from tests.answers import Headers, code_of

WEEK = '{"within": "P7D"}'


@pytest.fixture
def base(room: asyncpg.Record) -> str:
    return f"/api/v1/rooms/{room['id']}"


class Win:
    """A win that has to be claimed, and its winner."""

    def __init__(self, client: httpx.AsyncClient, base: str, row: asyncpg.Record) -> None:
        self.client, self.row = client, row
        self.path = f"{base}/winners/{row['id']}"

    async def post(self, what: str, headers: Headers) -> httpx.Response:
        return await self.client.post(f"{self.path}/{what}", headers=headers)

    async def now(self) -> asyncpg.Record:
        row = await fetchrow(
            'SELECT w.*, z."quantityRemaining" AS left FROM winners w '
            'JOIN prizes z ON z.id = w."prizeId" WHERE w.id = $1',
            self.row["id"],
        )
        assert row is not None
        return row


async def pending(
    client: httpx.AsyncClient, base: str, participant: asyncpg.Record, **values: Any
) -> Win:
    """Let somebody win the only unit of a prize."""
    prize = await factories.prize(participant["roomId"], claim=WEEK, quantityRemaining=0)
    claim = {"claimStatus": "PENDING", "claimBy": factories.now() + timedelta(days=7)}
    row = await factories.winner(
        participant["roomId"], participant["id"], prize["id"], **claim | values
    )
    return Win(client, base, row)


@pytest.mark.parametrize(
    ("within", "is_right"),
    [
        *((each, True) for each in ("P7D", "PT1M", "PT36H", "P1DT12H30M", "P366D", "PT0H1M")),
        *((each, False) for each in ("P", "PT", "P0D", "P367D", "PT527041M", "P1DT", "")),
    ],
)
def test_durations_are_bounded(within: str, *, is_right: bool) -> None:
    assert (fault_of_within(within) is None) is is_right


@pytest.mark.parametrize(
    "claim",
    [
        *({"within": each} for each in ("P1W", "P1M", "-P1D", "P1.5D", "7 days", "PT", "P0D", 7)),
        *({}, {"within": "P7D", "by": "x"}, "P7D", {"within": "P\u0667D"}),
    ],
)
async def test_a_prize_asks_for_nothing_else(
    client: httpx.AsyncClient, base: str, headers: Headers, claim: Any
) -> None:
    body = {"name": "Phone", "claim": claim}
    answer = await client.post(f"{base}/prizes", json=body, headers=headers)
    assert (answer.status_code, code_of(answer)) == (400, "VALIDATION_ERROR")
    assert next(iter(answer.json()["error"]["details"]["fields"])).startswith("$.claim")


async def test_a_win_is_pending_for_as_long_as_its_prize_says(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str, headers: Headers
) -> None:
    body = {"name": "Phone", "quantity": 3, "claim": {"within": "P1DT12H"}}
    prize = (await client.post(f"{base}/prizes", json=body, headers=headers)).json()["data"]
    assert prize["claim"] == body["claim"]
    shown = []
    for claim in ({"within": "P1DT12H"}, {"within": "PT1M"}, None):
        place = f"{base}/prizes/{prize['id']}"
        await client.patch(place, json={"claim": claim}, headers=headers)
        winner = await factories.participant(room["id"])
        won = {"participantId": winner["id"], "prizeId": prize["id"]}
        answer = await client.post(f"{base}/winners", json=won, headers=headers)
        shown.append(answer.json()["data"])

    first, second, third = shown
    for win, within in ((first, timedelta(hours=36)), (second, timedelta(minutes=1))):
        since, by = (datetime.fromisoformat(t) for t in (win["createdAt"], win["claim"]["by"]))
        assert abs(by - since - within) < timedelta(seconds=30)
        assert win["claim"] == {
            "status": "PENDING",
            "by": win["claim"]["by"],
            "settledAt": None,
            "settledBy": None,
        }
    assert third["claim"] is None
    listed = (await client.get(f"{base}/winners?claim=PENDING")).json()
    assert [each["id"] for each in listed["data"]] == [second["id"], first["id"]]


async def test_whoever_won_confirms_once_and_for_all(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str
) -> None:
    person = await factories.user()
    headers = await factories.bearer(person)
    win = await pending(client, base, await factories.participant(room["id"], person["id"]))

    confirmed, again = [await win.post("claim", headers) for _ in range(2)]
    declined = await win.post("decline", headers)

    claim = confirmed.json()["data"]["claim"]
    assert (claim["status"], claim["settledBy"]) == ("CONFIRMED", "WINNER")
    assert claim["settledAt"] is not None
    assert again.json() == confirmed.json()
    assert (declined.status_code, code_of(declined)) == (409, "CONFLICT")
    now = await win.now()
    assert (now["deletedAt"], now["left"]) == (None, 0)


async def test_what_was_declined_is_back_and_told_apart_from_what_was_revoked(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str, headers: Headers
) -> None:
    person = await factories.user()
    win = await pending(client, base, await factories.participant(room["id"], person["id"]))

    answers = [await win.post("decline", await factories.bearer(person)) for _ in range(2)]
    confirmed = await win.post("claim", headers)
    revoked = await client.delete(win.path, headers=headers)

    assert {each.status_code for each in answers} == {200}
    assert answers[0].json()["data"]["claim"]["status"] == "DECLINED"
    assert confirmed.status_code == 409
    assert revoked.status_code == 404
    assert (await win.now())["left"] == 1
    assert (await client.get(f"{base}/winners")).json()["data"] == []
    for status, found in (("DECLINED", [win.row["id"]]), ("PENDING", []), ("EXPIRED", [])):
        listed = (await client.get(f"{base}/winners?claim={status}")).json()["data"]
        assert [each["id"] for each in listed] == found
    assert (await client.get(win.path)).json()["data"]["claim"]["settledBy"] == "WINNER"


async def test_staff_says_so_for_somebody_and_nobody_else_does(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str
) -> None:
    expected = await factories.expected(room["id"], "expected@example.org")
    win = await pending(client, base, expected)
    stranger = await factories.user()
    await factories.participant(room["id"], stranger["id"])
    moderator = await factories.user()
    await factories.participant(room["id"], moderator["id"], role="MODERATOR")

    refused = await win.post("decline", await factories.bearer(stranger))
    assert (refused.status_code, code_of(refused)) == (403, "FORBIDDEN")
    assert (await win.now())["claimStatus"] == "PENDING"
    answer = await win.post("decline", await factories.bearer(moderator))
    assert answer.json()["data"]["claim"]["settledBy"] == "STAFF"
    actors = await fetch(
        'SELECT actor, action FROM audit_log WHERE "tableName" = \'winners\' AND "rowId" = $1',
        win.row["id"],
    )
    assert [tuple(row) for row in actors] == [(moderator["id"], "decline win")]


async def test_an_expected_person_who_has_signed_in_by_now_claims_alone(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str
) -> None:
    person = await factories.user(email="expected@example.org")
    win = await pending(client, base, await factories.expected(room["id"], person["email"]))
    answer = await win.post("claim", await factories.bearer(person))
    assert answer.json()["data"]["claim"]["settledBy"] == "WINNER"


async def test_who_was_taken_out_of_a_private_room_still_claims(
    client: httpx.AsyncClient, organizer: asyncpg.Record
) -> None:
    room = await factories.room(organizer, isPublic=False, status="COMPLETED")
    base = f"/api/v1/rooms/{room['id']}"
    person, other = await factories.user(), await factories.user()
    gone = await factories.participant(room["id"], person["id"], deletedAt=factories.now())
    win = await pending(client, base, gone)

    hidden = await win.post("claim", await factories.bearer(other))
    answer = await win.post("claim", await factories.bearer(person))
    elsewhere = await client.get(f"{base}/winners", headers=await factories.bearer(person))

    assert hidden.status_code == 404
    assert answer.json()["data"]["claim"]["status"] == "CONFIRMED"
    assert elsewhere.status_code == 404


@pytest.mark.parametrize("is_public", [True, False])
async def test_who_was_brought_in_by_an_address_and_taken_out_still_claims(
    client: httpx.AsyncClient, organizer: asyncpg.Record, *, is_public: bool
) -> None:
    room = await factories.room(organizer, isPublic=is_public)
    base = f"/api/v1/rooms/{room['id']}"
    person = await factories.user(email="expected@example.org")
    taken_out = await factories.expected(room["id"], person["email"])
    win = await pending(client, base, taken_out)
    out = f"{base}/participants/{taken_out['id']}"
    removed = await client.delete(out, headers=await factories.bearer(organizer))
    assert removed.status_code == 200
    await fetch("UPDATE rooms SET status = 'COMPLETED'")
    unknown = await factories.user(email="other@example.org")
    await fetch('UPDATE users SET "emailVerified" = NULL WHERE id = $1', unknown["id"])

    hidden = await win.post("claim", await factories.bearer(unknown))
    answer = await win.post("claim", await factories.bearer(person))

    assert hidden.status_code == (403 if is_public else 404)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["claim"]["settledBy"] == "WINNER"


async def test_what_can_not_be_claimed_says_why(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str, headers: Headers
) -> None:
    async def said(**values: Any) -> tuple[int, str]:
        win = await pending(client, base, await factories.participant(room["id"]), **values)
        answers = [await win.post(what, headers) for what in ("claim", "decline")]
        assert len({each.text.split("requestId")[0] for each in answers}) == 1
        return answers[0].status_code, answers[0].json()["error"]["message"].split(":")[0]

    yesterday = factories.now() - timedelta(days=1)
    assert await said(claimStatus=None, claimBy=None) == (
        409,
        "This prize did not ask to be claimed",
    )
    late = await said(claimBy=yesterday)
    assert late == (409, f"The time to claim this win was over at {yesterday:%Y-%m-%dT%H}")
    assert (await said(deletedAt=yesterday))[0] == 404
    await fetch('UPDATE rooms SET "deletedAt" = now()')
    assert (await said())[0] == 404


async def test_overdue_wins_end_and_their_units_are_back(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str, headers: Headers
) -> None:
    overdue = {"claimBy": factories.now() - timedelta(milliseconds=1)}
    people = [await factories.participant(room["id"]) for _ in range(4)]
    late = await pending(client, base, people[0], **overdue)
    in_time = await pending(client, base, people[1])
    revoked = await pending(client, base, people[2], **overdue, deletedAt=factories.now())
    closed = await factories.room(status="CANCELLED")
    elsewhere = await factories.room(deletedAt=factories.now())
    in_closed, in_deleted = [
        await pending(client, base, await factories.participant(each["id"]), **overdue)
        for each in (closed, elsewhere)
    ]

    prizes = await overdue_prizes()
    assert prizes == sorted([late.row["prizeId"], in_closed.row["prizeId"]])
    everything = (late, in_time, revoked, in_closed, in_deleted)
    assert [await expire(win.row["prizeId"]) for win in everything] == [1, 0, 0, 1, 0]
    assert await overdue_prizes() == []

    states = [await win.now() for win in everything]
    assert [(row["claimStatus"], row["left"]) for row in states] == [
        *(("EXPIRED", 1), ("PENDING", 0), ("PENDING", 0), ("EXPIRED", 1), ("PENDING", 0))
    ]
    shown = (await client.get(f"{base}/winners?claim=EXPIRED")).json()["data"]
    assert [each["claim"]["settledBy"] for each in shown] == [None]
    body = {"participantId": people[0]["id"], "prizeId": late.row["prizeId"]}
    again = await client.post(f"{base}/winners", json=body, headers=headers)
    assert again.status_code == 201


async def test_what_expires_while_a_draw_is_open_is_told_of_the_job(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str, headers: Headers
) -> None:
    win = await pending(
        client, base, await factories.participant(room["id"]), claimBy=factories.now()
    )
    await factories.prize(room["id"])
    await client.post(f"{base}/draws", json={}, headers=headers)
    await client.patch(
        f"{base}/prizes/{win.row['prizeId']}", json={"claim": {"within": "P1D"}}, headers=headers
    )
    assert await expire(win.row["prizeId"]) == 1
    rows = await fetch(
        "SELECT actor, after::text FROM audit_log WHERE action LIKE '%open' ORDER BY id"
    )
    assert {row["actor"] for row in rows[1:]} == {EXPIRING_JOB}
    assert '"claimWithin": "P1D"' in rows[0]["after"]
    ended = "SELECT actor FROM audit_log WHERE action = 'expire win' AND \"rowId\" = $1"
    assert await fetchval(ended, win.row["id"]) == EXPIRING_JOB


@pytest.mark.parametrize(
    "change",
    [
        '"claimBy" = now()',
        "\"claimBy\" = now() + interval '1 year'",
        '"claimStatus" = \'EXPIRED\', "claimSettledAt" = now(), "deletedAt" = now()',
        '"claimStatus" = \'DECLINED\', "claimSettledAt" = now(), "claimSettledBy" = \'STAFF\'',
        '"claimStatus" = NULL, "claimBy" = NULL',
        "\"claimStatus\" = 'CONFIRMED'",
    ],
)
async def test_the_database_keeps_claims(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str, change: str
) -> None:
    win = await pending(client, base, await factories.participant(room["id"]))
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)):
        await fetch(f"UPDATE winners SET {change}")
    assert dict(await win.now()) == {**win.row, "left": 0}


async def test_what_was_settled_stays_settled(
    client: httpx.AsyncClient, room: asyncpg.Record, base: str, headers: Headers
) -> None:
    win = await pending(client, base, await factories.participant(room["id"]))
    await win.post("claim", headers)
    for change in (
        '"claimStatus" = \'PENDING\', "claimSettledAt" = NULL, "claimSettledBy" = NULL',
        "\"claimSettledBy\" = 'WINNER'",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await fetch(f"UPDATE winners SET {change}")
    revoked = await client.delete(win.path, headers=headers)
    assert revoked.status_code == 200
    assert await fetchval('SELECT "claimStatus" FROM winners') == "CONFIRMED"
