"""No server outlives the process that started it, however that one ends.

`litestar run` is a tree: the command, then Granian in a session of its own, then its workers. A
command that is killed cannot stop the others, and they would keep the port. So the command holds a
lock on a file as long as it lives, and each worker has a thread that sleeps until the kernel grants
it that lock. If Granian's own process is killed, the command ends and its workers follow.

`uv run` is one more parent, and a killed uv leaves the command behind: it watches uv by a file
descriptor of the process (Linux) or an event queue (macOS, BSD). Not by PR_SET_PDEATHSIG, which
fires when the *thread* ends that started us, and uv has many.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":  # where nothing of this exists, and nothing is done
    import fcntl

VARIABLE = "EVENT_PLATFORM_LIFELINE"

GRACE_SECONDS = 15.0
"""For open requests, from the command's end until its workers are killed."""


@contextmanager
def hold_lifeline() -> Iterator[None]:
    """Let all workers that are started meanwhile end when this does, or when this process dies.

    Under `uv run`, this process is told to end (SIGTERM) when uv dies.
    """
    if os.name != "posix":
        yield
        return
    _end_with_uv()
    descriptor, name = tempfile.mkstemp(prefix="event-platform-", suffix=".lifeline")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, str(os.getpid()).encode())
        os.environ[VARIABLE] = name
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        Path(name).unlink(missing_ok=True)
        os.close(descriptor)


def follow_lifeline() -> None:
    """End this worker, and Granian above it, when the command that started them is gone.

    Does nothing in the command itself, and without one (`granian app.asgi:app`).
    """
    name = os.environ.get(VARIABLE)
    if name is None:
        return
    try:
        descriptor = os.open(name, os.O_RDWR)
    except FileNotFoundError:
        _in_background(_end_group)  # it was held when we were started
        return
    if int(os.pread(descriptor, 20, 0)) == os.getpid():
        os.close(descriptor)
        return
    _in_background(lambda: _follow(descriptor, Path(name)))


def _follow(descriptor: int, file: Path) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    # A holder that was killed left it.
    file.unlink(missing_ok=True)
    _end_group()


def _end_group() -> None:
    """Tell Granian's whole session to end, as its command does; insist after a while."""
    if os.getpgrp() != os.getsid(0):
        # Not a session that was made for Granian: the group may hold other programs.
        os.kill(os.getpid(), signal.SIGTERM)
        return
    with suppress(ProcessLookupError):
        os.killpg(os.getpgrp(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os.killpg(os.getpgrp(), signal.SIGKILL)


def _end_with_uv() -> None:
    parent = os.getppid()
    if "UV" not in os.environ or _program_of(parent) != "uv":
        return
    with suppress(OSError):  # it is gone already, or the system lets nobody watch
        wait_for_death = _death_of(parent)
        _in_background(lambda: _end_after(wait_for_death))


def _end_after(wait: Callable[[], object]) -> None:
    wait()
    os.kill(os.getpid(), signal.SIGTERM)


def _program_of(pid: int) -> str:
    """The program's file name, or "" if there is no such process."""
    if sys.platform == "linux":
        with suppress(OSError):
            return Path(f"/proc/{pid}/comm").read_text().strip()
        return ""
    listing = subprocess.run(  # noqa: S603 - a constant and a number
        ["/bin/ps", "-o", "comm=", "-p", str(pid)], stdout=subprocess.PIPE, text=True, check=False
    )
    return Path(listing.stdout.strip()).name


def _death_of(pid: int) -> Callable[[], object]:
    """A function that returns when the process is gone.

    Raises:
        OSError: It cannot be watched.
    """
    if sys.platform == "linux":
        poll = select.poll()
        poll.register(os.pidfd_open(pid), select.POLLIN)
        return poll.poll
    queue = select.kqueue()
    exit_of = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
    queue.control([exit_of], 0)
    return lambda: queue.control([], 1)


def _in_background(task: Callable[[], object]) -> None:
    threading.Thread(target=task, name="lifeline", daemon=True).start()
