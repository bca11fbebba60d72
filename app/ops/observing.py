"""What each request leaves behind: a line in the log and its time in the metrics."""

import logging
import time
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, reset_contextvars

from app.auth.apps import AppCredentials
from app.auth.tokens import AccessClaims
from app.http.envelopes import request_id
from app.metrics import REQUEST_SECONDS

logger = logging.getLogger("requests")

UNKNOWN_ROUTE = "unknown"
"""For addresses that nobody serves: each would be a time series of its own."""
INTERNAL_ERROR = 500


class StatusMemory:
    """Sends an answer on, and remembers its status."""

    def __init__(self, send: Send) -> None:
        """Take where to send."""
        self.status = INTERNAL_ERROR
        self._send = send

    async def __call__(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


async def observe(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request, and tell how it went: also where no middleware runs."""
    if scope["type"] != ScopeType.HTTP:
        await app(scope, receive, send)
        return
    started = time.perf_counter()
    sending = StatusMemory(send)
    before = bind_contextvars(request_id=request_id(scope))
    try:
        await app(scope, receive, sending)
    finally:
        _tell(scope, sending.status, time.perf_counter() - started)
        reset_contextvars(**before)


def route_of(scope: Any) -> str:
    """Return the template of the route that serves a request, or where its server is mounted."""
    template: str = scope.get("path_template", "")
    if not template and "route_handler" in scope:
        template = min(scope["route_handler"].paths)
    return template or UNKNOWN_ROUTE


def _tell(scope: Any, status: int, seconds: float) -> None:
    REQUEST_SECONDS.labels(scope["method"], route_of(scope), status).observe(seconds)
    # As it was sent: no line break in it ends the line, and a mounted application's is whole.
    path = scope["raw_path"].decode("ascii", "backslashreplace")
    fields = {
        "method": scope["method"],
        "path": path,
        "status": status,
        "ms": round(seconds * 1e3, 1),
    }
    claims, caller = scope.get("user"), scope.get("auth")
    room = scope.get("path_params", {}).get("room_id")
    if isinstance(claims, AccessClaims):
        fields["person"] = claims.sub
    if isinstance(caller, AppCredentials):
        fields["app"] = caller.app_id
    if room is not None:
        fields["room"] = str(room)
    logger.info("%s %s %s", scope["method"], path, status, extra={"fields": fields})
