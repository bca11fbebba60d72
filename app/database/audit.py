"""Who acts: named to the database, whose triggers record every row that changes (`audit_log`)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.database.engine import fetch


@asynccontextmanager
async def acting(actor: str, action: str) -> AsyncIterator[None]:
    """Record what changes inside of the block, which is in a transaction, and nothing after it.

    Args:
        actor: An administrator's name, a user's id, or the name of a job.
        action: What they do, in words.
    """
    await _name(actor, action)
    yield
    await _name("", "")


async def _name(actor: str, action: str) -> None:
    await fetch(
        "SELECT set_config('audit.actor', $1, true), set_config('audit.action', $2, true)",
        actor,
        action,
    )
