"""Sending a message to an endpoint: once, with every limit that a stranger's server needs.

httpcore does what is needed and no more: it follows no redirects, knows no proxies of the
environment, unpacks nothing, and lets its connections be made by who knows where they may go.
"""

import asyncio
import ssl
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property
from socket import IPPROTO_TCP, SOCK_STREAM
from typing import TYPE_CHECKING, Any, NamedTuple

from app.auth.discovery import tls
from app.deferred import deferred
from app.webhooks.addresses import is_allowed
from app.webhooks.retrying import asked_pause

if TYPE_CHECKING:
    import httpcore
else:
    httpcore = deferred("httpcore")

ATTEMPT_SECONDS = 15.0
"""For all of it: looking the name up, connecting, sending, and reading the answer."""
CONNECT_SECONDS = 5.0
"""For one of several addresses."""
LARGEST_ANSWER_BYTES = 64 * 1024
LONGEST_REASON = 300
IDLE_SECONDS = 5.0
MOST_IDLE = 100
GONE = 410
FIRST_SUCCESS, AFTER_SUCCESS = 200, 300


class Refused(OSError):
    """A name leads to where webhooks may not go."""


class Outcome(NamedTuple):
    """What became of an attempt."""

    is_delivered: bool
    status: int | None = None
    """Of the answer, if there was one."""
    reason: str | None = None
    asked: timedelta | None = None
    """How long the endpoint wants to be left alone."""

    @property
    def is_gone(self) -> bool:
        """Whether the endpoint wants nothing more."""
        return self.status == GONE


class Post:
    """Connections to endpoints."""

    def __init__(self, *, allows_local: bool, trust: ssl.SSLContext | None = None) -> None:
        """Open nothing yet.

        Args:
            allows_local: Whether this machine may be reached, as in development.
            trust: Which certificates are believed; the usual ones without it.
        """
        self._allows_local = allows_local
        self._trust = trust

    @cached_property
    def _pool(self) -> "httpcore.AsyncConnectionPool":
        backend: Any = Backend(allows_local=self._allows_local)
        return httpcore.AsyncConnectionPool(
            ssl_context=self._trust or tls(),
            max_connections=None,
            max_keepalive_connections=MOST_IDLE,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=backend,
        )

    async def send(
        self, url: str, headers: Iterable[tuple[str, str]], body: bytes, now: datetime
    ) -> Outcome:
        """Send a message, and say what became of it.

        Args:
            url: Where to.
            headers: Besides those of HTTP itself.
            body: JSON.
            now: The time.
        """
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                return await self._send(url, headers, body, now)
        except TimeoutError:
            return Outcome(
                is_delivered=False, reason=f"No whole answer within {ATTEMPT_SECONDS:.0f} s."
            )
        except (
            OSError,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
        ) as error:
            reason = str(error) or type(error).__name__
            return Outcome(is_delivered=False, reason=reason[:LONGEST_REASON])

    async def _send(
        self, url: str, headers: Iterable[tuple[str, str]], body: bytes, now: datetime
    ) -> Outcome:
        given = [*headers, ("Content-Length", str(len(body)))]
        limits = {"timeout": {"connect": CONNECT_SECONDS}}
        async with self._pool.stream(
            "POST", url, headers=given, content=body, extensions=limits
        ) as answer:
            read = 0
            async for piece in answer.aiter_stream():
                read += len(piece)
                if read > LARGEST_ANSWER_BYTES:
                    break
        if FIRST_SUCCESS <= answer.status < AFTER_SUCCESS:
            return Outcome(is_delivered=True, status=answer.status)
        told = {name.lower(): value for name, value in answer.headers}.get(b"retry-after")
        asked = asked_pause(None if told is None else told.decode("latin-1"), now)
        return Outcome(
            is_delivered=False,
            status=answer.status,
            reason=f"Answered {answer.status}.",
            asked=asked,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class Backend:
    """Connections to addresses that were looked at; the certificate has to be the name's."""

    def __init__(self, *, allows_local: bool) -> None:
        """Open nothing yet."""
        self._allows_local = allows_local
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(self, host: str, port: int, **options: Any) -> Any:
        """Connect to the first address of a host that can be reached.

        Raises:
            Refused: One of its addresses is none where webhooks may go.
            OSError: It has none.
        """
        addresses = await allowed_addresses(host, port, allows_local=self._allows_local)
        for address in addresses[:-1]:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._inner.connect_tcp(address, port, **options)
        return await self._inner.connect_tcp(addresses[-1], port, **options)

    async def sleep(self, seconds: float) -> None:
        """Wait, for httpcore."""
        await self._inner.sleep(seconds)


async def allowed_addresses(host: str, port: int, *, allows_local: bool) -> list[str]:
    """Look a name up.

    Raises:
        Refused: One of its addresses is none where webhooks may go.
        OSError: It has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=SOCK_STREAM, proto=IPPROTO_TCP
    )
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    if not all(is_allowed(each, allows_loopback=allows_local) for each in addresses):
        raise Refused("Leads to an address that is not of the internet.")
    return addresses
