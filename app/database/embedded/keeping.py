"""Who uses the embedded server, and who stops it: the locks, and the keeper that outlives a kill.

The keeper runs this file by itself, isolated and without site-packages: it takes 10 ms, and nothing
of the project or of a library can fail in it.
"""

import hashlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":  # there, join() says what to do instead
    import fcntl

ACCOUNT = "pgserver"
"""The system user that root runs PostgreSQL as; links of ours begin with it, too."""
PORT = 5432
STOP_SECONDS = 30.0
PAUSE_SECONDS = 0.003
LONGEST_SOCKET_ADDRESS = 103
"""Bytes, on macOS; Linux has 107."""


class Place:
    """The directory of a server: where its things are, whether it runs, how it is stopped."""

    def __init__(self, directory: Path) -> None:
        """Name the place; nothing is touched."""
        self.directory = directory.resolve()

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """What PostgreSQL said since its last start."""
        return self.directory / "server.log"

    @property
    def socket_directory(self) -> Path:
        """The host to connect to; the same before, while and after the server runs."""
        socket_path = os.fsencode(socket_in(self.data))
        with suppress(UnicodeDecodeError):
            if len(socket_path) <= LONGEST_SOCKET_ADDRESS and socket_path.decode():
                return self.data
        name = hashlib.sha256(socket_path).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"{ACCOUNT}-{os.geteuid()}-{name}"

    def is_ready(self) -> bool:
        """Whether PostgreSQL takes connections."""
        status = self._postmaster_file()[7:8]
        return status == ["ready"] and self._is_listening()

    def _is_listening(self) -> bool:
        """Whether a postmaster lives: only it listens on a socket in this private directory."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            try:
                client.connect(str(socket_in(self.socket_directory)))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except (BlockingIOError, TimeoutError):
                return True  # more wish to connect than it accepts at once
        return True

    def _postmaster_file(self) -> list[str]:
        """PostgreSQL's own lines: process id first, state in the eighth."""
        try:
            lines = (self.data / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        return [line.strip() for line in lines]

    def stop(self, users: int) -> None:
        """Shut down and wait; the caller holds the users' lock exclusively.

        Backends are told to end at once; one that does not, in time, costs a recovery at the next
        start, but no committed row.
        """
        if not is_at(users, self.directory / "users.lock"):
            return  # the directory was replaced: what runs there has other users
        for request in (signal.SIGINT, signal.SIGQUIT):
            if self._end_by(request):
                break
        link = self.socket_directory
        if link.is_symlink():
            link.unlink()

    def _end_by(self, request: signal.Signals) -> bool:
        deadline = time.monotonic() + STOP_SECONDS
        asked = False
        while _is_held(self.directory / "server.lock"):
            pid = self._postmaster_file()[:1]
            # Who listens has written this file. Otherwise it may name a process of anybody.
            if pid and not asked and self._is_listening():
                os.kill(int(pid[0]), request)
                asked = True
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE_SECONDS)
        return True


def socket_in(directory: Path) -> Path:
    """Name the socket that PostgreSQL makes in a directory."""
    return directory / f".s.PGSQL.{PORT}"


def take_lock(path: Path, operation: int) -> int:
    """Open the file and lock it; closing the descriptor gives the lock back.

    Raises:
        BlockingIOError: With LOCK_NB, somebody else holds it.
    """
    while True:
        descriptor = open_file(path)
        try:
            fcntl.flock(descriptor, operation)
            if is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def open_file(path: Path, flags: int = 0) -> int:
    """Open for reading and writing; what root makes stays usable for the directory's owner."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | flags, 0o600)
    if os.geteuid() == 0:
        os.fchown(descriptor, path.parent.stat().st_uid, -1)
    return descriptor


def is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that others wait for."""
    descriptor = take_lock(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def _is_held(path: Path) -> bool:
    """Whether somebody holds the lock; makes no file, as the directory may be going."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _keep(place: Place, lock: int, users: int) -> None:
    """The keeper's life: sleep until the last user is gone, stop the server, end."""
    fcntl.flock(users, fcntl.LOCK_EX)
    try:
        place.stop(users)
    finally:
        # In this order: who joins next must not take the one that ends for a keeper.
        os.close(lock)
        os.close(users)


if __name__ == "__main__":
    _keep(Place(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]))
