"""Ranking inside PostgreSQL is the reference's ranking; the constraints hold without the code."""

import random

import asyncpg
import pytest

from app.database.engine import fetch, fetchval, transaction
from app.draws import tickets
from app.draws.closing import ENTRANTS_PER_PART
from app.draws.ranking import Entrant, entrants_text, first_ranked, key_of
from app.errors import Conflict

pytestmark = pytest.mark.usefixtures("room")
DRAW = """
    INSERT INTO draws (id, "roomId", number, secret, commitment, prizes, entropy)
    VALUES ($1, 'room', $2, $3, encode(sha256($3), 'hex'), '[]', '{"kind": "none"}')
"""
ALPHABET = "abcxyz0189-_äß€🎲"


async def store(draw_id: str, entrants: list[Entrant]) -> None:
    """Keep entrants as closing does."""
    lines = entrants_text(entrants).decode().splitlines(keepends=True)
    for part, start in enumerate(range(0, len(lines), ENTRANTS_PER_PART)):
        text = "".join(lines[start : start + ENTRANTS_PER_PART])
        await fetch("INSERT INTO draw_entrants VALUES ($1, $2, $3)", draw_id, part, text)


def some_entrants(chance: random.Random, count: int, heaviest: int) -> list[Entrant]:
    names = {"".join(chance.choices(ALPHABET, k=chance.randint(1, 25))) for _ in range(count)}
    return [Entrant(name, chance.randint(1, heaviest)) for name in sorted(names)]


@pytest.mark.parametrize("seed", range(12))
async def test_the_database_ranks_as_the_reference_does(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - must repeat
    heaviest = chance.choice([1, 2, 30])
    entrants = some_entrants(chance, chance.choice([1, 7, 61, 400]), heaviest)
    await fetch(DRAW, "draw", 1, bytes(32))
    await store("draw", entrants)
    for count in {0, 1, len(entrants) // 2, len(entrants)}:
        key = key_of(chance.randbytes(32), chance.choice(["", "prize"]))
        async with transaction():
            ranked = await tickets.first_ranked("draw", key, count, weighted=heaviest > 1)
        assert ranked == first_ranked(key, entrants, count)


async def test_a_few_heavy_entrants_take_more_tickets_than_places() -> None:
    entrants = [Entrant("heavy", 1000), Entrant("light", 1), Entrant("other", 1)]
    await fetch(DRAW, "draw", 1, bytes(32))
    await store("draw", entrants)
    async with transaction():
        ranked = await tickets.first_ranked("draw", bytes(32), 3, weighted=True)
    assert ranked == first_ranked(bytes(32), entrants, 3)


SECRET = bytes(range(32))


@pytest.mark.parametrize(
    "change",
    [
        "secret = NULL",
        "secret = '\\x00'",
        "secret = decode(repeat('00', 32), 'hex')",
        "commitment = repeat('0', 64)",
        "number = 0",
        "number = 3",
        "status = 'CLOSED'",
        "status = 'DRAWN'",
        "status = 'CANCELLED'",
        '"closedAt" = now()',
        "plan = '{}'",
        '"drawnAt" = now()',
        "seed = decode(repeat('00', 32), 'hex')",
        "winners = '[]'",
        "public = ''",
        "undrawn = 0",
        "reason = 'x'",
        '"cancelledAt" = now()',
        "status = 'CLOSED', \"closedAt\" = now()",
        "status = 'READY'",
        "status = 'READY', public = ''",
        "status = 'READY', public = '', \"readyAt\" = now()",
        '"readyAt" = now()',
        "signature = 'x'",
        "\"leftOut\" = '{}'",
        "passed = '[]'",
        "unawarded = '[]'",
        '"wasPublic" = true',
        '"allowRevoked" = true',
        "\"idempotencyKey\" = 'x'",
        "\"weightKey\" = 'x'",
        "replaces = 'x'",
        "exclusions = '[1]'",
        "prizes = '[1]'",
        "entropy = '{}'",
        "immediate = NOT immediate",
        '"onePrizeEach" = NOT "onePrizeEach"',
        '"announcedAt" = "announcedAt" + interval \'1 s\'',
        "\"roomId\" = 'other'",
        "status = 'CANCELLED', reason = 'x'",
        (
            "status = 'DRAWN', public = '', seed = decode(repeat('00', 32), 'hex'), winners = '[]',"
            ' undrawn = 0, "drawnAt" = now()'
        ),
    ],
)
async def test_what_must_never_happen_is_refused_by_the_database(change: str) -> None:
    await fetch(DRAW, "draw", 1, SECRET)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await fetch(f"UPDATE draws SET {change}")


CLOSE = """
    status = 'CLOSED', "closedAt" = now(), plan = '{}', "planDigest" = 'x', "leftOut" = '{}'
"""
READY = "status = 'READY', public = '1', \"readyAt\" = now(), signature = 's'"
DRAWN = """
    status = 'DRAWN', "drawnAt" = now(), seed = decode(repeat('00', 32), 'hex'), winners = '[]',
    undrawn = 0, passed = '[]', unawarded = '[]'
"""
CANCEL = "status = 'CANCELLED', reason = 'x', \"cancelledAt\" = now()"
OF_THE_CLOSE = [
    *('"closedAt" = "closedAt" + interval \'1 s\'', "plan = '{\"a\": 1}'", "\"planDigest\" = 'y'"),
    *("\"leftOut\" = '[]'", "status = 'ANNOUNCED'"),
]
OF_THE_INPUT = ["public = '2'", "signature = 't'", "signature = NULL", "status = 'CLOSED'", CANCEL]
AFTERWARDS = [
    *("seed = decode(repeat('01', 32), 'hex')", "winners = '[1]'", "undrawn = 1", "passed = '[1]'"),
    *("unawarded = '[1]'", "status = 'READY'", '"drawnAt" = "drawnAt" + interval \'1 s\''),
]


@pytest.mark.parametrize(
    ("steps", "changes"),
    [
        ([], [DRAWN, READY]),
        ([CLOSE], [*OF_THE_CLOSE, DRAWN]),
        ([CLOSE, READY], [*OF_THE_CLOSE, *OF_THE_INPUT, '"readyAt" = NULL']),
        ([CLOSE, READY, DRAWN], [*OF_THE_CLOSE, *OF_THE_INPUT, *AFTERWARDS]),
        ([CLOSE, CANCEL], [*OF_THE_CLOSE, READY, "reason = 'y'", "signature = 't'"]),
        ([CANCEL], [CLOSE, READY, "status = 'ANNOUNCED'"]),
    ],
    ids=["announced", "closed", "ready", "drawn", "cancelled", "cancelled early"],
)
async def test_a_draw_is_written_once(steps: list[str], changes: list[str]) -> None:
    """Not even code of ours can swap an input that was fixed, or go back a step."""
    await fetch(DRAW, "draw", 1, SECRET)
    for step in steps:
        await fetch(f"UPDATE draws SET {step}")
    before = await fetch("SELECT * FROM draws")
    for change in [*changes, "secret = decode(repeat('01', 32), 'hex'), commitment = 'x'"]:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await fetch(f"UPDATE draws SET {change}")
    assert await fetch("SELECT * FROM draws") == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE draw_entrants SET lines = 'ann 2'",
        "DELETE FROM draw_entrants",
        "DELETE FROM draws",
        "DELETE FROM rooms WHERE id = 'room'",
    ],
)
async def test_draws_and_their_entrants_are_kept(change: str) -> None:
    await fetch(DRAW, "draw", 1, SECRET)
    await store("draw", [Entrant("ann", 1)])
    with pytest.raises((asyncpg.IntegrityConstraintViolationError, Conflict)):
        await fetch(change)
    assert await fetchval("SELECT count(*) FROM draw_entrants") == 1


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_second_open_draw_and_a_gap_are_refused(number: int) -> None:
    await fetch(DRAW, "draw", 1, SECRET)
    with pytest.raises(Exception, match=r"open|violates foreign key"):
        await fetch(DRAW, "next", number, SECRET)


async def test_a_draw_in_the_middle_can_not_be_deleted() -> None:
    for number in (1, 2):
        await fetch(DRAW, f"draw{number}", number, SECRET)
        await fetch(f"UPDATE draws SET {CANCEL} WHERE number = $1", number)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await fetch("DELETE FROM draws WHERE number = 1")
