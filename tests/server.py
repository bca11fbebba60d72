"""The real server, started as a newcomer starts it."""

import atexit
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from app.settings import PROJECT_ROOT, Settings
from tests.logged import LINES

LOGS = Path(tempfile.mkdtemp(prefix="event-platform-logs-"))
atexit.register(shutil.rmtree, LOGS, ignore_errors=True)
GREETINGS = ("  Sign in       POST ", "                Sign in as ")
"""Printed for a newcomer, and no log: the demo password and the first administrator's."""

START_SECONDS = 60
STOP_SECONDS = 60
YOUNG_SECONDS = 6
"""A worker that dies within this time of its start is a crash loop to Granian, which then ends."""
COMMAND = ("uv", "run", "litestar", "run")
RANDOM_SECRET = "kU7xN2vQe9RmT4yLz8WbH1sJd6FgC3aP"
PRODUCTION = {"ENVIRONMENT": "production", "JWT_SECRET": RANDOM_SECRET, "ALLOW_HTTP": "1"}

FIRST_PORT, LAST_PORT = 20_000, 32_767
"""Below those that Linux gives to outgoing connections: one of these could take a port that was
free a moment ago, before the server that it is for listens on it."""
_ports = itertools.cycle(range(FIRST_PORT, LAST_PORT + 1))
for _ in range(os.getpid() * 101 % (LAST_PORT + 1 - FIRST_PORT)):  # others may be testing as well
    next(_ports)


def free_port() -> int:
    """Return a port that nobody listens on, another one each time."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment without our settings, and with the given ones.

    `uv run` takes the environment that the tests run in, and does not install it again.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ours()}
    return {
        **kept,
        "ENV_FILE": os.devnull,
        "UV_PROJECT_ENVIRONMENT": sys.prefix,
        "COLUMNS": "200",
        **settings,
    }


def ours() -> set[str]:
    return {*Settings.__struct_fields__, "LITESTAR_APP", "LITESTAR_PORT", "LITESTAR_HOST"}


def run(
    *command: str, cwd: Path = PROJECT_ROOT, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of the README to its end and return what it printed."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


class Server:
    """A server process, its children and where it listens."""

    def __init__(
        self,
        cwd: Path,
        settings: Mapping[str, str],
        options: tuple[str, ...],
        command: tuple[str, ...] = COMMAND,
    ) -> None:
        self.port = int(settings.get("LITESTAR_PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = LOGS / f"server-{self.port}.log"
        self._written = self.log.open("w+")
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *options],
            cwd=cwd,
            env=environment(**settings),
            stdout=self._written,
            stderr=subprocess.STDOUT,
        )
        self.tree: list[psutil.Process] = []

    def wait_until_ready(self) -> None:
        """Wait for the first answer.

        Raises:
            AssertionError: It ended instead, or took too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                httpx.get(f"{self.url}/health/ready").raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.02)
            else:
                parent = psutil.Process(self.process.pid)
                self.tree = [parent, *parent.children(recursive=True)]
                return
        raise AssertionError(self.log.read_text())

    def end(self, signal_number: int = signal.SIGTERM) -> int:
        """Send a signal to the command, wait for all of its processes; return the exit status."""
        self.process.send_signal(signal_number)
        status = self.process.wait(STOP_SECONDS)
        _, alive = psutil.wait_procs(self.tree, STOP_SECONDS)
        assert not alive, alive
        return status

    def workers(self) -> list[psutil.Process]:
        """Return those that answer requests, by the name that Granian gives them."""
        return [each for each in _descendants(self.process.pid) if _is_worker(each)]

    def kill_workers(self, most: int | None = None) -> None:
        """Kill workers that are old enough for the server to start others instead."""
        workers = self.workers()[:most]
        youngest = max(each.create_time() for each in workers)
        time.sleep(max(0, youngest + YOUNG_SECONDS - time.time()))
        kill_all(workers)

    def kill(self) -> None:
        """End whatever is left, without an error."""
        kill_all([*self.tree, *_descendants(self.process.pid)])
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(STOP_SECONDS)
        self._collect_log()

    def _collect_log(self) -> None:
        """Keep what it logged for the tests that search it, wherever the file is by now."""
        with self._written as log:
            log.seek(0)
            lines = log.read().splitlines()
        LINES.extend(line for line in lines if not line.startswith(GREETINGS))


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill those that are still there: the end of one may be the end of others."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return "worker-" in " ".join(process.cmdline())
    return False


@contextmanager
def serving(cwd: Path = PROJECT_ROOT, *options: str, **settings: str) -> Iterator[Server]:
    """Serve until the block ends; then nothing of it is left."""
    with served(Server(cwd, settings, options)) as server:
        yield server


@contextmanager
def served(server: Server) -> Iterator[Server]:
    """Wait for a server that was started, and end it after the block."""
    try:
        server.wait_until_ready()
        yield server
        if server.process.poll() is None:
            server.end()
    except BaseException:
        print(server.log.read_text())  # noqa: T201 - pytest shows it with the failure
        raise
    finally:
        server.kill()
