"""The door of a room's draws for who only reads them: wider than the room's own."""

from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from app.auth.guards import viewer_of
from app.draws.reading import Readable, readable


async def may_read(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard a handler below /rooms/{room_id}/draws, and keep for it which draws there are."""
    these = await readable(viewer_of(connection), connection.path_params["room_id"])
    connection.scope["state"]["draws"] = these


async def provide_draws(request: Request[Any, Any, Any]) -> Readable:
    """Give a handler behind `may_read` the draws that the caller may see."""
    these: Readable = request.scope["state"]["draws"]
    return these
