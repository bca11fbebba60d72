"""Rate limits: how often a person, an app, an address or an account may, in a moving window.

Exact within a process, and across processes with REDIS_URL. While Redis does not answer, each
process counts for itself.

`limits` counts in Redis. In memory it would keep every address that ever called, and start a thread
to clean up behind itself; `MovingWindows` forgets an address with its last request.
"""

import functools
import itertools
import math
import time
from collections import OrderedDict, deque
from enum import StrEnum
from typing import TYPE_CHECKING, cast

import msgspec

from app.database.redis import OptionalRedis, shared_redis
from app.deferred import deferred
from app.errors import RateLimitExceeded
from app.settings import settings

if TYPE_CHECKING:
    import limits
    from limits.aio import storage, strategies
else:
    limits = deferred("limits")
    storage = deferred("limits.aio.storage")
    strategies = deferred("limits.aio.strategies")


class Policy(StrEnum):
    """What is counted apart from the rest; settings say how much of it is allowed."""

    PEOPLE = "people"
    APPS = "apps"
    ANONYMOUS = "anonymous"
    PREFLIGHT = "preflight"
    SIGN_IN = "sign-in"
    REFRESH = "refresh"
    OAUTH = "oauth"
    CODES = "codes"
    GUESTS = "guests"
    ADDRESSES = "addresses"
    INVITATIONS = "invitations"


class Usage(msgspec.Struct, frozen=True):
    """What somebody has left under a policy."""

    policy: Policy
    quota: int
    window_seconds: int
    remaining: int
    is_allowed: bool
    reset_seconds: int
    """Until the oldest request that counts leaves the window, and one more is allowed."""


class MovingWindows:
    """The times of the requests that count, by key, in memory."""

    def __init__(self) -> None:
        """Start empty."""
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._longest_window = 0

    def __len__(self) -> int:
        """Keys of whom a request may still count."""
        return len(self._times)

    def spend(
        self, key: str, quota: int, window_seconds: int, now: float, cost: int = 1
    ) -> tuple[bool, int, float]:
        """Count a request, as several if it costs more, unless that exceeds the quota.

        Returns:
            Whether it is allowed, how many remain, and when the oldest one stops counting.
        """
        self._forget_idle(now, window_seconds)
        times = self._times.pop(key, deque())
        while times and times[0] <= now - window_seconds:
            times.popleft()
        is_allowed = len(times) + cost <= quota
        if is_allowed:
            times.extend(itertools.repeat(now, cost))
        oldest = times[0] if times else now
        if times:
            self._times[key] = times
        return is_allowed, quota - len(times), oldest + window_seconds

    def allows(self, key: str, quota: int, window_seconds: int, now: float) -> bool:
        """Tell whether a request would be allowed; it does not count."""
        times = self._times.get(key)
        return times is None or len(times) < quota or times[0] <= now - window_seconds

    def _forget_idle(self, now: float, window_seconds: int) -> None:
        """Keys stand in the order of their last request; those that came first are idle first."""
        self._longest_window = max(self._longest_window, window_seconds)
        while self._times:
            key, times = next(iter(self._times.items()))
            if times[-1] > now - self._longest_window:
                return
            del self._times[key]


class Limiter:
    """Counts in Redis, where there is one that answers, else in memory. Never raises."""

    def __init__(self, redis: OptionalRedis | None) -> None:
        """Start with nothing in memory."""
        self._memory = MovingWindows()
        self._redis = redis
        self._shared = (
            None if redis is None else strategies.MovingWindowRateLimiter(_storage(redis))
        )

    async def spend(self, policy: Policy, key: str, cost: int = 1) -> Usage:
        """Count a request, as several if it costs more."""
        item = quotas()[policy]
        found = await self._spend_shared(item, policy, key, cost)
        if found is None:
            found = self._memory.spend(
                f"{policy}/{key}", item.amount, item.get_expiry(), time.time(), cost
            )
        is_allowed, remaining, reset_at = found
        reset_seconds = max(1, math.ceil(reset_at - time.time()))
        return Usage(policy, item.amount, item.get_expiry(), remaining, is_allowed, reset_seconds)

    async def allows(self, policy: Policy, key: str) -> bool:
        """Tell whether a request would be allowed; it does not count."""
        item, shared = quotas()[policy], self._shared
        found: bool | None = None
        if shared is not None and self._redis is not None:
            found = await self._redis.ask(lambda: shared.test(item, policy, key))
        if found is None:
            name = f"{policy}/{key}"
            found = self._memory.allows(name, item.amount, item.get_expiry(), time.time())
        return found

    async def _spend_shared(
        self, item: "limits.RateLimitItem", policy: Policy, key: str, cost: int
    ) -> tuple[bool, int, float] | None:
        shared = self._shared
        if shared is None or self._redis is None:
            return None

        async def count() -> tuple[bool, int, float]:
            is_allowed = await shared.hit(item, policy, key, cost=cost)
            window = await shared.get_window_stats(item, policy, key)
            return is_allowed, window.remaining, window.reset_time

        return await self._redis.ask(count)


def refusal(usage: Usage) -> RateLimitExceeded:
    """Say when to try again."""
    return RateLimitExceeded(headers={"Retry-After": str(usage.reset_seconds)})


@functools.cache
def limiter() -> Limiter:
    """Return this process's counter."""
    return Limiter(shared_redis())


@functools.cache
def quotas() -> dict[Policy, "limits.RateLimitItem"]:
    """Return how much each policy allows."""
    current = settings()
    return {
        Policy.PEOPLE: limits.parse(current.RATE_LIMIT_PEOPLE),
        Policy.APPS: limits.parse(current.RATE_LIMIT_APPS),
        Policy.ANONYMOUS: limits.parse(current.RATE_LIMIT_ANONYMOUS),
        Policy.PREFLIGHT: limits.parse(current.RATE_LIMIT_PREFLIGHTS),
        Policy.SIGN_IN: limits.parse(current.RATE_LIMIT_SIGN_IN),
        Policy.REFRESH: limits.parse(current.RATE_LIMIT_REFRESH),
        Policy.OAUTH: limits.parse(current.RATE_LIMIT_OAUTH),
        Policy.GUESTS: limits.parse(current.RATE_LIMIT_GUESTS),
        Policy.CODES: limits.parse(current.RATE_LIMIT_CODES),
        Policy.ADDRESSES: limits.parse(current.RATE_LIMIT_ADDRESSES),
        Policy.INVITATIONS: limits.parse(current.RATE_LIMIT_INVITATIONS),
    }


def _storage(redis: OptionalRedis) -> "storage.RedisStorage":
    pool = cast("str", redis.client.connection_pool)  # any option at all, says limits' own code
    return storage.RedisStorage("async+redis://", implementation="redispy", connection_pool=pool)
