"""Who is calling: read from the bearer token, once per request and without a query."""

from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.auth import service
from app.auth.apps import AppCredentials, confirm_app, known_apps, read_credentials
from app.auth.sessions import Device
from app.auth.throttle import address_of, admit, require_guess, spend_guess
from app.auth.tokens import AccessClaims, VerifiedToken
from app.database.caller import called_by
from app.errors import Forbidden, InvalidCredentials, InvalidToken, Unauthorized
from app.metrics import AUTHENTICATION_SECONDS

API_PATH = "/api/"
"""Callers are identified and counted below it: not by the health checks, nor by the pages that
come with their scripts and styles. The metrics and the administrators' page have tokens of their
own."""
ROOM = "room_id"
"""What the part of an address is called that names the room in which everything is done."""
FOR_GUESTS = {"guests": True}
"""As the `opt` of a handler that guests may use: elsewhere than in a room, or to change something
in theirs."""
BEARER, BASIC = "bearer", "basic"


class Authentication(ASGIMiddleware):
    """Set `scope["user"]` to the claims of a valid bearer token, or to None without one.

    `scope["auth"]` is the token with its hashes, or the credentials of an app. What is not valid is
    refused everywhere, also where nobody needs to be signed in: a client must learn that its token
    has died. Each request counts against a rate limit, one with such a token as an anonymous one.
    """

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Identify the caller."""
        scope["user"] = scope["auth"] = None
        if scope["path_template"].startswith(API_PATH):
            await _identify(scope)
        claims = scope["user"]
        with called_by(None if claims is None else claims.sub):
            await next_app(scope, receive, send)


async def _identify(scope: Scope) -> None:
    try:
        with AUTHENTICATION_SECONDS.time():
            caller = await _caller(scope)
    except (InvalidToken, Forbidden):
        await admit(scope, None)
        raise
    scope["auth"] = caller
    if isinstance(caller, VerifiedToken):
        scope["user"] = caller.claims
    await admit(scope, caller)


async def _caller(scope: Scope) -> VerifiedToken | AppCredentials | None:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if not values:
        return None
    scheme, _, credentials = values[0].decode("latin-1").partition(" ")
    if len(values) == 1 and scheme.lower() == BEARER:
        verified = await service.identify_anybody(credentials, service.utc_now())
        _keep_in_room(scope, verified.claims.guestOf)
        return verified
    if len(values) == 1 and scheme.lower() == BASIC:
        return await _calling_app(scope, credentials)
    raise InvalidToken(private="the Authorization header is not one bearer token or app")


def _keep_in_room(scope: Scope, guest_of: str | None) -> None:
    """Let guests read in their room, and do there and elsewhere only what is marked for them.

    The only place that does so. What their role allows is asked behind it, as of anybody.

    Raises:
        Forbidden: A guest is where none may be.
    """
    if guest_of is None:
        return
    room_id = scope["path_params"].get(ROOM)
    is_marked = scope["route_handler"].opt.get("guests", False)
    is_read = scope.get("method") in {"GET", "HEAD"}
    if room_id not in {guest_of, None} or not (is_marked or (is_read and room_id is not None)):
        raise service.NOT_FOR_GUESTS


async def _calling_app(scope: Scope, encoded: str) -> AppCredentials:
    """Identify an app. What was not right before may be tried as often as one may guess."""
    app_id = None
    try:
        credentials = read_credentials(encoded)
        app_id = credentials.app_id
        if not known_apps.has(credentials):
            await require_guess(scope)
        await confirm_app(credentials)
    except InvalidCredentials:
        await spend_guess(scope, app_id)
        raise
    return credentials


def signed_in(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard what only a signed-in person may do.

    Raises:
        Unauthorized: Nobody is signed in.
    """
    _verified(connection)


async def still_signed_in(
    connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
) -> None:
    """Guard sensitive actions: like `signed_in`, and the database is asked as well.

    Raises:
        Unauthorized: Nobody is signed in.
        InvalidToken: The token was revoked, its session ended, or its person was deleted.
    """
    await service.confirm(_verified(connection))


async def platform_administrator(
    connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
) -> None:
    """Guard what only platform administrators may do: `still_signed_in`, and one of them.

    Raises:
        Unauthorized: Nobody is signed in.
        InvalidToken: As in `still_signed_in`.
        Forbidden: The caller is not one, or not any more.
    """
    if not await service.confirm(_verified(connection)):
        raise Forbidden("Only platform administrators may do this.")


def _verified(connection: ASGIConnection[Any, Any, Any, Any]) -> VerifiedToken:
    verified = token_of(connection)
    if verified is None:
        raise Unauthorized
    return verified


def token_of(connection: ASGIConnection[Any, Any, Any, Any]) -> VerifiedToken | None:
    """Return the access token of a caller who is signed in."""
    verified = connection.scope["auth"]
    return verified if isinstance(verified, VerifiedToken) else None


async def provide_token(request: Request[Any, Any, Any]) -> VerifiedToken:
    """Give a handler behind a guard the access token of its caller."""
    return _verified(request)


async def provide_caller(request: Request[Any, Any, Any]) -> AccessClaims:
    """Give a handler behind a guard the claims of its caller."""
    return _verified(request).claims


def viewer_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """Tell who is calling, if one is signed in."""
    verified = token_of(connection)
    return None if verified is None else verified.claims.sub


async def provide_viewer(request: Request[Any, Any, Any]) -> str | None:
    """Give a public handler the id of its caller, if one is signed in."""
    return viewer_of(request)


async def provide_device(request: Request[Any, Any, Any]) -> Device:
    """Tell where a session is used from."""
    return Device(request.headers.get("user-agent"), address_of(request.scope))
