"""Rate limits as HTTP: who is counted as whom, and what the answers say about it."""

from collections.abc import Collection
from typing import Any

from litestar.connection import ASGIConnection
from litestar.types import Scope

from app.auth.addresses import client_address, subscriber
from app.auth.apps import AppCredentials
from app.auth.limits import Policy, Usage, limiter, refusal
from app.auth.tokens import VerifiedToken
from app.http.headers import ANSWER_HEADERS
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
        await _spend(scope, policy or Policy.ANONYMOUS, _place(scope))
    elif isinstance(caller, VerifiedToken):
        await _spend(scope, Policy.PEOPLE, caller.claims.sub)
    else:
        await _spend(scope, Policy.APPS, caller.app_id)


async def require_guess(scope: Scope, app_id: str) -> None:
    """Let an app's secret be tried while guesses at it are left: from this address, at this app.

    Trying does not count, or an app would be shut out by the servers that don't know it yet.

    Raises:
        RateLimitExceeded: None is left.
    """
    if not settings().limits_rates:
        return
    for key in (_place(scope), _app(app_id)):
        if not await limiter().allows(Policy.SIGN_IN, key):
            await _spend(scope, Policy.SIGN_IN, key)


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
    await _spend(scope, Policy.SIGN_IN, _place(scope))
    if app_id is not None:
        await _spend(scope, Policy.SIGN_IN, _app(app_id))


async def spend_by_account(
    connection: ASGIConnection[Any, Any, Any, Any], policy: Policy, account: str
) -> None:
    """Count an attempt on an account, if requests are counted.

    Raises:
        RateLimitExceeded: It is one too many.
    """
    if settings().limits_rates:
        await _spend(connection.scope, policy, f"account {account}")


async def _spend(scope: Scope, policy: Policy, key: str) -> None:
    """Count, and remember for the answer what is left: of two counts of a policy, the lesser."""
    usage = await limiter().spend(policy, key)
    usages: dict[Policy, Usage] = scope["state"].setdefault(_STATE, {})
    if policy not in usages or usage.remaining <= usages[policy].remaining:
        usages[policy] = usage
    scope["state"][ANSWER_HEADERS] = _headers_of(usages.values())
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


def _app(app_id: str) -> str:
    return f"app {app_id}"


def _place(scope: Scope) -> str:
    return f"address {subscriber(address_of(scope))}"


def address_of(scope: Scope) -> str:
    """Tell where a request comes from."""
    client = scope["client"]
    forwarded_for = [
        value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"
    ]
    peer = client[0] if client else None
    return client_address(peer, forwarded_for, settings().TRUSTED_PROXIES)
