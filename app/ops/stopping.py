"""Hearing that the server is to stop: while it starts, and before it waits for open requests."""

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from litestar import Litestar

BEGUN_SECONDS = 0.1
"""From the end of the lifespan's start until Granian surely serves."""


def end_while_loading() -> None:
    """Let this process end at once when it is told to (SIGTERM), until Granian serves.

    A worker is a fork: the handler that it has from its parent does nothing here, so a signal that
    came while the application is imported was lost, and the worker killed after its grace.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@asynccontextmanager
async def beginning(_: Litestar) -> AsyncIterator[None]:
    """Hold the signal back from now on: Granian hangs if it comes before it serves.

    The first of the application's lifespan, as `begun` is the last.
    """
    _hold_back(signal.SIG_BLOCK)
    yield


@asynccontextmanager
async def begun(_: Litestar) -> AsyncIterator[None]:
    """Let the signal through, once the loop runs what serves."""
    asyncio.get_running_loop().call_later(BEGUN_SECONDS, _hold_back, signal.SIG_UNBLOCK)
    yield


def _hold_back(how: int) -> None:
    if sys.platform != "win32":
        signal.pthread_sigmask(how, {signal.SIGTERM})


@contextmanager
def telling_stop(callback: Callable[[], None]) -> Iterator[None]:
    """Call back when this process is told to end (SIGTERM), as long as the block runs.

    Granian waits for open requests first, and ends what runs beside them only then. The loop hears
    the signal by its own means, whatever Python's handler is: this one only comes beside it.

    Args:
        callback: Called in the event loop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(callback))
    signal.siginterrupt(signal.SIGTERM, False)  # noqa: FBT003 - its only form
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
