"""What the log says of a quiz, and what it forgets."""

from app.database.engine import fetch
from tests.events.conftest import Log, connection, log
from tests.rounds.scene import FIRST, RIGHT, SECOND, Player, Quiz

__all__ = ["connection", "log"]


async def test_a_quiz_is_told_in_its_order(quiz: Quiz, player: Player, log: Log) -> None:
    await log.news()
    await quiz.ok("POST", "/quiz")
    await quiz.answer(await quiz.ask(), player, 0)
    await quiz.answer(await quiz.ask(SECOND), player, RIGHT[SECOND])
    await quiz.ok("POST", "/quiz/finish")
    told = [each for each in await log.news() if each.type != "room.updated"]
    assert [each.type for each in told] == [
        "quiz.started",
        *("round.opened", "answer.submitted"),
        *("round.closed", "round.opened", "answer.submitted", "round.closed"),
        "quiz.finished",
    ]
    assert told[-2].content["data"]["winner"]["participantId"] == player.id
    assert told[-1].content["data"]["leaderboard"][0]["wins"] == 1


async def test_the_settings_are_told_where_they_show_the_state(quiz: Quiz, log: Log) -> None:
    await log.news()
    await quiz.ask()
    changes = [each for each in await log.news() if each.type == "room.updated"]
    assert [each.content["changed"] for each in changes] == [["appSettings"]]
    shown = changes[0].content["data"]["appSettings"]
    assert (shown["quizStatus"], shown["currentQuestionIndex"]) == ("QUESTION_ACTIVE", 0)


async def test_who_deletes_the_account_is_forgotten(quiz: Quiz, log: Log) -> None:
    paul, nora = await quiz.player("Paul Unique"), await quiz.player("Nora")
    for player, question in ((paul, FIRST), (nora, SECOND)):
        await quiz.answer(await quiz.ask(question), player, RIGHT[question])
    await quiz.ok("POST", "/quiz/finish")
    before = await log.news()
    assert sum("Paul Unique" in each.text for each in before) >= 4

    url = f"/api/v1/users/{paul.user_id}"
    (await quiz.http.delete(url, headers=paul.headers)).raise_for_status()
    await log.news()

    after = Log(log.connection)
    told = await after.news()
    assert not [each.type for each in told if "Paul Unique" in each.text]
    [finished] = [each for each in told if each.type == "quiz.finished"]
    names = {
        each["participantId"]: each["participantName"]
        for each in finished.content["data"]["leaderboard"]
    }
    assert names == {paul.id: "Deleted person", nora.id: "Nora"}
    won = [each for each in told if each.type == "round.closed" and each.person == paul.user_id]
    assert won[0].content["data"]["winner"]["participantName"] == "Deleted person"


async def test_a_guest_without_an_account_is_forgotten_too(quiz: Quiz, log: Log) -> None:
    """Somebody who was only expected when it was told, and has an account since."""
    guest = await quiz.player("Guest Unique")
    expected = 'UPDATE participants SET "userId" = NULL, "acceptedAt" = NULL WHERE id = $1'
    await fetch(expected, guest.id)
    answer = await quiz.answer(await quiz.ask(), guest)
    assert answer.status_code == 201, answer.text
    await quiz.ok("POST", "/quiz/finish")
    kinds = {"answer.submitted", "round.closed", "quiz.finished"}
    told = [each for each in await log.news() if each.type in kinds]
    assert [each.person for each in told] == [None, None, None]

    await fetch('UPDATE participants SET "userId" = $2 WHERE id = $1', guest.id, guest.user_id)
    await fetch("UPDATE participants SET name = 'Guest Unique' WHERE id = $1", guest.id)
    url = f"/api/v1/users/{guest.user_id}"
    (await quiz.http.delete(url, headers=guest.headers)).raise_for_status()
    await log.news()
    names = [
        row["name"]
        for row in await fetch(
            "SELECT COALESCE(content #>> '{data,participantName}', "
            "content #>> '{data,winner,participantName}', "
            "content #>> '{data,leaderboard,0,participantName}') AS name FROM events "
            "WHERE type = ANY($1) ORDER BY position",
            [*kinds],
        )
    ]
    assert names == ["Deleted person"] * 3
