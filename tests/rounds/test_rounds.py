"""A quiz over HTTP: who asks, who answers, who wins, and who sees what."""

import asyncio
import copy
from typing import Any

import httpx
import pytest

from app.database.engine import fetch, fetchval, jsonb
from app.database.seed import QUIZ
from tests import factories
from tests.answers import code_of
from tests.rounds.scene import FIRST, RIGHT, SECOND, THIRD, Player, Quiz, count, settings


async def test_a_quiz_goes_from_its_start_to_its_leaderboard(quiz: Quiz) -> None:
    paul, nora = await quiz.player("Paul"), await quiz.player("Nora")
    started = await quiz.ok("POST", "/quiz")
    assert (started["number"], started["status"], started["leaderboard"]) == (1, "WAITING", [])

    for question, winner, loser in ((FIRST, nora, paul), (SECOND, paul, nora), (THIRD, nora, paul)):
        round_id = await quiz.ask(question)
        assert (await quiz.ok("GET", "/quiz"))["status"] == "QUESTION_ACTIVE"
        wrong = (await quiz.answer(round_id, loser, 2)).json()["data"]
        assert (wrong["isWinning"], wrong["answerIndex"]) == (False, 2)
        assert "isCorrect" not in wrong
        right = (await quiz.answer(round_id, winner, RIGHT[question])).json()["data"]
        assert (right["isWinning"], right["isCorrect"]) == (True, True)
        assert (await quiz.ok("GET", "/quiz"))["status"] == "BETWEEN_ROUNDS"

    finished = await quiz.ok("POST", "/quiz/finish")
    assert (finished["status"], finished["currentQuestionIndex"]) == ("FINISHED", 2)
    assert finished["leaderboard"] == [
        {"participantId": nora.id, "userId": nora.user_id, "participantName": "Nora", "wins": 2},
        {"participantId": paul.id, "userId": paul.user_id, "participantName": "Paul", "wins": 1},
    ]
    assert await quiz.ok("POST", "/quiz/finish") == finished
    assert [each["question"]["id"] for each in await quiz.ok("GET", "/rounds")] == [
        THIRD,
        SECOND,
        FIRST,
    ]


async def test_a_question_is_shown_as_the_settings_have_it_and_never_with_its_answer(
    quiz: Quiz, player: Player
) -> None:
    question = settings()["questions"][1]
    del question["correctIndex"]
    shown = await quiz.ok("POST", "/rounds", {"questionId": SECOND})
    assert (shown["question"], shown["correctIndex"]) == (question, RIGHT[SECOND])
    assert (shown["questionIndex"], shown["totalQuestions"]) == (1, 3)
    assert (shown["closedAt"], shown["winner"]) == (None, None)

    path = f"/rounds/{shown['id']}"
    seen = await quiz.ok("GET", path, by=player)
    assert seen == {name: value for name, value in shown.items() if name != "correctIndex"}
    assert await quiz.ok("GET", "/rounds", by=player) == [seen]
    moderator = await quiz.player(role="MODERATOR")
    assert await quiz.ok("GET", path, by=moderator) == shown


async def test_a_question_may_be_hidden_until_it_is_asked(client: httpx.AsyncClient) -> None:
    manifest = copy.deepcopy(QUIZ)
    manifest["settings"]["properties"]["questions"]["writeOnly"] = True
    quiz = await Quiz(client).open(manifest=manifest)
    player = await quiz.player()
    room = await quiz.ok("GET", "", by=player)
    assert "questions" not in room["appSettings"]
    path = f"/rounds/{await quiz.ask(SECOND)}"
    shown = await quiz.ok("GET", path, by=player)
    assert shown["question"]["text"] == settings()["questions"][1]["text"]


async def test_a_win_is_an_award_of_the_oldest_prize_that_one_can_win(quiz: Quiz) -> None:
    paul = await quiz.player()
    old = await factories.prize(quiz.id, 2, createdAt=factories.now())
    new = await factories.prize(quiz.id, 1)
    won: dict[str, Any] = {}
    for question in (FIRST, SECOND, THIRD):
        round_id = await quiz.ask(question)
        won[question] = (await quiz.answer(round_id, paul, RIGHT[question])).json()["data"]
        winner = (await quiz.ok("GET", f"/rounds/{round_id}"))["winner"]
        assert winner["participantId"] == paul.id
        assert (winner["winnerId"] is None) == (question == THIRD)

    awards = await quiz.ok("GET", "/winners")
    assert {each["prizeId"] for each in awards} == {old["id"], new["id"]}
    first = next(each for each in awards if each["prizeId"] == old["id"])
    assert first["metadata"] == {
        "questionId": FIRST,
        "responseTimeMs": won[FIRST]["responseTimeMs"],
        "answerIndex": 1,
        "submittedAt": won[FIRST]["answeredAt"],
        "type": "quiz_round_win",
    }
    left = {each["id"]: each["quantityRemaining"] for each in await quiz.ok("GET", "/prizes")}
    assert left == {old["id"]: 1, new["id"]: 0}
    assert await quiz.leaders() == {paul.id: 3}


async def test_one_answers_once_and_nothing_after_the_first_right_answer(quiz: Quiz) -> None:
    paul, nora = await quiz.player(), await quiz.player()
    round_id = await quiz.ask()
    assert (await quiz.answer(round_id, paul, 0)).status_code == 201
    again = await quiz.answer(round_id, paul)
    assert (again.status_code, code_of(again)) == (409, "CONFLICT")
    assert (await quiz.answer(round_id, nora)).status_code == 201
    late = await quiz.answer(round_id, await quiz.player())
    assert (late.status_code, late.json()["error"]["message"]) == (409, "This round is over.")
    assert await count("answers") == 2
    assert await quiz.leaders() == {nora.id: 1}


async def test_who_is_in_the_room_by_id_and_by_address_answers_once(quiz: Quiz) -> None:
    paul = await quiz.player(email=None)
    row = await fetch("SELECT email FROM users WHERE id = $1", paul.user_id)
    await factories.expected(quiz.id, row[0]["email"])
    first = await quiz.ask()
    assert (await quiz.answer(first, paul, 0)).status_code == 201
    await quiz.ok("DELETE", "/participants/me", by=paul)
    again = await quiz.answer(first, paul)
    assert (again.status_code, code_of(again)) == (409, "CONFLICT")
    assert "join it again" in again.json()["error"]["message"]

    second = await quiz.ask(SECOND)
    assert (await quiz.answer(second, paul, 0)).status_code == 409
    await quiz.ok("POST", "/participants", by=paul)
    assert (await quiz.answer(second, paul, RIGHT[SECOND])).status_code == 201
    assert await quiz.leaders() == {paul.id: 1}


async def test_an_answer_that_is_sent_again_with_its_key_is_answered_again(
    quiz: Quiz, player: Player
) -> None:
    await factories.prize(quiz.id)
    round_id = await quiz.ask()
    first = await quiz.answer(round_id, player, idempotency_key="one")
    again = await quiz.answer(round_id, player, idempotency_key="one")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    shown = await quiz.http.get(first.headers["location"], headers=player.headers)
    assert shown.json() == first.json()
    assert (await count("answers"), await count("winners")) == (1, 1)


async def test_nobody_answers_when_the_time_has_passed(client: httpx.AsyncClient) -> None:
    short = settings()
    short["questions"][0]["timeLimit"] = 0.05
    quiz = await Quiz(client).open(appSettings=short)
    player = await quiz.player()
    round_id = await quiz.ask()
    await asyncio.sleep(0.06)
    late = await quiz.answer(round_id, player)
    assert (late.status_code, late.json()["error"]["message"]) == (409, "This round is over.")
    over = await quiz.ok("GET", f"/rounds/{round_id}")
    assert over["closedAt"] == over["endsAt"]
    assert (await quiz.ok("GET", "/quiz"))["status"] == "BETWEEN_ROUNDS"
    # It may be asked again, in a round of its own.
    assert await quiz.ask() != round_id
    assert (await quiz.ok("GET", f"/rounds/{round_id}"))["closedAt"] == over["endsAt"]
    assert await quiz.leaders() == {}


async def test_a_question_that_is_being_asked_is_not_asked_again_and_another_closes_it(
    quiz: Quiz, player: Player
) -> None:
    first = await quiz.ask(FIRST)
    again = await quiz.send("POST", "/rounds", {"questionId": FIRST})
    assert (again.status_code, code_of(again)) == (409, "CONFLICT")
    await quiz.ask(SECOND)
    assert (await quiz.ok("GET", f"/rounds/{first}"))["closedAt"] is not None
    assert (await quiz.answer(first, player)).status_code == 409


async def test_closing_a_round_leaves_it_without_a_winner(quiz: Quiz, player: Player) -> None:
    round_id = await quiz.ask()
    await quiz.answer(round_id, player, 0)
    closed = await quiz.ok("POST", f"/rounds/{round_id}/close")
    assert (closed["winner"], closed["closedAt"] is not None) == (None, True)
    assert await quiz.ok("POST", f"/rounds/{round_id}/close") == closed
    assert (await quiz.answer(round_id, await quiz.player())).status_code == 409
    [answer] = await quiz.ok("GET", f"/rounds/{round_id}/answers", by=player)
    assert (answer["answerIndex"], answer["isCorrect"]) == (0, False)


async def test_a_quiz_that_starts_anew_has_an_empty_leaderboard(quiz: Quiz, player: Player) -> None:
    assert (await quiz.ok("POST", "/quiz"))["number"] == 1
    assert (await quiz.ok("POST", "/quiz"))["number"] == 1  # it has only waited
    await quiz.answer(await quiz.ask(), player)
    open_round = await quiz.ask(SECOND)
    again = await quiz.ok("POST", "/quiz")
    assert (again["number"], again["status"], again["leaderboard"]) == (2, "WAITING", [])
    assert (await quiz.ok("GET", f"/rounds/{open_round}"))["closedAt"] is not None
    await quiz.ok("POST", "/quiz/finish")
    await quiz.ask(FIRST)
    assert (await quiz.ok("GET", "/quiz"))["number"] == 3


async def test_others_answers_are_moderators_to_see(quiz: Quiz) -> None:
    paul, nora = await quiz.player("Paul"), await quiz.player("Nora")
    round_id = await quiz.ask()
    for player, index in ((paul, 0), (nora, RIGHT[FIRST])):
        await quiz.answer(round_id, player, index)
    path = f"/rounds/{round_id}/answers"
    assert [
        (each["participantName"], each["answerIndex"], each["isCorrect"])
        for each in await quiz.ok("GET", path)
    ] == [("Paul", 0, False), ("Nora", 1, True)]
    theirs, own = await quiz.ok("GET", path, by=nora)
    assert theirs.keys() & {"answerIndex", "isCorrect"} == set()
    assert (own["answerIndex"], own["isCorrect"]) == (1, True)
    anonymous = (await quiz.http.get(f"/api/v1/rooms/{quiz.id}{path}")).json()["data"]
    assert all(each.keys() & {"answerIndex", "isCorrect"} == set() for each in anonymous)
    shown = await quiz.ok("GET", f"{path}/{theirs['id']}", by=nora)
    assert shown == theirs


@pytest.mark.parametrize("role", ["VIEWER", "MODERATOR", "ORGANIZER"])
async def test_who_watches_or_sees_the_right_answers_does_not_answer(quiz: Quiz, role: str) -> None:
    other = await quiz.player(role=role)
    answer = await quiz.answer(await quiz.ask(), other)
    assert (answer.status_code, code_of(answer)) == (403, "FORBIDDEN")
    assert await count("answers") == 0


async def test_who_leaves_while_a_round_is_open_answers_no_more(quiz: Quiz, player: Player) -> None:
    round_id = await quiz.ask()
    await quiz.ok("DELETE", "/participants/me", by=player)
    assert (await quiz.answer(round_id, player)).status_code == 403
    assert await count("answers") == 0


@pytest.mark.parametrize("status", ["DRAFT", "COMPLETED", "CANCELLED"])
async def test_only_active_rooms_have_quizzes(quiz: Quiz, player: Player, status: str) -> None:
    round_id = await quiz.ask()
    await fetch('UPDATE rooms SET status = $1::text::"RoomStatus"', status)
    before = await quiz.settings()
    for answer in (
        await quiz.send("POST", "/quiz"),
        await quiz.send("POST", "/rounds", {"questionId": SECOND}),
        await quiz.answer(round_id, player),
    ):
        assert (answer.status_code, code_of(answer)) == (409, "ROOM_NOT_ACTIVE")
    assert await count("answers") == 0
    assert (await quiz.ok("POST", f"/rounds/{round_id}/close"))["closedAt"] is not None
    assert (await quiz.ok("POST", "/quiz/finish"))["status"] == "FINISHED"
    assert (await quiz.settings() == before) == (status != "DRAFT")


async def test_the_settings_show_the_state_of_the_quiz(quiz: Quiz, player: Player) -> None:
    async def state() -> tuple[Any, ...]:
        found = await quiz.settings()
        return found["quizStatus"], found["currentQuestionIndex"], found.get("questionShownAt")

    round_id = await quiz.ask(SECOND)
    assert await state() == ("QUESTION_ACTIVE", 1, None)
    await quiz.answer(round_id, player)
    assert await state() == ("BETWEEN_ROUNDS", 1, None)
    await quiz.ok("PATCH", "", {"appSettings": settings(questionShownAt=None)})
    shown = await quiz.ok("POST", "/rounds", {"questionId": THIRD})
    assert await state() == ("QUESTION_ACTIVE", 2, shown["shownAt"])
    await quiz.ok("POST", "/quiz/finish")
    assert (await state())[:2] == ("FINISHED", 2)
    await quiz.ok("POST", "/quiz")
    assert (await state())[:2] == ("WAITING", -1)


@pytest.mark.parametrize("other", [{"quizStatus": "PAUSED"}, {"quizStatus": 7}, {}])
async def test_settings_of_another_kind_are_left_alone(quiz: Quiz, other: dict[str, Any]) -> None:
    mine = {"questions": settings()["questions"], "currentQuestionIndex": "none", **other}
    await fetch('UPDATE rooms SET "appSettings" = $1', jsonb(mine))
    await quiz.ask()
    assert await quiz.settings() == mine


async def test_a_state_that_the_apps_schema_does_not_have_is_not_shown(
    client: httpx.AsyncClient,
) -> None:
    manifest = copy.deepcopy(QUIZ)
    manifest["settings"]["properties"]["quizStatus"]["enum"] = ["WAITING", "QUESTION_ACTIVE"]
    quiz = await Quiz(client).open(manifest=manifest)
    await quiz.answer(await quiz.ask(), await quiz.player())
    assert (await quiz.settings())["quizStatus"] == "QUESTION_ACTIVE"


BROKEN: list[Any] = [
    {"text": "?", "options": ["a"], "correctIndex": 0, "id": "other"},
    {"text": 7},
    {"options": []},
    {"options": ["a", 7]},
    {"options": "ab"},
    {"correctIndex": 3},
    {"correctIndex": -1},
    {"correctIndex": "1"},
    {"correctIndex": None},
    {"timeLimit": 0},
    {"timeLimit": 1e300},
    {"timeLimit": "soon"},
]


@pytest.mark.parametrize("change", BROKEN, ids=str)
async def test_what_is_no_question_is_not_asked(quiz: Quiz, change: dict[str, Any]) -> None:
    broken = settings()
    broken["questions"][0] |= change
    await fetch('UPDATE rooms SET "appSettings" = $1', jsonb(broken))
    answer = await quiz.send("POST", "/rounds", {"questionId": FIRST})
    assert answer.status_code == (404 if "id" in change else 400), answer.text
    assert (await count("rounds"), await count("quizzes")) == (0, 0)


@pytest.mark.parametrize("stored", ["[]", "7", '{"questions": 7}', '{"questions": [7, null]}'])
async def test_settings_without_questions_have_none_to_ask(quiz: Quiz, stored: str) -> None:
    await fetch('UPDATE rooms SET "appSettings" = $1', stored)
    assert (await quiz.send("POST", "/rounds", {"questionId": FIRST})).status_code == 404


BODIES: list[Any] = [
    *({}, [], 7, None, {"answerIndex": None}, {"answerIndex": "1"}, {"answerIndex": -1}),
    *({"answerIndex": 1.5}, {"answerIndex": 3}, {"answerIndex": 2**31}, {"answerIndex": 2**70}),
    *({"answerIndex": 1, "participantId": "other"}, {"answerIndex": 1, "timestamp": 0}),
]


@pytest.mark.parametrize("body", BODIES, ids=str)
async def test_what_is_no_answer_is_refused(quiz: Quiz, player: Player, body: Any) -> None:
    round_id = await quiz.ask()
    answer = await quiz.send("POST", f"/rounds/{round_id}/answers", body, by=player)
    assert (answer.status_code, code_of(answer)) == (400, "VALIDATION_ERROR"), answer.text
    assert await count("answers") == 0


async def test_a_round_of_another_room_is_not_there(client: httpx.AsyncClient, quiz: Quiz) -> None:
    other = await Quiz(client).open()
    player = await other.player()
    round_id = await quiz.ask()
    for answer in (
        await other.answer(round_id, player),
        await other.send("GET", f"/rounds/{round_id}"),
        await other.send("GET", f"/rounds/{round_id}/answers"),
        await other.send("POST", f"/rounds/{round_id}/close"),
        await other.send("GET", f"/rounds/{round_id}/answers/none"),
    ):
        assert (answer.status_code, code_of(answer)) == (404, "NOT_FOUND")
    assert await fetchval('SELECT "closedAt" FROM rounds') is None


async def test_before_the_first_quiz_there_is_none(quiz: Quiz) -> None:
    for method, path in (("GET", "/quiz"), ("POST", "/quiz/finish")):
        assert (await quiz.send(method, path)).status_code == 404
    assert await quiz.ok("GET", "/rounds") == []


async def test_lists_go_on_by_cursor(quiz: Quiz, player: Player) -> None:
    for question in (FIRST, SECOND, THIRD):
        await quiz.ask(question)
    found = []
    path: str | None = "/rounds?limit=1"
    while path is not None:
        page = (await quiz.send("GET", path)).json()
        found += [each["question"]["id"] for each in page["data"]]
        cursor = page["meta"]["nextCursor"]
        path = cursor and f"/rounds?limit=1&cursor={cursor}"
    assert found == [THIRD, SECOND, FIRST]
    round_id = (await quiz.ok("GET", "/rounds"))[0]["id"]
    for each in (player, await quiz.player()):
        await quiz.answer(round_id, each, 1)
    page = (await quiz.send("GET", f"/rounds/{round_id}/answers?limit=1")).json()
    cursor = page["meta"]["nextCursor"]
    rest = (await quiz.send("GET", f"/rounds/{round_id}/answers?limit=1&cursor={cursor}")).json()
    assert (page["meta"]["total"], page["data"][0]["participantId"]) == (2, player.id)
    assert (len(rest["data"]), rest["meta"]["nextCursor"]) == (1, None)


async def test_who_deleted_the_account_is_named_to_moderators_alone(
    quiz: Quiz, player: Player
) -> None:
    round_id = await quiz.ask()
    await quiz.answer(round_id, player)
    url = f"/api/v1/users/{player.user_id}"
    (await quiz.http.delete(url, headers=player.headers)).raise_for_status()
    other = await quiz.player()
    for path, name in (("/quiz", "leaderboard"), (f"/rounds/{round_id}", "winner")):
        told = [(await quiz.ok("GET", path, by=by))[name] for by in (None, other)]
        names = [(each[0] if path == "/quiz" else each)["participantName"] for each in told]
        assert names == ["Paul", "Deleted person"]
    [answer] = await quiz.ok("GET", f"/rounds/{round_id}/answers", by=other)
    assert answer["participantName"] == "Deleted person"
