"""A real PostgreSQL for every test: the embedded one, or the server of TEST_DATABASE_URL."""

import functools
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from app.applications.service import _readers
from app.asgi import create_app
from app.database import migrations
from app.database.embedded.server import EmbeddedServer
from app.database.engine import DB, fetch
from app.settings import DATA_DIRECTORY, settings
from app.tables import TABLES
from tests import factories
from tests.answers import Headers, check_description

# A busy machine is no reason to fail, and the same examples everywhere none to be surprised.
hypothesis_settings.register_profile(
    "project",
    deadline=None,
    derandomize=True,
    max_examples=50,  # the same ones in each run; --long makes new ones
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.register_profile(
    "long", hypothesis_settings.get_profile("project"), max_examples=1000, derandomize=False
)

pytest_plugins = ["tests.logged"]

FEW_FILES = 3

TEMPLATE = f"template_{os.getpid()}"
_numbers = itertools.count()

_DELETES = " ".join(f"DELETE FROM {table._meta.tablename};" for table in TABLES)
EMPTY = f"DO $$ BEGIN SET LOCAL session_replication_role = replica; {_DELETES} END $$"
"""Empties every table, faster than TRUNCATE where there are few rows, and without triggers."""


LONG_FIRST = (
    "tests/test_schemathesis.py",
    "tests/tasks/test_week.py",
    "tests/ops/",
    "tests/auth/test_two_servers.py",
    "tests/draws/test_kills.py",
    "tests/test_newcomer.py",
)
"""Begin with these, lest a worker has one of them to itself in the end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--long`."""
    help_ = "generate many more examples and requests, other ones each time; kill more"
    parser.addoption("--long", action="store_true", help=help_)


@pytest.hookimpl(trylast=True)  # after what shuffles
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG_FIRST))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Start none for a few files: these are done before workers would have started.

    With more than one for a core, tests that wait for other processes run out of their time.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    named = [Path(argument.partition("::")[0]) for argument in config.args]
    if len(named) <= FEW_FILES and all(path.suffix == ".py" for path in named):
        return 0
    return len(os.sched_getaffinity(0))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Say how many examples; give the files of this run a directory, removed when it ends.

    What is usual has one parent for all runs, which each closes to others when it starts: also to
    the user as whom root's runs let PostgreSQL run.
    """
    hypothesis_settings.load_profile("long" if config.option.long else "project")
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="event-platform-")
        remove = functools.partial(shutil.rmtree, config.option.basetemp, ignore_errors=True)
        config.add_cleanup(remove)


def url_of(server: str, database: str) -> str:
    """Return the URL of another database on the same server."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Return the URL of a PostgreSQL server that tests may make databases on."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    server = EmbeddedServer(DATA_DIRECTORY / "test-postgres", durable=False)
    server.join()
    yield server.dsn("postgres")
    server.leave()


@pytest.fixture(scope="session")
async def template(server_url: str) -> AsyncIterator[str]:
    """Return the name of a migrated database without rows, from which others are copied."""
    await _administer(server_url, f'CREATE DATABASE "{TEMPLATE}"')
    DB.connect_to(url_of(server_url, TEMPLATE))
    await migrations.upgrade()
    yield TEMPLATE
    await _administer(server_url, f'DROP DATABASE "{TEMPLATE}" WITH (FORCE)')


@pytest.fixture
async def empty_database(server_url: str) -> AsyncIterator[str]:
    """Return the URL of a database with nothing in it, dropped afterwards."""
    async for url in fresh_database(server_url, "template0"):
        yield url


@pytest.fixture
async def migrated_database(server_url: str, template: str) -> AsyncIterator[str]:
    """Return the URL of a migrated database of this test alone, dropped afterwards."""
    async for url in fresh_database(server_url, template):
        yield url


@pytest.fixture(scope="module")
async def module_database(server_url: str, template: str) -> AsyncIterator[str]:
    """Return the URL of a migrated database of this module alone, dropped afterwards."""
    async for url in fresh_database(server_url, template):
        yield url


@pytest.fixture(scope="session")
async def shared_database(server_url: str, template: str) -> AsyncIterator[str]:
    """Keep one migrated database for all tests that use `database`."""
    async for url in fresh_database(server_url, template):
        yield url


class KeptPool:
    """The pool of all tests that use `database`: PostgreSQL's new connections know no plan yet.

    One that a test has closed, or of which something is still borrowed, is no good to the next.
    """

    def __init__(self) -> None:
        self._pool: asyncpg.Pool | None = None

    async def attach(self) -> None:
        """Let the engine use it."""
        if self._pool is None or self._pool.is_closing():
            await DB.start_connection_pool()
            self._pool = DB.pool
        DB.pool = self._pool

    def detach(self) -> None:
        """Let the engine use none, as before."""
        DB.pool = None
        if self._pool is not None and self._pool.get_size() > self._pool.get_idle_size():
            self.end()

    def end(self) -> None:
        """Cut its connections."""
        if self._pool is not None and not self._pool.is_closing():
            self._pool.terminate()
        self._pool = None


@pytest.fixture(scope="session")
def kept_pool(shared_database: str) -> Iterator[KeptPool]:  # noqa: ARG001 - there until then
    pool = KeptPool()
    yield pool
    pool.end()


@pytest.fixture
async def database(shared_database: str, kept_pool: KeptPool) -> AsyncIterator[str]:
    """Bind the application to a migrated database without rows, with a pool."""
    DB.connect_to(shared_database)
    await kept_pool.attach()
    await fetch(EMPTY)
    _readers.clear()  # another database had the same versions, with other schemas
    yield shared_database
    kept_pool.detach()


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001 - bound there
    """Speak HTTP to the application, on the database of this test.

    An answer that the API's description does not have fails the test.
    """
    transport = httpx.ASGITransport(application(repr(settings())), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://testserver",
        event_hooks={"response": [check_description]},
    ) as client:
        yield client


@functools.cache
def application(given: str) -> Any:  # noqa: ARG001 - what the application is made of
    """Return the application for these settings, which takes a while to put together."""
    return create_app()


@pytest.fixture
async def organizer(client: httpx.AsyncClient) -> asyncpg.Record:  # noqa: ARG001 - bound there
    """Return somebody who opens rooms."""
    return await factories.user(name="Olga", avatar="https://example.org/o.png")


@pytest.fixture
async def headers(organizer: asyncpg.Record) -> Headers:
    """Sign the organizer in."""
    return await factories.bearer(organizer)


@pytest.fixture
async def room(organizer: asyncpg.Record) -> asyncpg.Record:
    """Open an ACTIVE, public room of the organizer."""
    return await factories.room(organizer)


async def fresh_database(server: str, template: str) -> AsyncIterator[str]:
    """Make a database from a template, give out its URL, and drop it afterwards."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    await _administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield url_of(server, name)
    await _administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _administer(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
