"""The door of everything below /rooms/{id}: opened before anything else of a request is looked at.

So a private room and one that does not exist answer alike, whatever query or body comes along.
"""

from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from app.auth.guards import signed_in, token_of
from app.http.pagination import room_page_request
from app.http.preconditions import provide_precondition
from app.participants.roles import HELD_FROM, Right
from app.participants.service import Membership, membership


def in_room(
    right: Right | None = None, *, strictly: bool = False, or_winner: bool = False
) -> Guard:
    """Guard a handler below /rooms/{room_id} and keep the caller's membership for it.

    Args:
        right: What the handler does; None for what anybody may do in a public room.
        strictly: Somebody has to be signed in, and the same statement asks whether they still are.
        or_winner: Of an address below /winners/{winner_id}: whoever won that is let in as well.
    """
    needed = None if right is None else HELD_FROM[right]

    async def open_door(
        connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
    ) -> None:
        token = token_of(connection)
        member = await membership(
            None if token is None else token.claims.sub,
            connection.path_params["room_id"],
            at_least=needed,
            still_signed_in_by=token if strictly else None,
            winner_id=connection.path_params["winner_id"] if or_winner else None,
        )
        if strictly:
            signed_in(connection, handler)
        connection.scope["state"]["member"] = member

    return open_door


async def provide_member(request: Request[Any, Any, Any]) -> Membership:
    """Give a handler behind `in_room` the caller's membership."""
    member: Membership = request.scope["state"]["member"]
    return member


DEPENDENCIES = {
    "member": Provide(provide_member),
    "paging": Provide(room_page_request),
    "precondition": Provide(provide_precondition),
}
"""What the handlers of a room's participants, prizes and winners may ask for."""
