"""Answers, questions and ends of rounds, at once and on real connections."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchrow, fetchval
from tests import factories
from tests.rounds.scene import FIRST, RIGHT, SECOND, Player, Quiz, count
from tests.waiting import eventually

PLAYERS = 16


@pytest.fixture
async def players(quiz: Quiz) -> Sequence[Player]:
    return [await quiz.player(f"Player {number}") for number in range(PLAYERS)]


@pytest.fixture
async def beside(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect to the database beside the pool."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


def statuses(answers: Sequence[httpx.Response]) -> Counter[int]:
    return Counter(each.status_code for each in answers)


async def test_of_right_answers_at_once_one_wins(quiz: Quiz, players: Sequence[Player]) -> None:
    prize = await factories.prize(quiz.id, PLAYERS)
    round_id = await quiz.ask()

    answers = await asyncio.gather(*(quiz.answer(round_id, each) for each in players))

    assert statuses(answers) == {201: 1, 409: PLAYERS - 1}
    [won] = [each.json()["data"] for each in answers if each.status_code == 201]
    assert (won["isWinning"], await count("answers"), await count("winners")) == (True, 1, 1)
    assert await quiz.leaders() == {won["participantId"]: 1}
    left = await fetchval('SELECT "quantityRemaining" FROM prizes WHERE id = $1', prize["id"])
    assert left == PLAYERS - 1


async def test_who_was_before_wins(
    quiz: Quiz, players: Sequence[Player], beside: asyncpg.Connection
) -> None:
    """Three answers wait for a round: a wrong one, a right one, and another right one."""
    round_id = await quiz.ask()
    holding = beside.transaction()
    await holding.start()
    await beside.execute("SELECT FROM rounds WHERE id = $1 FOR NO KEY UPDATE", round_id)

    waiting = []
    for player, index in zip(players, (0, RIGHT[FIRST], RIGHT[FIRST]), strict=False):
        waiting.append(asyncio.create_task(quiz.answer(round_id, player, index)))
        await eventually(lambda: waits(len(waiting)))
    await holding.rollback()
    wrong, right, late = await asyncio.gather(*waiting)

    assert [each.status_code for each in (wrong, right, late)] == [201, 201, 409]
    assert await quiz.leaders() == {players[1].id: 1}
    moments = await fetch('SELECT "answeredAt" FROM answers ORDER BY "isWinning"')
    assert moments[0]["answeredAt"] <= moments[1]["answeredAt"]


async def waits(number: int) -> bool:
    return bool(
        await fetchval(
            "SELECT count(*) = $1 FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock'",
            number,
        )
    )


async def test_without_the_lock_two_would_win_if_the_database_let_them(
    quiz: Quiz, players: Sequence[Player], beside: asyncpg.Connection
) -> None:
    round_id = await quiz.ask()
    open_ = 'SELECT "closedAt" IS NULL FROM rounds WHERE id = $1'
    transaction = beside.transaction()
    await transaction.start()
    assert await beside.fetchval(open_, round_id)
    winning = {"answerIndex": 1, "isCorrect": True, "isWinning": True}
    await factories.answer(round_id, players[0].id, **winning)
    assert await beside.fetchval(open_, round_id)
    with pytest.raises(asyncpg.UniqueViolationError, match="answers_roundId_winning_key"):
        await beside.execute(
            'INSERT INTO answers (id, "roundId", "participantId", "answerIndex", "isCorrect", '
            '"isWinning", "responseTimeMs", "answeredAt") VALUES ($1, $2, $3, 1, true, true, 1, '
            "now())",
            *("second", round_id, players[1].id),
        )
    await transaction.rollback()


async def test_of_ones_answers_at_once_one_counts(quiz: Quiz, players: Sequence[Player]) -> None:
    round_id = await quiz.ask()
    answers = await asyncio.gather(*(quiz.answer(round_id, players[0], 0) for _ in range(8)))
    assert statuses(answers) == {201: 1, 409: 7}
    assert await count("answers") == 1


async def test_an_answer_and_the_close_of_its_round_come_one_after_the_other(
    quiz: Quiz, players: Sequence[Player]
) -> None:
    for player in players:
        round_id = await quiz.ask()
        answer, closed = await asyncio.gather(
            quiz.answer(round_id, player), quiz.send("POST", f"/rounds/{round_id}/close")
        )
        assert closed.status_code == 200
        winner = (await quiz.ok("GET", f"/rounds/{round_id}"))["winner"]
        if answer.status_code == 201:
            assert winner["participantId"] == player.id
        else:
            assert (answer.status_code, winner) == (409, None)


async def test_an_answer_is_in_time_or_refused(
    quiz: Quiz, players: Sequence[Player], beside: asyncpg.Connection
) -> None:
    """The time of a round passes while everybody answers."""
    round_id = await quiz.ask()
    early = [await quiz.answer(round_id, each, 0) for each in players[:4]]
    racing = [asyncio.create_task(quiz.answer(round_id, each, 0)) for each in players[4:12]]
    await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
    async with beside.transaction():
        await beside.execute("SELECT FROM rounds FOR NO KEY UPDATE")
        await beside.execute('UPDATE rounds SET "endsAt" = clock_timestamp()')
    answers = await asyncio.gather(*racing)
    late = [await quiz.answer(round_id, each, 0) for each in players[12:]]

    assert statuses(early) == {201: 4}
    assert statuses(late) == {409: 4}
    in_time = statuses(answers)
    assert in_time.keys() <= {201, 409}
    assert await count("answers") == 4 + in_time[201]
    assert await fetchval('SELECT bool_and(a."answeredAt" <= r."endsAt") FROM answers a, rounds r')


async def test_a_question_that_is_shown_twice_at_once_is_asked_once(quiz: Quiz) -> None:
    answers = await asyncio.gather(
        *(quiz.send("POST", "/rounds", {"questionId": FIRST}) for _ in range(8))
    )
    assert statuses(answers) == {201: 1, 409: 7}
    assert (await count("rounds"), await count("quizzes")) == (1, 1)


async def test_of_two_questions_at_once_one_is_open(quiz: Quiz) -> None:
    asked = [quiz.send("POST", "/rounds", {"questionId": each}) for each in (FIRST, SECOND)]
    starts = [quiz.send("POST", "/quiz"), quiz.send("POST", "/quiz/finish")]
    answers = await asyncio.gather(*asked, *starts)
    assert max(each.status_code for each in answers) < 500
    assert {each.status_code for each in answers[:3]} == {201, 200}
    assert await count('rounds WHERE "closedAt" IS NULL') <= 1


async def test_answers_awards_and_changes_of_the_room_do_not_wait_for_each_other(
    quiz: Quiz, players: Sequence[Player]
) -> None:
    prize = await factories.prize(quiz.id, PLAYERS)
    extra = [await quiz.player() for _ in range(8)]
    for question in (FIRST, SECOND):
        round_id = await quiz.ask(question)
        answers = await asyncio.gather(
            *(quiz.answer(round_id, each, number % 2) for number, each in enumerate(players)),
            *(
                quiz.send("POST", "/winners", {"participantId": each.id, "prizeId": prize["id"]})
                for each in extra
            ),
            *(quiz.send("PATCH", "", {"name": f"Room {number}"}) for number in range(4)),
            quiz.ok("DELETE", f"/participants/{extra[0].id}")
            if question == SECOND
            else quiz.ok("PATCH", f"/participants/{extra[0].id}", {"metadata": {"a": 1}}),
        )
        found = statuses(answers[:-1])
        assert found.keys() <= {200, 201, 404, 409}, found
    row = await fetchrow(
        'SELECT quantity - "quantityRemaining" AS gone, (SELECT count(*) FROM winners) AS won '
        "FROM prizes"
    )
    assert row is not None
    assert row["gone"] == row["won"]
    assert sum((await quiz.leaders()).values()) == 2
