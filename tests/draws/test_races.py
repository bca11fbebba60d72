"""Draws against everything else at once, on real connections, each with a control."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

import asyncpg
import pytest

from app.database.engine import DB, fetch, fetchrow, fetchval, transaction
from app.draws import awarding, closing, drawing, steps
from app.draws.announcing import WantedPrize, announce
from app.draws.cancelling import cancel
from app.draws.closing import close
from app.draws.ranking import TextEntropy, TextFormat
from app.errors import AppError, Conflict
from app.participants.service import remove_participant
from app.prizes.service import change_prize
from app.winners.service import award, revoke
from tests.draws.conftest import PLAYERS, check_stock, moderator, stock, terms
from tests.waiting import is_held_up

ROUNDS = 8
PATIENCE = 30
"""Seconds that something may take on a busy machine that would otherwise wait for good."""
pytestmark = pytest.mark.usefixtures("room")


async def at_once(*calls: Awaitable[Any]) -> list[Any]:
    """Run calls in tasks of their own; errors come back as results."""
    return await asyncio.gather(*calls, return_exceptions=True)


def refusals(results: list[Any]) -> list[AppError]:
    """Nothing but refusals went wrong: no deadlock, no violation that got through."""
    failed = [each for each in results if isinstance(each, BaseException)]
    assert all(isinstance(each, AppError) for each in failed), failed
    return [each for each in failed if isinstance(each, AppError)]


async def draw(number: int = 1) -> None:
    await drawing.draw(moderator(), number, text=None, signature=None)


async def closed_draw(**changes: Any) -> int:
    number = await announce(moderator(), terms(**changes))
    await close(moderator(), number)
    return number


async def start_over(number: int) -> None:
    """Make room for the next draw."""
    if await fetchval("SELECT status FROM draws WHERE number = $1", number) == "CLOSED":
        await cancel(moderator(), number, "next")
    await fetch('UPDATE participants SET "deletedAt" = NULL')
    await fetch("DELETE FROM winners")
    await fetch('UPDATE prizes SET quantity = 4, "quantityRemaining" = 4')


async def test_of_two_announcements_one_wins_and_numbers_have_no_gaps() -> None:
    for number in range(1, ROUNDS + 1):
        results = await at_once(*(announce(moderator(), terms()) for _ in range(4)))
        refused = refusals(results)
        assert len(refused) == 3
        assert {type(error) for error in refused} == {Conflict}
        assert [each for each in results if isinstance(each, int)] == [number]
        await cancel(moderator(), number, "next")
    numbers = await fetch("SELECT number FROM draws ORDER BY 1")
    assert [row["number"] for row in numbers] == list(range(1, ROUNDS + 1))


async def test_without_the_constraints_two_draws_would_be_open() -> None:
    """The control: one and the same statement, whose constraints are taken away and come back."""
    lost = """
        ALTER TABLE draws DROP CONSTRAINT draws_no_gap_fkey;
        ALTER TABLE draws DROP CONSTRAINT "draws_roomId_number_key";
        DROP INDEX "draws_roomId_open_key"
    """
    restored = """
        ALTER TABLE draws DISABLE TRIGGER draws_kept;
        DELETE FROM draws;
        ALTER TABLE draws ENABLE TRIGGER draws_kept;
        ALTER TABLE draws ADD UNIQUE ("roomId", number);
        ALTER TABLE draws ADD CONSTRAINT "draws_no_gap_fkey"
            FOREIGN KEY ("roomId", "previousNumber") REFERENCES draws ("roomId", number);
        CREATE UNIQUE INDEX "draws_roomId_open_key" ON draws ("roomId")
            WHERE status IN ('ANNOUNCED', 'CLOSED', 'READY')
    """
    await _run(lost)
    try:
        await at_once(*(announce(moderator(), terms()) for _ in range(4)))
        numbers = await fetch("SELECT number FROM draws WHERE status = 'ANNOUNCED'")
    finally:
        await _run(restored)
    assert len(numbers) == 4


async def _run(statements: str) -> None:
    for statement in statements.split(";"):
        await fetch(statement)


@pytest.mark.parametrize("step", ["close", "draw", "cancel"])
async def test_of_two_equal_steps_one_does_it_and_nothing_happens_twice(step: str) -> None:
    await start_over(0)
    steps: dict[str, Callable[[int], Awaitable[None]]] = {
        "close": lambda number: close(moderator(), number),
        "draw": draw,
        "cancel": lambda number: cancel(moderator(), number, "rain"),
    }
    for _ in range(ROUNDS):
        number = await (closed_draw() if step == "draw" else announce(moderator(), terms()))
        results = await at_once(*(steps[step](number) for _ in range(4)))
        # Whoever comes while it happens is refused; whoever comes after it repeats it.
        assert len(refusals(results)) < 4
        status = await fetchval("SELECT status FROM draws WHERE number = $1", number)
        assert status == {"close": "CLOSED", "draw": "DRAWN", "cancel": "CANCELLED"}[step]
        assert await fetchval("SELECT count(*) FROM winners") == (5 if step == "draw" else 0)
        await check_stock()
        await start_over(number)


async def test_a_step_while_another_is_under_way_is_refused_at_once() -> None:
    number = await closed_draw()
    async with transaction():
        await fetch("SELECT 1 FROM draws FOR NO KEY UPDATE")
        for call in (
            close(moderator(), number),
            draw(number),
            cancel(moderator(), number, "x"),
        ):
            # A task of its own has a connection of its own.
            result = (await asyncio.create_task(_outside(call)))[0]
            assert isinstance(result, Conflict)
            assert "under way" in result.message


async def _outside(call: Awaitable[Any]) -> list[Any]:
    DB.current_transaction.set(None)
    return await at_once(call)


async def test_without_the_lock_only_the_trigger_would_stop_a_second_draw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both_have_read = asyncio.Barrier(2)

    async def unlocked(room_id: str, number: int, **_: Any) -> asyncpg.Record:
        row = await fetchrow(
            'SELECT * FROM draws WHERE "roomId" = $1 AND number = $2', room_id, number
        )
        assert row is not None
        await both_have_read.wait()
        return row

    await fetch('UPDATE prizes SET quantity = 9, "quantityRemaining" = 9')
    number = await closed_draw(prizes=(WantedPrize("book", 2),))
    await drawing._fix_input(moderator(), number, b"", None)
    monkeypatch.setattr(drawing, "lock_draw", unlocked)
    monkeypatch.setattr(
        drawing, "turn_to_rank", nullcontext
    )  # as two processes, which know no turns
    results = await at_once(*(drawing.finish("room", number) for _ in range(2)))
    [refused] = [each for each in results if each is not None]
    assert isinstance(refused, asyncpg.IntegrityConstraintViolationError)
    assert "written once" in str(refused)
    assert await fetchval("SELECT count(*) FROM winners") == 2
    await check_stock()


@pytest.mark.parametrize("inputs", [["11111"] * 4, ["11111", "22222", "33333", "44444"]])
async def test_of_inputs_that_come_at_once_exactly_one_is_fixed(inputs: list[str]) -> None:
    await start_over(0)
    entropy = TextEntropy("Dice", TextFormat("1-6", 5))
    for _ in range(ROUNDS):
        number = await closed_draw(entropy=entropy)
        results = await at_once(
            *(drawing.draw(moderator(), number, text=text, signature=None) for text in inputs)
        )
        assert len(refusals(results)) < 4
        row = await fetchrow("SELECT status, public FROM draws WHERE number = $1", number)
        assert row is not None
        assert row["status"] == "DRAWN"
        accepted = {text for text, result in zip(inputs, results, strict=True) if result is None}
        assert accepted == {row["public"].decode()}
        fixed = await fetchval("SELECT count(*) FROM audit_log WHERE action = 'fix public input'")
        assert fixed == number
        await start_over(number)


async def test_what_is_cancelled_awards_nothing_and_what_is_drawn_is_not_cancelled() -> None:
    await start_over(0)
    for _ in range(ROUNDS):
        number = await closed_draw()
        results = await at_once(draw(number), cancel(moderator(), number, "rain"))
        assert len(refusals(results)) == 1
        status = await fetchval("SELECT status FROM draws WHERE number = $1", number)
        assert await fetchval("SELECT count(*) FROM winners") == (5 if status == "DRAWN" else 0)
        await check_stock()
        await start_over(number)


async def test_stock_and_winners_agree_whatever_happens_beside_a_draw() -> None:
    """Awards, revocations, leaving, changed quantities and the draw at the same time."""
    await start_over(0)
    outcomes = set()
    for turn in range(ROUNDS):
        wanted = (WantedPrize("phone", 1), WantedPrize("book", 1))
        number = await closed_draw(prizes=wanted, one_prize_each=bool(turn % 2))
        held = await fetch('SELECT id FROM winners WHERE "deletedAt" IS NULL')
        results = await at_once(
            draw(number),
            *(
                award(moderator(), participant_id=name, prize_id=prize, metadata=None)
                for name, prize in (("ann", "phone"), ("ben", "book"), ("cem", "phone"))
            ),
            *(revoke(moderator(), row["id"]) for row in held[:2]),
            remove_participant(moderator(), PLAYERS[turn % 5]),
            change_prize(moderator(), "book", {"quantity": 2 + turn % 4}),
            change_prize(moderator(), "phone", {"quantity": 3 + turn % 3}),
        )
        refusals(results)
        outcomes.add(isinstance(results[0], AppError))
        await check_stock()
        await start_over(number)
    assert False in outcomes


async def test_without_the_lock_units_would_be_given_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pause = Pause()

    async def careless(room_id: str, prizes: set[str]) -> dict[str, int]:  # noqa: ARG001 - the real one's
        left = {prize_id: await stock(prize_id) for prize_id in prizes}
        pause.reached.set()
        await pause.over.wait()
        return left

    monkeypatch.setattr(awarding, "_lock_prizes", careless)
    number = await closed_draw(prizes=(WantedPrize("book", 2),))
    drawing = asyncio.create_task(draw(number))
    await pause.reached.wait()
    await award(moderator(), participant_id="max", prize_id="book", metadata=None)
    pause.over.set()
    with pytest.raises(Conflict, match="neither negative"):
        await drawing


async def test_nobody_waits_for_a_closing_or_a_ranking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Joining, leaving and awarding go on while entrants are frozen and ranked."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    def slow(result: object) -> Callable[..., Awaitable[object]]:
        async def go_slowly(*_: Any, **__: Any) -> object:
            reached.set()
            await go_on.wait()
            return result

        return go_slowly

    number = await announce(moderator(), terms(prizes=(WantedPrize("book", 1),)))
    frozen = {"left_out": "{}", "lacks_weights": False, "guests": 0}
    monkeypatch.setattr(closing, "_freeze_entrants", slow(frozen))
    task = asyncio.create_task(close(moderator(), number))
    await reached.wait()
    await asyncio.wait_for(remove_participant(moderator(), "eva"), PATIENCE)
    await asyncio.wait_for(
        award(moderator(), participant_id="ann", prize_id="phone", metadata=None), PATIENCE
    )
    go_on.set()
    await task
    reached.clear()
    go_on.clear()
    monkeypatch.setattr(drawing, "first_ranked", slow([]))
    task = asyncio.create_task(draw(number))
    await reached.wait()
    await asyncio.wait_for(remove_participant(moderator(), "dan"), PATIENCE)
    go_on.set()
    await task


async def test_a_room_that_completes_meanwhile_draws_nothing() -> None:
    number = await closed_draw()
    completed = await DB.get_new_connection()
    try:
        change = completed.transaction()
        await change.start()
        await completed.execute("UPDATE rooms SET status = 'COMPLETED' WHERE id = 'room'")
        task = asyncio.create_task(draw(number))
        assert await is_held_up(task)
        await change.commit()
        with pytest.raises(AppError, match="Only an ACTIVE room"):
            await task
    finally:
        await completed.close()
    assert await fetchval("SELECT count(*) FROM winners") == 0


def pause_after(monkeypatch: pytest.MonkeyPatch, lock: str, *, taking_it: bool) -> "Pause":
    """Let a draw wait once it has locked rows so; or has only read them, for a control."""
    pause, original = Pause(), fetch

    async def paused(sql: str, *arguments: object) -> Any:
        if lock not in sql:
            return await original(sql, *arguments)
        rows = await original(sql if taking_it else sql.replace(lock, ""), *arguments)
        pause.reached.set()
        await pause.over.wait()
        return rows

    async def paused_row(sql: str, *arguments: object) -> Any:
        rows = await paused(sql, *arguments)
        return rows[0] if rows else None

    monkeypatch.setattr(drawing, "fetch", paused)
    monkeypatch.setattr(steps, "fetchrow", paused_row)
    return pause


class Pause:
    def __init__(self) -> None:
        self.reached, self.over = asyncio.Event(), asyncio.Event()


COMPLETE = "UPDATE rooms SET status = 'COMPLETED' WHERE id = 'room'"
ERASE = "DELETE FROM users WHERE id IN ('ann', 'ben', 'cem', 'dan', 'eva')"


@pytest.mark.parametrize(
    ("lock", "change"), [("FOR SHARE", COMPLETE), ("FOR KEY SHARE", ERASE)], ids=["room", "people"]
)
async def test_what_a_draw_has_locked_stays_until_it_is_committed(
    monkeypatch: pytest.MonkeyPatch, lock: str, change: str
) -> None:
    number = await closed_draw()
    pause = pause_after(monkeypatch, lock, taking_it=True)
    drawing = asyncio.create_task(draw(number))
    await pause.reached.wait()
    changing = asyncio.create_task(fetch(change))
    assert await is_held_up(changing)
    pause.over.set()
    await drawing
    await changing


async def test_without_the_lock_a_completed_room_would_draw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = await closed_draw()
    pause = pause_after(monkeypatch, "FOR SHARE", taking_it=False)
    drawing = asyncio.create_task(draw(number))
    await pause.reached.wait()
    await fetch(COMPLETE)
    pause.over.set()
    await drawing
    assert await fetchval("SELECT count(*) FROM winners") == 3


async def test_without_the_lock_erased_people_would_break_a_draw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = await closed_draw()
    with monkeypatch.context() as patched:
        pause = pause_after(patched, "FOR KEY SHARE OF p", taking_it=False)
        drawing = asyncio.create_task(draw(number))
        await pause.reached.wait()
        await fetch(ERASE)
        pause.over.set()
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await drawing
    # And who comes after it finds it as it was left, and finishes it.
    await draw(number)
    assert await fetchval("SELECT undrawn FROM draws") == 3
