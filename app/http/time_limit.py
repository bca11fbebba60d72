"""The longest time that a request may take."""

import asyncio
from typing import Any

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ServiceUnavailable


class TimeLimit(ASGIMiddleware):
    """Answer 503 if no answer begins in time. One that has begun may stream as it likes."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, seconds: float) -> None:
        """Set the limit."""
        self._seconds = seconds

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Give up what takes too long."""
        task: Any = asyncio.current_task()
        is_late = False

        def give_up() -> None:
            nonlocal is_late
            is_late = task.cancel()

        async def send_in_time(message: Message) -> None:
            timer.cancel()
            await send(message)

        # What `asyncio.timeout` does, at half of what that costs each request.
        timer = asyncio.get_running_loop().call_later(self._seconds, give_up)
        try:
            await next_app(scope, receive, send_in_time)
        except asyncio.CancelledError as error:
            if is_late and not task.uncancel():
                raise ServiceUnavailable(private=f"no answer in {self._seconds} s") from error
            raise
        finally:
            timer.cancel()
