"""HEAD, OPTIONS and preflights, which Litestar does not serve as the contract wants it."""

from typing import Any

import msgspec
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import FRAMEWORK_CODES
from app.http.envelopes import ErrorBody, ErrorOut, request_id

_IS_HEAD = "is_head"


class Options(ASGIMiddleware):
    """Let `OPTIONS` name all methods of an address; Litestar names one handler's."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Correct `Allow` in the answer."""
        if scope.get("method") != "OPTIONS":
            await next_app(scope, receive, send)
            return

        async def send_all(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                if "Allow" in headers:
                    headers["Allow"] = ", ".join(sorted(_methods(scope)))
            await send(message)

        await next_app(scope, receive, send_all)


def _methods(scope: Scope) -> set[str]:
    routes = scope["litestar_app"].routes
    here = scope["path_template"]
    own = (route for route in routes if route.path_format == here)
    found = {str(method) for route in own for method in route.methods}
    return found | {"HEAD"} if "GET" in found else found


def is_head(scope: Scope) -> bool:
    """Tell whether a request that comes as GET is a HEAD: what never ends need not begin."""
    return _IS_HEAD in scope["state"]


async def serve_head(app: ASGIApp, scope: Any, receive: Receive, send: Send) -> None:
    """Answer HEAD as GET, without the body (RFC 9110, 9.3.2)."""

    async def send_without_body(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
        elif not message.get("more_body"):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    scope["method"] = "GET"
    scope.setdefault("state", {})[_IS_HEAD] = True
    try:
        await app(scope, receive, send_without_body)
    finally:
        scope["method"] = "HEAD"


async def answer_preflight(app: ASGIApp, scope: Any, receive: Receive, send: Send) -> None:
    """Refuse a preflight (CORS) in the shape of every refusal; Litestar does in plain text."""
    refusal: Any = None

    async def send_shaped(message: Any) -> None:
        nonlocal refusal
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders.from_message(message)
            if headers.get("Content-Type", "").startswith("text/plain"):
                refusal = message
                return
        elif refusal is not None:
            reason = f"{message['body'].decode()}."
            error = ErrorBody(FRAMEWORK_CODES[refusal["status"]], reason, {}, request_id(scope))
            message = {**message, "body": msgspec.json.encode(ErrorOut(error))}
            headers = MutableScopeHeaders.from_message(refusal)
            headers["Content-Type"] = "application/json"
            headers["Content-Length"] = str(len(message["body"]))
            await send(refusal)
        await send(message)

    await app(scope, receive, send_shaped)
