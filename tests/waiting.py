"""Waiting for something that becomes true, and failing when it does not in time."""

import asyncio
from collections.abc import Awaitable, Callable

PAUSE_SECONDS = 0.02


async def eventually(condition: Callable[[], Awaitable[object]], seconds: float = 30) -> None:
    """Return as soon as the condition holds.

    Raises:
        AssertionError: It did not, for that long.
    """
    for _ in range(int(seconds / PAUSE_SECONDS)):
        if await condition():
            return
        await asyncio.sleep(PAUSE_SECONDS)
    raise AssertionError(f"not within {seconds} s")
