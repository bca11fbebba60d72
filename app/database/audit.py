"""Who acts: named to the database, whose triggers record every row that changes (`audit_log`)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.database.engine import fetch, fetchval


@asynccontextmanager
async def acting(actor: str, action: str) -> AsyncIterator[None]:
    """Record what changes inside of the block, which is in a transaction, and nothing after it.

    Inside of another such block it is still the outer one who acts.

    Args:
        actor: An administrator's name, a user's id, or the name of a job.
        action: What they do, in words.
    """
    if await fetchval("SELECT current_setting('audit.actor', true) <> ''"):
        yield
        return
    await _name(actor, action)
    yield
    await _name("", "")


async def _name(actor: str, action: str) -> None:
    await fetch(
        "SELECT set_config('audit.actor', $1, true), set_config('audit.action', $2, true)",
        actor,
        action,
    )
