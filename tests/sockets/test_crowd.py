"""A crowd plays a quiz on two servers: one winner for each question, the first by their clock."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import pytest
from socketio.exceptions import SocketIOError

from app.database.engine import fetch, fetchval
from tests import factories
from tests.rounds.scene import quiz_room
from tests.sockets.conftest import Client, Site

OPTIONS = ["a", "b", "c"]
CONNECTED_AT_ONCE = 20
UNHEARD_SECONDS = 5
"""After so long without one, no answer comes from who was killed."""


class Size(NamedTuple):
    """How large the crowd is, and the quiz."""

    players: int
    questions: int


@pytest.fixture
def size(request: pytest.FixtureRequest) -> Size:
    return Size(200, 10) if request.config.option.long else Size(40, 3)


class Player(Client):
    """Somebody in the crowd, who comes back when the connection is lost."""

    seat: str
    room: str

    async def join(self) -> "Player":
        await self.connect()
        await self.subscribe(self.room)
        return self

    async def answer(self, question: str, index: int) -> Any:
        """Answer, again if it has to be; return what is acknowledged."""
        said = {"roomId": self.room, "questionId": question, "answerIndex": index}
        while True:
            try:
                return await self.library.call("quiz:answer", said, timeout=UNHEARD_SECONDS)
            except (SocketIOError, TimeoutError):
                await asyncio.sleep(0.1)  # it is coming back

    async def hear(self, name: str, times: int) -> list[Any]:
        """Return what it was told under a name, so often, whatever else it was told."""
        return [await self.until(name) for _ in range(times)]


class Crowd:
    """Players on two servers, and their organizer."""

    def __init__(self, site: Site, size: Size) -> None:
        self.site = site
        self.size = size
        self.players: list[Player] = []

    async def gather(self) -> "Crowd":
        organizer = await factories.user()
        questions = [
            {
                "id": f"q{number}",
                "text": "?",
                "options": ["a", "b", "c"],
                "correctIndex": number % 3,
            }
            for number in range(self.size.questions)
        ]
        settings = {"questions": questions, "currentQuestionIndex": -1, "quizStatus": "WAITING"}
        room = await quiz_room(organizer, appSettings=settings)
        self.room: str = room["id"]
        await factories.prize(self.room, self.size.questions)
        self.organizer = Client(self.site.one.url, await factories.token(organizer))
        await self.organizer.connect()
        await self.organizer.subscribe(self.room)
        self.players = [await self._player(number) for number in range(self.size.players)]
        doors = asyncio.Semaphore(CONNECTED_AT_ONCE)

        async def join(player: Player) -> None:
            async with doors:
                await player.join()

        await asyncio.gather(*map(join, self.players))
        return self

    async def _player(self, number: int) -> Player:
        person = await factories.user(name=f"Player {number}")
        server = (self.site.two, self.site.one)[number % 2]
        player = Player(server.url, await factories.token(person))
        player.room = self.room
        player.seat = (await factories.participant(self.room, person["id"]))["id"]
        return player

    async def lead(self, name: str, **said: Any) -> Any:
        answer = await self.organizer.ask(name, {"roomId": self.room, **said})
        assert answer["success"], answer
        return answer

    async def show(self, number: int) -> str:
        """Ask a question, and return its id."""
        shown = await self.lead("quiz:show_question", question={"id": f"q{number}"})
        question: str = shown["round"]["question"]["id"]
        return question

    async def answer(self, number: int, chance: random.Random) -> Sequence[Any]:
        """Let everybody answer, half of them rightly, within a twentieth of a second."""
        right = number % 3

        async def think(player: Player, index: int, seconds: float) -> Any:
            await asyncio.sleep(seconds)
            return await player.answer(f"q{number}", index)

        return await asyncio.gather(
            *(
                think(player, chance.choice([right, (right + 1) % 3]), chance.random() / 20)
                for player in self.players
            )
        )

    async def check_round(self, number: int, *, quiz: int = 1) -> str:
        """Find one winner, to whom nobody has come before; return who it is."""
        rows = await fetch(
            """
            SELECT a.*, r."closedAt" FROM answers a JOIN rounds r ON r.id = a."roundId"
            JOIN quizzes q ON q.id = r."quizId"
            WHERE r."roomId" = $1 AND r.question ->> 'id' = $2 AND q.number = $3
            """,
            *(self.room, f"q{number}", quiz),
        )
        [winner] = [row for row in rows if row["isWinning"]]
        assert [row["id"] for row in rows if row["isCorrect"]] == [winner["id"]]
        assert max(row["answeredAt"] for row in rows) == winner["answeredAt"] == winner["closedAt"]
        found: str = winner["participantId"]
        return found

    async def leave(self) -> None:
        for client in (*self.players, self.organizer):
            await client.library.shutdown()
            await client.session.close()


@pytest.fixture
async def crowd(site: Site, size: Size) -> AsyncIterator[Crowd]:
    crowd = Crowd(site, size)
    await crowd.gather()
    yield crowd
    await crowd.leave()


@pytest.mark.timeout(600)
async def test_a_crowd_on_two_servers_has_one_winner_for_each_question(crowd: Crowd) -> None:
    chance = random.Random(7)  # noqa: S311 - a repeatable one
    winners = []
    for number in range(crowd.size.questions):
        await crowd.show(number)
        acknowledged = await crowd.answer(number, chance)
        winner = await crowd.check_round(number)
        winners.append(winner)
        won = [each["answer"] for each in acknowledged if each["success"]]
        assert [each["participantId"] for each in won if each["isWinning"]] == [winner]
        assert {each["error"]["code"] for each in acknowledged if not each["success"]} <= {
            "CONFLICT"
        }
    await check_scores(crowd, winners)

    # Everybody heard the same, in the same order, on either server.
    for player in crowd.players:
        heard = await player.hear("quiz:round_winner", len(winners))
        assert [each["winner"]["participantId"] for each in heard] == winners

    # Then a worker is killed while everybody answers.
    await crowd.lead("quiz:start")
    winners = []
    for number in range(crowd.size.questions):
        await crowd.show(number)
        answering = asyncio.create_task(crowd.answer(number, chance))
        if number == crowd.size.questions // 2:
            await asyncio.sleep(0.03)
            crowd.site.two.kill_workers(1)
        await answering
        winners.append(await crowd.check_round(number, quiz=2))
    await check_scores(crowd, winners)


async def check_scores(crowd: Crowd, winners: Sequence[str]) -> None:
    """Finish, and see that the leaderboard, the awards and the stock say what was won."""
    quiz = (await crowd.lead("quiz:finished"))["quiz"]
    scores = {each["participantId"]: each["wins"] for each in quiz["leaderboard"]}
    assert scores == Counter(winners)
    awards = await fetchval('SELECT count(*) FROM winners WHERE "roomId" = $1', crowd.room)
    gone = 'SELECT quantity - "quantityRemaining" FROM prizes WHERE "roomId" = $1'
    assert awards == await fetchval(gone, crowd.room)
    linked = (
        'SELECT count(*) FROM answers a JOIN winners w ON w.id = a."winnerId" '
        'WHERE w."roomId" = $1 AND w."participantId" = a."participantId"'
    )
    assert awards == await fetchval(linked, crowd.room)
