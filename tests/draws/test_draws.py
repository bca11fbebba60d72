"""The course of a draw over HTTP: every step, right and refusal."""

import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from app.database.engine import fetch, fetchrow, fetchval
from app.draws.announcing import announce
from app.draws.ranking import TextEntropy, digest
from app.draws.record import Record, check
from app.tables import DrawStatus, RoomStatus
from tests.draws import vectors
from tests.draws.conftest import (
    PLAYERS,
    TEXT,
    Publish,
    Stage,
    drand_round,
    moderator,
    stock,
    terms,
    weigh,
)

STEPS = [
    ("POST", "", {}),
    ("POST", "/1/close", None),
    ("POST", "/1/draw", None),
    ("DELETE", "/1", {"reason": "rain"}),
]
MEMBERS = (
    "spec",
    "drawId",
    "roomId",
    "number",
    "status",
    "commitment",
    "plan",
    "planDigest",
    "exclusions",
    "replaces",
    "immediate",
    "announcedAt",
    "closedAt",
    "drawnAt",
    "readyAt",
    "cancelledAt",
    "reason",
    "public",
    "signature",
    "secret",
    "seed",
    "winners",
    "undrawn",
    "allowRevoked",
    "leftOut",
    "passed",
    "unawarded",
    "recordDigest",
)
READINGS = ["", "/1", "/1/record", "/1/entrants.txt"]
ALPHABET, LENGTH = {"$.entropy.format.alphabet"}, {"$.entropy.format.length"}


async def test_a_whole_draw_can_be_checked_by_anybody(stage: Stage) -> None:
    announced = await stage.announce()
    assert announced["status"] == DrawStatus.ANNOUNCED
    assert announced["number"] == 1
    assert announced["prizes"] == [
        {"id": "phone", "quantity": 1},
        {"id": "book", "quantity": 2},
    ]
    closed = await stage.ok("POST", "/1/close")
    assert closed["status"] == DrawStatus.CLOSED
    assert closed["entrantCount"] == 5
    drawn = await stage.ok("POST", "/1/draw")
    assert drawn["status"] == DrawStatus.DRAWN
    assert len(drawn["winners"]) == 3
    assert drawn["undrawn"] == 0
    record, entrants = await stage.files()
    result = check(record, entrants)
    assert result.passed, result.steps[-1]
    assert entrants.decode() == "".join(f"{name} 1\n" for name in PLAYERS)
    assert digest(entrants) == drawn["entrantsDigest"]
    assert drawn["commitment"] == announced["commitment"]


async def test_winners_are_awarded_with_what_decided(stage: Stage) -> None:
    drawn = await stage.drawn()
    rows = await fetch('SELECT "participantId", "prizeId", metadata FROM winners ORDER BY id')
    awarded = [
        {
            "participantId": row["participantId"],
            "prizeId": row["prizeId"],
            **msgspec.json.decode(row["metadata"]),
        }
        for row in rows
    ]
    assert awarded == [{**win, "draw": 1} for win in drawn["winners"]]
    assert (await stock("phone"), await stock("book")) == (0, 0)


async def test_nothing_secret_is_told_before_the_draw_is_over(stage: Stage) -> None:
    await stage.announce()
    secret, seed = (await fetchval("SELECT secret FROM draws")).hex(), None
    for step in ("", "/1/close"):
        if step:
            await stage.ok("POST", step)
        for reading in READINGS:
            response = await stage.send("GET", reading, by="olga")
            assert secret not in response.text
            if reading.endswith("record"):
                record = response.json()
                assert (record["secret"], record["seed"], record["winners"]) == (None, seed, None)
    await stage.ok("POST", "/1/draw")
    assert (await stage.ok("GET", "/1"))["secret"] == secret


async def test_an_announced_record_has_the_members_of_the_specification(stage: Stage) -> None:
    await stage.announce()
    record = (await stage.send("GET", "/1/record", by=None)).json()
    assert tuple(record) == MEMBERS
    assert {*Record.__struct_fields__} - {*MEMBERS} == {"nextInLine", "claims", "claimsDigest"}
    assert {name for name, value in record.items() if value is not None} == {
        "spec",
        "drawId",
        "roomId",
        "number",
        "status",
        "commitment",
        "exclusions",
        "immediate",
        "announcedAt",
        "allowRevoked",
        "recordDigest",
    }


async def test_an_immediate_draw_says_so(stage: Stage) -> None:
    response = await stage.send("POST", json={"immediate": True})
    assert response.status_code == 201
    drawn = response.json()["data"]
    assert (drawn["status"], drawn["immediate"], len(drawn["winners"])) == ("DRAWN", True, 3)
    record, entrants = await stage.files()
    assert check(record, entrants).passed
    assert msgspec.json.decode(record, type=Record).immediate


async def test_an_announcement_without_a_body_draws_all_that_is_left(stage: Stage) -> None:
    headers = {"authorization": f"Bearer {stage.tokens['max']}"}
    response = await stage.client.post(stage.url, headers=headers)
    assert response.status_code == 201
    assert len(response.json()["data"]["prizes"]) == 2


async def test_prizes_are_drawn_in_the_wanted_order_and_quantity(stage: Stage) -> None:
    drawn = await stage.drawn(prizes=[{"id": "book", "quantity": 1}, {"id": "phone"}])
    assert [win["prizeId"] for win in drawn["winners"]] == ["book", "phone"]
    assert await stock("book") == 1


async def test_without_one_prize_each_somebody_may_win_twice(stage: Stage) -> None:
    await fetch("UPDATE participants SET role = 'VIEWER' WHERE id = ANY($1)", PLAYERS[1:])
    drawn = await stage.drawn(onePrizeEach=False)
    assert [(win["participantId"], win["prizeId"]) for win in drawn["winners"]] == [
        ("ann", "phone"),
        ("ann", "book"),
    ]
    assert drawn["undrawn"] == 1
    assert check(*await stage.files()).passed


async def test_nobody_to_draw_leaves_all_undrawn(stage: Stage) -> None:
    await fetch("UPDATE participants SET \"deletedAt\" = now() WHERE role = 'PARTICIPANT'")
    drawn = await stage.drawn()
    assert (drawn["entrantCount"], drawn["winners"], drawn["undrawn"]) == (0, [], 3)
    record, entrants = await stage.files()
    assert entrants == b""
    assert check(record, entrants).passed


async def test_entrants_are_the_alive_participants_without_exclusions_and_holders(
    stage: Stage,
) -> None:
    await fetch("UPDATE participants SET \"deletedAt\" = now() WHERE id = 'eva'")
    await fetch(
        'INSERT INTO winners (id, "roomId", "participantId", "prizeId", "deletedAt") VALUES '
        "('w1', 'room', 'ben', 'phone', NULL), ('w2', 'room', 'cem', 'phone', now())"
    )
    exclusions = [{"participantId": "dan", "reason": "Works here."}]
    await stage.announce(prizes=[{"id": "book"}], exclusions=exclusions)
    await stage.ok("POST", "/1/close")
    record, entrants = await stage.files()
    assert entrants == b"ann 1\ncem 1\n"
    assert msgspec.json.decode(record)["exclusions"] == exclusions


async def test_without_one_prize_each_holders_take_part(stage: Stage) -> None:
    await fetch(
        'INSERT INTO winners (id, "roomId", "participantId", "prizeId") '
        "VALUES ('w1', 'room', 'ben', 'phone')"
    )
    await stage.announce(onePrizeEach=False, prizes=[{"id": "book"}])
    assert (await stage.ok("POST", "/1/close"))["entrantCount"] == 5


async def test_weights_come_from_the_metadata(stage: Stage) -> None:
    await weigh("ann", {"tickets": 3, "other": 9})
    await weigh("ben", {"tickets": 1000})
    await weigh("cem", {"other": 2})
    await weigh("dan", {"tickets": 5.0})
    await weigh("eva", {"tickets": "12"})
    await stage.announce(weightKey="tickets")
    await stage.ok("POST", "/1/close")
    await stage.ok("POST", "/1/draw")
    record, entrants = await stage.files()
    assert entrants == b"ann 3\nben 1000\ncem 1\ndan 5\neva 12\n"
    assert check(record, entrants).passed


@pytest.mark.parametrize(
    "weight",
    [
        0,
        0.0,
        -1,
        1001,
        1001.0,
        1.5,
        1e30,
        "0",
        "1001",
        "3\n4",
        " 3",
        "٣",
        None,
        True,
        [],
        {"a": 1},
        "x 1",
    ],
)
async def test_another_weight_is_refused_naming_the_participants(stage: Stage, weight: Any) -> None:
    await weigh("ann", {"tickets": weight})
    await weigh("ben", {"tickets": 2})
    await weigh("cem", {"tickets": weight})
    await stage.announce(weightKey="tickets")
    error = await stage.refused(409, "POST", "/1/close")
    assert error["details"]["participants"] == ["ann", "cem"]
    await weigh("ann", {})
    await weigh("cem", {})
    assert (await stage.ok("POST", "/1/close"))["entrantCount"] == 5


async def test_a_weight_that_nobody_has_is_misspelled(stage: Stage) -> None:
    await weigh("ann", {"tickets": 3})
    await stage.announce(weightKey="tikets")
    error = await stage.refused(409, "POST", "/1/close")
    assert error["message"].startswith('Nobody has "tikets" in the metadata')
    await weigh("ann", {"tikets": 3})
    assert (await stage.ok("POST", "/1/close"))["entrantCount"] == 5


async def test_public_text_comes_in(stage: Stage) -> None:
    await stage.announce(entropy=TEXT, onePrizeEach=False)
    await stage.ok("POST", "/1/close")
    error = await stage.refused(400, "POST", "/1/draw")
    assert error["details"]["fields"] == {"$.public": "Required: Dice, 5 characters 1-6."}
    drawn = await stage.ok("POST", "/1/draw", json={"public": "42615"})
    assert bytes.fromhex(drawn["public"]).decode() == "42615"
    assert check(*await stage.files()).passed
    again = await stage.ok("POST", "/1/draw", json={"public": "42615"})
    assert again == drawn
    await stage.refused(409, "POST", "/1/draw", json={"public": "11111"})


@pytest.mark.parametrize(
    "text",
    [
        *("4261", "426155", "4 2 6 1 5", "42610", "42617", "42615 ", "42615\n"),
        "\uff14\uff12\uff16\uff11\uff15",
        "\u0664\u0662\u0666\u0661\u0665",
    ],
)
async def test_a_text_has_one_spelling(stage: Stage, text: str) -> None:
    await stage.announce(entropy=TEXT)
    await stage.ok("POST", "/1/close")
    error = await stage.refused(400, "POST", "/1/draw", json={"public": text})
    told = "Not as announced: Dice, 5 characters 1-6, and nothing else."
    assert error["details"]["fields"] == {"$.public": told}


async def test_the_format_is_part_of_the_plan(stage: Stage) -> None:
    entropy = {"kind": "text", "label": "Word", "format": {"alphabet": "A-Z", "length": 3}}
    await stage.announce(entropy=entropy)
    await stage.ok("POST", "/1/close")
    await stage.refused(400, "POST", "/1/draw", json={"public": "YeS"})
    await stage.ok("POST", "/1/draw", json={"public": "YES"})
    record, entrants = await stage.files()
    assert json.loads(record)["plan"]["entropy"] == entropy
    assert check(record, entrants).passed


async def test_a_draw_that_was_announced_without_a_format_takes_any_text(stage: Stage) -> None:
    await announce(moderator(), terms(entropy=TextEntropy("Dice")))
    await stage.ok("POST", "/1/close")
    await stage.ok("POST", "/1/draw", json={"public": "4 2 6 1 5 🎲"})
    record, entrants = await stage.files()
    assert "format" not in json.loads(record)["plan"]["entropy"]
    assert check(record, entrants).passed


@pytest.mark.parametrize(("number", "body"), [(1, {"public": "x"}), (1, {"signature": "00"})])
async def test_entropy_that_was_not_announced_is_refused(
    stage: Stage, number: int, body: Any
) -> None:
    await stage.announce()
    await stage.ok("POST", f"/{number}/close")
    await stage.refused(400, "POST", f"/{number}/draw", json=body)


DRAND = drand_round()
NOW = timedelta(milliseconds=-1)
"""Published after the close, however fast the next call follows."""


async def test_a_drand_round_comes_in_when_it_is_due(stage: Stage, publish: Publish) -> None:
    await stage.announce(entropy=DRAND)
    await stage.ok("POST", "/1/close")
    error = await stage.refused(409, "POST", "/1/draw", json={"signature": vectors.SIGNATURE})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", error["details"]["dueAt"])
    publish(NOW)
    await stage.refused(400, "POST", "/1/draw")
    forged = vectors.SIGNATURE[:-2] + "7c"
    error = await stage.refused(400, "POST", "/1/draw", json={"signature": forged})
    assert list(error["details"]["fields"]) == ["$.signature"]
    drawn = await stage.ok("POST", "/1/draw", json={"signature": vectors.SIGNATURE})
    assert drawn["public"] == vectors.RANDOMNESS
    assert check(*await stage.files()).passed
    assert await stage.ok("POST", "/1/draw") == drawn


async def test_the_signature_of_another_round_is_refused(stage: Stage, publish: Publish) -> None:
    await stage.announce(entropy=drand_round(vectors.ROUND + 1))
    await stage.ok("POST", "/1/close")
    publish(-timedelta(seconds=4))
    await stage.refused(400, "POST", "/1/draw", json={"signature": vectors.SIGNATURE})


async def test_a_past_round_is_not_announced(stage: Stage, publish: Publish) -> None:
    publish(NOW)
    error = await stage.refused(400, "POST", json={"entropy": DRAND})
    assert "already" in error["details"]["fields"]["$.entropy.round"]


async def test_a_past_round_is_refused_when_the_draw_closes(stage: Stage, publish: Publish) -> None:
    await stage.announce(entropy=DRAND)
    publish(NOW)
    error = await stage.refused(409, "POST", "/1/close")
    assert "not in the future" in error["message"]


@pytest.mark.parametrize(
    ("announcement", "fields"),
    [
        ({"prizes": []}, {"$.prizes"}),
        ({"prizes": [{"id": "phone", "quantity": 0}]}, {"$.prizes[0].quantity"}),
        ({"prizes": [{"id": "phone"}, {"id": "phone"}]}, {"$.prizes"}),
        ({"prizes": [{"id": "none"}, {"id": "foreign"}]}, {"$.prizes[0].id", "$.prizes[1].id"}),
        ({"onePrizeEach": 1}, {"$.onePrizeEach"}),
        ({"weightKey": ""}, {"$.weightKey"}),
        ({"exclusions": [{"participantId": "ann"}]}, {"$.exclusions[0].reason"}),
        (
            {"exclusions": [{"participantId": "elsewhere", "reason": "x"}]},
            {"$.exclusions[0].participantId"},
        ),
        ({"exclusions": [{"participantId": "ann", "reason": "x"}] * 2}, {"$.exclusions"}),
        (
            {"exclusions": [{"participantId": "ann", "reason": "\u200b"}]},
            {"$.exclusions[0].reason"},
        ),
        ({"entropy": {**TEXT, "label": "six \u202eno"}}, {"$.entropy.label"}),
        ({"entropy": {**TEXT, "label": "two\nlines"}}, {"$.entropy.label"}),
        ({"entropy": {**TEXT, "label": "\u200b"}}, {"$.entropy.label"}),
        ({"entropy": {"kind": "moon"}}, {"$.entropy.kind"}),
        ({"entropy": {"kind": "text"}}, {"$.entropy.label"}),
        ({"entropy": {**DRAND, "chain": "0" * 64}}, {"$.entropy.chain"}),
        ({"entropy": {**DRAND, "round": 2**53 - 1}}, {"$.entropy.round"}),
        ({"entropy": TEXT, "immediate": True}, {"$.immediate"}),
        ({"entropy": {"kind": "text", "label": "x"}}, {"$.entropy.format"}),
        ({"entropy": {**TEXT, "format": {"alphabet": "0-9"}}}, LENGTH),
        ({"entropy": {**TEXT, "format": {"alphabet": "a-z", "length": 1}}}, ALPHABET),
        ({"entropy": {**TEXT, "format": {"alphabet": "0-9", "length": 0}}}, LENGTH),
        ({"entropy": {**TEXT, "format": {"alphabet": "0-9", "length": 1001}}}, LENGTH),
        ({"allowRevoked": True}, {"$.allowRevoked"}),
        ({"replaces": "nobody"}, {"$.replaces"}),
        ({"seed": "00"}, {"$.seed"}),
    ],
)
async def test_an_announcement_that_makes_no_sense_is_refused(
    stage: Stage, announcement: Any, fields: set[str]
) -> None:
    error = await stage.refused(400, "POST", json=announcement)
    assert set(error["details"]["fields"]) == fields


async def test_more_than_is_left_is_refused(stage: Stage) -> None:
    error = await stage.refused(400, "POST", json={"prizes": [{"id": "book", "quantity": 3}]})
    assert error["code"] == "PRIZE_EXHAUSTED"
    assert error["details"]["left"] == {"book": 2}
    await fetch('UPDATE prizes SET "quantityRemaining" = 0')
    for announcement in ({}, {"prizes": [{"id": "book"}]}):
        error = await stage.refused(400, "POST", json=announcement)
        assert error["code"] == "PRIZE_EXHAUSTED"


async def test_one_draw_is_open_at_a_time_and_numbers_have_no_gaps(stage: Stage) -> None:
    await stage.announce(prizes=[{"id": "phone"}])
    await stage.refused(409, "POST", json={})
    await stage.ok("DELETE", "/1", json={"reason": "A mistake."})
    await stage.announce(prizes=[{"id": "phone"}])
    await stage.ok("POST", "/2/close")
    await stage.refused(409, "POST", json={})
    await stage.ok("POST", "/2/draw")
    await stage.announce(prizes=[{"id": "book"}])
    listed = (await stage.send("GET", by=None)).json()
    assert [(draw["number"], draw["status"]) for draw in listed["data"]] == [
        (3, "ANNOUNCED"),
        (2, "DRAWN"),
        (1, "CANCELLED"),
    ]
    assert listed["meta"]["total"] == 3


async def test_a_cancelled_draw_shows_its_reason_and_secret(stage: Stage) -> None:
    await stage.announce()
    await stage.ok("POST", "/1/close")
    await stage.ok("DELETE", "/1", json={"reason": "Fire alarm."})
    record, entrants = await stage.files()
    assert check(record, entrants).passed
    shown = msgspec.json.decode(record, type=Record)
    assert (shown.status, shown.reason, shown.seed) == ("CANCELLED", "Fire alarm.", None)
    assert digest(bytes.fromhex(shown.secret or "")) == shown.commitment
    for method, path in (("POST", "/1/close"), ("POST", "/1/draw")):
        await stage.refused(409, method, path)


async def test_a_reason_may_come_in_the_query_and_is_needed(stage: Stage) -> None:
    await stage.announce()
    error = await stage.refused(400, "DELETE", "/1")
    assert list(error["details"]["fields"]) == ["$.reason"]
    for refused in ("", "x" * 501, "\u200b", "niar \u202eon"):
        await stage.refused(400, "DELETE", "/1", json={"reason": refused})
        error = await stage.refused(400, "DELETE", f"/1?reason={quote(refused)}")
        assert list(error["details"]["fields"]) == ["$.reason"]
    await stage.ok("DELETE", "/1?reason=Rain")
    assert (await stage.ok("GET", "/1"))["reason"] == "Rain"


async def test_repeating_a_step_changes_nothing(stage: Stage) -> None:
    await stage.announce()
    closed = await stage.ok("POST", "/1/close")
    await fetch("UPDATE participants SET \"deletedAt\" = now() WHERE id = 'ann'")
    assert await stage.ok("POST", "/1/close") == closed
    drawn = await stage.ok("POST", "/1/draw")
    assert await stage.ok("POST", "/1/draw") == drawn
    assert await stage.ok("POST", "/1/close") == drawn
    await stage.refused(409, "DELETE", "/1", json={"reason": "x"})
    await stage.announce(prizes=[{"id": "late"}] if await _add_prize("late") else [])
    for _ in range(2):
        await stage.ok("DELETE", "/2", json={"reason": "x"})
    await stage.refused(409, "DELETE", "/2", json={"reason": "y"})
    assert await fetchval("SELECT count(*) FROM winners") == 3


async def _add_prize(prize_id: str) -> str:
    added: str = await fetchval(
        'INSERT INTO prizes (id, "roomId", name, "updatedAt") VALUES ($1, $2, $1, now()) '
        "RETURNING id",
        prize_id,
        "room",
    )
    return added


async def test_a_draw_goes_announced_closed_drawn(stage: Stage) -> None:
    await stage.announce()
    await stage.refused(409, "POST", "/1/draw")
    await stage.refused(404, "POST", "/2/close")
    await stage.refused(404, "POST", "/2/draw")
    await stage.refused(404, "DELETE", "/2", json={"reason": "x"})
    assert (await stage.send("GET", "/1/entrants.txt", by=None)).status_code == 404
    assert (await stage.send("GET", "/2", by=None)).status_code == 404


@pytest.mark.parametrize("status", [RoomStatus.DRAFT, RoomStatus.COMPLETED, RoomStatus.CANCELLED])
async def test_only_active_rooms_draw(stage: Stage, status: RoomStatus) -> None:
    async def set_room(wanted: RoomStatus) -> None:
        await fetch("UPDATE rooms SET status = $1 WHERE id = $2", wanted, "room")

    await set_room(status)
    assert (await stage.refused(409, "POST", json={}))["code"] == "ROOM_NOT_ACTIVE"
    await set_room(RoomStatus.ACTIVE)
    await stage.announce()
    await set_room(status)
    assert (await stage.refused(409, "POST", "/1/close"))["code"] == "ROOM_NOT_ACTIVE"
    await set_room(RoomStatus.ACTIVE)
    await stage.ok("POST", "/1/close")
    await set_room(status)
    assert (await stage.refused(409, "POST", "/1/draw"))["code"] == "ROOM_NOT_ACTIVE"
    await stage.ok("DELETE", "/1", json={"reason": "The room is over."})


@pytest.mark.parametrize(
    ("by", "expected"),
    [(None, 401), ("outsider", 403), ("vic", 403), ("ann", 403), ("max", 200), ("olga", 200)],
)
async def test_moderators_and_above_draw(stage: Stage, by: str | None, expected: int) -> None:
    for method, path, body in STEPS[:3]:
        response = await stage.send(method, path, by=by, json=body)
        assert response.status_code == (201 if expected == 200 and not path else expected)
        if expected != 200:
            assert await fetchval("SELECT count(*) FROM draws") == 0
    await fetch('UPDATE prizes SET quantity = 9, "quantityRemaining" = 9')
    await stage.announce()
    number = await fetchval("SELECT max(number) FROM draws")
    response = await stage.send("DELETE", f"/{number}", by=by, json={"reason": "x"})
    assert response.status_code == expected


@pytest.mark.parametrize(
    ("by", "expected"), [(None, 404), ("outsider", 404), ("vic", 200), ("ann", 200), ("max", 200)]
)
async def test_draws_of_a_private_room_are_its_members(
    stage: Stage, by: str | None, expected: int
) -> None:
    await fetch('UPDATE rooms SET "isPublic" = false')
    await stage.announce()
    await stage.ok("POST", "/1/close")
    for public, status in ((False, expected), (True, 200)):
        await fetch('UPDATE rooms SET "isPublic" = $1', public)
        for path in READINGS:
            assert (await stage.send("GET", path, by=by)).status_code == status
    await fetch('UPDATE rooms SET "isPublic" = false')
    if by == "outsider":
        for method, path, body in STEPS:
            assert (await stage.send(method, path, by=by, json=body)).status_code == 404


async def test_a_revoked_winners_unit_is_drawn_again(stage: Stage) -> None:
    first = await stage.drawn()
    row = await fetchrow('SELECT id, "participantId" FROM winners WHERE "prizeId" = \'phone\'')
    assert row is not None
    await stage.refused(409, "POST", json={"replaces": row["id"]})
    headers = {"authorization": f"Bearer {stage.tokens['olga']}"}
    await stage.client.delete(f"/api/v1/rooms/room/winners/{row['id']}", headers=headers)
    await stage.refused(
        400, "POST", json={"replaces": row["id"], "prizes": [{"id": "phone", "quantity": 2}]}
    )
    exclusions = [{"participantId": row["participantId"], "reason": "Could not be reached."}]
    second = await stage.drawn(replaces=row["id"], exclusions=exclusions)
    assert second["prizes"] == [{"id": "phone", "quantity": 1}]
    assert second["replaces"] == row["id"]
    assert second["commitment"] != first["commitment"]
    assert second["winners"][0]["participantId"] not in {
        win["participantId"] for win in first["winners"]
    }
    assert check(*await stage.files(2)).passed
    await fetch('UPDATE prizes SET quantity = 9, "quantityRemaining" = 5')
    error = await stage.refused(409, "POST", json={"replaces": row["id"]})
    assert "drawn again already" in error["message"]


async def test_a_redraw_that_was_cancelled_can_be_announced_again(stage: Stage) -> None:
    await stage.drawn()
    winner = await fetchval("SELECT id FROM winners WHERE \"prizeId\" = 'phone'")
    headers = {"authorization": f"Bearer {stage.tokens['olga']}"}
    await stage.client.delete(f"/api/v1/rooms/room/winners/{winner}", headers=headers)
    await stage.announce(replaces=winner)
    await stage.ok("DELETE", "/2", json={"reason": "x"})
    assert (await stage.announce(replaces=winner))["number"] == 3


def whys(drawn: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Return what was not awarded: of which prize, at which place, and why."""
    return [(each["prizeId"], each["place"], each["reason"]) for each in drawn["unawarded"]]


async def test_where_units_lack_the_last_places_go_without(stage: Stage) -> None:
    await stage.announce(prizes=[{"id": "book"}, {"id": "phone"}])
    await stage.ok("POST", "/1/close")
    await fetch("UPDATE prizes SET \"quantityRemaining\" = 1 WHERE id = 'book'")
    await fetch("UPDATE prizes SET \"deletedAt\" = now() WHERE id = 'phone'")
    drawn = await stage.ok("POST", "/1/draw")
    assert (drawn["status"], len(drawn["winners"]), drawn["undrawn"]) == ("DRAWN", 3, 0)
    assert whys(drawn) == [("book", 2, "NO_STOCK"), ("phone", 3, "NO_STOCK")]
    assert (
        await fetchval('SELECT "participantId" FROM winners')
        == (drawn["winners"][0]["participantId"])
    )
    assert (await stock("book"), await stock("phone")) == (0, 1)
    assert check(*await stage.files()).passed


async def test_who_holds_the_prize_already_wins_and_is_not_given_another(stage: Stage) -> None:
    await stage.announce(prizes=[{"id": "book"}], onePrizeEach=False)
    await stage.ok("POST", "/1/close")
    await fetch('UPDATE prizes SET quantity = 9, "quantityRemaining" = 4')
    for name in PLAYERS:
        await fetch(
            'INSERT INTO winners (id, "roomId", "participantId", "prizeId") '
            "VALUES ($1, 'room', $1, 'book')",
            name,
        )
    drawn = await stage.ok("POST", "/1/draw")
    assert whys(drawn) == [("book", 1, "HOLDS_PRIZE"), ("book", 2, "HOLDS_PRIZE")]
    assert await stock("book") == 4
    assert check(*await stage.files()).passed


async def test_who_left_after_the_close_still_wins(stage: Stage) -> None:
    await stage.announce()
    await stage.ok("POST", "/1/close")
    await fetch('UPDATE participants SET "deletedAt" = now()  WHERE id = ANY($1)', PLAYERS)
    assert len((await stage.ok("POST", "/1/draw"))["winners"]) == 3
    assert await fetchval("SELECT count(*) FROM winners") == 3


async def test_an_erased_person_leaves_the_draw_verifiable(stage: Stage) -> None:
    await stage.announce()
    await stage.ok("POST", "/1/close")
    await fetch("DELETE FROM users WHERE id = 'ann'")
    drawn = await stage.ok("POST", "/1/draw")
    files = await stage.files()
    await fetch("DELETE FROM users WHERE id = ANY($1)", PLAYERS)
    record, entrants = await stage.files()
    assert check(record, entrants).passed
    assert entrants.startswith(b"ann 1\n")
    assert (record, entrants) == files
    units = [win for win in drawn["winners"] if win["participantId"] != "ann"]
    assert await stock("phone") + await stock("book") == 3 - len(units)


async def test_entrants_are_sent_in_pieces_of_their_parts(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.draws.closing.ENTRANTS_PER_PART", 2)
    monkeypatch.setattr("app.draws.reading.PARTS_PER_READ", 2)
    drawn = await stage.drawn()
    assert await fetchval("SELECT count(*) FROM draw_entrants") == 3
    assert drawn["entrantCount"] == 5
    record, entrants = await stage.files()
    assert check(record, entrants).passed
    response = await stage.send("GET", "/1/entrants.txt")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


async def test_too_large_a_draw_is_refused(stage: Stage) -> None:
    await fetch('UPDATE prizes SET quantity = 200000, "quantityRemaining" = 200000')
    error = await stage.refused(400, "POST", json={})
    assert "$.prizes" in error["details"]["fields"]
