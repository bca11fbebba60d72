"""How fast reads and awards are: ``python -m tests.benchmarks.speed`` (about four minutes).

On a durable, embedded PostgreSQL of its own, with the data of `load` and, to compare, with a
thousandth of it. Requests go to `litestar run` with two workers and come from wrk
(``apt-get install wrk``); the same SQL goes to PostgreSQL from pgbench with as many clients. Both
take turns, because only ratios hold from machine to machine.
"""

import asyncio
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from app.database import migrations
from app.database.embedded.finding import find_programs
from app.database.engine import DB, fetch, fetchrow
from app.database.listing import PageRequest, Position
from app.http.pagination import write_cursor
from app.participants.service import list_participants, membership
from app.rooms.service import RoomFilter, find_room, list_rooms
from app.winners.service import _AWARD, list_winners
from tests import factories
from tests.benchmarks.databases import database_of_its_own
from tests.benchmarks.load import BIG_ROOM, Size, id_of, load
from tests.server import Server, serving

SMALL = Size(rooms=1_000, people=1_000, participants=1_000)
ROUNDS = 201
SECONDS = 5
TURNS = 3
READERS = 10
GIVERS = 32
PRIZES = 50
ROOMS = "/api/v1/rooms"
AWARDS = f"{ROOMS}/{BIG_ROOM}/winners"

STRAIGHTFORWARD = """
    SELECT r.*, o.name, c.participants, (SELECT count(*) FROM rooms WHERE "isPublic") AS total
    FROM rooms r JOIN users o ON o.id = r."createdBy" LEFT JOIN (
        SELECT "roomId", count(*) AS participants FROM participants
        WHERE "deletedAt" IS NULL GROUP BY 1
    ) c ON c."roomId" = r.id
    WHERE r."isPublic" AND r."deletedAt" IS NULL
    ORDER BY r."createdAt" DESC LIMIT 20 OFFSET 0
"""
"""The list as one would write it first."""

WRK_AWARDS = """
    local number, first, prizes, token = 0, 0, 1, ""
    function init(arguments)
        first, prizes, token = tonumber(arguments[1]), tonumber(arguments[2]), arguments[3]
    end
    function request()
        number = number + 1
        return wrk.format("POST", nil,
            {["Authorization"] = token, ["Content-Type"] = "application/json"},
            string.format('{"participantId": "p%024d", "prizeId": "b%024d"}',
                number, first + number % prizes))
    end
"""

Call = Callable[[], Awaitable[Any]]


async def main() -> None:
    """Print everything."""
    with database_of_its_own() as small, database_of_its_own() as large:
        pages = {}
        for dsn, size in ((small, SMALL), (large, Size())):
            async with loaded(dsn, size):
                pages[size] = {
                    name: await milliseconds(call) for name, call in (await reads()).items()
                }
        for name, cost in pages[Size()].items():
            first = pages[SMALL][name.replace("1,000th", "first")]
            tell(name, f"{cost:8.2f} ms", f"{cost / first:.2f} times that of a table of 1,000")
        async with connected(large):
            with serving(Path.cwd(), "--wc", "2", DATABASE_URL=large) as server:
                await lists(server, large)
                await awards(server, large)


@asynccontextmanager
async def connected(dsn: str) -> Any:
    """Use a database meanwhile."""
    DB.connect_to(dsn)
    await DB.start_connection_pool()
    yield
    await DB.close_connection_pool()


@asynccontextmanager
async def loaded(dsn: str, size: Size) -> Any:
    """Use a database, filled before."""
    DB.connect_to(dsn)
    await migrations.upgrade()
    async with connected(dsn):
        await load(size, sys.stdout.write)
        yield


async def reads() -> Mapping[str, Call]:
    """Name the reads, whose costs must not grow with the tables."""
    thousandth = await page_after(20 * 999)

    async def room() -> Any:
        await membership(None, BIG_ROOM)
        return await find_room(BIG_ROOM)

    async def participants() -> Any:
        return await list_participants(await membership(None, BIG_ROOM), PageRequest(limit=20))

    async def winners() -> Any:
        member = await membership(None, BIG_ROOM)
        return await list_winners(member, PageRequest(limit=20), prize_id=None, participant_id=None)

    return {
        "rooms, first page": lambda: list_rooms(None, RoomFilter(), PageRequest()),
        "rooms, 1,000th page": lambda: list_rooms(None, RoomFilter(), thousandth),
        "a room with 100,000 people": room,
        "their first page": participants,
        "the first page of its winners": winners,
    }


async def page_after(rooms: int) -> PageRequest:
    """Return the request for what follows so many rooms of the list, if there are more."""
    row = await fetchrow(
        'SELECT "createdAt", id FROM rooms WHERE "isPublic" ORDER BY "createdAt" DESC, id DESC '
        "OFFSET $1 LIMIT 1",
        rooms - 1,
    )
    return PageRequest(after=None if row is None else Position(row["createdAt"], row["id"]))


async def milliseconds(call: Call) -> float:
    """Return the median of what a call takes."""
    costs = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await call()
        costs.append((time.perf_counter() - started) * 1e3)
    return statistics.median(costs)


async def lists(server: Server, dsn: str) -> None:
    """Compare `GET /rooms?limit=20` with its SQL, with the first idea, and with a later page."""
    sql = await statement_of(lambda: list_rooms(None, RoomFilter(), PageRequest()))
    place = (await page_after(20 * 1_999)).after
    assert place is not None
    page = f"{server.url}{ROOMS}?limit=20"
    ours, later, theirs, straight = in_turns(
        lambda: wrk(page, READERS),
        lambda: wrk(f"{page}&cursor={write_cursor(place)}", READERS),
        lambda: pgbench(dsn, sql, READERS),
        lambda: pgbench(dsn, STRAIGHTFORWARD, READERS),
    )
    tell("GET /rooms?limit=20", f"{ours:8,.0f} /s", f"{ours / theirs:.2f} of pgbench, same SQL")
    tell("the straightforward SQL", f"{straight:8,.0f} /s", f"GET is {ours / straight:.0f} times")
    tell("its 2,000th page by cursor", f"{later:8,.0f} /s", f"{later / ours:.2f} of the first")


async def statement_of(call: Call) -> str:
    """Return the SQL that a call sends."""
    sent: list[str] = []
    pool: Any = DB.pool
    original = pool.fetch

    async def record(sql: str, *arguments: object) -> Any:
        sent.append(sql)
        return await original(sql, *arguments)

    pool.fetch = record
    await call()
    del pool.fetch
    return sent[0]


async def awards(server: Server, dsn: str) -> None:
    """Compare awards over HTTP with their SQL, on one prize and on fifty."""
    organizer = await fetchrow("SELECT * FROM users WHERE id = $1", id_of("u", 2))
    token = (await factories.bearer(organizer))["Authorization"]
    await fetch("UPDATE participants SET role = 'ORGANIZER' WHERE \"userId\" = $1", id_of("u", 2))
    for number in range(4 * TURNS * PRIZES):
        await factories.prize(BIG_ROOM, quantity=1_000_000, id=id_of("b", number))
    firsts = iter(range(0, 4 * TURNS * PRIZES, PRIZES))  # each turn has prizes of its own

    def http(prizes: int) -> float:
        with written(WRK_AWARDS, ".lua") as script:
            arguments = ("-s", script, "--", str(next(firsts)), str(prizes), token)
            return wrk(f"{server.url}{AWARDS}", GIVERS, *arguments)

    def sql(prizes: int) -> float:
        return pgbench(dsn, award_of(next(firsts), prizes), GIVERS)

    for prizes in (1, PRIZES):
        ours, theirs = in_turns(partial(http, prizes), partial(sql, prizes))
        name = f"awards of {prizes} prize(s), {GIVERS} clients"
        tell(name, f"{ours:8,.0f} /s", f"{ours / theirs:.2f} of pgbench, same SQL")


def award_of(first: int, prizes: int) -> str:
    """Return the award's statement for pgbench: everybody wins once."""
    number = f"(:client_id::int + {GIVERS} * :n::int)"
    values = {
        "$1": f"('n{first}-' || {number}::text)",
        "$2": f"'{BIG_ROOM}'",
        "$3": f"('p' || lpad({number}::text, 24, '0'))",
        "$4": f"('b' || lpad(({first} + {number} % {prizes})::text, 24, '0'))",
        "$5": "NULL::jsonb",
        "$6": "'benchmark'",
    }
    return re.sub(r"\$\d", lambda place: values[place[0]], _AWARD)


def in_turns(*kinds: Callable[[], float]) -> list[float]:
    """Measure all kinds in turn; the median of each."""
    rounds = [[kind() for kind in kinds] for _ in range(TURNS)]
    return [statistics.median(each) for each in zip(*rounds, strict=True)]


def wrk(url: str, clients: int, *script: str) -> float:
    """Return the answers per second."""
    said = ran(["wrk", "-t1", f"-c{clients}", f"-d{SECONDS}", *script[:2], url, *script[2:]])
    assert "Non-2xx" not in said, said
    return float(re.findall(r"Requests/sec: +([\d.]+)", said)[0])


def pgbench(dsn: str, sql: str, clients: int) -> float:
    """Return the transactions per second of a prepared statement."""
    # A colon before letters would be a variable of pgbench's.
    line = " ".join(sql.split()).replace("HH24:MI:SS", "HH24'||chr(58)||'MI'||chr(58)||'SS")
    with written(f"\\set n :n + 1\n{line};\n", ".sql") as script:
        command = f"-n -M prepared -j 1 -c {clients} -T {SECONDS} -D n=0 -f {script}".split()
        said = ran([str(find_programs() / "pgbench"), *command, dsn])
    return float(re.findall(r"tps = ([\d.]+)", said)[0])


def ran(command: Sequence[str]) -> str:
    """Run a program to its end; return what it said."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def written(text: str, suffix: str) -> Iterator[str]:
    """Keep a text in a file meanwhile."""
    with tempfile.NamedTemporaryFile("w", suffix=suffix) as file:
        file.write(text)
        file.flush()
        yield file.name


def tell(name: str, figure: str, remark: str) -> None:
    """Print a figure."""
    sys.stdout.write(f"{name:<36}{figure:>14}  {remark}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
