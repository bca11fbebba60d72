"""HTTP of signing in with a provider: the browser leaves, and comes back."""

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath, QueryParameter, URLEncodedBody
from litestar.status_codes import HTTP_302_FOUND, HTTP_303_SEE_OTHER

from app.auth import people, service
from app.auth.guards import FOR_GUESTS, provide_device
from app.auth.limits import Policy
from app.auth.pending import ProviderAnswer, cookie_name, cookie_path
from app.auth.providers import Provider, provider_named
from app.auth.schemas import SignInUrl
from app.auth.sessions import Device, TokenPair
from app.auth.throttle import spend_by_account
from app.deferred import deferred
from app.errors import (
    AppError,
    Forbidden,
    InvalidToken,
    NotFound,
    OAuthNotConfigured,
    RateLimitExceeded,
    ValidationFailed,
)
from app.http.bodies import LARGEST_CREDENTIALS_BYTES
from app.http.envelopes import Data
from app.http.errors import answer_error
from app.http.openapi import refusals
from app.http.pages import takes_page
from app.settings import settings

if TYPE_CHECKING:
    from app.auth import oidc
else:
    oidc = deferred("app.auth.oidc")

LARGEST_FORM_BYTES = 32 * 1024
USED_COOKIE = "used_cookie"
"""Where a request's state keeps the cookie that it came back with, which has served."""
RedirectUrl = Annotated[
    str,
    QueryParameter(
        name="redirect_url",
        max_length=2000,
        description="Where the front-end goes on: a path, or an address at a configured origin. "
        "With our own page `/join` the tokens go there.",
    ),
]
ANSWERED_AS_SUCH = (NotFound, RateLimitExceeded, ValidationFailed)
"""What is no failure of a sign-in that has begun."""
TOLD = (Forbidden, OAuthNotConfigured)
"""What the person can do something about."""


def back_to_login(request: Request[Any, Any, Any], exception: Exception) -> Response[Any]:
    """Log a failure like any other, and send the browser to the front-end's sign-in page.

    What the person can do something about is named; what an attacker would like to know is not.
    A provider that is not configured is told to programs as any error, and to a browser so.
    """
    answer = answer_error(request, exception)
    if _is_answered(request, exception):
        return answer
    failure = {"error": "oauth_failed"}
    if isinstance(exception, TOLD):
        failure["reason"] = exception.code
    used = [request.state[USED_COOKIE]] if USED_COOKIE in request.state else []
    return _redirect(request, f"{settings().front_end_url}/login?{urlencode(failure)}", used)


def _is_answered(request: Request[Any, Any, Any], exception: Exception) -> bool:
    """Tell whether an error is answered as elsewhere, instead of leading back."""
    if isinstance(exception, OAuthNotConfigured):
        return not takes_page(request.headers)
    if isinstance(exception, AppError):
        return isinstance(exception, ANSWERED_AS_SUCH)
    return isinstance(exception, HTTPException)


async def accept_any_query(_: Request[Any, Any, Any]) -> None:
    """Let providers send more than we ask for."""


class OidcController(Controller):
    """Signing in with a provider."""

    path = "/auth/{provider:str}"
    tags = ("auth",)
    request_max_body_size = LARGEST_CREDENTIALS_BYTES
    opt = {"rate_limit": Policy.OAUTH, **FOR_GUESTS}  # noqa: RUF012 - Litestar's own form
    dependencies = {"device": Provide(provide_device)}  # noqa: RUF012 - as above
    exception_handlers = {HTTPException: back_to_login, Exception: back_to_login}  # noqa: RUF012 - as above

    @get(
        status_code=HTTP_302_FOUND,
        responses=refusals(OAuthNotConfigured),
        operation_id="signInWithProvider",
        summary="Sign in with a provider",
    )
    async def begin(
        self,
        provider: FromPath[str],
        request: Request[Any, Any, Any],
        redirect_url: RedirectUrl = "/",
    ) -> Response[None]:
        """Send the browser to the provider: `google`, or another configured one."""
        chosen = provider_named(provider)
        departure = await oidc.depart(
            chosen,
            oidc.checked_redirect_url(redirect_url),
            secrets.token_bytes(oidc.STATE_BYTES),
            request.cookies,
            service.utc_now(),
        )
        forgotten = [_cookie(chosen, name, None) for name in departure.forgotten]
        kept = _cookie(chosen, departure.cookie, departure.value)
        return _redirect(request, departure.url, [*forgotten, kept])

    @get(
        "/url",
        responses=refusals(OAuthNotConfigured),
        operation_id="getProviderUrl",
        summary="Where to begin signing in with a provider",
    )
    async def begin_url(
        self, provider: FromPath[str], redirect_url: RedirectUrl = "/"
    ) -> Data[SignInUrl]:
        """Tell where to send the browser: an address of ours, which gives it a cookie."""
        chosen = provider_named(provider)
        query = urlencode({"redirect_url": oidc.checked_redirect_url(redirect_url)})
        return Data(SignInUrl(f"{settings().PUBLIC_URL}{chosen.path}?{query}"))

    @get(
        "/callback",
        status_code=HTTP_302_FOUND,
        before_request=accept_any_query,
        responses=refusals(OAuthNotConfigured),
        operation_id="finishProviderSignIn",
        summary="Back from a provider",
    )
    async def finish(
        self,
        provider: FromPath[str],
        request: Request[Any, Any, Any],
        device: NamedDependency[Device],
    ) -> Response[None]:
        """Send the browser on to the front-end, with tokens in the fragment of the address."""
        answer = msgspec.convert(dict(request.query_params), ProviderAnswer)
        return await _finish(provider_named(provider), answer, request, device)

    @post(
        "/callback",
        status_code=HTTP_303_SEE_OTHER,
        request_max_body_size=LARGEST_FORM_BYTES,
        responses=refusals(OAuthNotConfigured),
        operation_id="finishPostedProviderSignIn",
        summary="Back from a provider, with a form",
    )
    async def finish_posted(
        self,
        provider: FromPath[str],
        data: URLEncodedBody[ProviderAnswer],
        request: Request[Any, Any, Any],
        device: NamedDependency[Device],
    ) -> Response[None]:
        """Do the same for a provider that has the browser post its answer."""
        return await _finish(provider_named(provider), data, request, device)


async def _finish(
    provider: Provider, answer: ProviderAnswer, request: Request[Any, Any, Any], device: Device
) -> Response[None]:
    """Learn who came back, and sign them in.

    Raises:
        InvalidToken: The browser did not begin this, or the provider says nothing to believe.
    """
    used = _cookie(provider, cookie_name(answer.state), None)
    if used.key in request.cookies:
        request.state[USED_COOKIE] = used
    if provider.posts != (request.method == "POST"):
        raise InvalidToken(private=f"{provider.name} was not asked to answer by {request.method}")
    now = service.utc_now()
    arrival = await oidc.arrive(provider, answer, request.cookies, now)
    account = f"{provider.name} {arrival.identity.subject}"
    await spend_by_account(request, Policy.OAUTH, account)
    pair = await people.sign_in(arrival, device, now)
    return _redirect(request, _front_end(pair, arrival.redirect_url), [used])


def _front_end(pair: TokenPair, redirect_url: str) -> str:
    """Tokens stand in the fragment, which no browser sends to a server.

    Our own page takes them itself; else the front-end does, and goes on.
    """
    fragment = {
        "access_token": pair.accessToken,
        "refresh_token": pair.refreshToken,
        "expires_in": pair.expiresIn,
        "redirect_url": redirect_url,
    }
    front_end = f"{settings().front_end_url}/auth/callback"
    there = redirect_url if oidc.is_own_page(redirect_url) else front_end
    return f"{there}#{urlencode(fragment)}"


def _redirect(
    request: Request[Any, Any, Any], url: str, cookies: Sequence[Cookie]
) -> Response[None]:
    """Send the browser on; a form that it has posted is not posted there again."""
    posted = request.method == "POST"
    return Response(
        content=None,
        status_code=HTTP_303_SEE_OTHER if posted else HTTP_302_FOUND,
        headers={"Location": url},
        cookies=cookies,
    )


def _cookie(provider: Provider, name: str, value: str | None) -> Cookie:
    """Bind the browser to a sign-in, or let it go.

    A form that another site has it post comes with a cookie only if that is said here.
    """
    return Cookie(
        name,
        path=cookie_path(provider),
        value=value or "",
        max_age=int(people.SIGN_IN_TTL.total_seconds()) if value else 0,
        secure=settings().serves_https or provider.posts,
        httponly=True,
        samesite="none" if provider.posts else "lax",
    )
