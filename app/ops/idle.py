"""Connections on which nothing happens: closed after IDLE_SECONDS, whoever keeps them open.

Granian has no timer before the first byte of a request, and counts a silent connection like a busy
one. So each worker looks at its own connections: Linux tells of each when something last came in or
went out.
"""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

LOOKS = 5
"""How often connections are looked at within the time that they may be idle."""
DESCRIPTORS = Path("/proc/self/fd")
_LAST_SENT_AND_RECEIVED = struct.Struct("=44xI4xI")
"""`tcpi_last_data_sent` and `tcpi_last_data_recv` in Linux' `struct tcp_info`: milliseconds ago."""


Close = Callable[[float], object]


@asynccontextmanager
async def closing_idle(port: int | None, idle_seconds: float) -> AsyncIterator[Close]:
    """Close the idle connections of this process to a port, as long as the block runs.

    Yields what closes those at once that have been idle for so many seconds.

    Args:
        port: Where the server listens; None where it does not listen on a port.
        idle_seconds: How long a connection may be idle.
    """
    if port is None or sys.platform != "linux":
        yield lambda _: None
        return
    looking = asyncio.create_task(_keep_looking(port, idle_seconds))
    try:
        yield partial(close_idle, port)
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def _keep_looking(port: int, idle_seconds: float) -> None:
    while True:
        await asyncio.sleep(idle_seconds / LOOKS)
        await asyncio.to_thread(close_idle, port, idle_seconds)


def close_idle(port: int, idle_seconds: float) -> int:
    """Close what has been idle for too long, and return how many connections that were."""
    closed = 0
    for connection in _connections_to(port):
        with connection:
            if _silent_seconds(connection) > idle_seconds:
                # The server that owns it reads its end, and tidies up as when a client goes away.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                    closed += 1
    return closed


def _silent_seconds(connection: socket.socket) -> float:
    """Ask for how long nothing has come in on a connection, nor gone out."""
    size = _LAST_SENT_AND_RECEIVED.size
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    except OSError:  # it has just ended
        return 0
    silent_ms: int = min(_LAST_SENT_AND_RECEIVED.unpack(info))
    return silent_ms / 1e3


def _connections_to(port: int) -> Iterator[socket.socket]:
    """Duplicate the descriptors of this process's connections that came in at a port."""
    for descriptor in DESCRIPTORS.iterdir():
        try:
            if not str(descriptor.readlink()).startswith("socket:"):
                continue
            connection = socket.socket(fileno=os.dup(int(descriptor.name)))
        except OSError:  # it was closed meanwhile
            continue
        if _came_in_at(connection, port):
            yield connection
        else:
            connection.close()


def _came_in_at(connection: socket.socket, port: int) -> bool:
    if connection.family not in {socket.AF_INET, socket.AF_INET6}:
        return False
    try:
        connection.getpeername()  # who listens has none
    except OSError:
        return False
    own: int = connection.getsockname()[1]
    return own == port
