"""HTTP of /auth/email."""

from litestar import Controller, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from app.auth import codes
from app.auth.guards import FOR_GUESTS, provide_device
from app.auth.limits import Policy
from app.auth.providers import providers
from app.auth.schemas import SignedIn
from app.auth.service import utc_now
from app.auth.sessions import Device
from app.errors import AccountDeleted, InvalidCredentials, MailNotConfigured
from app.http.bodies import LARGEST_CREDENTIALS_BYTES
from app.http.envelopes import Data
from app.http.openapi import refusals
from app.mails.queueing import status_of_new
from app.settings import settings
from app.sign_in import service
from app.sign_in.schemas import CodeSent, CodeWish, EmailLogin, ProviderWay, Ways


@get(
    "/auth/ways",
    opt=FOR_GUESTS,
    tags=["auth"],
    operation_id="listWaysToSignIn",
    summary="How people sign in here",
)
async def ways() -> Data[Ways]:
    """Tell which buttons a sign-in page needs.

    A provider begins at `/auth/{name}`. `email` says whether codes are sent by mail, `demo`
    whether the demo people sign in with their password.
    """
    current = settings()
    return Data(
        Ways(
            providers=[ProviderWay(name, each.title) for name, each in providers().items()],
            email=status_of_new(current) is not None,
            demo=not current.in_production,
        )
    )


class EmailController(Controller):
    """Signing in by a code that is sent by mail."""

    path = "/auth/email"
    tags = ("auth",)
    request_max_body_size = LARGEST_CREDENTIALS_BYTES

    @post(
        "/code",
        status_code=HTTP_202_ACCEPTED,
        opt={"rate_limit": Policy.CODES, **FOR_GUESTS},
        responses=refusals(MailNotConfigured),
        operation_id="sendSignInCode",
        summary="Have a code sent by mail, to sign in with",
    )
    async def ask(self, data: JSONBody[CodeWish]) -> Data[CodeSent]:
        """Send a code of six digits to an address, whether or not anybody has an account with it.

        Keep `challenge`: the code is good for who has it, for 10 minutes, five tries and one
        sign-in. A new code ends the one before; an address gets 10 in 24 hours.
        """
        language = data.language or settings().MAIL_LANGUAGE
        return Data(CodeSent.of(await service.ask_for_code(data.email, language)))

    @post(
        "/login",
        status_code=HTTP_200_OK,
        opt={"rate_limit": Policy.SIGN_IN, **FOR_GUESTS},
        dependencies={"device": Provide(provide_device)},
        responses=refusals(InvalidCredentials, AccountDeleted),
        operation_id="signInWithCode",
        summary="Sign in with a code",
    )
    async def login(
        self, data: JSONBody[EmailLogin], device: NamedDependency[Device]
    ) -> Data[SignedIn]:
        """Sign in with the code that was sent, and the `challenge` that was answered.

        Who signs in for the first time gets an account; its address counts as verified.
        """
        pair, person = await codes.sign_in(data.challenge, data.code, device, utc_now())
        return Data(SignedIn.of(pair, person))
