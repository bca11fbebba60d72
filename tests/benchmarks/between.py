"""What recording the changes between a draw's steps costs: ``python -m tests.benchmarks.between``.

Awards of fifty prizes and sign-ups over HTTP, with the recording triggers and without, in turns:
while no draw is open, then while one of the very room is. Only the ratios travel. Needs wrk.
"""

import asyncio
import hashlib
import statistics
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

from app.database.engine import DB, fetch, fetchrow
from tests import factories
from tests.benchmarks.databases import database_of_its_own
from tests.benchmarks.load import BIG_ROOM, Size, id_of
from tests.benchmarks.speed import (
    AWARDS,
    GIVERS,
    PRIZES,
    ROOMS,
    WRK_AWARDS,
    loaded,
    tell,
    written,
    wrk,
)
from tests.server import serving

SIZE = Size(rooms=1_000, people=60_000, participants=60_000)
TURNS = 6
TRIGGERS = [
    (table, f"{table}_in_draw_{event}")
    for table in ("participants", "prizes", "winners")
    for event in ("insert", "update", "delete")
]
WRK_SIGN_UPS = """
    local number, token = 0, ""
    function init(arguments)
        token = arguments[1]
    end
    function request()
        number = number + 1
        return wrk.format("POST", nil,
            {["Authorization"] = token, ["Content-Type"] = "application/json"},
            string.format('{"userId": "u%024d"}', number + 10))
    end
"""


Measure = Callable[[], Awaitable[float]]
Triggers = Sequence[tuple[str, str]]
"""Tables, and what is called what on them."""


async def main() -> None:
    """Print the throughput with the triggers, and how often it is that without."""
    with database_of_its_own() as dsn:
        async with loaded(dsn, SIZE):
            organizer = await fetchrow("SELECT * FROM users WHERE id = $1", id_of("u", 2))
            token = (await factories.bearer(organizer))["Authorization"]
            with serving(Path.cwd(), "--wc", "2", DATABASE_URL=dsn) as server:
                firsts, rooms = count(0, PRIZES), count(2)
                for state in ("none open", "one open"):
                    for name, measure in (
                        ("awards", partial(awards, server.url, token, firsts)),
                        ("sign-ups", partial(sign_ups, server.url, token, rooms)),
                    ):
                        at_work = partial(measure, is_open=state == "one open")
                        await compare(f"{name}, {state}", at_work, TRIGGERS)


async def compare(name: str, measure: Measure, triggers: Triggers) -> None:
    """Measure with and without the triggers in turns, and nothing always after the same."""
    ratios, rates = [], []
    for turn in range(TURNS):
        rate = {}
        for recorded in (True, False) if turn % 2 else (False, True):
            await switch(triggers, on=recorded)
            rate[recorded] = await measure()
        rates.append(rate[True])
        ratios.append(rate[True] / rate[False])
    await switch(triggers, on=True)
    remark = (
        f"{statistics.median(ratios):.2f} of that without ({min(ratios):.2f}…{max(ratios):.2f})"
    )
    tell(name, f"{statistics.median(rates):8,.0f} /s", remark)


async def switch(triggers: Triggers, *, on: bool) -> None:
    """Let the triggers do their part, or not; every turn finds the tables alike."""
    for table, trigger in triggers:
        await fetch(f"ALTER TABLE {table} {'ENABLE' if on else 'DISABLE'} TRIGGER {trigger}")
    connection = await DB.get_new_connection()
    await connection.execute("VACUUM (ANALYZE) participants, prizes, winners, audit_log")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def awards(url: str, token: str, firsts: Iterator[int], *, is_open: bool = False) -> float:
    """Award units of fifty new prizes; everybody wins once."""
    first = next(firsts)
    await ready(BIG_ROOM, is_open=is_open)
    for number in range(first, first + PRIZES):
        await factories.prize(BIG_ROOM, quantity=1_000_000, id=id_of("b", number))
    with written(WRK_AWARDS, ".lua") as script:
        arguments = ("-s", script, "--", str(first), str(PRIZES), token)
        return await asyncio.to_thread(wrk, f"{url}{AWARDS}", GIVERS, *arguments)


async def sign_ups(url: str, token: str, rooms: Iterator[int], *, is_open: bool = False) -> float:
    """Add people to another room, one by one."""
    room = id_of("r", next(rooms))
    await ready(room, is_open=is_open)
    with written(WRK_SIGN_UPS, ".lua") as script:
        return await asyncio.to_thread(
            wrk, f"{url}{ROOMS}/{room}/participants", GIVERS, "-s", script, "--", token
        )


async def ready(room: str, *, is_open: bool) -> None:
    """Make the caller the room's ORGANIZER, and a draw of it open or none."""
    await fetch(
        'INSERT INTO participants (id, "userId", "roomId", role, "updatedAt") '
        "VALUES ('o' || $1, $2, $1, 'ORGANIZER', now()) "
        'ON CONFLICT ("userId", "roomId") DO UPDATE SET role = \'ORGANIZER\'',
        room,
        id_of("u", 2),
    )
    secret = bytes(32)
    if is_open:
        await fetch(
            'INSERT INTO draws (id, "roomId", number, secret, commitment, prizes, "onePrizeEach", '
            'exclusions, entropy, immediate, "wasPublic") VALUES '
            "('d' || $1, $1, 1, $2, $3, '[]', true, '[]', '{}', false, true) "
            "ON CONFLICT DO NOTHING",
            room,
            secret,
            hashlib.sha256(secret).hexdigest(),
        )


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
