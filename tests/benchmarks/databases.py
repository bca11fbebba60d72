"""Where a program measures: on a PostgreSQL of its own, which is gone afterwards."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from app.database import migrations
from app.database.embedded.server import EmbeddedServer
from app.database.engine import DB


@contextmanager
def database_of_its_own(*, durable: bool = True) -> Iterator[str]:
    """Run a new PostgreSQL, as durable as production's, and give out its URL."""
    with tempfile.TemporaryDirectory() as directory:
        server = EmbeddedServer(Path(directory), durable=durable)
        server.join()
        try:
            yield server.dsn()
        finally:
            server.leave()


@asynccontextmanager
async def connected_to_its_own(*, durable: bool = True) -> AsyncIterator[None]:
    """Bind the application to a new, migrated database."""
    with database_of_its_own(durable=durable) as dsn:
        DB.connect_to(dsn)
        await migrations.upgrade()
        await DB.start_connection_pool()
        try:
            yield
        finally:
            await DB.close_connection_pool()
