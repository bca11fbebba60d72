"""A toy server by the real command: whoever of the tree is killed, the port is free again."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from app.ops.lifeline import VARIABLE, follow_lifeline, hold_lifeline
from tests.server import free_port

pytestmark = pytest.mark.timeout(240)

# Granian kills a worker that was still starting, and so did not hear, after five seconds.
END_SECONDS = 60

PROJECT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("litestar")

TOY = """
from contextlib import asynccontextmanager, contextmanager
from litestar import Litestar
from litestar.plugins import CLIPlugin
from litestar_granian import GranianPlugin
from app.ops.lifeline import follow_lifeline, hold_lifeline


class Launch(CLIPlugin):
    def on_cli_init(self, cli):
        pass

    @contextmanager
    def server_lifespan(self, app):
        with hold_lifeline():
            yield


@asynccontextmanager
async def follow(app):
    follow_lifeline()
    yield


app = Litestar([], lifespan=[follow], plugins=[GranianPlugin(), Launch()])
"""


@dataclass
class Toy:
    started: subprocess.Popen[bytes]
    port: int
    temporary: Path

    def tree(self) -> list[psutil.Process]:
        """What was started, from the outermost: uv if it is there, the command, Granian, ..."""
        root = psutil.Process(self.started.pid)
        return [root, *root.children(recursive=True)]

    def answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Toy]]:
    (tmp_path / "toy.py").write_text(TOY)
    remains: list[psutil.Process] = []

    def start(*prefix: str) -> Toy:
        port = free_port()
        run = [*prefix, str(COMMAND), "--app", "toy:app", "run", "--port", str(port), "--wc", "2"]
        toy = Toy(
            subprocess.Popen(
                run,
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(PROJECT), "TMPDIR": str(tmp_path)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            ),
            port,
            tmp_path,
        )
        assert eventually(toy.answers, 60), "the toy never served"
        # Two workers that follow: the socket is there a little before them.
        assert eventually(lambda: all(map(follows, granian(toy)[1:])), 60)
        remains.extend(toy.tree())
        return toy

    yield start
    for process in remains:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def granian(toy: Toy) -> list[psutil.Process]:
    """Its main process, then the two workers."""
    found = [p for p in toy.tree() if session_of(p) not in {0, toy.started.pid}]
    return found if len(found) == 3 else [psutil.Process(), psutil.Process()]


def session_of(process: psutil.Process) -> int:
    with suppress(ProcessLookupError):
        return os.getsid(process.pid)
    return 0


def follows(worker: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return any(file.path.endswith(".lifeline") for file in worker.open_files())
    return False


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def ended(processes: list[psutil.Process]) -> bool:
    return not any(map(lives, processes))


def lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_signal_to_the_command_ends_everything(
    serve: Callable[..., Toy], number: signal.Signals
) -> None:
    toy = serve()
    tree = toy.tree()
    toy.started.send_signal(number)
    toy.started.wait()
    assert eventually(lambda: ended(tree), END_SECONDS)
    assert not toy.answers()
    assert eventually(lambda: list(toy.temporary.glob("*.lifeline")) == [], END_SECONDS)


@pytest.mark.parametrize("which", [0, 1], ids=["main", "worker"])
def test_sigkill_within_granian_ends_everything(serve: Callable[..., Toy], which: int) -> None:
    toy = serve()
    tree = toy.tree()
    granian(toy)[which].kill()
    assert eventually(lambda: ended(tree), END_SECONDS)
    assert toy.started.wait() != 0


@pytest.mark.skipif(not shutil.which("uv"), reason="no uv here")
def test_sigkill_of_uv_ends_everything(serve: Callable[..., Toy]) -> None:
    toy = serve("uv", "run", "--no-project", "--offline")
    tree = toy.tree()
    assert tree[0].name() == "uv"
    toy.started.kill()
    toy.started.wait()
    assert eventually(lambda: ended(tree), END_SECONDS)
    assert not toy.answers()


def test_nothing_ends_where_no_command_holds_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with no_new_thread():
        follow_lifeline()


def test_the_holder_does_not_follow_itself() -> None:
    with hold_lifeline(), no_new_thread():
        follow_lifeline()
    assert VARIABLE not in os.environ


@contextmanager
def no_new_thread() -> Iterator[None]:
    before = threads()
    yield
    assert threads() <= before  # one of another test may end meanwhile


def threads() -> set[int]:
    return {thread.id for thread in psutil.Process().threads()}
