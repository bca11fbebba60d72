"""Requests that no handler serves: counted like the others, lest they cost the server for nothing.

Preflights, unknown addresses and methods are answered before anything of ours runs.
"""

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.auth.throttle import admit_stray
from app.errors import RateLimitExceeded
from app.http.bodies import ApiRequest
from app.http.errors import answer_error


def counting_strays(app: ASGIApp) -> ASGIApp:
    """Let an application count what `Authentication` does not see, by address."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start" and "auth" not in scope:
                await admit_stray(scope)
            await send(message)

        try:
            await app(scope, receive, send_counted)
        except RateLimitExceeded as refusal:
            request = ApiRequest(scope, receive, send)
            answer = answer_error(request, refusal).to_asgi_response(None, request)
            await answer(scope, receive, send)

    return serve
