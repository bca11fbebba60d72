"""Redis, where REDIS_URL names one: asked for what servers share, and done without when it fails.

Nothing is kept in Redis alone.
"""

import functools
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from app.deferred import deferred
from app.settings import settings

if TYPE_CHECKING:
    from redis import asyncio as redis
    from redis import backoff, exceptions
    from redis.asyncio import retry
else:
    redis = deferred("redis.asyncio")
    backoff = deferred("redis.backoff")
    exceptions = deferred("redis.exceptions")
    retry = deferred("redis.asyncio.retry")

logger = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT_SECONDS = 0.2
PAUSE_SECONDS = 2.0
"""How long Redis is left alone after it failed, so that not every request waits for it."""


class OptionalRedis:
    """A Redis whose failure is no failure of ours."""

    def __init__(self, url: str) -> None:
        """Connects with the first question."""
        self.client = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=retry.Retry(backoff.NoBackoff(), 0),
        )
        self._resume_at = 0.0

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """Return the answer, or None from a Redis that does not answer."""
        if time.monotonic() < self._resume_at:
            return None
        try:
            return await question()
        except (exceptions.RedisError, OSError, TimeoutError) as error:
            self._resume_at = time.monotonic() + PAUSE_SECONDS
            logger.warning("Redis does not answer: %s", type(error).__name__)
            return None

    async def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        await self.client.aclose()


@functools.cache
def shared_redis() -> OptionalRedis | None:
    """Return the Redis of REDIS_URL, if there is one."""
    url = settings().REDIS_URL
    return None if url is None else OptionalRedis(url)
