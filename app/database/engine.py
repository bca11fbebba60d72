"""The database engine: Piccolo's, with a pool that leaks nothing and errors that say what to do."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

import asyncpg
import msgspec
from asyncpg.connection import LoggedQuery
from piccolo.engine.postgres import PostgresEngine, PostgresTransaction
from piccolo.querystring import QueryString

from app.database.caller import telling
from app.database.constraints import explained
from app.database.embedded.finding import EmbeddedServerError
from app.database.embedded.server import EmbeddedServer
from app.database.turns import Turns
from app.settings import DATA_DIRECTORY, settings

CONNECT_TIMEOUT_SECONDS = 5.0
RELEASE_TIMEOUT_SECONDS = 1.0
"""A connection that can't be made ready for the next one in this time is thrown away."""
OLDEST_VERSION = 14
_CONNECT_FAULTS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.ClientConfigurationError,  # the URL has an option that is none
)

APPLICATION_NAME = "event-platform"

# PostgreSQL notices within half a minute that our machine is gone, and gives our locks to others.
DEAD_PEER_SETTINGS = {
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

EMBEDDED = EmbeddedServer(DATA_DIRECTORY / "postgres")


BEGIN = "BEGIN;"
"""What asyncpg begins a transaction with."""

_Read: TypeAlias = tuple[str, tuple[Hashable, ...]]
"""A statement and its arguments."""


class DatabaseUnavailable(Exception):
    """PostgreSQL can't be used; the message is one line that says what to do."""


class _Connection(asyncpg.Connection):
    """A connection that goes back to the pool without a round trip, and tells who is calling.

    asyncpg's reset statement undoes what a borrower left behind: settings, listeners, cursors,
    advisory locks. Ours leave nothing: each uses transactions only, and what needs a lock or a
    listener of a session opens a connection of its own. An open transaction is still rolled back.
    """

    def get_reset_query(self) -> str:
        return ""

    async def execute(self, query: str, *args: object, **options: Any) -> str:
        """Run statements; those that begin a transaction tell for whom, in the same round trip."""
        if query == BEGIN:
            query += telling()
        status: str = await super().execute(query, *args, **options)
        return status


class _Pool(asyncpg.Pool):
    """A pool that no hanging server keeps from answering: giving back takes a limited time.

    asyncpg gives back in a task of its own, lest its caller's cancellation loses a connection. One
    that the server need not hear about goes back at once instead: there is no wait in which that
    could happen.
    """

    async def release(
        self,
        connection: Any,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's signature
    ) -> None:
        if _is_idle(connection._con):  # noqa: SLF001 - not public
            connection._con._on_release()  # noqa: SLF001 - not public
            await connection._holder.release(None)  # noqa: SLF001 - not public
            return
        with suppress(TimeoutError):
            await super().release(connection, timeout=timeout or RELEASE_TIMEOUT_SECONDS)


def _is_idle(connection: Any) -> bool:
    """Whether a borrowed connection can be kept as it is: open, no statement or transaction."""
    if connection is None or connection.is_closed():
        return False
    protocol = connection._protocol  # noqa: SLF001 - not public
    return not (
        connection.is_in_transaction()
        or protocol._is_cancelling()  # noqa: SLF001 - not public
        or protocol.queries_count >= POOL_DEFAULTS["max_queries"]
    )


POOL_DEFAULTS: dict[str, Any] = {
    "min_size": 0,
    "max_queries": 50_000,
    "max_inactive_connection_lifetime": 300.0,
    "loop": None,
    "connection_class": _Connection,
    "record_class": asyncpg.Record,
}


class Transaction(PostgresTransaction):
    """Piccolo's transaction, whose connection goes back to the pool however it ends."""

    async def __aenter__(self) -> PostgresTransaction:
        if self._parent is not None:
            return self._parent
        pool = self.engine.pool
        self.connection = await (pool.acquire() if pool else self.engine.get_new_connection())
        try:
            self.transaction = self.connection.transaction()
            await self.transaction.start()
        except BaseException:
            await self._give_back()
            raise
        self.context = self.engine.current_transaction.set(self)
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        if self._parent is not None:
            return False
        self.engine.current_transaction.reset(self.context)
        try:
            if exception is not None and not self._rolled_back:
                await self._roll_back()
            elif exception is None and not self._committed and not self._rolled_back:
                await self.transaction.commit()
        finally:
            await self._give_back()
        return False

    async def _roll_back(self) -> None:
        """Roll back; a server that does not answer loses the connection, which does the same."""
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_SECONDS):
                await self.transaction.rollback()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            # The error that led here is the one to tell.
            with suppress(asyncpg.InterfaceError):  # the pool has noticed, and taken it back
                self.connection.terminate()

    async def _give_back(self) -> None:
        if self.engine.pool:
            await self.engine.pool.release(self.connection)
        else:
            await self.connection.close()


class Engine(PostgresEngine):
    """The engine of `piccolo_conf.py`: DATABASE_URL, or the embedded server when there is none."""

    async def check_version(self) -> None:
        """Do nothing: Piccolo would connect as soon as this module is imported."""

    direct_dsn: str | None = None
    """The same database past PgBouncer, where `dsn` leads to one."""

    statement_logger: Callable[[LoggedQuery], None] | None = None
    """Called after each statement, of connections that are opened while it is set."""

    def connect_to(self, dsn: str | None, direct_dsn: str | None = None) -> None:
        """Point at another database. The pool must be closed."""
        self.config["dsn"] = dsn or EMBEDDED.dsn()
        self.direct_dsn = direct_dsn

    async def start_connection_pool(self, *, serving: bool = False, **kwargs: Any) -> None:
        """Open the pool.

        Args:
            serving: As a server does: with its time limits, and connected by the first query, so
                that a server starts and heals whatever its database does.
            kwargs: For asyncpg.

        Raises:
            DatabaseUnavailable: The server can't be reached or is too old; not when serving.
        """
        self._join_embedded()
        self.pool = await _Pool(
            init_size=0 if serving else 1,
            connect=self._connect,
            **{**POOL_DEFAULTS, **self.config, **self._pool_options(serving=serving), **kwargs},
        )

    def _pool_options(self, *, serving: bool) -> dict[str, Any]:
        current = settings()
        options: dict[str, Any] = {"max_size": current.DATABASE_POOL_SIZE}
        if self.direct_dsn is not None:
            # PgBouncer refuses what it doesn't know; its administrator sets the limits there.
            names = {"application_name": APPLICATION_NAME}
            return {
                **options,
                "statement_cache_size": 0,  # what one session prepared is unknown to the others
                "server_settings": names,
            }
        if serving:
            options["server_settings"] = {
                **self.config["server_settings"],
                "statement_timeout": f"{current.STATEMENT_SECONDS * 1e3:.0f}ms",
                "lock_timeout": f"{current.LOCK_SECONDS * 1e3:.0f}ms",
            }
        return options

    async def get_new_connection(self) -> Any:
        """Open a connection outside of the pool, past PgBouncer: a session of its own.

        Raises:
            DatabaseUnavailable: The server can't be reached or is too old.
        """
        self._join_embedded()
        return await self._connect(**{**self.config, "dsn": self.direct_dsn or self.config["dsn"]})

    async def _connect(self, *arguments: Any, **config: Any) -> Any:
        """Open a connection, for the pool too.

        Raises:
            DatabaseUnavailable: The server can't be reached or is too old.
        """
        try:
            connection = await asyncpg.connect(*arguments, **config)
        except _CONNECT_FAULTS as error:
            # The pool hands it over by position.
            dsn = arguments[0] if arguments else config["dsn"]
            raise self._unavailable(dsn, error) from error
        version: int = connection.get_server_version().major
        if version < OLDEST_VERSION:
            await connection.close()
            raise DatabaseUnavailable(
                f"PostgreSQL {version} is too old: {OLDEST_VERSION} or newer is needed."
            )
        if self.statement_logger is not None:
            connection.add_query_logger(self.statement_logger)
        return connection

    async def run_querystring(self, querystring: QueryString, in_pool: bool = True) -> Any:  # noqa: FBT001, FBT002 - Piccolo's signature
        """Run a query of Piccolo's; what a constraint refuses is explained."""
        with explained():
            return await super().run_querystring(querystring, in_pool)

    def transaction(self, allow_nested: bool = True) -> Transaction:  # noqa: FBT001, FBT002 - Piccolo's signature
        """Open a transaction; one inside of another joins it."""
        return Transaction(engine=self, allow_nested=allow_nested)

    @property
    def is_embedded(self) -> bool:
        """Whether this is the development server's own PostgreSQL."""
        return bool(self.config["dsn"] == EMBEDDED.dsn())

    def _join_embedded(self) -> None:
        if self.is_embedded:
            try:
                EMBEDDED.join()
            except EmbeddedServerError as error:
                raise DatabaseUnavailable(str(error)) from error

    def _unavailable(self, dsn: str, error: Exception) -> DatabaseUnavailable:
        url = urlsplit(dsn)
        where = unquote(url.netloc.rpartition("@")[2])
        if not where.startswith("/"):  # a socket's directory
            where = f"{url.hostname or 'the local socket'}:{url.port or 5432}"
        match error:
            case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
                reason = f"PostgreSQL at {where} refuses {url.username!r}: check the password."
            case asyncpg.InvalidCatalogNameError():
                name = url.path.removeprefix("/")
                reason = f"PostgreSQL at {where} has no database {name!r}: create it first."
            case asyncpg.PostgresError():
                reason = f"PostgreSQL at {where} refuses the connection: {error}."
            case TimeoutError():
                reason = f"PostgreSQL at {where} does not answer."
            case _:
                reason = f"PostgreSQL at {where} can't be reached: {error}."
        setting = "DATABASE_DIRECT_URL" if dsn == self.direct_dsn else "DATABASE_URL"
        return DatabaseUnavailable(f"{reason} ({setting})")


DB = Engine(
    config={
        "dsn": settings().DATABASE_URL or EMBEDDED.dsn(),
        "timeout": CONNECT_TIMEOUT_SECONDS,
        "server_settings": {"application_name": APPLICATION_NAME, **DEAD_PEER_SETTINGS},
    },
    extensions=(),
)
DB.direct_dsn = settings().DATABASE_DIRECT_URL


def transaction() -> Transaction:
    """Open a transaction for a service function; one inside of another joins it."""
    return DB.transaction()


def in_transaction() -> bool:
    """Tell whether the caller's statements are part of a transaction."""
    return DB.current_transaction.get() is not None


async def fetch(sql: str, *arguments: object) -> Sequence[asyncpg.Record]:
    """Run a statement on the current transaction's connection, or on one of the pool.

    Raises:
        AppError: A constraint refuses it, for a reason that can be explained.
    """
    current = DB.current_transaction.get()
    rows: Sequence[asyncpg.Record]
    with explained():
        if current is not None:
            rows = await current.connection.fetch(sql, *arguments)
        elif DB.pool is not None:
            rows = await DB.pool.fetch(sql, *arguments)
        else:
            rows = await DB._run_in_new_connection(sql, arguments)  # noqa: SLF001 - not public
    return rows


async def fetch_shared(sql: str, *arguments: Hashable) -> Sequence[asyncpg.Record]:
    """Like `fetch`, for reads that many ask for at once: when something happens in a room, say.

    Those who ask for the same get it from one statement, which began when all of them had asked.
    """
    read = (sql, arguments)
    alone = partial(fetch, sql, *arguments)
    return await (alone() if in_transaction() else _reads.serve(read, None, alone))


async def _fetch_for_all(read: _Read, turn: Sequence[None]) -> Sequence[Sequence[asyncpg.Record]]:
    sql, arguments = read
    return [await fetch(sql, *arguments)] * len(turn)


_reads: Turns[_Read, None, Sequence[asyncpg.Record]] = Turns(_fetch_for_all)


async def fetchrow(sql: str, *arguments: object) -> asyncpg.Record | None:
    """Like `fetch`, the first row or None."""
    rows = await fetch(sql, *arguments)
    return rows[0] if rows else None


async def fetchval(sql: str, *arguments: object) -> Any:
    """Like `fetch`, the first column of the first row or None."""
    row = await fetchrow(sql, *arguments)
    return None if row is None else row[0]


def jsonb(value: Any) -> str | None:
    """Write a value as the text that a JSONB column takes; None stays NULL."""
    return None if value is None else msgspec.json.encode(value).decode()
