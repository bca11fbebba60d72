"""Ranking inside PostgreSQL, for entrants who are too many to read. `ranking` is the reference.

It has a budget of its own: what one draw may rank is bounded when it closes, and each process ranks
for one draw at a time. Who waits for that holds no connection, so that rankings never keep others
from theirs.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from app.database.engine import fetch
from app.draws.ranking import Ranked

# Both forms are a scan of the parts, which PostgreSQL shares with a second process; with tickets
# as a subquery for each entrant it would not. A third would take the core that others' requests
# need. Right after a close PostgreSQL knows little of the parts: their number says nothing of the
# work, and compiling the statement takes longer than to run it.
_RANK_WIDELY = """
    SELECT set_config('min_parallel_table_scan_size', '0', true),
           set_config('min_parallel_index_scan_size', '0', true), set_config('jit', 'off', true),
           set_config('max_parallel_workers_per_gather', '1', true),
           set_config('statement_timeout', '60s', true)
"""
# Without weights every line ends with " 1", and the tickets of all begin with the same bytes.
_RANK_SINGLE = """
    SELECT sha256($2::bytea || convert_to(id, 'UTF8')) t, id COLLATE "C" AS id
    FROM draw_entrants, string_to_table(left(lines, -3), E' 1\\n') id
    WHERE "drawId" = $1 ORDER BY 1, 2 LIMIT $3
"""
_RANK_WEIGHTED = """
    SELECT sha256($2::bytea || int4send(j) || convert_to(split_part(line, ' ', 1), 'UTF8')) t,
           split_part(line, ' ', 1) COLLATE "C" AS id
    FROM draw_entrants, string_to_table(left(lines, -1), E'\\n') line,
         generate_series(0, split_part(line, ' ', 2)::int - 1) j
    WHERE "drawId" = $1 ORDER BY 1, 2 LIMIT $3
"""
_FIRST_TICKET = bytes(4)
"""The number of an entrant's only ticket, as 4 bytes."""

_turns = asyncio.Semaphore(1)


@asynccontextmanager
async def turn_to_rank() -> AsyncIterator[None]:
    """Wait until this process ranks for nobody else. To be entered before a transaction begins."""
    async with _turns:
        yield


async def first_ranked(draw_id: str, key: bytes, count: int, *, weighted: bool) -> Sequence[Ranked]:
    """Return what `ranking.first_ranked` does, for entrants who are too many to read.

    With weights an entrant's other tickets follow its least one in the order of all tickets;
    they are skipped, and where that leaves too few, twice as many are taken.

    Args:
        draw_id: A closed draw's.
        key: The order's.
        count: At most as many as there are entrants.
        weighted: Whether somebody may have more than one ticket.
    """
    await fetch(_RANK_WIDELY)
    statement, start = (_RANK_WEIGHTED, key) if weighted else (_RANK_SINGLE, key + _FIRST_TICKET)
    tickets = count
    while True:
        first: dict[str, bytes] = {}
        for row in await fetch(statement, draw_id, start, tickets):
            first.setdefault(row["id"], row["t"])
        if len(first) >= count:
            return [Ranked(ticket, id_) for id_, ticket in list(first.items())[:count]]
        tickets *= 2
