"""Codes from an authenticator app (TOTP, RFC 6238), asked for besides the password.

Piccolo's sign-in asks; what is asked, and how it is set up, is ours: an authenticator counts when a
code of it was given back, a code is taken once, guessing is limited (see `attempts.py`), and
recovery codes are so long that their plain SHA-256 keeps them, which stops nobody else's request.
"""

import secrets
from datetime import UTC, datetime
from typing import Any

import pyotp
import segno
from piccolo.apps.user.tables import BaseUser
from piccolo_api.mfa.recovery_codes import generate_recovery_code
from starlette.datastructures import Headers
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.admin.attempts import Step, count_attempt, forgive
from app.admin.pages import templates
from app.admin.tables import Administrator
from app.auth.tokens import token_hash
from app.database.engine import fetch, fetchrow, fetchval
from app.encryption import decrypted, encrypted, renewed
from app.http.pages import takes_page
from app.settings import SecondFactor, settings

ISSUER = "Event Platform"
STEP_SECONDS = 30
ATTEMPTS = 5
"""Wrong codes of one person, in a browser that is known or from everywhere else together, after
which the right one is refused there, too."""
RECOVERY_CODES = 8
RECOVERY_CODE_LENGTH = 16
OPEN_TO_ALL = frozenset({"/mfa-setup/", "/user/"})
"""What who has to set up an authenticator may ask for before."""


class Authenticators:
    """What Piccolo's sign-in asks of an MFAProvider."""

    name = "Authenticator App"

    async def is_user_enrolled(self, user: BaseUser) -> bool:
        """Tell whether somebody has to give a code."""
        return await is_enrolled(user.id)

    async def send_code(self, user: BaseUser) -> bool:  # noqa: ARG002 - Piccolo's signature
        """Send nothing: the code is on the person's device."""
        return False

    async def authenticate_user(self, user: BaseUser, code: object) -> bool:
        """Take a code, or a recovery code, once."""
        return await take_code(user.id, str(code), datetime.now(UTC))


async def is_enrolled(administrator: int) -> bool:
    """Tell whether somebody has confirmed an authenticator."""
    found = await fetchval(
        "SELECT 1 FROM admin.authenticators WHERE administrator = $1 AND confirmed_at IS NOT NULL",
        administrator,
    )
    return found is not None


async def is_begun(administrator: int) -> bool:
    """Tell whether somebody has an authenticator that has yet to show a code."""
    found = await fetchval(
        "SELECT 1 FROM admin.authenticators WHERE administrator = $1 AND confirmed_at IS NULL",
        administrator,
    )
    return found is not None


async def begin(administrator: int) -> str | None:
    """Make a new authenticator, which counts when it is confirmed.

    Returns:
        Its secret in base 32, or None where one is confirmed already.
    """
    secret = pyotp.random_base32()
    made = await fetchval(
        """
        INSERT INTO admin.authenticators AS a (administrator, secret) VALUES ($1, $2)
        ON CONFLICT (administrator) DO UPDATE SET secret = EXCLUDED.secret
        WHERE a.confirmed_at IS NULL RETURNING 1
        """,
        administrator,
        encrypted(secret),
    )
    return secret if made else None


async def confirm(administrator: int, code: str, session: str, now: datetime) -> list[str] | None:
    """Let an authenticator count, once it has shown a code; sign the person out elsewhere.

    Args:
        administrator: Whose.
        code: What it shows.
        session: The token of the browser that stays signed in.
        now: The time.

    Returns:
        Recovery codes, of which only the hashes are kept, or None if the code is wrong.
    """
    if not await take_code(administrator, code, now, is_confirmed=False):
        return None
    codes = [generate_recovery_code(length=RECOVERY_CODE_LENGTH) for _ in range(RECOVERY_CODES)]
    await fetch(
        """
        WITH confirmed AS (
            UPDATE admin.authenticators SET confirmed_at = now(), recovery_codes = $2
            WHERE administrator = $1 RETURNING administrator
        ), recorded AS (
            INSERT INTO audit_log (actor, action, "tableName", "rowId")
            SELECT username, 'set up authenticator', 'authenticators', id::text
            FROM admin.administrators JOIN confirmed ON administrator = id
        )
        DELETE FROM admin.administrator_sessions s USING confirmed
        WHERE s.user_id = confirmed.administrator AND s.token <> $3
        """,
        administrator,
        [token_hash(each) for each in codes],
        token_hash(session),
    )
    return codes


async def take_code(
    administrator: int, code: str, now: datetime, *, is_confirmed: bool = True
) -> bool:
    """Tell whether a code is right, for the first time. Of a confirmed one, also a recovery code.

    Recovery codes are beyond guessing: what is tried elsewhere does not stop them.
    """
    row = await fetchrow(
        "SELECT secret FROM admin.authenticators "
        "WHERE administrator = $1 AND (confirmed_at IS NOT NULL) = $2",
        administrator,
        is_confirmed,
    )
    tally = await count_attempt(administrator, Step.CODE)
    if row is None or tally.here > ATTEMPTS:
        return False
    typed = code.strip().replace(" ", "").lower()
    if len(typed) > RECOVERY_CODE_LENGTH // 2:
        is_right = await _take_recovery_code(administrator, typed)
    else:
        step = _step_of(row["secret"], typed, now) if tally.elsewhere <= ATTEMPTS else None
        is_right = step is not None and await _take_step(administrator, row["secret"], step)
    if is_right:
        await forgive(administrator, Step.CODE)
    return is_right


async def _take_recovery_code(administrator: int, code: str) -> bool:
    taken = await fetchval(
        """
        UPDATE admin.authenticators
        SET recovery_codes = array_remove(recovery_codes, $2)
        WHERE administrator = $1 AND $2 = ANY(recovery_codes) RETURNING 1
        """,
        administrator,
        token_hash(code),
    )
    return taken is not None


def _step_of(of_authenticator: str, code: str, now: datetime) -> int | None:
    """Return the step of 30 seconds in which a code was shown: this one, the last or the next."""
    secret = decrypted(of_authenticator)
    if secret is None:  # ADMIN_MFA_KEY is another; `litestar admin reset-mfa` helps
        return None
    present = int(now.timestamp()) // STEP_SECONDS
    shown = {
        step: pyotp.TOTP(secret).generate_otp(step) for step in range(present - 1, present + 2)
    }
    matching = [
        step
        for step, expected in shown.items()
        if secrets.compare_digest(expected.encode(), code.encode())
    ]
    return max(matching, default=None)


async def _take_step(administrator: int, secret: str, step: int) -> bool:
    """Take the code of a step, if none of it or of a later one was taken; renew the encryption."""
    taken = await fetchval(
        """
        UPDATE admin.authenticators SET last_step = $2, secret = $3
        WHERE administrator = $1 AND last_step < $2 AND secret = $4 RETURNING 1
        """,
        administrator,
        step,
        renewed(secret),
        secret,
    )
    return taken is not None


async def remove(administrator: int) -> None:
    """Ask somebody for a password alone again."""
    await fetch(
        """
        WITH removed AS (
            DELETE FROM admin.authenticators WHERE administrator = $1 RETURNING administrator
        )
        INSERT INTO audit_log (actor, action, "tableName", "rowId")
        SELECT username, 'remove authenticator', 'authenticators', id::text
        FROM admin.administrators JOIN removed ON administrator = id
        """,
        administrator,
    )


class SetupPage(HTTPEndpoint):
    """Where an administrator sets up an authenticator, or takes it away."""

    async def get(self, request: Request) -> HTMLResponse:
        """Show what there is to do."""
        return await _page(request)

    async def post(self, request: Request) -> HTMLResponse:
        """Take a step."""
        form = request.scope.get("form") or await request.form()
        given = {name: str(form.get(name, "")) for name in ("action", "password", "code")}
        match given["action"]:
            case "start":
                return await self._start(request, given["password"])
            case "confirm":
                return await self._confirm(request, given["code"])
            case "remove":
                return await self._remove(request, given["password"], given["code"])
        return await _page(request, status=400, error="There is no such step.")

    async def _start(self, request: Request, password: str) -> HTMLResponse:
        user = request.user.user
        if await Administrator.login(user.username, password) is None:
            return await _page(request, status=422, error="The password is wrong.")
        secret = await begin(user.id)
        if secret is None:
            return await _page(request, status=422, error="There is an authenticator already.")
        return await _page(request, **_shown(user.username, secret))

    async def _confirm(self, request: Request, code: str) -> HTMLResponse:
        user = request.user.user
        codes = await confirm(user.id, code, request.cookies["id"], datetime.now(UTC))
        if codes is None:
            error = "The code is wrong. Type the newest one, and mind the clock of your device."
            begun = await is_begun(user.id)
            return await _page(request, status=422, error=error, begun=begun)
        return await _page(request, recovery_codes=codes)

    async def _remove(self, request: Request, password: str, code: str) -> HTMLResponse:
        user = request.user.user
        if await Administrator.login(user.username, password) is None or not await take_code(
            user.id, code, datetime.now(UTC)
        ):
            return await _page(request, status=422, error="The password or the code is wrong.")
        await remove(user.id)
        return await _page(request)


def _shown(username: str, secret: str) -> dict[str, Any]:
    uri = pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=ISSUER)
    return {"secret": secret, "uri": uri, "picture": segno.make(uri).svg_data_uri(scale=4)}


async def _page(request: Request, *, status: int = 200, **shown: Any) -> HTMLResponse:
    content = templates.get_template("second_factor.html").render(
        csrftoken=request.scope.get("csrftoken"),
        enrolled=await is_enrolled(request.user.user.id),
        required=settings().ADMIN_MFA is SecondFactor.REQUIRED,
        **shown,
    )
    return HTMLResponse(content, status_code=status)


class AuthenticatorFirst:
    """Lets who has no authenticator set one up, and do nothing else."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an application that knows who asks."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let pass, or refuse; the page's script leads to the setup then."""
        app = self._app
        path = scope["path"].removeprefix(scope["root_path"])
        if path not in OPEN_TO_ALL and not await is_enrolled(scope["user"].user.id):
            app = _set_up_first(Headers(scope=scope))
        await app(scope, receive, send)


def _set_up_first(headers: Headers) -> Response:
    if takes_page(headers):
        return RedirectResponse(f"{settings().admin_path}/api/mfa-setup/", status_code=303)
    content = {"detail": "Set up an authenticator first."}
    return JSONResponse(content, 403, {"X-Second-Factor": "required"})
