"""HTTP of signing in with a provider: the browser leaves, and comes back."""

import secrets
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from litestar import Controller, Request, Response, get
from litestar.datastructures import Cookie
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath, QueryParameter
from litestar.status_codes import HTTP_302_FOUND

from app.auth import people, service
from app.auth.guards import provide_device
from app.auth.limits import Policy
from app.auth.schemas import SignInUrl
from app.auth.sessions import Device, TokenPair
from app.auth.throttle import spend_by_account
from app.deferred import deferred
from app.errors import (
    AppError,
    Forbidden,
    NotFound,
    OAuthNotConfigured,
    RateLimitExceeded,
    ValidationFailed,
)
from app.http.envelopes import Data
from app.http.errors import answer_error
from app.http.openapi import refusals
from app.settings import settings

if TYPE_CHECKING:
    from app.auth import oidc
else:
    oidc = deferred("app.auth.oidc")

COOKIE = "sign_in"
RedirectUrl = Annotated[
    str,
    QueryParameter(
        name="redirect_url",
        max_length=2000,
        description="Where the front-end goes on: a path, or an address at a configured origin.",
    ),
]
ANSWERED_AS_SUCH = (NotFound, OAuthNotConfigured, RateLimitExceeded, ValidationFailed)
"""What is no failure of a sign-in that has begun."""


def back_to_login(request: Request[Any, Any, Any], exception: Exception) -> Response[Any]:
    """Log a failure like any other, and send the browser to the front-end's sign-in page.

    What the person can do something about is named; what an attacker would like to know is not.
    """
    answer = answer_error(request, exception)
    if isinstance(exception, ANSWERED_AS_SUCH) or (
        isinstance(exception, HTTPException) and not isinstance(exception, AppError)
    ):
        return answer
    failure = {"error": "oauth_failed"}
    if isinstance(exception, Forbidden):
        failure["reason"] = exception.code
    return _redirect(f"{settings().FRONTEND_URL}/login?{urlencode(failure)}")


async def accept_any_query(_: Request[Any, Any, Any]) -> None:
    """Let providers send more than we ask for."""


class OidcController(Controller):
    """Signing in with a provider."""

    path = "/auth/{provider:str}"
    tags = ("auth",)
    opt = {"rate_limit": Policy.OAUTH}  # noqa: RUF012 - Litestar's own form
    dependencies = {"device": Provide(provide_device)}  # noqa: RUF012 - as above
    exception_handlers = {HTTPException: back_to_login, Exception: back_to_login}  # noqa: RUF012 - as above

    @get(
        status_code=HTTP_302_FOUND,
        responses=refusals(OAuthNotConfigured),
        summary="Sign in with a provider",
    )
    async def begin(
        self, provider: FromPath[str], redirect_url: RedirectUrl = "/"
    ) -> Response[None]:
        """Send the browser to the provider: `google`, or another configured one."""
        chosen = oidc.provider_named(provider)
        departure = await oidc.depart(
            chosen,
            oidc.checked_redirect_url(redirect_url),
            secrets.token_bytes(oidc.STATE_BYTES),
            service.utc_now(),
        )
        return _redirect(departure.url, _cookie(chosen, departure.cookie))

    @get(
        "/url",
        responses=refusals(OAuthNotConfigured),
        summary="Where to begin signing in with a provider",
    )
    async def begin_url(
        self, provider: FromPath[str], redirect_url: RedirectUrl = "/"
    ) -> Data[SignInUrl]:
        """Tell where to send the browser: an address of ours, which gives it a cookie."""
        chosen = oidc.provider_named(provider)
        query = urlencode({"redirect_url": oidc.checked_redirect_url(redirect_url)})
        return Data(SignInUrl(f"{settings().PUBLIC_URL}{chosen.path}?{query}"))

    @get(
        "/callback",
        status_code=HTTP_302_FOUND,
        before_request=accept_any_query,
        responses=refusals(OAuthNotConfigured),
        summary="Back from a provider",
    )
    async def finish(
        self,
        provider: FromPath[str],
        request: Request[Any, Any, Any],
        device: NamedDependency[Device],
    ) -> Response[None]:
        """Send the browser on to the front-end, with tokens in the fragment of the address."""
        chosen = oidc.provider_named(provider)
        now = service.utc_now()
        query = {name: request.query_params.get(name, "") for name in request.query_params}
        arrival = await oidc.arrive(chosen, query, request.cookies.get(COOKIE), now)
        account = f"{chosen.name} {arrival.identity.subject}"
        await spend_by_account(request, Policy.OAUTH, account)
        pair = await people.sign_in(arrival, device, now)
        return _redirect(_front_end(pair, arrival.redirect_url), _cookie(chosen, None))


def _front_end(pair: TokenPair, redirect_url: str) -> str:
    """Tokens stand in the fragment, which no browser sends to a server."""
    fragment = {
        "access_token": pair.accessToken,
        "refresh_token": pair.refreshToken,
        "expires_in": pair.expiresIn,
        "redirect_url": redirect_url,
    }
    return f"{settings().FRONTEND_URL}/auth/callback#{urlencode(fragment)}"


def _redirect(url: str, cookie: Cookie | None = None) -> Response[None]:
    return Response(
        content=None,
        status_code=HTTP_302_FOUND,
        headers={"Location": url},
        cookies=[cookie] if cookie else [],
    )


def _cookie(provider: "oidc.Provider", value: str | None) -> Cookie:
    """Bind the browser to its sign-in, or let it go."""
    return Cookie(
        COOKIE,
        path=f"{provider.path}/callback",
        value=value or "",
        max_age=int(people.SIGN_IN_TTL.total_seconds()) if value else 0,
        secure=settings().PUBLIC_URL.startswith("https://"),
        httponly=True,
        samesite="lax",
    )
