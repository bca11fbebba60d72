"""Much data, made inside PostgreSQL: ``python -m tests.benchmarks.load [URL]``.

In the database that the URL names, which must be empty; else on a durable, embedded PostgreSQL that
is gone afterwards, to see how long it takes. 100,000 rooms, 100,000 people, 1,000,000 participants,
200,000 prizes and 200,000 winners; the time of each step is printed.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import msgspec

from app.database import migrations
from app.database.engine import DB, fetch
from tests.benchmarks.databases import database_of_its_own


class Size(msgspec.Struct, frozen=True):
    """How much there is. Everybody is in one room, the newest; one room in ten is private."""

    rooms: int = 100_000
    people: int = 100_000
    """Nobody is in a room twice, so a room of 100,000 needs as many people."""
    participants: int = 1_000_000


def id_of(kind: str, number: int) -> str:
    """Return the id of the n-th row: u(ser), r(oom), p(articipant), z (prize), w(inner),
    q(uiz), o(ne round), a(nswer)."""
    return f"{kind}{number:024}"


BIG_ROOM = id_of("r", 1)
MOST_QUIZZES, ROUNDS, MOST_ANSWERS = 2_000, 10, 2_000


async def load(size: Size, tell: Callable[[str], object] = lambda _: None) -> None:
    """Fill a migrated, empty database."""
    started = time.perf_counter()
    for step, statement in _statements(size):
        await fetch(statement)
        tell(f"{time.perf_counter() - started:6.1f} s  {step}\n")


def _statements(size: Size) -> Iterator[tuple[str, str]]:
    def made(kind: str, number: str) -> str:
        return f"'{kind}' || lpad(({number})::text, 24, '0')"

    user = made("u", f"1 + i % {size.people}")
    elsewhere = f"2 + (i % {size.people} * 7919 + i / {size.people} * 1009) % {size.rooms - 1}"
    yield (
        f"{size.people:,} people",
        (
            f'INSERT INTO users (id, email, name, "updatedAt") SELECT {made("u", "i")}, '
            f"'p' || i || '@example.org', 'P', now() FROM generate_series(1, {size.people}) i"
        ),
    )
    yield (
        "an app",
        (
            'INSERT INTO apps (id, "appId", "appSecret", manifest, "updatedAt") VALUES '
            "('a', 'app_lottery_v1', 'x', '{\"meta\": {\"version\": \"1.0.0\"}}', now())"
        ),
    )
    yield (
        f"{size.rooms:,} rooms",
        (
            'INSERT INTO rooms (id, name, "appId", "appSettings", status, "isPublic", "createdBy", '
            f'"createdAt", "updatedAt") SELECT {made("r", "i")}, \'Room\', '
            '\'app_lottery_v1\', \'{"ticketCount": 100, "drawDate": "2027-12-31T23:00:00Z"}\', '
            f"'ACTIVE', i % 10 <> 0, {user}, now() - i * interval '1 second', now() "
            f"FROM generate_series(1, {size.rooms}) i"
        ),
    )
    yield (
        f"{size.participants:,} participants, {size.people:,} of them in one room",
        (
            'INSERT INTO participants (id, "userId", "roomId", "joinedAt", "updatedAt") '
            f"SELECT {made('p', 'i')}, {user}, "
            f"CASE WHEN i < {size.people} THEN '{BIG_ROOM}' ELSE {made('r', elsewhere)} END, "
            "now() - i * interval '1 millisecond', now() "
            f"FROM generate_series(0, {size.participants}::bigint - 1) i"
        ),
    )
    yield (
        f"{size.rooms:,} invitations into one room",
        (
            'INSERT INTO invitations (id, "roomId", "codeHash", "createdBy", "createdAt") '
            f"SELECT {made('i', 'i')}, '{BIG_ROOM}', i, {user}, now() - i * interval '1 second' "
            f"FROM generate_series(1, {size.rooms}) i"
        ),
    )
    yield (
        f"{2 * size.rooms:,} prizes, of half of which a fifth of the room has won a unit",
        (
            'INSERT INTO prizes (id, "roomId", name, quantity, "quantityRemaining", "updatedAt") '
            "SELECT kind || substr(r.id, 2), r.id, 'Prize', 9 + awarded, 9, now() FROM rooms r "
            'LEFT JOIN (SELECT "roomId", count(*) AS won FROM participants '
            "WHERE id LIKE '%0' OR id LIKE '%5' GROUP BY 1) w ON w.\"roomId\" = r.id "
            "CROSS JOIN LATERAL (VALUES ('z', coalesce(won, 0)), ('y', 0)) prize (kind, awarded)"
        ),
    )
    yield (
        f"{size.participants // 5:,} winners",
        (
            'INSERT INTO winners (id, "roomId", "participantId", "prizeId", "createdAt") '
            "SELECT 'w' || substr(p.id, 2), p.\"roomId\", p.id, 'z' || substr(p.\"roomId\", 2), "
            "p.\"joinedAt\" FROM participants p WHERE p.id LIKE '%0' OR p.id LIKE '%5'"
        ),
    )
    yield from _quizzes(size, made)
    yield "vacuumed and analyzed", "VACUUM ANALYZE"


def _quizzes(size: Size, made: Callable[[str, str], str]) -> Iterator[tuple[str, str]]:
    quizzes = min(MOST_QUIZZES, size.rooms, size.participants // ROUNDS)
    answers = min(MOST_ANSWERS, quizzes)
    question = '{"id": "q", "text": "?", "options": ["a", "b"]}'
    moment = "now() - i * interval '1 minute'"
    quiz = f"1 + i / {ROUNDS}"
    every = f"FROM generate_series(0, {quizzes * ROUNDS} - 1) i"
    yield (
        f"{quizzes:,} quizzes",
        (
            f'INSERT INTO quizzes (id, "roomId", number) SELECT {made("q", "i")}, '
            f"{made('r', 'i')}, 1 FROM generate_series(1, {quizzes}) i"
        ),
    )
    yield (
        f"{ROUNDS} rounds of each",
        (
            'INSERT INTO rounds (id, "roomId", "quizId", question, "correctIndex", '
            '"questionIndex", "totalQuestions", "shownAt", "closedAt") '
            f"SELECT {made('o', 'i')}, {made('r', quiz)}, {made('q', quiz)}, '{question}', 1, 0, "
            f"{ROUNDS}, {moment}, {moment} {every}"
        ),
    )
    yield (
        f"{answers:,} answers of one round, and one of each other",
        (
            'INSERT INTO answers (id, "roundId", "participantId", "answerIndex", "isCorrect", '
            '"isWinning", "responseTimeMs", "answeredAt") '
            f"SELECT {made('a', 'i')}, {made('o', f'CASE WHEN i < {answers} THEN 7 ELSE i END')}, "
            f"{made('p', 'i')}, 1, true, i = 7 OR i >= {answers}, 700, {moment} {every}"
        ),
    )


async def main() -> None:
    """Load the whole of it."""
    with nullcontext(sys.argv[1]) if len(sys.argv) > 1 else database_of_its_own() as dsn:
        DB.connect_to(dsn)
        await migrations.upgrade()
        await DB.start_connection_pool()
        await load(Size(), sys.stdout.write)
        await DB.close_connection_pool()


if __name__ == "__main__":
    asyncio.run(main())
