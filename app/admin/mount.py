"""Where the administrators' page meets the server: its path, its doors, its headers.

Piccolo Admin and the framework under it take longer to import than the rest of the server. So
nothing here imports them: the page is built, in a thread, when somebody first asks for it.
"""

import asyncio
import re
from importlib import import_module
from typing import Any
from urllib.parse import unquote, urlsplit

from litestar import asgi
from litestar.connection import ASGIConnection
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.handlers import ASGIRouteHandler
from litestar.response.redirect import ASGIRedirectResponse
from litestar.types import ASGIApp, HTTPRequestEvent, Message, Receive, ReceiveMessage, Scope, Send

from app.admin.attempts import Visitor, is_known, visited_by, visitor_at
from app.auth.throttle import address_of
from app.errors import Forbidden, ValidationFailed
from app.http.bodies import LARGEST_BODY_BYTES, decode_any
from app.http.public_path import public
from app.settings import ADMIN_OFF, Settings, settings

COOKIE_SCOPE = re.compile(r"; *(Path|SameSite|Secure)\b[^;]*", re.IGNORECASE)
CSRF_COOKIE = "csrftoken"
"""Piccolo gives it to each browser, for a year."""
SIGN_IN_PATH = "/public/login/"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FORM = "application/x-www-form-urlencoded"
ALL_TEXT = ("/login/", "/change-password/")
"""Whose bodies' members go to where passwords are hashed."""

HEADERS = {
    # The page writes styles into the document; scripts come from our own files alone.
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}


def admin_page() -> list[ASGIRouteHandler]:
    """Return the handler of the page; none where it is switched off."""
    current = settings()
    if current.ADMIN_PATH == ADMIN_OFF:
        return []
    page = AdminPage(current)

    @asgi(current.ADMIN_PATH, is_mount=True, copy_scope=True)
    async def administrators(scope: Scope, receive: Receive, send: Send) -> None:
        await page(scope, receive, send)

    return [administrators]


class AdminPage:
    """The page as an ASGI application."""

    def __init__(self, current: Settings) -> None:
        """Build nothing yet."""
        self._path = current.admin_path
        self._is_secure = current.in_production
        self._public_host = urlsplit(current.PUBLIC_URL).netloc
        self._building = asyncio.Lock()
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        Raises:
            Forbidden: Another site's page sends it.
            HTTPException: Its body is too large.
            ValidationFailed: Its body is no JSON object.
        """
        if scope["type"] != ScopeType.HTTP:
            raise HTTPException(status_code=404)
        self._refuse_other_sites(scope)
        cookie = ASGIConnection[Any, Any, Any, Any](scope).cookies.get(CSRF_COOKIE)
        visitor = visitor_at(address_of(scope), cookie)
        inner = await self._seen_from_inside(scope, visitor)
        if inner["path"] == self._path:  # whose relative links would lead astray
            redirect = ASGIRedirectResponse(path=f"{self._path}/")
            await redirect(scope, receive, send)
            return
        app = self._app or await self._built()
        cached = inner["path"].startswith(f"{self._path}/assets/")

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                headers.update(HEADERS)
                if not cached:
                    headers["Cache-Control"] = "no-store"
                message["headers"] = [self._header(*each) for each in message["headers"]]
            await send(message)

        with visited_by(visitor):
            await app(inner, await _checked(inner, _limited(scope, receive)), send_protected)

    async def _built(self) -> ASGIApp:
        async with self._building:
            if self._app is None:
                self._app = await asyncio.to_thread(_build)
        return self._app

    def _refuse_other_sites(self, scope: Scope) -> None:
        """Besides the page's own CSRF token, which a browser's mistake could give away."""
        if scope.get("method") in SAFE_METHODS:
            return
        headers = Headers.from_scope(scope)
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            raise Forbidden(private="the request comes from another site")
        origin = headers.get("origin")
        if origin and urlsplit(origin).netloc not in {headers.get("host"), self._public_host}:
            raise Forbidden(private=f"the request comes from {origin}")

    async def _seen_from_inside(self, scope: Scope, visitor: Visitor) -> Scope:
        """Give the path back that Litestar ends with a slash; tell who is counted by the sign-in.

        That is the address, or a browser in which somebody has signed in: it may go on when others
        at its address have used up what the address has.
        """
        path = public(unquote(scope["raw_path"].decode("latin-1")).partition("?")[0])
        counted = visitor.address
        if path.endswith(SIGN_IN_PATH) and await is_known(visitor.browser):
            counted = f"browser {visitor.browser}"
        return {**scope, "path": path, "root_path": self._path, "client": (counted, 0)}  # type: ignore[return-value]

    def _header(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        """Keep the page's cookies to the page."""
        if name.lower() != b"set-cookie":
            return name, value
        cookie = COOKIE_SCOPE.sub("", value.decode("latin-1"))
        secure = "; Secure" if self._is_secure else ""
        return name, f"{cookie}; Path={self._path}; SameSite=Strict{secure}".encode("latin-1")


def _build() -> ASGIApp:
    app: ASGIApp = import_module("app.admin.page").create_page()
    return app


def _limited(scope: Scope, receive: Receive) -> Receive:
    """Read no more than a request may send.

    Raises:
        HTTPException: It says that it sends more.
    """
    announced = Headers.from_scope(scope).get("content-length", "0")
    if not announced.isdecimal() or int(announced) > LARGEST_BODY_BYTES:
        raise HTTPException(status_code=413)
    received = 0

    async def receive_limited() -> ReceiveMessage:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message["body"])
            if received > LARGEST_BODY_BYTES:
                raise HTTPException(status_code=413)
        return message

    return receive_limited


async def _checked(scope: Scope, receive: Receive) -> Receive:
    """Read a body, and give it again to who takes its shape for granted.

    Raises:
        ValidationFailed: It is neither a JSON object nor a form of our own pages.
    """
    body = await _whole(receive)
    content_type = Headers.from_scope(scope).get("content-type", "")
    if body and not content_type.startswith(FORM):
        document = decode_any(body)
        if not isinstance(document, dict):
            raise ValidationFailed("Send a JSON object.")
        texts = scope["path"].endswith(ALL_TEXT)
        if texts and not all(isinstance(value, str) for value in document.values()):
            raise ValidationFailed("Every member is a text.")
    unread: list[HTTPRequestEvent] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> ReceiveMessage:
        return unread.pop() if unread else await receive()

    return receive_again


async def _whole(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)
