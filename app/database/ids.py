"""Primary keys: CUIDs, which sort by creation time. An identifier is never a secret."""

import os
import secrets
import socket
import time
from itertools import count

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_BLOCK = 36**4

_counter = count(secrets.randbelow(_BLOCK))


def new_id() -> str:
    """Return a CUID: c, 8 digits of milliseconds, then 4 each of counter and host, 8 random.

    All digits are base 36, so that an id of 25 characters is unique across hosts and processes
    and ids of different milliseconds sort by their time until the year 2059.
    """
    milliseconds = time.time_ns() // 1_000_000
    return "".join(
        (
            "c",
            _base36(milliseconds, 8),
            _base36(next(_counter), 4),
            _fingerprint,
            _base36(secrets.randbelow(_BLOCK * _BLOCK), 8),
        )
    )


def _base36(number: int, digits: int) -> str:
    """Return the last `digits` digits of a number, an even number of them."""
    text = ""
    for _ in range(digits // 2):
        number, pair = divmod(number, len(_PAIRS))
        text = _PAIRS[pair] + text
    return text


def _start_process() -> None:
    """Tell this process from its parent and its siblings, whose memory it shares after a fork."""
    global _counter, _fingerprint  # noqa: PLW0603 - a process has one identity
    host = socket.gethostname()
    host_number = sum(map(ord, host), start=len(host) + 36)
    _fingerprint = _base36(os.getpid(), 2) + _base36(host_number, 2)
    _counter = count(secrets.randbelow(_BLOCK))


_fingerprint = ""
_start_process()
os.register_at_fork(after_in_child=_start_process)
