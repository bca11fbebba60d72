"""HTTP of /auth."""

from functools import partial
from typing import Any

from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from app.auth import service, sessions
from app.auth.cookie import cookie_name, refresh_cookie, require_own_page, token_in_cookie
from app.auth.guards import (
    FOR_GUESTS,
    platform_administrator,
    provide_caller,
    provide_device,
    provide_token,
    signed_in,
    still_signed_in,
)
from app.auth.limits import Policy
from app.auth.schemas import (
    Ended,
    Login,
    Profile,
    Refresh,
    Refreshed,
    Revocation,
    SessionOut,
    SignedIn,
)
from app.auth.throttle import spend_by_account
from app.auth.tokens import AccessClaims, VerifiedToken
from app.database.listing import PageRequest
from app.email_addresses import canonical_address
from app.errors import (
    AccountDeleted,
    Forbidden,
    InvalidCredentials,
    InvalidToken,
    NotFound,
    ValidationFailed,
)
from app.http.bodies import LARGEST_CREDENTIALS_BYTES
from app.http.envelopes import Data, Success
from app.http.openapi import refusals
from app.http.pagination import Page, page_of, page_request
from app.settings import settings


class AuthController(Controller):
    """Signing in, and oneself."""

    path = "/auth"
    tags = ("auth",)
    request_max_body_size = LARGEST_CREDENTIALS_BYTES
    dependencies = {  # noqa: RUF012 - Litestar's own form
        "device": Provide(provide_device),
        "caller": Provide(provide_caller),
        "token": Provide(provide_token),
    }

    @post(
        "/login",
        status_code=HTTP_200_OK,
        opt={"rate_limit": Policy.SIGN_IN, **FOR_GUESTS},
        responses=refusals(InvalidCredentials, AccountDeleted, NotFound),
        operation_id="signInAsDemoPerson",
        summary="Sign in as a demo person (development)",
    )
    async def login(
        self,
        data: JSONBody[Login],
        device: NamedDependency[sessions.Device],
        request: Request[Any, Any, Any],
    ) -> Data[SignedIn]:
        """Sign in as one of the seeded demo people. Only in development; elsewhere 404."""
        if settings().in_production:
            raise NotFound
        await spend_by_account(request, Policy.SIGN_IN, canonical_address(data.email))
        now = service.utc_now()
        pair, person = await service.sign_in_demo(data.email, data.password, device, now)
        return Data(SignedIn.of(pair, person))

    @post(
        "/refresh",
        status_code=HTTP_200_OK,
        opt={"rate_limit": Policy.REFRESH, **FOR_GUESTS},
        operation_id="refreshTokens",
        responses=refusals(InvalidToken, Forbidden),
        summary="Buy the next pair of tokens",
    )
    async def refresh(
        self,
        data: JSONBody[Refresh],
        device: NamedDependency[sessions.Device],
        request: Request[Any, Any, Any],
    ) -> Response[Data[Refreshed]]:
        """Exchange a refresh token for the next one and a new access token.

        Keep the new refresh token and forget the old one. If the answer was lost, ask again with
        the old one within 10 seconds, or what the server's REFRESH_GRACE_SECONDS says. Used later
        than that, an old one ends the session.

        A page at this server's own address may leave it to the browser: with `cookie` the next
        token goes into a cookie that no script reads, and the answer has none. From then on
        `{"cookie": true}` is all that has to be sent. Requests of other origins are refused.
        """
        presented = _presented(data, request)
        account = settings().limits_rates and await sessions.account_of(presented)
        if account:
            await spend_by_account(request, Policy.REFRESH, account)
        pair = await sessions.refresh(presented, device, service.utc_now())
        cookies = [refresh_cookie(pair.refreshToken)] if data.cookie else []
        return Response(Data(Refreshed.of(pair, is_kept=data.cookie)), cookies=cookies)

    @post(
        "/logout",
        guards=[still_signed_in],
        opt=FOR_GUESTS,
        status_code=HTTP_200_OK,
        operation_id="signOut",
        summary="Sign out",
        security=[{"bearer": []}],
    )
    async def logout(
        self, token: NamedDependency[VerifiedToken], request: Request[Any, Any, Any]
    ) -> Response[Data[Success]]:
        """End this session; its tokens stop working at once, and a cookie of it is taken back."""
        await sessions.log_out(token)
        cookies = [refresh_cookie(None)] if cookie_name() in request.cookies else []
        return Response(Data(Success()), cookies=cookies)

    @get(
        "/me",
        guards=[signed_in],
        opt=FOR_GUESTS,
        operation_id="getMe",
        summary="Oneself",
        security=[{"bearer": []}],
    )
    async def me(self, caller: NamedDependency[AccessClaims]) -> Data[Profile]:
        """Show who is signed in."""
        return Data(Profile.of(await service.profile(caller.sub)))

    @get(
        "/sessions",
        guards=[signed_in],
        opt=FOR_GUESTS,
        dependencies={"paging": Provide(page_request)},
        operation_id="listSessions",
        summary="One's sessions",
        security=[{"bearer": []}],
    )
    async def list_sessions(
        self, caller: NamedDependency[AccessClaims], paging: NamedDependency[PageRequest]
    ) -> Page[SessionOut]:
        """List the devices on which one is signed in, the newest first."""
        rows, total = await sessions.list_sessions(caller.sub, paging)
        return page_of(rows, total, paging, partial(SessionOut.of, current=caller.sid))

    @delete(
        "/sessions/{session_id:str}",
        guards=[still_signed_in],
        opt=FOR_GUESTS,
        status_code=HTTP_200_OK,
        operation_id="endSession",
        summary="End a session",
        security=[{"bearer": []}],
    )
    async def end_session(
        self, session_id: FromPath[str], caller: NamedDependency[AccessClaims]
    ) -> Data[Success]:
        """Sign a device out; its tokens stop working at once."""
        await sessions.end_session(caller.sub, session_id)
        return Data(Success())

    @delete(
        "/sessions",
        guards=[still_signed_in],
        opt=FOR_GUESTS,
        status_code=HTTP_200_OK,
        operation_id="endAllSessions",
        summary="End all sessions",
        security=[{"bearer": []}],
    )
    async def end_sessions(self, caller: NamedDependency[AccessClaims]) -> Data[Success]:
        """Sign all devices out, this one included."""
        await sessions.end_sessions(caller.sub, reason="ended", revoked_by=caller.sub)
        return Data(Success())

    @post(
        "/revocations",
        guards=[platform_administrator],
        responses=refusals(NotFound),
        operation_id="revokeSessions",
        summary="End somebody's sessions (administrators)",
        security=[{"bearer": []}],
    )
    async def revoke(
        self, data: JSONBody[Revocation], caller: NamedDependency[AccessClaims]
    ) -> Data[Ended]:
        """Sign somebody out everywhere, as a platform administrator. Who and why is recorded."""
        ended = await sessions.revoke_person(data.userId, revoked_by=caller.sub, reason=data.reason)
        return Data(Ended(ended))


def _presented(data: Refresh, request: Request[Any, Any, Any]) -> str:
    """Return the token that was sent, or the browser's.

    Raises:
        Forbidden: The cookie is meant, and it is no page of ours that asks.
        InvalidToken: The browser keeps none.
        ValidationFailed: Neither is said.
    """
    if data.cookie:
        require_own_page(request)
        return data.refreshToken or token_in_cookie(request)
    if data.refreshToken is None:
        raise ValidationFailed.at({"$.refreshToken": "is required, but where a cookie has it."})
    return data.refreshToken
