"""What the triggers of ``audit_log`` cost: ``python -m tests.benchmarks.audit``.

The same changes three times: without the trigger, with it while nobody is named who acts (as all
requests of the API run), and with an administrator named. One by one, each in its transaction, and
many in one statement. An embedded PostgreSQL of its own that syncs nothing, so that the ratios are
the worst there are: a commit that waits for a disk hides them.
"""

import asyncio
import statistics
import sys
import time

from app.database.audit import acting
from app.database.engine import DB, fetch, transaction
from tests.benchmarks.databases import connected_to_its_own

PEOPLE = 10_000
ROUNDS = 6
SINGLE = 300
WAYS = ("no trigger", "nobody named", "somebody named")


async def main() -> None:
    """Print the times and the ratios of both kinds of changes."""
    await fetch(
        'INSERT INTO users (id, email, "updatedAt") '
        "SELECT 'u' || n, 'u' || n || '@example.com', now() FROM generate_series(1, $1) n",
        PEOPLE,
    )
    single: dict[str, list[float]] = {way: [] for way in WAYS}
    many: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(ROUNDS):
        for way in WAYS[:: 1 if turn % 2 else -1]:  # nothing always comes after the same
            verb = "DISABLE" if way == "no trigger" else "ENABLE"
            await fetch(f"ALTER TABLE users {verb} TRIGGER users_audit")
            await vacuum()
            await one_by_one(named=False)
            single[way].append(await one_by_one(named=way == "somebody named"))
            many[way].append(await at_once(named=way == "somebody named"))
    show(f"{SINGLE} changes, each in a transaction", single, SINGLE)
    show(f"{PEOPLE:,} rows in a statement", many, PEOPLE)


async def one_by_one(*, named: bool) -> float:
    """Return the seconds that changes of a row each took."""
    started = time.perf_counter()
    for n in range(1, SINGLE + 1):
        await change("id = $1", f"u{n}", named=named)
    return time.perf_counter() - started


async def at_once(*, named: bool) -> float:
    """Return the seconds that a change of all rows took."""
    started = time.perf_counter()
    await change("id <> $1", "nobody", named=named)
    return time.perf_counter() - started


async def change(condition: str, value: str, *, named: bool) -> None:
    """Change the rows; naming who acts is a statement before it, and one after it."""
    sql = f"UPDATE users SET name = md5(random()::text) WHERE {condition}"
    async with transaction():
        if not named:
            await fetch(sql, value)
            return
        async with acting("benchmark", "change"):
            await fetch(sql, value)


async def vacuum() -> None:
    """Let each round find the tables alike."""
    connection = await DB.get_new_connection()
    await connection.execute("VACUUM (ANALYZE) users, audit_log")
    await connection.execute("CHECKPOINT")
    await connection.close()


def show(kind: str, seconds: dict[str, list[float]], changes: int) -> None:
    """Print the median of each way, and how often it is the first."""
    sys.stdout.write(f"{kind}\n")
    base = statistics.median(seconds[WAYS[0]])
    for way, taken in seconds.items():
        median = statistics.median(taken)
        line = f"  {way:<15}{median / changes * 1e6:8.1f} µs each, {median / base:5.2f} times\n"
        sys.stdout.write(line)


async def on_a_server_of_its_own() -> None:
    """Run everything on a new PostgreSQL, which is gone afterwards."""
    async with connected_to_its_own(durable=False):
        await main()


if __name__ == "__main__":
    asyncio.run(on_a_server_of_its_own())
