"""A stop that comes while a worker starts is neither lost nor the end of its answers."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from litestar import Litestar

from app.ops.stopping import beginning, begun
from tests.waiting import eventually


@pytest.fixture
def told() -> Iterator[list[int]]:
    """Keep what this process is told, as Granian's handler would hear it."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    yield heard
    signal.signal(signal.SIGTERM, before)


async def test_a_stop_waits_until_the_worker_serves(told: list[int]) -> None:
    app = Litestar()
    async with beginning(app):
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # pytest has other threads
        assert told == []
        async with begun(app):
            assert told == []
            await eventually(lambda: is_heard(told))


async def is_heard(told: list[int]) -> bool:
    return told == [signal.SIGTERM]


def test_a_worker_that_is_still_loading_ends_at_once() -> None:
    forked = (
        "import os, signal; signal.signal(signal.SIGTERM, lambda *_: None); import app;"
        "app.create_app; os.kill(os.getpid(), signal.SIGTERM); print('goes on')"
    )
    ended = subprocess.run([sys.executable, "-c", forked], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, b"")
