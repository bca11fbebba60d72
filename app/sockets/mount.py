"""Where Socket.IO meets the server.

Its library takes longer to import than the rest of the server. So nothing here imports it: it is
loaded, in a thread, when the first client comes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from litestar import asgi
from litestar.config.cors import CORSConfig
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from app.errors import AppError
from app.events.hub import HUB
from app.settings import settings

PATH = "/socket.io"
GOING_AWAY, REFUSED = 1001, 1008
"""Status codes of a websocket that is not opened."""


class Sockets:
    """The clients of this process that speak Socket.IO."""

    def __init__(self, cors: CORSConfig) -> None:
        """Load nothing yet.

        Args:
            cors: Which origins' pages may come.
        """
        self._cors = cors
        self._loading = asyncio.Lock()
        self._server: Any = None

    def handler(self) -> ASGIRouteHandler:
        """Return what serves all of its requests."""

        @asgi(PATH, is_mount=True, copy_scope=True)
        async def socket_io(scope: Scope, receive: Receive, send: Send) -> None:
            await self.serve(scope, receive, send)

        return socket_io

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a websocket.

        Raises:
            RateLimitExceeded: The address has as many open as it may.
            ServiceUnavailable: This process has not heard of the log yet, or is about to end.
        """
        if scope["type"] == ScopeType.HTTP:
            await (await self._loaded()).serve(_inner(scope), receive, send)
        elif not self._may_come(scope):
            await send({"type": "websocket.close", "code": REFUSED, "reason": "origin"})
        else:
            try:
                await (await self._loaded()).serve(_inner(scope), receive, send)
            except AppError as refusal:
                reason = refusal.message
                await send({"type": "websocket.close", "code": GOING_AWAY, "reason": reason})

    async def _loaded(self) -> Any:
        HUB.require_open()
        async with self._loading:
            if self._server is None:
                module = await asyncio.to_thread(import_module, "app.sockets.server")
                self._server = module.Server()
        return self._server

    def _may_come(self, scope: Scope) -> bool:
        """Refuse pages of other origins, to which browsers show the answers to requests alone."""
        headers = Headers.from_scope(scope)
        origin = headers.get("origin")
        own = {headers.get("host"), urlsplit(settings().PUBLIC_URL).netloc}
        return not origin or urlsplit(origin).netloc in own or self._cors.is_origin_allowed(origin)

    @asynccontextmanager
    async def open(self, _: object) -> AsyncIterator[None]:
        """Serve as long as the block runs."""
        try:
            yield
        finally:
            if self._server is not None:
                await self._server.close()


def _inner(scope: Scope) -> Any:
    """Give the library its path back, of which Litestar leaves the rest."""
    return {**scope, "path": f"{PATH}/", "root_path": ""}
