"""The refresh token of a browser, in a cookie that no script reads.

Our own page asks for it, so that nothing that runs in the page can carry a session away. Because
browsers send cookies by themselves, whoever uses or sets it has to come from our own origin.
"""

from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Request
from litestar.datastructures import Cookie

from app.auth.sessions import SESSION_TTL
from app.errors import Forbidden, InvalidToken
from app.http.headers import AUTH_PATH
from app.http.public_path import public
from app.settings import settings

NAME: Final = "refresh_token"
_SECURE_PREFIX = "__Secure-"
"""Browsers take such a cookie over HTTPS alone. `__Host-` would send it to the whole host, to what
other applications serve there."""
_SAME_ORIGIN = "same-origin"


def cookie_name() -> str:
    """Return what the cookie is called here."""
    return f"{_SECURE_PREFIX if settings().serves_https else ''}{NAME}"


def refresh_cookie(token: str | None) -> Cookie:
    """Put a refresh token into the cookie; None takes it out.

    It is sent below /api/v1/auth alone, and with no request that another site begins.
    """
    return Cookie(
        cookie_name(),
        path=public(AUTH_PATH),
        value=token or "",
        max_age=int(SESSION_TTL.total_seconds()) if token else 0,
        secure=settings().serves_https,
        httponly=True,
        samesite="strict",
    )


def token_in_cookie(request: Request[Any, Any, Any]) -> str:
    """Return the refresh token that the browser keeps.

    Raises:
        InvalidToken: There is none, or there are several: a subdomain may have planted one.
    """
    sent = [
        value
        for header in request.headers.getall("cookie", [])
        for name, _, value in (part.strip().partition("=") for part in header.split(";"))
        if name == cookie_name()
    ]
    if len(sent) != 1 or not sent[0]:
        raise InvalidToken(private=f"the request has {len(sent)} cookies with a refresh token")
    return sent[0]


def require_own_page(request: Request[Any, Any, Any]) -> None:
    """Let through what a script of our own origin sends.

    A form says another Content-Type, and another site, a subdomain or another port another Origin.

    Raises:
        Forbidden: It is something else, or does not say what it is.
    """
    headers = request.headers
    said = headers.getall("origin", [])
    is_own = said == [_own_origin(request)]
    is_near = headers.get("sec-fetch-site", _SAME_ORIGIN) == _SAME_ORIGIN
    is_json = headers.get("content-type", "").partition(";")[0].strip() == "application/json"
    if not (is_own and is_near and is_json):
        raise Forbidden(
            "The cookie serves the page at this address alone. Send the refresh token.",
            private=f"the cookie of a refresh token was asked for by {said or 'nobody'}",
        )


def _own_origin(request: Request[Any, Any, Any]) -> str:
    """Tell where our page is: at PUBLIC_URL, or in development where the request came to."""
    current = settings()
    if not current.follows_host:
        parts = urlsplit(current.PUBLIC_URL)
        return f"{parts.scheme}://{parts.netloc.lower()}"
    return f"{request.scope['scheme']}://{request.headers.get('host', '')}"
