"""A quiz over Socket.IO, as its clients know it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import asyncpg
import httpx
import pytest
from engineio.payload import Payload
from playwright.async_api import Page

from app.database.engine import fetch, fetchval
from tests import factories
from tests.rounds.scene import FIRST, RIGHT, SECOND, quiz_room, settings
from tests.sockets.conftest import PATIENCE_SECONDS, WEBSOCKET, Client, Party, Site
from tests.sockets.test_clients import (
    CONNECT,
    IN_BROWSER,
    SUBSCRIBE,
    TRANSPORTS,
    heard,
    javascript,
    page,
    server_for,
)

__all__ = ["javascript", "page"]


class Game(Party):
    """A party whose room has a quiz."""

    async def make_room(self, **values: Any) -> asyncpg.Record:
        return await quiz_room(self.organizer, **values)

    async def sit_down(
        self, person: asyncpg.Record | None = None, transports: Sequence[str] = WEBSOCKET
    ) -> Client:
        """Connect somebody, the player if nobody is named, who follows the room."""
        server = server_for(self.site, transports)
        client = await self.client(person, server=server, transports=transports)
        await client.subscribe(self.id)
        return client

    async def lead(self, client: Client, name: str, **said: Any) -> Any:
        answer = await client.ask(name, {"roomId": self.id, **said})
        assert answer["success"], answer
        return answer

    async def show(self, client: Client, question: str = FIRST) -> Any:
        return await self.lead(client, "quiz:show_question", **asking(question))


def asking(question: str) -> dict[str, Any]:
    """Return what the client of organizers says, not all of which counts."""
    said = {"id": question, "text": "Another text", "options": ["x"], "timeLimit": 9_999}
    return {"question": said, "questionIndex": 7, "totalQuestions": 99}


def answering(room: str, question: str = FIRST, index: Any = RIGHT[FIRST]) -> dict[str, Any]:
    return {
        "roomId": room,
        "questionId": question,
        "answerIndex": index,
        "timestamp": 1,
        "participantId": "somebody else",
        "participantName": "Mallory",
    }


@pytest.fixture
async def game(site: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Game]:
    monkeypatch.setattr(Payload, "max_decode_packets", 16)  # as `party` has it
    async with httpx.AsyncClient(base_url=site.two.url, timeout=PATIENCE_SECONDS) as http:
        game = Game(http, site)
        await game.open()
        yield game
        await game.leave()


async def quiz_told(client: Client, room: str) -> tuple[str, Mapping[str, Any]]:
    """Return what a client is told next of the quiz."""
    while True:
        name, content = await client.next()
        if name.startswith("quiz:"):
            assert content.pop("roomId") == room
            assert content.pop("timestamp").endswith("Z")
            return name, content


@TRANSPORTS
async def test_a_quiz_is_played_as_its_clients_know_it(
    game: Game, transports: Sequence[str]
) -> None:
    await factories.prize(game.id)
    name = await fetchval("SELECT name FROM users WHERE id = $1", game.player["id"])
    organizer = await game.sit_down(game.organizer, transports)
    player = await game.sit_down(transports=transports)

    async def told() -> tuple[str, Mapping[str, Any]]:
        found = await quiz_told(player, game.id)
        assert await quiz_told(organizer, game.id) == found
        return found

    def status(value: str) -> tuple[str, Mapping[str, Any]]:
        return "quiz:status_changed", {"quizStatus": value}

    await game.lead(organizer, "quiz:start")
    assert await told() == status("WAITING")

    question = dict(settings()["questions"][0])
    del question["correctIndex"]
    shown = await game.show(organizer)
    assert shown["round"]["correctIndex"] == RIGHT[FIRST]
    asked = {"question": question, "questionIndex": 0, "totalQuestions": 3}
    assert await told() == ("quiz:question_shown", asked)
    assert await told() == status("QUESTION_ACTIVE")

    answered = (await player.ask("quiz:answer", answering(game.id)))["answer"]
    who = {"participantId": game.seat["id"], "participantName": name, "questionId": FIRST}
    assert await told() == ("quiz:answer_submitted", who)
    winner = {**who, "responseTimeMs": answered["responseTimeMs"]}
    assert await told() == ("quiz:round_winner", {"winner": winner})
    assert await told() == status("BETWEEN_ROUNDS")
    [won] = await game.send("GET", "/winners")
    assert (won["participantId"], won["metadata"]["type"]) == (game.seat["id"], "quiz_round_win")

    await game.show(organizer, SECOND)
    assert (await told())[0] == "quiz:question_shown"
    assert await told() == status("QUESTION_ACTIVE")

    claimed = [{"participantId": "me", "participantName": "Mallory", "wins": 99}]
    await game.lead(organizer, "quiz:finished", leaderboard=claimed)
    assert await told() == status("BETWEEN_ROUNDS")
    leader = {"participantId": game.seat["id"], "participantName": name, "wins": 1}
    assert await told() == ("quiz:finished", {"leaderboard": [leader]})
    assert await told() == status("FINISHED")


async def test_a_quiz_ends_by_its_other_name_too(game: Game) -> None:
    organizer = await game.sit_down(game.organizer)
    await game.lead(organizer, "quiz:start")
    assert (await game.lead(organizer, "quiz:end"))["quiz"]["status"] == "FINISHED"
    assert await organizer.until("quiz:finished")


async def refusal(client: Client, name: str, said: Any) -> str:
    answer = await client.ask(name, said)
    assert answer["success"] is False, answer
    assert answer.keys() == {"success", "error"}
    assert answer["error"]["message"]
    code: str = answer["error"]["code"]
    return code


async def answers_in(game: Game) -> int:
    statement = (
        'SELECT count(*) FROM answers a JOIN rounds r ON r.id = a."roundId" WHERE r."roomId" = $1'
    )
    found: int = await fetchval(statement, game.id)
    return found


ORGANIZERS = ("quiz:start", "quiz:show_question", "quiz:finished", "quiz:end")


async def test_each_does_their_own_part(game: Game) -> None:
    organizer = await game.sit_down(game.organizer)
    await game.show(organizer)
    said = {"roomId": game.id, **asking(SECOND)}
    moderator, viewer = await factories.user(), await factories.user()
    for person, role in ((moderator, "MODERATOR"), (viewer, "VIEWER")):
        await factories.participant(game.id, person["id"], role=role)
    rounds = 'SELECT * FROM rounds WHERE "roomId" = $1'
    before = await fetch(rounds, game.id)
    for person in (game.player, moderator, viewer, await factories.user()):
        client = await game.client(person)
        for name in ORGANIZERS:
            assert await refusal(client, name, said) == "FORBIDDEN"
        if person is not game.player:
            assert await refusal(client, "quiz:answer", answering(game.id)) == "FORBIDDEN"
    assert await refusal(organizer, "quiz:answer", answering(game.id)) == "FORBIDDEN"
    assert await fetch(rounds, game.id) == before
    assert await answers_in(game) == 0


async def test_a_private_room_is_not_there_for_others(game: Game) -> None:
    private = Game(game.http, game.site)
    await private.open(is_public=False)
    outsider = await game.client()
    for name in (*ORGANIZERS, "quiz:answer"):
        said = {**answering(private.id), **asking(FIRST)}
        assert await refusal(outsider, name, said) == "NOT_FOUND"
    assert await fetchval('SELECT count(*) FROM quizzes WHERE "roomId" = $1', private.id) == 0


async def test_an_answer_counts_once_and_in_time(game: Game) -> None:
    organizer, player = await game.sit_down(game.organizer), await game.sit_down()
    assert await refusal(player, "quiz:answer", answering(game.id)) == "NOT_FOUND"
    await game.show(organizer)
    assert (await player.ask("quiz:answer", answering(game.id, index=0)))["success"]
    assert await refusal(player, "quiz:answer", answering(game.id)) == "CONFLICT"
    await game.show(organizer, SECOND)
    late = await factories.user()
    await factories.participant(game.id, late["id"])
    assert await refusal(await game.client(late), "quiz:answer", answering(game.id)) == "CONFLICT"
    await game.send("PATCH", "", {"status": "COMPLETED"})
    assert await refusal(player, "quiz:answer", answering(game.id, SECOND)) == "ROOM_NOT_ACTIVE"


ROOM = "{room}"
OTHER_SHAPES: tuple[Any, ...] = (None, 7, [], {}, "x")
NONSENSE: list[tuple[str, Any]] = [
    *((name, said) for name in (*ORGANIZERS, "quiz:answer") for said in OTHER_SHAPES),
    ("quiz:start", {"roomId": "\0"}),
    ("quiz:start", {"roomId": ["a"]}),
    ("quiz:show_question", {"roomId": ROOM}),
    ("quiz:show_question", {"roomId": ROOM, "question": FIRST}),
    ("quiz:show_question", {"roomId": ROOM, "question": {"id": 7}}),
    ("quiz:show_question", {"roomId": ROOM, "question": {"id": "\0"}}),
    ("quiz:answer", {"roomId": ROOM, "questionId": FIRST}),
    ("quiz:answer", {"roomId": ROOM, "questionId": FIRST, "answerIndex": "1"}),
    ("quiz:answer", {"roomId": ROOM, "questionId": FIRST, "answerIndex": -1}),
    ("quiz:answer", {"roomId": ROOM, "questionId": FIRST, "answerIndex": 1.5}),
    ("quiz:answer", {"roomId": ROOM, "questionId": FIRST, "answerIndex": True}),
    ("quiz:answer", {"roomId": ROOM, "questionId": FIRST, "answerIndex": 2**63}),
    ("quiz:answer", {"roomId": ROOM, "questionId": FIRST, "answerIndex": 3}),
    ("quiz:answer", {"roomId": ROOM, "questionId": "\0", "answerIndex": 1}),
    ("quiz:answer", {"roomId": ROOM, "questionId": "\ud800", "answerIndex": 1}),
]


async def test_what_makes_no_sense_is_refused(game: Game) -> None:
    server = game.site.one
    organizer = await game.client(game.organizer, server=server)
    player = await game.client(server=server)
    await game.show(organizer)
    for name, said in NONSENSE:
        named = isinstance(said, dict) and said.get("roomId") == ROOM
        filled = {**said, "roomId": game.id} if named else said
        code = await refusal(player if name == "quiz:answer" else organizer, name, filled)
        assert (name, said, code) == (name, said, "VALIDATION_ERROR")
    unknown = {"roomId": game.id, "question": {"id": "none"}}
    assert await refusal(organizer, "quiz:show_question", unknown) == "NOT_FOUND"
    assert await answers_in(game) == 0
    assert "Traceback" not in server.log.read_text()


@IN_BROWSER
async def test_a_page_plays_by_the_javascript_client(game: Game, page: Page) -> None:
    organizer = await game.sit_down(game.organizer)
    token = await factories.token(game.player)
    await page.evaluate(CONNECT, [game.site.two.url, token, WEBSOCKET])
    assert (await page.evaluate(SUBSCRIBE, game.id))["success"]

    await game.show(organizer)
    shown = await heard(page, "quiz:question_shown")
    assert (shown["question"]["id"], "correctIndex" in shown["question"]) == (FIRST, False)
    await page.evaluate("(said) => { socket.emit('quiz:answer', said); }", answering(game.id))
    winner = (await heard(page, "quiz:round_winner"))["winner"]
    assert (winner["participantId"], winner["questionId"]) == (game.seat["id"], FIRST)
    await game.lead(organizer, "quiz:finished", leaderboard=[])
    [leader] = (await heard(page, "quiz:finished"))["leaderboard"]
    assert (leader["participantId"], leader["wins"]) == (game.seat["id"], 1)
    statuses = "told.filter(([name]) => name === 'quiz:status_changed').map((e) => e[1].quizStatus)"
    await page.wait_for_function(f"({statuses}).length === 4")
    assert await page.evaluate(statuses) == [
        "WAITING",
        "QUESTION_ACTIVE",
        "BETWEEN_ROUNDS",
        "FINISHED",
    ]
