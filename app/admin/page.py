"""Builds the administrators' page: Piccolo Admin, less whatever we don't want to answer for.

Imported when somebody first asks for the page (see `mount.py`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from json import JSONDecodeError
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import asyncpg
from fastapi import FastAPI
from litestar.types import ASGIApp
from piccolo.columns import Column
from piccolo_admin import endpoints
from piccolo_admin.endpoints import AdminRouter, TableConfig, create_admin
from piccolo_admin.translations.data import ENGLISH
from piccolo_api.crud.endpoints import OrderBy
from piccolo_api.rate_limiting.middleware import InMemoryLimitProvider
from pydantic import ValidationError
from starlette.authentication import AuthenticationError
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from app.admin.crud import GuardedTable
from app.admin.dashboard import dashboard
from app.admin.forms import FORMS
from app.admin.second_factor import AuthenticatorFirst, Authenticators, SetupPage
from app.admin.tables import Administrator, AdministratorSession
from app.database.soft_delete import SoftDeletable
from app.errors import AppError
from app.http.pages import takes_page
from app.settings import SecondFactor, settings
from app.tables import (
    Answer,
    App,
    AuditLog,
    Draw,
    Invitation,
    Mail,
    Participant,
    Prize,
    Quiz,
    Room,
    Round,
    Session,
    TaskRun,
    TokenBlacklist,
    User,
    Webhook,
    WebhookDelivery,
    Winner,
)

SITE_NAME = "Event Platform"
STATIC = Path(__file__).with_name("static")
# Before Piccolo's own script, whose first requests ours has to see.
OUR_FILES = f"""<title>{SITE_NAME}</title>
  <link rel="icon" href="./platform/icon.svg">
  <link rel="stylesheet" href="./platform/page.css">
  <link rel="stylesheet" href="./platform/dashboard.css">
  <script src="./platform/page.js"></script>"""

SESSION_TTL = timedelta(hours=1)
"""After so long without a request, one signs in again."""
LONGEST_SESSION = timedelta(hours=12)
SIGN_IN_LIMIT = InMemoryLimitProvider(limit=20, timespan=300, block_duration=300)
"""Attempts from one address, to each worker."""

EVENTS, PEOPLE, OPERATIONS = "Events", "People", "Operations"
# Of what Piccolo's applications serve, that which we keep.
KEPT_MOUNTS = frozenset({"/api", "/public", "/assets", "/login"})
DROPPED_PATHS = ("/openapi.json", "/media/")


def create_page() -> ASGIApp:
    """Build the page."""
    with _guarded_tables():
        admin = create_admin(
            TABLES,
            forms=FORMS,
            auth_table=Administrator,
            session_table=AdministratorSession,
            session_expiry=SESSION_TTL,
            increase_expiry=SESSION_TTL,
            max_session_expiry=LONGEST_SESSION,
            rate_limit_provider=SIGN_IN_LIMIT,
            production=True,  # mount.py makes cookies work without HTTPS in development
            site_name=SITE_NAME,
            translations=[ENGLISH],
            default_language_code="en",
            auto_include_related=False,
            allowed_hosts=[urlsplit(settings().PUBLIC_URL).hostname or ""],
            sidebar_links=_links(),
            mfa_providers=cast("Any", _second_factor()),
        )
    _add_our_files(admin)
    _drop(admin)
    private = _inner(admin, "/api")
    private.add_route("/dashboard/", dashboard)
    authentication = cast("AuthenticationMiddleware", _mounted(admin, "/api").app)
    authentication.on_error = _sign_in_first
    _add_second_factor(authentication, private)
    _drop(private)
    public = _inner(admin, "/public")
    _drop(public)
    private.add_exception_handler(AppError, answer_error)
    for app in (private, public):
        for nonsense in (asyncpg.DataError, UnicodeError, JSONDecodeError, ValidationError):
            app.add_exception_handler(nonsense, answer_nonsense)
    return cast("ASGIApp", admin)  # Starlette has other words for the same protocol


def answer_error(request: Request, error: Exception) -> JSONResponse:
    """Say what a service refuses in the form in which the page shows it."""
    if not isinstance(error, AppError):
        raise error
    faults = [*error.details.get("fields", {}).items(), *_faults_of_a_document(error)]
    content: dict[str, object] = {"custom_form_error": error.message}
    if request.url.path.endswith("/change-password/"):
        content = {"detail": error.message}
    elif faults:
        content = {
            "detail": [{"loc": [path.removeprefix("$.")], "msg": said} for path, said in faults]
        }
    return JSONResponse(content, status_code=422)


def answer_nonsense(_: Request, error: Exception) -> JSONResponse:
    """Refuse what no column holds: a status that there isn't, a number that is too large."""
    said = error.args[0] if isinstance(error, asyncpg.DataError) else "It is not valid."
    return JSONResponse({"detail": str(said)}, status_code=422)


def _faults_of_a_document(error: AppError) -> Iterator[tuple[str, str]]:
    for fault in error.details.get("faults") or error.details.get("changes") or ():
        line = f"line {fault['line']}, " if "line" in fault else ""
        place = fault["pointer"] or "the whole document"
        yield f"{line}{place}", fault.get("message") or fault["reason"]


@contextmanager
def _guarded_tables() -> Iterator[None]:
    """Let Piccolo Admin build its tables with our class: it has no setting for that."""
    names = vars(endpoints)
    original = names["PiccoloCRUD"]
    names["PiccoloCRUD"] = GuardedTable
    try:
        yield
    finally:
        names["PiccoloCRUD"] = original


def _mounted(admin: AdminRouter, path: str) -> Mount:
    return next(r for r in admin.routes if isinstance(r, Mount) and r.path == path)


def _inner(admin: AdminRouter, path: str) -> FastAPI:
    mount = _mounted(admin, path)
    app = getattr(mount.app, "app", mount.app)
    if not isinstance(app, FastAPI):
        raise TypeError(f"{path} is not what it was in the pinned version of Piccolo Admin")
    return app


def _drop(app: FastAPI) -> None:
    """Take away documentation pages, which load from a CDN, and uploads, which nothing here has."""
    app.router.routes[:] = [route for route in app.router.routes if _is_kept(route)]


def _is_kept(route: BaseRoute) -> bool:
    path: str = getattr(route, "path", "")
    if isinstance(route, Mount):
        return path.rstrip("/") in {*KEPT_MOUNTS, "/platform"}
    return not path.startswith(DROPPED_PATHS)


def _sign_in_first(connection: HTTPConnection, _: AuthenticationError) -> Response:
    """Answer who is not signed in: a person who follows a link is led to the sign-in."""
    if takes_page(connection.headers):
        return RedirectResponse(f"{settings().admin_path}/", status_code=303)
    return JSONResponse({"error": "Auth failed"}, status_code=401)


def _second_factor() -> Sequence[Authenticators]:
    return [] if settings().ADMIN_MFA is SecondFactor.OFF else [Authenticators()]


def _add_second_factor(authentication: AuthenticationMiddleware, private: FastAPI) -> None:
    """Put our setup in the place of Piccolo's, and before everything else where it is required."""
    routes = private.router.routes
    routes[:] = [route for route in routes if getattr(route, "path", "") != "/mfa-setup"]
    if settings().ADMIN_MFA is SecondFactor.OFF:
        return
    private.add_route("/mfa-setup/", cast("Any", SetupPage))
    if settings().ADMIN_MFA is SecondFactor.REQUIRED:
        authentication.app = AuthenticatorFirst(private)


def _add_our_files(admin: AdminRouter) -> None:
    admin.mount("/platform", StaticFiles(directory=STATIC))
    body = f'<body class="mfa-{settings().ADMIN_MFA}">'
    admin.template = admin.template.replace("<title>Piccolo Admin</title>", OUR_FILES).replace(
        "<body>", body
    )


def _links() -> dict[str, str]:
    """Lead to the dashboard, and to the deleted rows of each table that keeps them."""
    deleted = {
        f"Deleted {config.table_class._meta.tablename}": (  # noqa: SLF001 - Piccolo has no other way
            f"#/{config.table_class._meta.tablename}?deletedAt__operator=not_null"  # noqa: SLF001 - as above
        )
        for config in TABLES
        if issubclass(config.table_class, SoftDeletable)
    }
    return {"Dashboard": "./api/dashboard/", **deleted}


def _newest_first(column: Column) -> list[OrderBy]:
    return [OrderBy(column, ascending=False)]


TABLES = [
    TableConfig(
        App,
        menu_group=EVENTS,
        visible_columns=[App.appId, App.manifestVersion, App.isActive, App.createdAt],
        visible_filters=[App.appId, App.manifestVersion, App.isActive, App.createdAt],
        link_column=App.appId,
        order_by=_newest_first(App.createdAt),
    ),
    TableConfig(
        Room,
        menu_group=EVENTS,
        visible_columns=[
            Room.name,
            Room.status,
            Room.appId,
            Room.isPublic,
            Room.createdBy,
            Room.createdAt,
        ],
        visible_filters=[
            Room.name,
            Room.status,
            Room.appId,
            Room.isPublic,
            Room.createdBy,
            Room.createdAt,
        ],
        link_column=Room.name,
        order_by=_newest_first(Room.createdAt),
    ),
    TableConfig(
        Participant,
        menu_group=EVENTS,
        visible_columns=[
            Participant.id,
            Participant.userId,
            Participant.email,
            Participant.roomId,
            Participant.role,
            Participant.joinedAt,
        ],
        visible_filters=[
            Participant.userId,
            Participant.email,
            Participant.roomId,
            Participant.role,
        ],
        order_by=_newest_first(Participant.joinedAt),
    ),
    TableConfig(
        Prize,
        menu_group=EVENTS,
        visible_columns=[
            Prize.name,
            Prize.roomId,
            Prize.quantity,
            Prize.quantityRemaining,
            Prize.createdAt,
        ],
        visible_filters=[Prize.name, Prize.roomId, Prize.quantityRemaining],
        link_column=Prize.name,
        order_by=_newest_first(Prize.createdAt),
    ),
    TableConfig(
        Winner,
        menu_group=EVENTS,
        visible_columns=[
            Winner.id,
            Winner.roomId,
            Winner.participantId,
            Winner.prizeId,
            Winner.claimStatus,
            Winner.createdAt,
        ],
        visible_filters=[Winner.roomId, Winner.prizeId, Winner.claimStatus, Winner.createdAt],
        order_by=_newest_first(Winner.createdAt),
    ),
    TableConfig(
        Invitation,
        menu_group=EVENTS,
        visible_columns=[
            Invitation.id,
            Invitation.roomId,
            Invitation.role,
            Invitation.uses,
            Invitation.maxUses,
            Invitation.expiresAt,
            Invitation.revokedAt,
            Invitation.createdBy,
            Invitation.createdAt,
        ],
        visible_filters=[
            Invitation.roomId,
            Invitation.role,
            Invitation.createdBy,
            Invitation.createdAt,
        ],
        order_by=_newest_first(Invitation.createdAt),
    ),
    TableConfig(
        Draw,
        menu_group=EVENTS,
        visible_columns=[
            Draw.number,
            Draw.roomId,
            Draw.status,
            Draw.announcedAt,
            Draw.closedAt,
            Draw.drawnAt,
            Draw.undrawn,
        ],
        visible_filters=[Draw.roomId, Draw.status, Draw.announcedAt, Draw.drawnAt],
        link_column=Draw.number,
        order_by=_newest_first(Draw.announcedAt),
    ),
    TableConfig(
        Quiz,
        menu_group=EVENTS,
        visible_columns=[Quiz.number, Quiz.roomId, Quiz.startedAt, Quiz.finishedAt],
        visible_filters=[Quiz.roomId, Quiz.startedAt, Quiz.finishedAt],
        link_column=Quiz.number,
        order_by=_newest_first(Quiz.startedAt),
    ),
    TableConfig(
        Round,
        menu_group=EVENTS,
        visible_columns=[
            Round.questionIndex,
            Round.roomId,
            Round.shownAt,
            Round.endsAt,
            Round.closedAt,
        ],
        visible_filters=[Round.roomId, Round.shownAt, Round.closedAt],
        link_column=Round.questionIndex,
        order_by=_newest_first(Round.shownAt),
    ),
    TableConfig(
        Answer,
        menu_group=EVENTS,
        visible_columns=[
            Answer.id,
            Answer.roundId,
            Answer.participantId,
            Answer.isCorrect,
            Answer.isWinning,
            Answer.responseTimeMs,
            Answer.answeredAt,
        ],
        visible_filters=[Answer.roundId, Answer.isWinning, Answer.answeredAt],
        order_by=_newest_first(Answer.answeredAt),
    ),
    TableConfig(
        User,
        menu_group=PEOPLE,
        visible_columns=[
            User.email,
            User.name,
            User.provider,
            User.isAdmin,
            User.createdAt,
            User.deletedAt,
            User.erasedAt,
        ],
        visible_filters=[
            User.email,
            User.name,
            User.provider,
            User.isAdmin,
            User.createdAt,
            User.deletedAt,
            User.erasedAt,
        ],
        link_column=User.email,
        order_by=_newest_first(User.createdAt),
    ),
    TableConfig(
        Session,
        menu_group=PEOPLE,
        visible_columns=[
            Session.id,
            Session.userId,
            Session.deviceInfo,
            Session.ipAddress,
            Session.lastUsedAt,
            Session.expiresAt,
        ],
        visible_filters=[Session.userId, Session.ipAddress, Session.lastUsedAt, Session.expiresAt],
        order_by=_newest_first(Session.lastUsedAt),
    ),
    TableConfig(
        TokenBlacklist,
        menu_group=PEOPLE,
        visible_columns=[
            TokenBlacklist.id,
            TokenBlacklist.userId,
            TokenBlacklist.reason,
            TokenBlacklist.revokedBy,
            TokenBlacklist.revokedAt,
            TokenBlacklist.expiresAt,
        ],
        visible_filters=[
            TokenBlacklist.userId,
            TokenBlacklist.reason,
            TokenBlacklist.revokedAt,
            TokenBlacklist.expiresAt,
        ],
        order_by=_newest_first(TokenBlacklist.revokedAt),
    ),
    TableConfig(
        TaskRun,
        menu_group=OPERATIONS,
        visible_columns=[
            TaskRun.job,
            TaskRun.outcome,
            TaskRun.startedAt,
            TaskRun.finishedAt,
            TaskRun.rows,
            TaskRun.error,
        ],
        visible_filters=[TaskRun.job, TaskRun.outcome, TaskRun.startedAt],
        link_column=TaskRun.job,
        order_by=_newest_first(TaskRun.startedAt),
    ),
    TableConfig(
        Mail,
        menu_group=OPERATIONS,
        visible_columns=[
            Mail.kind,
            Mail.roomId,
            Mail.recipient,
            Mail.status,
            Mail.attempts,
            Mail.lastError,
            Mail.sentAt,
            Mail.createdAt,
        ],
        visible_filters=[
            Mail.kind,
            Mail.roomId,
            Mail.recipient,
            Mail.status,
            Mail.createdAt,
        ],
        link_column=Mail.kind,
        order_by=_newest_first(Mail.createdAt),
    ),
    TableConfig(
        Webhook,
        menu_group=OPERATIONS,
        visible_columns=[
            Webhook.url,
            Webhook.appId,
            Webhook.types,
            Webhook.failingSince,
            Webhook.disabledAt,
            Webhook.disabledReason,
            Webhook.createdAt,
        ],
        visible_filters=[
            Webhook.appId,
            Webhook.disabledReason,
            Webhook.failingSince,
            Webhook.createdAt,
        ],
        link_column=Webhook.url,
        order_by=_newest_first(Webhook.createdAt),
    ),
    TableConfig(
        WebhookDelivery,
        menu_group=OPERATIONS,
        visible_columns=[
            WebhookDelivery.type,
            WebhookDelivery.webhookId,
            WebhookDelivery.status,
            WebhookDelivery.attempts,
            WebhookDelivery.lastStatus,
            WebhookDelivery.lastError,
            WebhookDelivery.nextAttemptAt,
            WebhookDelivery.deliveredAt,
            WebhookDelivery.createdAt,
        ],
        visible_filters=[
            WebhookDelivery.type,
            WebhookDelivery.webhookId,
            WebhookDelivery.status,
            WebhookDelivery.createdAt,
        ],
        link_column=WebhookDelivery.type,
        order_by=_newest_first(WebhookDelivery.createdAt),
    ),
    TableConfig(
        AuditLog,
        menu_group=OPERATIONS,
        visible_columns=[
            AuditLog.id,
            AuditLog.createdAt,
            AuditLog.actor,
            AuditLog.action,
            AuditLog.tableName,
            AuditLog.rowId,
            AuditLog.before,
            AuditLog.after,
        ],
        visible_filters=[
            AuditLog.actor,
            AuditLog.action,
            AuditLog.tableName,
            AuditLog.rowId,
            AuditLog.createdAt,
        ],
        order_by=_newest_first(AuditLog.id),
    ),
]
