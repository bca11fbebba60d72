"""Who asks for the same at once is served together, and never by what was begun before."""

import asyncio
from collections.abc import Sequence

import asyncpg
import httpx
import pytest

from app.database import engine
from app.database.turns import MOST_TOGETHER, Turns
from tests import factories
from tests.auth.conftest import counted_statements
from tests.waiting import eventually


class Counter:
    """Serves with a number: how many times it was asked to before."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open_together = self.open
        self.rounds: list[Sequence[str]] = []
        self.alone: list[str] = []
        self.turns: Turns[str, str, str] = Turns(self._together)

    async def _together(self, key: str, wishes: Sequence[str]) -> Sequence[str | None]:
        self.rounds.append(wishes)
        await self.open_together.wait()
        if "fail" in wishes:
            raise ConnectionError(key)
        return [None if wish == "alone" else f"{wish} in {len(self.rounds)}" for wish in wishes]

    def ask(self, wish: str, key: str = "key") -> asyncio.Task[str]:
        async def alone() -> str:
            self.alone.append(wish)
            await self.open.wait()
            return f"{wish} alone"

        return asyncio.create_task(self.turns.serve(key, wish, alone))


@pytest.fixture
async def counter() -> Counter:
    return Counter()


async def begun(tasks: Sequence[asyncio.Task[str]]) -> list[str]:
    """Let all tasks begin; then all that is waited for ends."""
    await asyncio.sleep(0)
    return await asyncio.gather(*tasks)


async def test_the_first_is_served_alone_and_those_after_it_together(counter: Counter) -> None:
    asked = [counter.ask(wish) for wish in ("first", "second", "third")]
    await asyncio.sleep(0)
    counter.open.set()
    assert await begun(asked) == ["first alone", "second in 1", "third in 1"]
    assert not counter.turns._waiting


async def test_nobody_is_served_by_what_was_begun_before(counter: Counter) -> None:
    counter.open_together = asyncio.Event()
    first, second = counter.ask("first"), counter.ask("second")
    await asyncio.sleep(0)
    counter.open.set()
    await first
    await eventually(lambda: _begun(counter, 1))
    third = counter.ask("third")
    await asyncio.sleep(0)
    counter.open_together.set()
    assert [await second, await third] == ["second in 1", "third in 2"]


async def _begun(counter: Counter, rounds: int) -> bool:
    return len(counter.rounds) == rounds


async def test_other_keys_do_not_wait(counter: Counter) -> None:
    asked = [counter.ask("one", "a"), counter.ask("two", "b")]
    await asyncio.sleep(0)
    assert counter.alone == ["one", "two"]
    counter.open.set()
    await begun(asked)


async def test_no_more_than_a_limit_go_together(counter: Counter) -> None:
    asked = [counter.ask(str(number)) for number in range(MOST_TOGETHER + 3)]
    await asyncio.sleep(0)
    counter.open.set()
    await begun(asked)
    assert [len(wishes) for wishes in counter.rounds] == [MOST_TOGETHER, 2]


async def test_who_has_no_answer_and_who_went_together_in_vain_is_served_alone(
    counter: Counter,
) -> None:
    asked = [counter.ask(wish) for wish in ("first", "alone", "together")]
    await asyncio.sleep(0)
    counter.open.set()
    assert await begun(asked) == ["first alone", "alone alone", "together in 1"]
    asked = [counter.ask(wish) for wish in ("first", "fail", "with it")]
    assert await begun(asked) == ["first alone", "fail alone", "with it alone"]


async def test_who_goes_away_leaves_the_others_their_turn(counter: Counter) -> None:
    first, second, third = (counter.ask(wish) for wish in ("first", "second", "third"))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    counter.open.set()
    assert await third == "third in 1"
    assert counter.rounds == [["third"]]


async def test_a_list_that_many_ask_for_at_once_is_read_twice_at_most(
    client: httpx.AsyncClient, database: str
) -> None:
    """Once for who came first; and what came into being before the others asked is in theirs."""
    await factories.room()
    await client.get("/api/v1/rooms")
    blocker = await asyncpg.connect(database)
    async with counted_statements() as statements:
        await blocker.execute("BEGIN; LOCK rooms IN ACCESS EXCLUSIVE MODE")
        first = asyncio.create_task(client.get("/api/v1/rooms"))
        await eventually(lambda: _reading(1))
        others = [asyncio.create_task(client.get("/api/v1/rooms")) for _ in range(9)]
        await eventually(lambda: _reading(1, waiting=9))
        await blocker.execute("COMMIT")
        answers = await asyncio.gather(first, *others)
    await blocker.close()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(statements) <= 2


async def _reading(lists: int, waiting: int = 0) -> bool:
    places = engine._reads._waiting.values()
    return len(places) == lists and sum(map(len, places)) == waiting


async def test_what_a_client_has_made_is_in_the_list_that_it_asks_for_then(
    client: httpx.AsyncClient,
) -> None:
    async def make_and_look(number: int) -> bool:
        room = await factories.room(name=f"room {number}")
        answer = await client.get("/api/v1/rooms?limit=100")
        return room["id"] in {each["id"] for each in answer.json()["data"]}

    assert all(await asyncio.gather(*(make_and_look(number) for number in range(40))))
