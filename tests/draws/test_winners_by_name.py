"""Who won a draw, as the room's lists call them, and what became of each win."""

from typing import Any

import httpx
import pytest

from app.database.engine import fetch
from app.draws import reading
from tests.draws.conftest import Stage


async def wins(stage: Stage, number: int = 1, by: str | None = None) -> Any:
    answer = await stage.send("GET", f"/{number}/winners", by=by)
    assert answer.is_success, answer.text
    return answer.json()["data"]


async def awarding(stage: Stage, method: str, path: str = "", **body: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {stage.tokens['olga']}"}
    return await stage.client.request(
        method, f"/api/v1/rooms/room/winners{path}", headers=headers, **body
    )


async def revoke(stage: Stage, winner_id: str) -> None:
    assert (await awarding(stage, "DELETE", f"/{winner_id}")).is_success


async def test_winners_are_named_in_their_order(stage: Stage) -> None:
    await stage.announce()
    assert await wins(stage) == {"replaced": None, "wins": []}
    await stage.ok("POST", "/1/close")
    drawn = await stage.ok("POST", "/1/draw")
    awards = {
        (row["participantId"], row["prizeId"]): row["id"] for row in await fetch("TABLE winners")
    }
    named = await wins(stage)
    assert named["replaced"] is None
    assert named["wins"] == [
        {
            "participantId": win["participantId"],
            "name": win["participantId"],
            "prizeId": win["prizeId"],
            "prizeName": win["prizeId"],
            "drawnIn": 1,
            "winnerId": awards[win["participantId"], win["prizeId"]],
            "claim": None,
            "takesOverFrom": None,
            "revokedAt": None,
            "redrawnIn": None,
        }
        for win in drawn["winners"]
    ]


async def test_what_was_taken_back_keeps_its_name_and_leads_to_the_redraw(stage: Stage) -> None:
    await stage.drawn(prizes=[{"id": "phone"}])
    [first] = (await wins(stage))["wins"]
    await revoke(stage, first["winnerId"])
    [taken] = (await wins(stage))["wins"]
    assert taken["revokedAt"]
    assert {**taken, "revokedAt": None} == first

    await stage.announce(replaces=first["winnerId"])
    assert (await wins(stage, 2)) == {"replaced": {**taken, "redrawnIn": 2}, "wins": []}
    assert (await wins(stage))["wins"][0]["redrawnIn"] == 2
    # What is given up draws nothing again.
    await stage.ok("DELETE", "/2", json={"reason": "next"})
    assert (await wins(stage))["wins"][0]["redrawnIn"] is None
    await stage.drawn(replaces=first["winnerId"])
    again = await wins(stage, 3)
    assert (again["replaced"]["name"], again["replaced"]["drawnIn"]) == (first["name"], 1)
    assert [win["drawnIn"] for win in again["wins"]] == [3]
    assert again["wins"][0]["participantId"] != first["participantId"]


async def test_what_was_awarded_by_hand_came_from_no_draw(stage: Stage) -> None:
    award = {"participantId": "ann", "prizeId": "phone"}
    given = (await awarding(stage, "POST", json=award)).json()["data"]["id"]
    await revoke(stage, given)
    await stage.announce(replaces=given)
    replaced = (await wins(stage))["replaced"]
    assert (replaced["participantId"], replaced["drawnIn"]) == ("ann", None)


async def test_an_award_by_hand_passes_for_no_win_of_the_draw(stage: Stage) -> None:
    await stage.drawn(prizes=[{"id": "phone"}])
    [win] = (await wins(stage))["wins"]
    await revoke(stage, win["winnerId"])
    await fetch(
        'INSERT INTO winners (id, "roomId", "participantId", "prizeId", metadata, "createdAt") '
        'SELECT $2, "roomId", "participantId", "prizeId", metadata, now() FROM winners '
        "WHERE id = $1",
        win["winnerId"],
        "forged",
    )
    [told] = (await wins(stage))["wins"]
    assert (told["winnerId"], bool(told["revokedAt"])) == (win["winnerId"], True)


async def test_what_was_not_awarded_has_no_award(stage: Stage) -> None:
    await stage.announce(prizes=[{"id": "phone"}])
    await stage.ok("POST", "/1/close")
    await fetch("UPDATE prizes SET \"quantityRemaining\" = 0 WHERE id = 'phone'")
    await stage.ok("POST", "/1/draw")
    [win] = (await wins(stage))["wins"]
    assert (win["name"], win["winnerId"]) == (win["participantId"], None)


async def test_a_prize_that_is_gone_and_who_has_no_name_have_none(stage: Stage) -> None:
    await stage.announce(prizes=[{"id": "phone"}])
    await stage.ok("POST", "/1/close")
    await fetch("DELETE FROM prizes WHERE id = 'phone'")
    await fetch("UPDATE users SET name = NULL")
    await stage.ok("POST", "/1/draw")
    [win] = (await wins(stage))["wins"]
    assert (win["name"], win["prizeName"]) == (None, None)


@pytest.mark.parametrize(("by", "moderates"), [(None, False), ("vic", False), ("max", True)])
async def test_who_deleted_the_account_is_named_to_moderators_alone(
    stage: Stage, by: str | None, *, moderates: bool
) -> None:
    await stage.drawn(prizes=[{"id": "phone"}])
    [win] = (await wins(stage))["wins"]
    await fetch('UPDATE users SET "deletedAt" = now() WHERE id = $1', win["participantId"])
    [told] = (await wins(stage, by=by))["wins"]
    assert told["name"] == (win["name"] if moderates else "Deleted person")


async def test_a_room_that_is_not_shown_names_nobody(stage: Stage) -> None:
    await stage.drawn()
    for change, hidden_from in (
        ('"isPublic" = false', {None, "outsider"}),
        ('"deletedAt" = now()', {None, "outsider", "ann", "max"}),
    ):
        await fetch(f"UPDATE rooms SET {change} WHERE id = 'room'")
        for by in (None, "outsider", "ann", "max"):
            status = (await stage.send("GET", "/1/winners", by=by)).status_code
            assert (by, status) == (by, 404 if by in hidden_from else 200)


async def test_no_draw_has_no_winners(stage: Stage) -> None:
    await stage.announce()
    assert (await stage.send("GET", "/2/winners")).status_code == 404


async def test_a_large_draw_names_its_first(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = await stage.drawn()
    monkeypatch.setattr(reading, "MOST_NAMED", 2)
    named = (await wins(stage))["wins"]
    assert [win["participantId"] for win in named] == [
        win["participantId"] for win in drawn["winners"][:2]
    ]
