"""Hearing that the server is to stop, before it waits for its open requests."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
