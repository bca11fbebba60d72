"""Health: is the process alive, and can it serve?"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec
from litestar import get
from litestar.datastructures import State

from app.database import migrations
from app.database.engine import fetchval
from app.database.listener import Listener
from app.database.redis import shared_redis
from app.errors import ServiceUnavailable
from app.http.envelopes import Data, Success

CHECK_SECONDS = 0.8
"""For all checks together, however the database hangs."""

DISPENSABLE = frozenset({"listener", "mails", "redis"})
"""Without the listener the database is asked instead, without Redis each server counts alone; mails
wait."""

Check = Callable[[], Awaitable[str | None]]
"""Says what is wrong, if anything; what it raises is wrong too."""


class Part(msgspec.Struct, omit_defaults=True):
    """One of the things that the service needs."""

    state: Literal["ok", "degraded", "failing"]
    """`degraded`: the service does without, more slowly."""
    reason: str | None = None


class Readiness(msgspec.Struct):
    """The state of everything that the service needs."""

    parts: dict[str, Part]


@get("/health/live", tags=["health"], operation_id="checkLiveness", summary="Alive")
async def live() -> Data[Success]:
    """Answer as long as the process runs."""
    return Data(Success())


@get("/health/ready", tags=["health"], operation_id="checkReadiness", summary="Ready")
async def ready(state: State) -> Data[Readiness]:
    """Answer with the state of each part; 503 when one of them fails."""
    parts = await examine(state.checks)
    if any(part.state == "failing" for part in parts.values()):
        details = msgspec.to_builtins(Readiness(parts))
        raise ServiceUnavailable("The service is not ready.", details=details)
    return Data(Readiness(parts))


async def examine(checks: Mapping[str, Check]) -> dict[str, Part]:
    """Run all checks at once, and wait for none longer than CHECK_SECONDS."""
    running = {name: asyncio.ensure_future(check()) for name, check in checks.items()}
    for check in running.values():
        _unfinished.add(check)
        check.add_done_callback(_forget)
    try:
        await asyncio.wait(running.values(), timeout=CHECK_SECONDS)
        return {name: _part(name, check) for name, check in running.items()}
    finally:
        for check in running.values():
            check.cancel()  # not awaited: a frozen database may keep it for a while


_unfinished: set[asyncio.Future[Any]] = set()
"""Late checks, whose end nobody waits for; the event loop itself would forget them."""


def _forget(check: asyncio.Future[Any]) -> None:
    _unfinished.discard(check)
    if not check.cancelled():
        check.exception()  # of a late one nobody else asks for it, and that would be logged


def _part(name: str, check: asyncio.Future[Any]) -> Part:
    reason = _reason(check)
    if reason is None:
        return Part("ok")
    return Part("degraded" if name in DISPENSABLE else "failing", reason)


def _reason(check: asyncio.Future[Any]) -> str | None:
    if not check.done():
        return f"no answer in {CHECK_SECONDS} s"
    error = check.exception()
    reason: str | None = check.result() if error is None else type(error).__name__
    return reason


async def check_database() -> None:
    """Fail unless a statement comes through the pool."""
    await fetchval("SELECT 1")


async def check_migrations() -> str | None:
    """Name what the database lacks."""
    pending = await migrations.pending()
    return f"pending: {', '.join(pending)}" if pending else None


async def check_redis() -> None:
    """Fail unless Redis answers; nothing to ask where there is none."""
    if (redis := shared_redis()) is not None:
        await redis.client.ping()


def hearing(listener: Listener) -> Check:
    """Return the check of whether revocations are heard."""

    async def check() -> str | None:
        return None if listener.is_hearing else "not connected, or without an answer"

    return check
