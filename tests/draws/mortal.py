"""A process whose children take a step of a draw and kill themselves before one of its statements.

Reads `database step statement guard` from its input, one a line, and answers `killed`, `done` or
what was refused. Children are forked, so that the application is imported once. With the guard
`loose` no transaction holds the statements together.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from app.database.engine import DB
from app.draws import announcing, cancelling, closing, drawing
from app.draws.ranking import TextEntropy, TextFormat
from app.errors import AppError
from tests.draws.conftest import moderator, terms

DICE = TextEntropy("Dice", TextFormat("1-6", 5))
STEPS: dict[str, Callable[[], Awaitable[Any]]] = {
    "announce": lambda: announcing.announce(moderator(), terms()),
    "announce_dice": lambda: announcing.announce(moderator(), terms(entropy=DICE)),
    "announce_at_once": lambda: announcing.announce(moderator(), terms(immediate=True)),
    "close": lambda: closing.close(moderator(), 1),
    "draw": lambda: drawing.draw(moderator(), 1, text=None, signature=None),
    "throw": lambda: drawing.draw(moderator(), 1, text="42615", signature=None),
    "cancel": lambda: cancelling.cancel(moderator(), 1, "rain"),
}


def die_before(statement: int) -> None:
    """Let this process kill itself instead of sending a statement, BEGIN and COMMIT among them."""
    sent = 0

    def counted(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def send(*arguments: Any, **options: Any) -> Any:
            nonlocal sent
            sent += 1
            if sent == statement:
                os.kill(os.getpid(), signal.SIGKILL)
            return await original(*arguments, **options)

        return send

    for name in ("fetch", "execute"):
        setattr(asyncpg.Connection, name, counted(getattr(asyncpg.Connection, name)))


@asynccontextmanager
async def no_transaction() -> AsyncIterator[None]:
    yield


async def take(step: str) -> str:
    try:
        await STEPS[step]()
    except AppError as error:
        return error.message
    return "done"


def live(database: str, step: str, statement: int, guard: str, answer: int) -> None:
    """Be the child."""
    DB.connect_to(database)
    die_before(statement)
    if guard == "loose":
        for module in (announcing, closing, drawing, cancelling):
            vars(module)["transaction"] = no_transaction
    os.write(answer, asyncio.run(take(step)).encode())
    os._exit(0)


def main() -> None:
    for line in sys.stdin:
        database, step, statement, guard = line.split()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            live(database, step, int(statement), guard, writing)
        os.close(writing)
        with os.fdopen(reading) as said:
            told = said.read()
        os.waitpid(child, 0)
        sys.stdout.write(f"{told or 'killed'}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
