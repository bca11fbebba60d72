"""Nobody has any freedom: what an organizer, a participant or an operator could try, over HTTP."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from app.database.engine import fetch, fetchrow, fetchval, transaction
from app.draws import announcing, drawing
from app.draws.closing import REVOKED
from app.draws.ranking import Plan, draw_winners, seed_of
from app.draws.record import check, read_entrants
from tests.draws import vectors
from tests.draws.conftest import (
    PLAYERS,
    TEXT,
    Publish,
    Stage,
    check_stock,
    drand_round,
    moderator,
    terms,
    weigh,
)
from tests.logged import LINES
from tests.waiting import eventually, is_held_up

ROOM = "/api/v1/rooms/room"


async def ask(
    stage: Stage,
    method: str,
    path: str,
    *,
    by: str = "olga",
    json: Any = None,
    key: str | None = None,
) -> httpx.Response:
    headers = {"authorization": f"Bearer {stage.tokens[by]}"}
    if key is not None:
        headers["idempotency-key"] = key
    return await stage.client.request(method, path, json=json, headers=headers)


async def done(stage: Stage, method: str, path: str, **options: Any) -> Any:
    answer = await ask(stage, method, path, **options)
    assert answer.is_success, answer.text
    return answer.json()["data"]


async def statuses() -> list[tuple[int, str]]:
    rows = await fetch("SELECT number, status FROM draws ORDER BY number")
    return [(row["number"], row["status"]) for row in rows]


async def winners_by(text: str, number: int = 1) -> list[str]:
    """Compute who would win with a text, as only who knows the secret can."""
    row = await fetchrow("SELECT * FROM draws WHERE number = $1", number)
    assert row is not None
    lines = await fetchval(
        "SELECT string_agg(lines, '' ORDER BY part) FROM draw_entrants WHERE \"drawId\" = $1",
        row["id"],
    )
    seed = seed_of(row["secret"], row["plan"].encode(), text.encode())
    plan = msgspec.json.decode(row["plan"], type=Plan)
    outcome = draw_winners(plan, seed, [*read_entrants(lines.encode())])
    return [win.participantId for win in outcome.winners]


def named(answer: str) -> set[str]:
    """Return which of the players a text tells."""
    return {name for name in PLAYERS if f'"{name}"' in answer}


async def record(stage: Stage, number: int = 1, by: str | None = None) -> dict[str, Any]:
    """Read a record that checks out."""
    record_json, entrants = await stage.files(number, by)
    document: dict[str, Any] = json.loads(record_json)
    result = check(record_json, b"" if document["plan"] is None else entrants)
    assert result.passed, result.steps[-1]
    return document


# An organizer tries one text after another.


async def test_no_text_can_be_tried_out(stage: Stage) -> None:
    """Everybody holds the prize for a moment, so that no attempt can award anything."""
    await fetch('UPDATE prizes SET quantity = 9, "quantityRemaining" = 9')
    await stage.announce(entropy=TEXT, prizes=[{"id": "book", "quantity": 1}])
    await stage.ok("POST", "/1/close")
    for name in PLAYERS:
        award = {"participantId": name, "prizeId": "book"}
        await done(stage, "POST", f"{ROOM}/winners", json=award)
    texts = ["11111", "22222", "33333", "44444", "55555", "66666"]
    would_win = [(await winners_by(text))[0] for text in texts]
    assert len(set(would_win)) > 1
    (first, *others), winner = texts, would_win[0]
    answers = [await stage.send("POST", "/1/draw", json={"public": text}) for text in texts]
    assert [answer.status_code for answer in answers] == [200, *[409] * len(others)]
    for answer in answers[1:]:
        assert not named(answer.text)
        assert answer.json()["error"]["details"] == {}
    drawn = await record(stage)
    assert (drawn["status"], bytes.fromhex(drawn["public"]).decode()) == ("DRAWN", first)
    assert [win["participantId"] for win in drawn["winners"]] == [winner]
    assert drawn["unawarded"] == [
        {"prizeId": "book", "participantId": winner, "place": 1, "reason": "HOLDS_PRIZE"}
    ]
    await check_stock()


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_failure_in_the_middle_takes_no_input_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    """Not even where a request and the record of its answer would be one transaction."""
    await stage.announce(entropy=TEXT)
    await stage.ok("POST", "/1/close")
    row = await fetchrow("SELECT secret, plan FROM draws")
    assert row is not None
    seed = seed_of(row["secret"], row["plan"].encode(), b"42615").hex()

    async def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of paper")

    path = f"{ROOM}/draws/1/draw"
    with monkeypatch.context() as broken:
        broken.setattr(drawing, "award_winners", fail)
        answer = await ask(stage, "POST", path, json={"public": "42615"}, key=key)
        assert answer.status_code == 500
    assert await statuses() == [(1, "READY")]
    told = [answer.text, *LINES, str(await fetch("SELECT before, after FROM audit_log"))]
    assert not [text for text in told if row["secret"].hex() in text or seed in text]
    assert not named(answer.text)
    other = {"public": "11111"}
    assert (await ask(stage, "POST", path, json=other, key=key)).status_code == 409
    again = await ask(stage, "POST", path, json={"public": "42615"}, key=key)
    assert (again.status_code, again.json()["data"]["status"]) == (200, "DRAWN")
    assert await winners_by("42615") == [
        win["participantId"] for win in (await record(stage))["winners"]
    ]


async def test_no_step_is_part_of_a_longer_transaction(stage: Stage) -> None:
    await stage.announce()
    with pytest.raises(AssertionError, match="committed by itself"):
        async with transaction():
            await announcing.announce(moderator(), terms())


async def test_no_refusal_names_anybody_whom_a_draw_would_give(stage: Stage) -> None:
    """Whatever is asked of a draw in whatever state; nothing of it tells a participant's id."""
    asked: list[tuple[str, str, Any]] = [
        ("POST", "", {}),
        ("POST", "", {"immediate": True}),
        ("POST", "/1/close", None),
        ("POST", "/1/draw", None),
        ("POST", "/1/draw", {"public": "x"}),
        ("POST", "/1/draw", {"public": "123456"}),
        ("POST", "/1/draw", {"signature": "00"}),
        ("DELETE", "/1", None),
    ]
    await stage.announce(entropy=TEXT)
    refusals = []
    for step in (None, ("/1/close", None), ("/1/draw", {"public": "11111"})):
        if step is not None:
            await stage.ok("POST", step[0], json=step[1])
        for method, path, body in asked:
            if (path, body) == ("/1/close", None) and step is None:
                continue
            answer = await stage.send(method, path, json=body)
            if answer.is_client_error:
                refusals.append(answer)
            if step is not None and step[0] == "/1/draw" and path == "" and answer.is_success:
                number = answer.json()["data"]["number"]
                await stage.send("DELETE", f"/{number}", json={"reason": "next"})
    assert len(refusals) > 15
    assert not [named(answer.text) for answer in refusals if named(answer.text)]


# An organizer repeats an immediate draw.


async def test_each_immediate_draw_leaves_its_number_whatever_becomes_of_it(stage: Stage) -> None:
    await weigh("ann", {"tickets": "many"})
    for number in (1, 2, 3):
        body = {"immediate": True, "weightKey": "tickets"}
        answer = await stage.send("POST", json=body)
        error = answer.json()["error"]
        assert answer.status_code == 409
        assert error["details"] == {"participants": ["ann"], "number": number}
        assert (await stage.send("POST", json=body)).status_code == 409  # It is open.
        await stage.ok("DELETE", f"/{number}", json={"reason": "not this one"})
        shown = await record(stage, number)
        assert (shown["immediate"], shown["status"]) == (True, "CANCELLED")
    await weigh("ann", {"tickets": 1})
    drawn = await stage.ok("POST", json={"immediate": True, "weightKey": "tickets"})
    assert (drawn["number"], drawn["status"]) == (4, "DRAWN")
    assert [number for number, _ in await statuses()] == [1, 2, 3, 4]


async def test_an_immediate_draw_that_was_refused_goes_on_when_that_is_put_right(
    stage: Stage,
) -> None:
    await weigh("ann", {"tickets": 0})
    body = {"immediate": True, "weightKey": "tickets"}
    assert (await stage.send("POST", json=body)).status_code == 409
    assert await statuses() == [(1, "ANNOUNCED")]
    commitment = (await stage.ok("GET", "/1"))["commitment"]
    await weigh("ann", {"tickets": 5.0})
    await stage.ok("POST", "/1/close")
    await stage.ok("POST", "/1/draw")
    drawn = await record(stage)
    assert (drawn["commitment"], drawn["immediate"]) == (commitment, True)


async def test_an_immediate_draw_with_a_key_is_one_draw_however_often_it_is_sent(
    stage: Stage,
) -> None:
    await weigh("ann", {"tickets": 0})
    body = {"immediate": True, "weightKey": "tickets"}
    path = f"{ROOM}/draws"
    for _ in range(3):
        answer = await ask(stage, "POST", path, json=body, key="k")
        assert (answer.status_code, answer.json()["error"]["details"]["number"]) == (409, 1)
    await weigh("ann", {"tickets": 1})
    drawn = await ask(stage, "POST", path, json=body, key="k")
    assert (drawn.status_code, drawn.json()["data"]["status"]) == (201, "DRAWN")
    again = await ask(stage, "POST", path, json=body, key="k")
    assert (again.content, again.headers["idempotency-replayed"]) == (drawn.content, "true")
    assert again.headers["location"] == f"{path}/1"
    other = await ask(stage, "POST", path, json={}, key="k")
    assert (other.status_code, await statuses()) == (409, [(1, "DRAWN")])


async def test_of_many_requests_with_one_key_at_once_one_draw_comes(stage: Stage) -> None:
    body = {"immediate": True}
    calls = [ask(stage, "POST", f"{ROOM}/draws", json=body, key="k") for _ in range(8)]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert 201 in {answer.status_code for answer in answers}
    assert await statuses() == [(1, "DRAWN")]
    assert await fetchval("SELECT count(*) FROM winners") == 3
    last = await ask(stage, "POST", f"{ROOM}/draws", json=body, key="k")
    assert (last.status_code, last.json()["data"]["number"]) == (201, 1)


async def test_a_key_that_is_forgotten_announces_another_draw(stage: Stage) -> None:
    prizes = {"prizes": [{"id": "book", "quantity": 1}], "immediate": True}
    for number in (1, 2):
        answer = await done(stage, "POST", f"{ROOM}/draws", json=prizes, key="k")
        assert answer["number"] == number
        await fetch("UPDATE idempotency_keys SET \"expiresAt\" = now() - interval '1 s'")


async def test_steps_with_a_key_are_done_once(stage: Stage) -> None:
    await done(stage, "POST", f"{ROOM}/draws", json={"entropy": TEXT}, key="announce")
    again = await done(stage, "POST", f"{ROOM}/draws", json={"entropy": TEXT}, key="announce")
    assert again["number"] == 1
    for step, body in (("close", None), ("draw", {"public": "42615"})):
        first = await ask(stage, "POST", f"{ROOM}/draws/1/{step}", json=body, key=step)
        second = await ask(stage, "POST", f"{ROOM}/draws/1/{step}", json=body, key=step)
        assert (first.status_code, second.content) == (200, first.content)
        assert second.headers["idempotency-replayed"] == "true"


# Who takes part, and who does not.


async def left_out(stage: Stage) -> dict[str, Any]:
    await stage.ok("POST", "/1/close")
    shown = (await stage.send("GET", "/1/record", by=None)).json()["leftOut"]
    assert shown == (await stage.ok("GET", "/1"))["leftOut"]
    found: dict[str, Any] = {name: ids for name, ids in shown.items() if ids}
    return found


async def test_whoever_loses_the_role_over_the_close_is_shown(stage: Stage) -> None:
    await done(stage, "PATCH", f"{ROOM}/participants/eva", json={"role": "VIEWER"})
    await stage.announce()
    people = f"{ROOM}/participants"
    for name, roles in {
        "ann": ["VIEWER"],
        "ben": ["VIEWER", "PARTICIPANT"],
        "cem": ["MODERATOR"],
        "dan": ["VIEWER", "PARTICIPANT", "VIEWER"],
    }.items():
        for role in roles:
            await done(stage, "PATCH", f"{people}/{name}", json={"role": role})
    assert await left_out(stage) == {"otherRole": ["ann", "cem", "dan"]}
    for name in ("ann", "dan"):
        await done(stage, "PATCH", f"{people}/{name}", json={"role": "PARTICIPANT"})
    await stage.ok("POST", "/1/draw")
    assert (await record(stage))["leftOut"]["otherRole"] == ["ann", "cem", "dan"]
    assert (await stage.files())[1] == b"ben 1\n"


async def test_whoever_is_gone_before_the_close_is_shown(stage: Stage) -> None:
    people = f"{ROOM}/participants"
    await done(stage, "DELETE", f"{people}/vic")
    await stage.announce()
    await done(stage, "DELETE", f"{people}/ann")
    await done(stage, "DELETE", f"{people}/me", by="ben")
    await done(stage, "DELETE", "/api/v1/users/cem", by="cem")
    await done(stage, "PATCH", f"{people}/dan", json={"role": "VIEWER"})
    await done(stage, "DELETE", f"{people}/dan")
    assert await left_out(stage) == {"left": ["ann", "ben", "cem", "dan"]}


async def test_who_is_taken_out_while_it_is_announced_is_shown(stage: Stage, database: str) -> None:
    """Though that was asked for before, and had to wait for the announcement."""
    connection = await asyncpg.connect(database)
    async with connection.transaction():
        await connection.execute("UPDATE participants SET role = 'VIEWER' WHERE id = 'eva'")
        announcing = asyncio.create_task(stage.announce())
        assert await is_held_up(announcing)
        removing = asyncio.create_task(done(stage, "DELETE", f"{ROOM}/participants/ann"))
        await eventually(lambda: fetchval("SELECT count(*) > 1 FROM pg_locks WHERE NOT granted"))
    await asyncio.gather(announcing, removing)
    await connection.close()
    assert await left_out(stage) == {"left": ["ann"]}


async def test_who_comes_back_takes_part(stage: Stage) -> None:
    await stage.announce()
    await done(stage, "DELETE", f"{ROOM}/participants/me", by="ann")
    await done(stage, "POST", f"{ROOM}/participants", by="ann")
    assert await left_out(stage) == {}
    assert b"ann 1\n" in (await stage.files())[1]


@pytest.mark.parametrize("one_prize_each", [True, False])
async def test_holders_are_shown_where_they_are_left_out(
    stage: Stage, *, one_prize_each: bool
) -> None:
    for name in ("ben", "ann"):
        award = {"participantId": name, "prizeId": "book"}
        await done(stage, "POST", f"{ROOM}/winners", json=award)
    exclusions = [{"participantId": "ann", "reason": "Works here."}]
    await stage.announce(
        prizes=[{"id": "phone"}], exclusions=exclusions, onePrizeEach=one_prize_each
    )
    assert await left_out(stage) == ({"holders": ["ben"]} if one_prize_each else {})


# Redraws.


async def revoke(stage: Stage, participant_id: str) -> str:
    winner = await fetchval(
        'SELECT id FROM winners WHERE "participantId" = $1 AND "deletedAt" IS NULL', participant_id
    )
    await done(stage, "DELETE", f"{ROOM}/winners/{winner}")
    return str(winner)


async def only_winner(stage: Stage, **announcement: Any) -> tuple[str, str]:
    """Draw the phone; return who won it and the award's id, which is revoked."""
    [win] = (await stage.drawn(prizes=[{"id": "phone"}], **announcement))["winners"]
    return win["participantId"], await revoke(stage, win["participantId"])


async def test_a_redraw_leaves_out_everybody_who_won_it_before(stage: Stage) -> None:
    first, replaced = await only_winner(stage)
    told = [{"participantId": first, "winnerId": replaced, "reason": REVOKED}]
    second, replaced_again = await only_winner(stage, replaces=replaced)
    assert (await record(stage, 2))["leftOut"]["revoked"] == told
    await stage.drawn(replaces=replaced_again)
    shown = await record(stage, 3)
    told.append({"participantId": second, "winnerId": replaced_again, "reason": REVOKED})
    assert shown["leftOut"]["revoked"] == sorted(told, key=lambda each: each["participantId"])
    assert shown["winners"][0]["participantId"] not in {first, second}
    assert shown["plan"]["entrantCount"] == 3


async def test_a_redraw_lets_them_take_part_where_that_is_announced(stage: Stage) -> None:
    _, replaced = await only_winner(stage)
    announced = await stage.announce(replaces=replaced, allowRevoked=True)
    assert announced["allowRevoked"] is True
    await stage.ok("POST", "/2/close")
    await stage.ok("POST", "/2/draw")
    shown = await record(stage, 2)
    assert (shown["allowRevoked"], shown["leftOut"]["revoked"]) == (True, [])
    assert shown["plan"]["entrantCount"] == 5


async def test_an_award_by_hand_that_was_taken_back_keeps_nobody_out(stage: Stage) -> None:
    """Else an organizer could give a rival the prize for a moment before a redraw."""
    await fetch("UPDATE prizes SET quantity = 3, \"quantityRemaining\" = 3 WHERE id = 'phone'")
    rival = "eva"
    drawn = await stage.drawn(
        prizes=[{"id": "phone", "quantity": 1}],
        exclusions=[{"participantId": rival, "reason": "Late."}],
    )
    replaced = await revoke(stage, drawn["winners"][0]["participantId"])
    award = {"participantId": rival, "prizeId": "phone"}
    await done(stage, "POST", f"{ROOM}/winners", json=award)
    await revoke(stage, rival)
    await stage.drawn(replaces=replaced)
    shown = await record(stage, 2)
    assert rival not in {each["participantId"] for each in shown["leftOut"]["revoked"]}
    assert f"{rival} 1\n".encode() in (await stage.files(2))[1]


# People who are gone, rooms that are gone.


async def delete_accounts(stage: Stage, people: Sequence[str]) -> None:
    for name in people:
        await done(stage, "DELETE", f"/api/v1/users/{name}", by=name)


async def test_whose_account_is_gone_is_passed_over_and_the_next_gets_the_unit(
    stage: Stage,
) -> None:
    await stage.announce(entropy=TEXT, prizes=[{"id": "phone"}, {"id": "book", "quantity": 1}])
    await stage.ok("POST", "/1/close")
    order = await winners_by("42615")
    await delete_accounts(stage, order[:1])
    drawn = await stage.ok("POST", "/1/draw", json={"public": "42615"})
    assert drawn["passed"] == [
        {"prizeId": "phone", "participantId": order[0], "place": 1, "reason": "GONE"}
    ]
    assert [(win["prizeId"], win["place"]) for win in drawn["winners"]] == [
        ("phone", 2),
        ("book", 3),
    ]
    assert drawn["winners"][0]["participantId"] == order[1]
    shown = await record(stage)
    assert shown["passed"] == drawn["passed"]
    awarded = {row["participantId"] for row in await fetch('SELECT "participantId" FROM winners')}
    assert awarded == {win["participantId"] for win in drawn["winners"]}
    await check_stock()


@pytest.mark.parametrize("one_prize_each", [True, False])
async def test_many_who_are_gone_are_passed_over(stage: Stage, *, one_prize_each: bool) -> None:
    await stage.announce(onePrizeEach=one_prize_each)
    await stage.ok("POST", "/1/close")
    await delete_accounts(stage, PLAYERS[:4])
    drawn = await stage.ok("POST", "/1/draw")
    assert {win["participantId"] for win in drawn["winners"]} == {"eva"}
    assert {each["participantId"] for each in drawn["passed"]} <= set(PLAYERS[:4])
    assert drawn["undrawn"] == (2 if one_prize_each else 1)
    await record(stage)
    await check_stock()


async def test_whom_an_organizer_takes_out_after_the_close_still_wins(stage: Stage) -> None:
    await stage.announce(prizes=[{"id": "phone"}])
    await stage.ok("POST", "/1/close")
    [winner] = await winners_by("")
    await done(stage, "DELETE", f"{ROOM}/participants/{winner}")
    drawn = await stage.ok("POST", "/1/draw")
    assert [win["participantId"] for win in drawn["winners"]] == [winner]
    assert (drawn["passed"], drawn["unawarded"]) == ([], [])
    await record(stage)


READINGS = ["", "/1", "/1/record", "/1/entrants.txt"]


async def read_by(stage: Stage, by: str | None) -> list[int]:
    return [(await stage.send("GET", path, by=by)).status_code for path in READINGS]


@pytest.mark.parametrize("change", ["delete", "hide"])
async def test_what_was_public_stays_public(stage: Stage, change: str) -> None:
    await stage.drawn()
    before = await stage.files()
    if change == "delete":
        await done(stage, "DELETE", ROOM)
    else:
        await done(stage, "PATCH", ROOM, json={"isPublic": False})
    for by in (None, "outsider", "ann"):
        assert await read_by(stage, by) == [200] * 4
        assert await stage.files(by=by) == before
    for method, path in (("POST", ""), ("POST", "/1/draw"), ("DELETE", "/1?reason=x")):
        assert (await stage.send(method, path, by="outsider")).status_code in {403, 404}
    answer = await stage.client.get(ROOM)
    assert answer.status_code == 404


async def test_what_was_private_stays_its_members(stage: Stage) -> None:
    await done(stage, "PATCH", ROOM, json={"isPublic": False})
    await stage.drawn()
    await done(stage, "DELETE", ROOM)
    assert await read_by(stage, "ann") == [200] * 4
    nowhere = await stage.client.get("/api/v1/rooms/nowhere/draws")
    for by in (None, "outsider"):
        assert await read_by(stage, by) == [404] * 4
        shown = (await stage.send("GET", "", by=by)).json()["error"]
        assert shown["message"] == nowhere.json()["error"]["message"]


async def test_of_a_room_that_was_public_for_a_time_strangers_see_what_was_public(
    stage: Stage,
) -> None:
    one = [{"id": "book", "quantity": 1}]
    await stage.drawn(prizes=one)
    await done(stage, "PATCH", ROOM, json={"isPublic": False})
    await stage.drawn(prizes=one)
    for change in (None, ("DELETE", ROOM)):
        if change is not None:
            await done(stage, *change)
        listed = (await stage.send("GET", "", by="outsider")).json()
        assert ([each["number"] for each in listed["data"]], listed["meta"]["total"]) == ([1], 1)
        for name in ("", "/record", "/entrants.txt"):
            assert (await stage.send("GET", f"/1{name}", by=None)).status_code == 200
            assert (await stage.send("GET", f"/2{name}", by=None)).status_code == 404
            assert (await stage.send("GET", f"/2{name}", by="ann")).status_code == 200


@pytest.mark.parametrize("end", ["DELETE", "PATCH"])
async def test_what_was_announced_in_private_and_shown_in_public_stays_public(
    stage: Stage, end: str
) -> None:
    await done(stage, "PATCH", ROOM, json={"isPublic": False})
    one = [{"id": "book", "quantity": 1}]
    await stage.drawn(prizes=one)
    assert await read_by(stage, None) == [404] * 4
    await done(stage, "PATCH", ROOM, json={"isPublic": True})
    before = await stage.files()
    await done(stage, end, ROOM, json={"isPublic": False} if end == "PATCH" else None)
    if end == "PATCH":
        await stage.drawn(prizes=one)
    for by in (None, "outsider"):
        assert await read_by(stage, by) == [200] * 4
        assert await stage.files(by=by) == before
        listed = (await stage.send("GET", "", by=by)).json()["data"]
        assert [each["number"] for each in listed] == [1]


@pytest.mark.parametrize("closed", [False, True])
async def test_a_room_that_is_deleted_cancels_its_open_draw_for_all_to_see(
    stage: Stage, *, closed: bool
) -> None:
    await stage.announce()
    if closed:
        await stage.ok("POST", "/1/close")
    await done(stage, "DELETE", ROOM)
    shown = await record(stage)
    assert (shown["status"], shown["reason"]) == ("CANCELLED", "The room was deleted.")
    assert shown["secret"] is not None
    assert await fetchval(
        "SELECT count(*) FROM audit_log WHERE \"tableName\" = 'draws' "
        "AND after ->> 'status' = 'CANCELLED'"
    )


async def test_who_deletes_the_account_with_the_room_cancels_its_draw_as_visibly(
    stage: Stage,
) -> None:
    await stage.announce()
    await delete_accounts(stage, ["olga"])
    assert (await record(stage))["reason"] == "The room was deleted."


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED"])
async def test_no_room_ends_with_a_draw_that_nobody_will_ever_see_the_end_of(
    stage: Stage, status: str
) -> None:
    await stage.announce(prizes=[{"id": "phone"}])
    for step in ("/1/close", "/1/draw"):
        answer = await ask(stage, "PATCH", ROOM, json={"status": status})
        assert (answer.status_code, answer.json()["error"]["details"]) == (409, {"draw": 1})
        await done(stage, "PATCH", ROOM, json={"name": "Another name"})
        await stage.ok("POST", step)
    await done(stage, "PATCH", ROOM, json={"status": status})
    assert (await record(stage))["status"] == "DRAWN"


# What else may change between the steps.


async def test_what_was_announced_is_drawn_whatever_is_changed_meanwhile(stage: Stage) -> None:
    announced = await stage.announce(weightKey="tickets", prizes=[{"id": "book"}])
    await done(stage, "PATCH", f"{ROOM}/prizes/book", json={"quantity": 7})
    await done(stage, "POST", f"{ROOM}/prizes", json={"name": "Bike"})
    await done(stage, "PATCH", f"{ROOM}/participants/ann", json={"metadata": {"tickets": 3}})
    await stage.ok("POST", "/1/close")
    entrants = (await stage.files())[1]
    assert entrants == b"ann 3\nben 1\ncem 1\ndan 1\neva 1\n"
    # From here on nothing counts but the public input.
    await done(stage, "PATCH", f"{ROOM}/participants/ann", json={"metadata": {"tickets": 1000}})
    await done(stage, "DELETE", f"{ROOM}/participants/ben")
    await done(stage, "PATCH", f"{ROOM}/prizes/book", json={"quantity": 1})
    winners = await winners_by("")
    drawn = await stage.ok("POST", "/1/draw")
    assert drawn["prizes"] == announced["prizes"]
    assert [win["participantId"] for win in drawn["winners"]] == winners
    assert [each["reason"] for each in drawn["unawarded"]] == ["NO_STOCK"]
    assert (await stage.files())[1] == entrants
    await record(stage)
    await check_stock()


# The clock is nobody's: it may be set back, and another server's may be behind.


async def set_back(column: str) -> None:
    """Let a step have been taken an hour from now."""
    async with transaction():
        await fetch("SET LOCAL session_replication_role = replica")
        await fetch(f'UPDATE draws SET "{column}" = "{column}" + interval \'1 hour\'')


@pytest.mark.parametrize("end", ["draw", "cancel", "delete the room"])
@pytest.mark.parametrize("column", ["announcedAt", "closedAt"])
async def test_a_true_record_checks_out_though_the_clock_was_set_back(
    stage: Stage, column: str, end: str
) -> None:
    await stage.announce()
    if column == "announcedAt":
        await set_back(column)
    await stage.ok("POST", "/1/close")
    if column == "closedAt":
        await set_back(column)
    if end == "cancel":
        await stage.ok("DELETE", "/1", json={"reason": "Rain."})
    elif end == "delete the room":
        await done(stage, "DELETE", ROOM)
    else:
        await stage.ok("POST", "/1/draw")
    await record(stage)


async def test_a_clock_that_is_set_back_while_it_draws_is_no_harm(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix = drawing._fix_input

    async def fix_and_set_back(*arguments: Any) -> None:
        await fix(*arguments)
        await set_back("readyAt")

    monkeypatch.setattr(drawing, "_fix_input", fix_and_set_back)
    await stage.drawn()
    await record(stage)


async def test_a_round_was_published_before_it_was_fixed_though_the_clock_was_set_back(
    stage: Stage, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.announce(entropy=drand_round())
    await stage.ok("POST", "/1/close")
    genuine = drawing._drand_entropy

    async def ask_before(announced: asyncpg.Record, *arguments: Any) -> Any:
        publish(timedelta(seconds=-1))
        found = await genuine(announced, *arguments)
        publish(timedelta(hours=1))
        return found

    monkeypatch.setattr(drawing, "_drand_entropy", ask_before)
    await stage.ok("POST", "/1/draw", json={"signature": vectors.SIGNATURE})
    await record(stage)
