"""How far the log went when a room was read: `Event-Position`, for who goes on with its stream."""

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from app.events.hub import HUB
from app.http.headers import add_to_answer

ROOM_PATH = "/api/v1/rooms/{room_id}"
HEADER = b"event-position"


class EventPosition(ASGIMiddleware):
    """Tell it beside what is read of a room. Taken before anything is read: nothing is missed."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Note the position."""
        is_read = scope.get("method") == "GET" and scope["path_template"].startswith(ROOM_PATH)
        if is_read and HUB.end is not None:
            add_to_answer(scope, {HEADER: str(HUB.end).encode()})
        await next_app(scope, receive, send)
