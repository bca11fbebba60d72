"""Rate limits as HTTP: who is counted as whom, and what the answers say about it."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from litestar.connection import ASGIConnection
from litestar.types import Scope

from app.auth.addresses import client_address, subscriber
from app.auth.apps import AppCredentials
from app.auth.limits import Policy, Usage, limiter, refusal
from app.auth.tokens import VerifiedToken
from app.errors import NotFound
from app.http.headers import add_to_answer
from app.settings import settings

_STATE = "rate_limit_usages"


async def admit(scope: Scope, caller: VerifiedToken | AppCredentials | None) -> None:
    """Count a request: of a person, whatever their token, of an app, else of an address.

    A handler with `opt={"rate_limit": policy}` is counted by address under that policy instead.

    Raises:
        RateLimitExceeded: It is one too many.
    """
    if not settings().limits_rates:
        return
    policy = scope["route_handler"].opt.get("rate_limit")
    if policy is not None or caller is None:
        await _spend(scope, policy or Policy.ANONYMOUS, counted_as(scope))
    elif isinstance(caller, VerifiedToken):
        await _spend(scope, Policy.PEOPLE, caller.claims.sub)
    else:
        await _spend(scope, Policy.APPS, caller.app_id)


async def admit_stray(scope: Scope) -> None:
    """Count a request that no handler serves, by address: a preflight apart from the others.

    Raises:
        RateLimitExceeded: It is one too many.
    """
    if settings().limits_rates:
        is_preflight = scope.get("method") == "OPTIONS"
        policy = Policy.PREFLIGHT if is_preflight else Policy.ANONYMOUS
        await _spend(scope, policy, counted_as(scope))


async def require_guess(scope: Scope) -> None:
    """Let an app's secret be tried while this address has guesses left, at whatever app.

    Trying does not count, or an app would be shut out by the servers that don't know it yet. Nor
    do the guesses of others: an app's id is public, and its secret beyond guessing.

    Raises:
        RateLimitExceeded: None is left.
    """
    if settings().limits_rates and not await limiter().allows(Policy.SIGN_IN, counted_as(scope)):
        await _spend(scope, Policy.SIGN_IN, counted_as(scope))


async def spend_guess(scope: Scope, app_id: str | None) -> None:
    """Count a wrong guess at an app's secret like a sign-in: by address, and by app.

    Args:
        scope: The request's.
        app_id: None where none could be read.

    Raises:
        RateLimitExceeded: It is one too many.
    """
    if not settings().limits_rates:
        return
    await _spend(scope, Policy.SIGN_IN, counted_as(scope))
    if app_id is not None:
        await _spend(scope, Policy.SIGN_IN, f"app {app_id}")


async def spend_by_account(
    connection: ASGIConnection[Any, Any, Any, Any], policy: Policy, account: str
) -> None:
    """Count an attempt on an account, if requests are counted.

    Raises:
        RateLimitExceeded: It is one too many.
    """
    if settings().limits_rates:
        await _spend(connection.scope, policy, f"account {account}")


async def spend_addresses(
    connection: ASGIConnection[Any, Any, Any, Any], user_id: str | None, count: int
) -> None:
    """Count the people whom somebody brings in by their addresses: each is a row to keep.

    Raises:
        RateLimitExceeded: They are too many.
    """
    if settings().limits_rates and count:
        await _spend(connection.scope, Policy.ADDRESSES, f"person {user_id}", count)


@asynccontextmanager
async def guessing(connection: ASGIConnection[Any, Any, Any, Any]) -> AsyncIterator[None]:
    """Count the try of a room's code: of a caller every one, of an address those that find nothing.

    So many people behind one address get in at once, and nobody tries more by trying in parallel:
    who has no token is counted by address before (`admit`).

    Raises:
        RateLimitExceeded: It is one too many.
    """
    if not settings().limits_rates:
        yield
        return
    address = counted_as(connection.scope)
    if not await limiter().allows(Policy.INVITATIONS, address):
        await _spend(connection.scope, Policy.INVITATIONS, address)
    caller = connection.scope["auth"]
    if isinstance(caller, VerifiedToken):
        await _spend(connection.scope, Policy.INVITATIONS, f"person {caller.claims.sub}")
    elif caller is not None:
        await _spend(connection.scope, Policy.INVITATIONS, f"app {caller.app_id}")
    try:
        yield
    except NotFound:
        await _spend(connection.scope, Policy.INVITATIONS, address)
        raise


async def _spend(scope: Scope, policy: Policy, key: str, cost: int = 1) -> None:
    """Count, and remember for the answer what is left: of two counts of a policy, the lesser."""
    usage = await limiter().spend(policy, key, cost)
    usages: dict[Policy, Usage] = scope["state"].setdefault(_STATE, {})
    if policy not in usages or usage.remaining <= usages[policy].remaining:
        usages[policy] = usage
    add_to_answer(scope, _headers_of(usages.values()))
    if not usage.is_allowed:
        raise refusal(usage)


def _headers_of(known: Collection[Usage]) -> dict[bytes, bytes]:
    """Say what is left (draft-ietf-httpapi-ratelimit-headers)."""
    quotas = (f'"{usage.policy}";q={usage.quota};w={usage.window_seconds}' for usage in known)
    left = (f'"{usage.policy}";r={usage.remaining};t={usage.reset_seconds}' for usage in known)
    return {
        b"ratelimit-policy": ", ".join(quotas).encode(),
        b"ratelimit": ", ".join(left).encode(),
    }


def counted_as(scope: Scope) -> str:
    """Name where a request comes from, as it is counted."""
    return f"address {subscriber(address_of(scope))}"


def address_of(scope: Scope) -> str:
    """Tell where a request comes from."""
    client = scope["client"]
    forwarded_for = [
        value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"
    ]
    peer = client[0] if client else None
    return client_address(peer, forwarded_for, settings().TRUSTED_PROXIES)
