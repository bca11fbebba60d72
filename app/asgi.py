"""The only wiring: every part of the application is put together here."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, Reference, SecurityScheme, Server, Tag
from litestar.static_files import create_static_files_router
from litestar_granian import GranianPlugin

from app.admin.mount import admin_page
from app.applications.controller import AppController
from app.auth.controller import AuthController
from app.auth.guards import Authentication
from app.auth.oidc_controller import OidcController
from app.auth.revocation import hearing
from app.auth.strays import counting_strays
from app.claims.controller import ClaimController
from app.database.engine import DB
from app.database.redis import shared_redis
from app.deferred import deferred
from app.draws.controller import DrawController
from app.draws.evidence import export_evidence
from app.draws.screens import draw_code, draw_page, verify_page
from app.events.controller import follow_oneself, follow_room, make_ticket
from app.events.description import webhooks
from app.events.hub import HUB, following_log
from app.events.mover import MOVER, moving
from app.events.positions import EventPosition
from app.guests.controller import come_in, take_over
from app.http import openapi
from app.http.api_page import ApiPage, conventions_page
from app.http.bodies import LARGEST_BODY_BYTES, ApiRequest
from app.http.errors import answer_error
from app.http.headers import add_headers
from app.http.idempotency import Idempotency
from app.http.methods import Options, answer_preflight, serve_head
from app.http.public_path import public, take_off_public_path
from app.http.queries import refuse_odd_queries
from app.http.time_limit import TimeLimit
from app.invitations.controller import InvitationController, RoomInvitationController
from app.invitations.page import join_page
from app.mails.at_once import sending_at_once
from app.mails.pages import stop_mails, stop_page
from app.mails.previews import previews
from app.mails.waiting import check_mails
from app.ops import health
from app.ops.commands import Commands
from app.ops.exposition import metrics, sampled
from app.ops.idle import Close, closing_idle
from app.ops.launch import Launch, LeanLitestar
from app.ops.lifeline import follow_lifeline
from app.ops.logs import configure_logs
from app.ops.observing import observe
from app.ops.stopping import beginning, begun, telling_stop
from app.participants.controller import ParticipantController, export_expected, export_participants
from app.prizes.controller import PrizeController
from app.rooms.controller import RoomController
from app.rounds.controller import QuizController, RoundController
from app.settings import Settings, settings
from app.sign_in.controller import EmailController, ways
from app.sign_in.page import sign_in_page
from app.sockets.mount import Sockets
from app.users.controller import UserController, export_oneself
from app.web.pages import web_pages
from app.webhooks.controller import WebhookController, pull_events
from app.webhooks.delivering import delivering
from app.webhooks.description import sent_to_apps
from app.winners.controller import WinnerController, export_winners
from tasks.schedule import jobs
from tasks.scheduler import scheduled

if TYPE_CHECKING:
    from app.ops import tracing
else:
    tracing = deferred("app.ops.tracing")

ENDPOINTS = (
    AuthController,
    EmailController,
    ways,
    OidcController,
    UserController,
    export_oneself,
    AppController,
    WebhookController,
    pull_events,
    RoomController,
    ParticipantController,
    RoomInvitationController,
    InvitationController,
    PrizeController,
    WinnerController,
    ClaimController,
    DrawController,
    export_evidence,
    QuizController,
    RoundController,
    come_in,
    take_over,
    export_participants,
    export_expected,
    export_winners,
    follow_room,
    follow_oneself,
    make_ticket,
)
SPECIAL_METHODS = {"HEAD": serve_head, "OPTIONS": answer_preflight}
"""Methods that Litestar does not serve as the contract wants it."""
UNSAFE_METHODS = {"POST", "PATCH", "DELETE"}
SWAGGER_PATH = "/schema/static"
NO_ICON = '<link rel="icon" href="data:,">'
"""The page's own would come from elsewhere."""
TAGS = (
    *("auth", "users", "apps", "rooms", "participants", "invitations", "prizes", "winners"),
    *("draws", "quiz", "events", "webhooks"),
)
"""The parts of the API page, in its order."""


class EventPlatform(LeanLitestar):
    """The application, which counts every request and tells of it."""

    def __init__(self, **options: Any) -> None:
        """Take Litestar's options."""
        super().__init__(**options)
        self.asgi_handler = counting_strays(self.asgi_handler)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve, and tell how it went."""
        take_off_public_path(scope)
        served: Any = super().__call__
        if special := SPECIAL_METHODS.get(scope.get("method", "")):
            served = partial(special, served)
        await observe(served, scope, receive, send)
        if scope.get("method") in UNSAFE_METHODS:
            MOVER.poke()


class TracedPlatform(EventPlatform):
    """The application, which sends traces too."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve within a span."""
        await tracing.trace(super().__call__, self.state, scope, receive, send)


def create_app() -> Litestar:
    """Build the application. Opens nothing: the database is opened when the server starts."""
    current = settings()
    configure_logs(production=current.in_production)
    api = Router("/api/v1", route_handlers=ENDPOINTS)
    cors = _cors(current)
    sockets = Sockets(cors)
    traced = current.OTEL_EXPORTER_OTLP_ENDPOINT is not None
    return (TracedPlatform if traced else EventPlatform)(
        route_handlers=[
            api,
            health.live,
            health.ready,
            metrics,
            _swagger_files(),
            conventions_page,
            *web_pages,
            verify_page,
            draw_page,
            draw_code,
            sign_in_page,
            join_page,
            stop_page,
            stop_mails,
            *previews(current),
            *admin_page(),
            sockets.handler(),
        ],
        request_class=ApiRequest,
        request_max_body_size=LARGEST_BODY_BYTES,
        middleware=[
            Options(),
            TimeLimit(current.REQUEST_SECONDS),
            Authentication(),
            EventPosition(),
            Idempotency(),
        ],
        before_send=[add_headers],
        before_request=refuse_odd_queries,
        exception_handlers={HTTPException: answer_error, Exception: answer_error},
        cors_config=cors,
        openapi_config=_openapi(),
        lifespan=[
            beginning,
            *([tracing.sent] if traced else []),
            database_pool,
            sockets.open,
            maintenance,
            silence,
            begun,
        ],
        logging_config=None,
        state=State({"checks": _checks(current)}),
        plugins=[
            GranianPlugin(),
            Launch(),
            Commands(),
        ],
    )


def _checks(current: Settings) -> dict[str, health.Check]:
    """Return what readiness asks; the scheduler and the listener join when they start."""
    checks: dict[str, health.Check] = {
        "database": health.check_database,
        "migrations": health.check_migrations,
    }
    if current.REDIS_URL is not None:
        checks["redis"] = health.check_redis
    if current.MAIL_URL is not None:
        checks["mails"] = check_mails
    return checks


@asynccontextmanager
async def database_pool(app: Litestar) -> AsyncIterator[None]:
    """Keep the pool open, and go when the server that started this worker goes."""
    follow_lifeline()
    await DB.start_connection_pool(serving=True)
    try:
        async with (
            hearing() as listener,
            sampled(),
            following_log(),
            moving(),
            sending_at_once(),
            delivering(),
        ):
            app.state.checks["listener"] = health.hearing(listener)
            yield
    finally:
        if (redis := shared_redis()) is not None:
            await redis.close()
        await DB.close_connection_pool()


@asynccontextmanager
async def silence(app: Litestar) -> AsyncIterator[None]:  # noqa: ARG001 - Litestar's signature
    """Close connections on which nothing happens; end the streams when the server is to stop."""
    current, port = settings(), os.environ.get("LITESTAR_PORT")
    async with closing_idle(None if port is None else int(port), current.IDLE_SECONDS) as close:
        with telling_stop(partial(_end_streams, close, current.REQUEST_SECONDS)):
            yield


def _end_streams(close: Close, request_seconds: float) -> None:
    """End all streams, and later the connections of those who do not read that it is the end."""
    HUB.close()
    asyncio.get_running_loop().call_later(request_seconds + 1, close, request_seconds)


@asynccontextmanager
async def maintenance(app: Litestar) -> AsyncIterator[None]:
    """Attend to the jobs that are due."""
    async with scheduled(jobs(settings().SCHEDULES)) as scheduler:
        app.state.checks["scheduler"] = scheduler.check
        yield


def _cors(current: Settings) -> CORSConfig:
    local = None if current.in_production else r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
    return CORSConfig(
        allow_origins=list(current.CORS_ORIGINS),
        allow_origin_regex=local,
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=[
            "authorization",
            "content-type",
            "if-match",
            "idempotency-key",
            "last-event-id",
        ],
        expose_headers=[
            "content-disposition",
            "deprecation",
            "etag",
            "event-position",
            "idempotency-replayed",
            "location",
            "ratelimit",
            "ratelimit-policy",
            "retry-after",
            "x-request-id",
        ],
    )


def _openapi() -> openapi.Config:
    schemes: dict[str, SecurityScheme | Reference] = {
        "bearer": SecurityScheme(
            type="http", scheme="bearer", bearer_format="JWT", description=openapi.ABOUT_PEOPLE
        ),
        "app": SecurityScheme(type="http", scheme="basic", description=openapi.ABOUT_APPS),
    }
    return openapi.Config(
        title="Event Platform",
        version="1",
        description=openapi.description(),
        use_handler_docstrings=True,
        components=Components(security_schemes=schemes),
        tags=[Tag(name=name) for name in TAGS],
        webhooks={**webhooks(), **sent_to_apps()},
        servers=[Server(url=settings().public_path or "/")],
        render_plugins=[
            ApiPage(
                favicon=NO_ICON,
                js_url=public(f"{SWAGGER_PATH}/swagger-ui-bundle.js"),
                css_url=public(f"{SWAGGER_PATH}/swagger-ui.css"),
                standalone_preset_js_url=public(f"{SWAGGER_PATH}/swagger-ui-standalone-preset.js"),
            ),
            JsonRenderPlugin(),
            YamlRenderPlugin(),
        ],
    )


def _swagger_files() -> Router:
    """Serve the page's script and style from the package that carries them: no CDN."""
    package = find_spec("swagger_ui")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("swagger-ui-py is not installed")
    return create_static_files_router(
        path=SWAGGER_PATH,
        directories=[Path(package.origin).parent / "static"],
        include_in_schema=False,
    )
