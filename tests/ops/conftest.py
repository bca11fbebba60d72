"""A PostgreSQL of one test's own, which it may stop, kill and freeze."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from app.database import migrations, seed
from app.database.embedded.server import EmbeddedServer
from app.database.engine import DB, fetch
from tests.server import kill_all


class OwnPostgres:
    """A running server, as a directory and a tree of processes."""

    def __init__(self, directory: Path) -> None:
        self._server = EmbeddedServer(directory, durable=False)

    @property
    def dsn(self) -> str:
        return self._server.dsn()

    def start(self) -> None:
        self._server.join()

    def stop(self) -> None:
        """Shut down as an administrator does: every connection is told."""
        self._server.leave()

    def kill(self) -> None:
        kill_all(self.processes())

    def freeze(self) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):  # its work was done
                process.suspend()

    def thaw(self) -> None:
        for process in reversed(self.processes()):
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def processes(self) -> list[psutil.Process]:
        pid = int((self._server.data / "postmaster.pid").read_text().split()[0])
        postmaster = psutil.Process(pid)
        return [postmaster, *postmaster.children(recursive=True)]


@pytest.fixture
async def own_postgres(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OwnPostgres]:
    """Return a server with the demo data, to which the engine points without a pool."""
    postgres = OwnPostgres(tmp_path_factory.mktemp("pg"))
    postgres.start()
    monkeypatch.setitem(DB.config, "dsn", postgres.dsn)
    monkeypatch.setattr(DB, "pool", None)
    await migrations.upgrade()
    await seed.seed()
    await fetch("CHECKPOINT")  # it is not durable, but must keep this when it is killed
    yield postgres
    with suppress(psutil.NoSuchProcess, FileNotFoundError):
        postgres.thaw()
    postgres.stop()
