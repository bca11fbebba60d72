"""What winners of a draw do not take goes to the next in its order, as anybody can recompute."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from app.claims.service import expire
from app.database.engine import fetch, fetchrow, fetchval
from app.draws.record import Record, check
from tests import factories
from tests.draws.conftest import PLAYERS, Stage, age, check_stock, stock
from tests.waiting import eventually, somebody_waits

WEEK = {"within": "P7D"}
PHONE = [{"id": "phone"}]


pytestmark = pytest.mark.usefixtures("phone_has_to_be_claimed")


@pytest.fixture
async def phone_has_to_be_claimed(room: str) -> None:  # noqa: ARG001 - made there
    await fetch("UPDATE prizes SET claim = '{\"within\": \"P7D\"}' WHERE id = 'phone'")


class Claims:
    """What becomes of the wins of the stage's first draw."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    async def post(self, who: str, what: str, *, by: str | None = None) -> httpx.Response:
        """Claim or decline the phone that somebody has to claim."""
        winner_id = await fetchval(
            'SELECT id FROM winners WHERE "participantId" = $1 AND "prizeId" = \'phone\' '
            'ORDER BY "createdAt" DESC, id DESC LIMIT 1',
            who,
        )
        headers = {"authorization": f"Bearer {self.stage.tokens[by or who]}"}
        url = f"/api/v1/rooms/room/winners/{winner_id}/{what}"
        return await self.stage.client.post(url, headers=headers)

    async def decline(self, who: str, *, by: str | None = None) -> None:
        answer = await self.post(who, "decline", by=by)
        assert answer.is_success, answer.text

    async def record(self) -> Record:
        """Return the record, which checks out, as the stock does."""
        content, entrants = await self.stage.files()
        result = check(content, entrants)
        assert result.passed, result.steps[-1]
        await check_stock()
        return msgspec.json.decode(content, type=Record)


@pytest.fixture
def claims(stage: Stage) -> Claims:
    return Claims(stage)


def line_of(record: Record) -> list[str]:
    return [each.participantId for each in record.nextInLine or ()]


async def holders() -> Sequence[str]:
    rows = await fetch(
        'SELECT "participantId" FROM winners WHERE "deletedAt" IS NULL AND "prizeId" = \'phone\''
    )
    return sorted(row["participantId"] for row in rows)


async def test_a_draw_with_claims_says_so_and_its_wins_wait(stage: Stage, claims: Claims) -> None:
    announced = await stage.announce(alternates=2, onePrizeEach=True)
    assert (announced["spec"], announced["alternates"]) == ("draw/2", 2)
    assert [prize["claim"] for prize in announced["prizes"]] == [WEEK, None]
    # What is asked is fixed by now.
    await fetch('UPDATE prizes SET claim = \'{"within": "PT1M"}\'')
    await stage.ok("POST", "/1/close")
    drawn = await stage.ok("POST", "/1/draw")

    record = await claims.record()
    assert (record.spec, record.claims, record.plan and record.plan.alternates) == ("draw/2", (), 2)
    assert [(each.prizeId, each.place) for each in record.nextInLine or ()] == [
        *(("phone", 4), ("phone", 5))
    ]
    for row in await fetch("SELECT * FROM winners"):
        if row["prizeId"] == "phone":
            assert (row["claimStatus"], row["drawId"]) == ("PENDING", drawn["id"])
            drawn_at = await fetchval('SELECT "drawnAt" FROM draws')
            assert row["claimBy"] - drawn_at == timedelta(days=7)
        else:
            assert (row["claimStatus"], row["drawId"]) == (None, None)


async def test_a_draw_without_claims_stays_what_it_was(stage: Stage) -> None:
    await fetch("UPDATE prizes SET claim = NULL")
    drawn = await stage.drawn()
    assert (drawn["spec"], drawn["alternates"]) == ("draw/1", 0)
    document = msgspec.json.decode((await stage.files())[0])
    assert not {"nextInLine", "claims", "claimsDigest"} & {*document}
    assert set(document["plan"]["prizes"][0]) == {"id", "quantity"}
    await factories.prize("room")
    refused = await stage.refused(400, "POST", json={"alternates": 1})
    assert set(refused["details"]["fields"]) == {"$.alternates"}


async def test_what_is_declined_goes_down_the_line_and_then_into_stock(
    stage: Stage, claims: Claims
) -> None:
    await stage.drawn(prizes=PHONE, alternates=2)
    before = await claims.record()
    [first] = [win.participantId for win in before.winners or ()]
    second, third = line_of(before)

    await claims.decline(first)
    assert await holders() == [second]
    await claims.decline(second, by="max")
    assert (await holders(), await stock("phone")) == ([third], 0)
    await claims.decline(third)
    assert (await holders(), await stock("phone")) == ([], 1)

    after = await claims.record()
    assert [(each.participantId, each.settledBy, each.next) for each in after.claims or ()] == [
        *((first, "WINNER", second), (second, "STAFF", third), (third, "WINNER", None))
    ]
    assert after.recordDigest == before.recordDigest
    assert after.claimsDigest != before.claimsDigest
    told = [
        (row["type"], row["participantId"])
        for row in await fetch(
            'SELECT o.type, w."participantId" FROM outbox o JOIN winners w ON w.id = o.subject '
            "ORDER BY seq"
        )
    ]
    assert told == [
        ("winner.awarded", first),
        *(("winner.declined", first), ("winner.awarded", second)),
        *(("winner.declined", second), ("winner.awarded", third), ("winner.declined", third)),
    ]
    wins = (await stage.ok("GET", "/1/winners"))["wins"]
    assert [(win["participantId"], win["takesOverFrom"]) for win in wins] == [
        *((first, None), (second, first), (third, second))
    ]
    assert {(win["claim"]["status"], win["revokedAt"]) for win in wins} == {("DECLINED", None)}


async def test_what_is_not_claimed_in_time_goes_to_who_has_as_long_again(
    stage: Stage, claims: Claims
) -> None:
    await stage.drawn(prizes=PHONE, alternates=1)
    [second] = line_of(await claims.record())
    await age(8)

    assert await expire("phone") == 1
    assert await holders() == [second]
    row = await fetchrow('SELECT * FROM winners WHERE "deletedAt" IS NULL')
    assert row is not None
    assert row["claimBy"] - row["createdAt"] == timedelta(days=7)
    assert msgspec.json.decode(row["metadata"])["place"] == 2
    assert await expire("phone") == 0
    assert (await claims.post(second, "claim")).is_success
    [unclaimed] = (await claims.record()).claims or ()
    assert (unclaimed.status, unclaimed.settledBy) == ("EXPIRED", None)


async def test_a_clock_that_is_behind_dates_nothing_before_what_it_follows_from(
    stage: Stage, claims: Claims
) -> None:
    await stage.drawn(prizes=PHONE, alternates=2)
    [first] = [win.participantId for win in (await claims.record()).winners or ()]
    await age(-3)
    await claims.decline(first)
    [unclaimed] = (await claims.record()).claims or ()
    assert unclaimed.at == (await claims.record()).drawnAt


async def test_who_is_gone_or_holds_it_already_is_passed_over_and_named(
    stage: Stage, claims: Claims
) -> None:
    await fetch("UPDATE prizes SET quantity = 2, \"quantityRemaining\" = 2 WHERE id = 'phone'")
    await stage.drawn(prizes=[{"id": "phone", "quantity": 1}], alternates=3)
    before = await claims.record()
    [first] = [win.participantId for win in before.winners or ()]
    holds, gone, heir = line_of(before)
    body = {"participantId": holds, "prizeId": "phone"}
    headers = {"authorization": f"Bearer {stage.tokens['max']}"}
    answer = await stage.client.post("/api/v1/rooms/room/winners", json=body, headers=headers)
    assert answer.is_success
    await fetch('UPDATE users SET "deletedAt" = now() WHERE id = $1', gone)

    await claims.decline(first)

    [unclaimed] = (await claims.record()).claims or ()
    assert unclaimed.next == heir
    assert [(each.participantId, each.reason) for each in unclaimed.passed] == [
        *((holds, "HOLDS_PRIZE"), (gone, "GONE"))
    ]
    assert await holders() == sorted([holds, heir])


async def test_moderators_pass_nobody_over_by_erasing_who_is_next(
    stage: Stage, claims: Claims
) -> None:
    await fetch(
        """UPDATE participants SET "userId" = NULL, "acceptedAt" = NULL, email = id || '@x.org'
        WHERE "roomId" = 'room' AND role = 'PARTICIPANT'"""
    )
    await stage.drawn(prizes=PHONE, alternates=2, onePrizeEach=True)
    record = await claims.record()
    [first] = [win.participantId for win in record.winners or ()]
    second, third = line_of(record)
    [loser, *_] = [name for name in PLAYERS if name not in {first, second, third}]

    async def erase(who: str) -> int:
        url = f"/api/v1/rooms/room/participants/{who}?erase=true"
        headers = {"authorization": f"Bearer {stage.tokens['max']}"}
        return (await stage.client.delete(url, headers=headers)).status_code

    assert [await erase(who) for who in (first, second, third, loser)] == [409, 409, 409, 200]
    await claims.decline(first, by="max")
    assert [await erase(who) for who in (first, second, third)] == [200, 409, 409]
    assert (await claims.post(second, "claim", by="max")).is_success
    assert [await erase(who) for who in (second, third)] == [200, 200]
    [unclaimed] = (await claims.record()).claims or ()
    assert (unclaimed.passed, unclaimed.next) == ((), second)


async def test_no_metadata_brings_an_award_by_hand_into_the_line(
    stage: Stage, claims: Claims
) -> None:
    await fetch("UPDATE prizes SET quantity = 2, \"quantityRemaining\" = 2 WHERE id = 'phone'")
    await stage.drawn(prizes=[{"id": "phone", "quantity": 1}], alternates=2)
    [win] = (await claims.record()).winners or ()
    other = next(name for name in PLAYERS if name != win.participantId)
    body = {
        "participantId": other,
        "prizeId": "phone",
        "metadata": {"draw": 1, "place": 1, "ticket": win.ticket},
    }
    headers = {"authorization": f"Bearer {stage.tokens['max']}"}
    await stage.client.post("/api/v1/rooms/room/winners", json=body, headers=headers)
    await claims.decline(other)
    assert (await stock("phone"), (await claims.record()).claims) == (1, ())


@pytest.mark.parametrize("one_prize_each", [True, False])
async def test_all_at_once_nobody_is_twice_in_it_and_no_unit_is_lost(
    stage: Stage, claims: Claims, *, one_prize_each: bool
) -> None:
    everybody = [f"more{number}" for number in range(20)]
    for name in everybody:
        person = await factories.user(id=name)
        await factories.participant("room", person["id"], id=name)
    await fetch("UPDATE prizes SET quantity = 8, \"quantityRemaining\" = 8 WHERE id = 'phone'")
    await stage.drawn(prizes=PHONE, alternates=12, onePrizeEach=one_prize_each)
    record = await claims.record()
    first = [win.participantId for win in record.winners or ()]

    answers = await asyncio.gather(
        *(claims.post(who, what, by="max") for who in first for what in ("decline",) * 2),
        *(claims.post(who, "claim", by="max") for who in first[:2]),
    )

    assert {answer.status_code for answer in answers} <= {200, 409}
    after = (await claims.record()).claims or ()
    heirs = [each.next for each in after]
    assert heirs == line_of(record)[: len(after)]
    assert len(after) >= 6
    assert (len(await holders()), await stock("phone")) == (8, 0)


async def test_who_dies_in_the_middle_leaves_everything_as_it_was(
    stage: Stage, claims: Claims, database: str
) -> None:
    await stage.drawn(prizes=PHONE, alternates=1)
    before = await claims.record()
    [first] = [win.participantId for win in before.winners or ()]
    connection = await asyncpg.connect(database)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("LOCK TABLE draw_claims IN EXCLUSIVE MODE")
        dying = asyncio.create_task(claims.post(first, "decline", by="max"))
        await eventually(somebody_waits)
        await fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        assert (await dying).status_code >= 500
        await transaction.rollback()
    finally:
        await connection.close()
    assert (await claims.record(), await holders()) == (before, [first])
    await claims.decline(first)
    assert await holders() == line_of(before)


async def test_only_a_unit_that_is_back_is_drawn_again(stage: Stage, claims: Claims) -> None:
    await stage.drawn(prizes=PHONE, alternates=1)
    record = await claims.record()
    [first] = [win.participantId for win in record.winners or ()]
    [second] = line_of(record)
    await claims.decline(first)
    winner_of = {row["participantId"]: row["id"] for row in await fetch("SELECT * FROM winners")}
    refused = await stage.refused(409, "POST", json={"replaces": winner_of[first]})
    assert "next in line" in refused["message"]
    await claims.decline(second)

    again = await stage.drawn(replaces=winner_of[second], alternates=1)

    assert [(each["participantId"], each["reason"]) for each in again["leftOut"]["revoked"]] == [
        (who, "Has won this prize before, and did not take it.") for who in sorted([first, second])
    ]
    replaced = (await stage.ok("GET", "/2/winners"))["replaced"]
    assert (replaced["participantId"], replaced["drawnIn"]) == (second, 1)
    assert check(*await stage.files(2)).passed


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE draw_claims SET next = 'zoe'",
        "DELETE FROM draw_claims",
        "TRUNCATE draw_claims",
        'UPDATE winners SET "drawId" = NULL',
        "UPDATE draws SET alternates = 2",
        "UPDATE draws SET \"nextInLine\" = '[]'",
    ],
)
async def test_what_was_passed_on_is_kept_for_ever(
    stage: Stage, claims: Claims, change: str
) -> None:
    await stage.drawn(prizes=PHONE, alternates=1)
    before = await claims.record()
    await claims.decline((before.winners or ())[0].participantId)
    kept: list[Any] = [await claims.record(), await fetch("SELECT * FROM winners ORDER BY id")]
    with pytest.raises(
        (asyncpg.IntegrityConstraintViolationError, asyncpg.InsufficientPrivilegeError)
    ):
        await fetch(change)
    assert [await claims.record(), await fetch("SELECT * FROM winners ORDER BY id")] == kept
