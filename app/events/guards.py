"""Who opens a stream: the caller, or who the ticket in the address was given to."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from app.errors import InvalidToken
from app.events.hub import HUB
from app.events.tickets import LONGEST_TICKET, redeem

BEGINNING = "beginning_of_stream"
"""Where a request's state keeps how far the log went before anything was asked."""


async def by_ticket(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let a ticket stand for an access token. Comes before guards that ask who is calling.

    Raises:
        InvalidToken: The ticket does not hold.
    """
    connection.scope["state"][BEGINNING] = HUB.end
    tickets = connection.query_params.getall("ticket", [])
    if len(tickets) != 1:
        return
    if len(tickets[0]) > LONGEST_TICKET:
        raise InvalidToken(private="the ticket is none")
    token = await redeem(tickets[0])
    connection.scope["auth"], connection.scope["user"] = token, token.claims
