"""The shape of every request and answer: envelopes, errors, request ids, strict bodies.

Services raise `app.errors`; here they become HTTP.
"""

import asyncio
import functools
import hashlib
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import asyncpg
import msgspec
from litestar import Litestar, Request, Response
from litestar.datastructures import MutableScopeHeaders, State
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.response.base import ASGIResponse
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_201_CREATED,
    HTTP_304_NOT_MODIFIED,
    HTTP_413_REQUEST_ENTITY_TOO_LARGE,
)
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.database.engine import DatabaseUnavailable
from app.database.ids import new_id
from app.database.versions import Precondition
from app.errors import (
    FRAMEWORK_CODES,
    AppError,
    InternalError,
    ServiceUnavailable,
    Unauthorized,
    ValidationFailed,
)
from app.faults import in_words

logger = logging.getLogger(__name__)

T = TypeVar("T")

LARGEST_BODY_BYTES = 1_000_000
RETRY_AFTER_SECONDS = 2
REQUEST_ID_FORM = re.compile(r"[A-Za-z0-9._:-]{1,128}")


# What happens to sound requests while the database is down, starting, full, slow or another one.
PASSING_FAULTS = (
    DatabaseUnavailable,
    ConnectionError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, starting, or STATEMENT_SECONDS are over
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,  # LOCK_SECONDS are over
    asyncpg.TransactionRollbackError,  # a deadlock's victim
    asyncpg.ReadOnlySQLTransactionError,  # a failover under way
    asyncpg.InterfaceError,  # asyncpg's own word for a connection that was lost
    asyncpg.InternalClientError,
)


class Data(msgspec.Struct, Generic[T]):
    """The envelope of a successful answer."""

    data: T


class Success(msgspec.Struct):
    """The answer of what has nothing to show."""

    success: bool = True


class ErrorBody(msgspec.Struct):
    """What went wrong."""

    code: Annotated[str, msgspec.Meta(description="Stable; what a program acts upon.")]
    message: Annotated[str, msgspec.Meta(description="One sentence for a person.")]
    details: Annotated[
        dict[str, Any],
        msgspec.Meta(
            description="Particulars. For VALIDATION_ERROR, `fields` has every failing field by "
            "its JSON path."
        ),
    ]
    requestId: Annotated[str, msgspec.Meta(description="`X-Request-Id`, for our log.")]


class ErrorOut(msgspec.Struct):
    """The shape of every error."""

    error: ErrorBody


class Input(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of request bodies: unknown members are refused by name."""


def given(change: Input) -> dict[str, Any]:
    """Return the members of a PATCH body that are there."""
    return {
        name: value
        for name in change.__struct_fields__
        if (value := getattr(change, name)) is not msgspec.UNSET
    }


def timestamp(moment: datetime) -> str:
    """Write a time as RFC 3339 in UTC, with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def optional_timestamp(moment: datetime | None) -> str | None:
    """Like `timestamp`, for a time that may be missing."""
    return None if moment is None else timestamp(moment)


class Resource(Response[T]):
    """A single resource with its `ETag`.

    The tag is the row's version, which `If-Match` compares, and a digest of the answer, which
    `If-None-Match` compares too: what a room counts may change without its row.
    """

    def __init__(self, content: T, version: str, *, created: str | None = None) -> None:
        """Take the answer.

        Args:
            content: What is shown.
            version: The version of its row.
            created: Its name below the address that it was posted to, if it is new.
        """
        super().__init__(content, status_code=HTTP_200_OK if created is None else HTTP_201_CREATED)
        self.version = version
        self.created = created

    def to_asgi_response(
        self, app: Litestar | None, request: Request[Any, Any, Any], **options: Any
    ) -> ASGIResponse:
        """Write the answer; 304 without it when the client has it already."""
        written = super().to_asgi_response(app, request, **options)
        tag = f'"{self.version}-{hashlib.sha256(written.body).hexdigest()[:16]}"'
        if request.method == "GET" and tag in _tags(request.headers.get("if-none-match", "")):
            return ASGIResponse(status_code=HTTP_304_NOT_MODIFIED, headers={"ETag": tag})
        written.headers["ETag"] = tag
        if self.created is not None:
            written.headers["Location"] = location(request, self.created)
        return written


def location(request: Request[Any, Any, Any], name: str) -> str:
    """Return the address of what was made just now by a POST to the address above it."""
    return f"{request.url.path.rstrip('/')}/{name}"


def _tags(header: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in header.split(",")]


async def provide_precondition(request: Request[Any, Any, Any]) -> Precondition:
    """Read `If-Match`: the versions of the resource that the client accepts to change."""
    header = request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return Precondition()
    strong = [tag.strip() for tag in header.split(",") if not tag.strip().startswith("W/")]
    return Precondition(frozenset(tag.strip('"').partition("-")[0] for tag in strong))


async def refuse_odd_queries(request: Request[Any, Any, State]) -> None:
    """Refuse, by name, query parameters that the endpoint doesn't have or that come twice.

    Raises:
        ValidationFailed: There are some.
    """
    if not request.query_params:
        return
    known = _public_names(request.route_handler).values()
    faults = {}
    for name in request.query_params:
        if name not in known:
            faults[name] = "Unknown query parameter."
        elif len(request.query_params.getall(name)) > 1:
            faults[name] = "Give it once."
        elif request.query_params[name] == "null":
            # Litestar would take it for a parameter that is missing.
            faults[name] = "Leave it out instead."
    if faults:
        raise ValidationFailed.at({**_faults_of_values(request), **faults})


def _faults_of_values(request: Request[Any, Any, Any]) -> dict[str, str]:
    """Name every query parameter whose value won't do: Litestar stops where it met the first."""
    types = _types(request.route_handler)
    faults = {}
    for name, public in _public_names(request.route_handler).items():
        if public in request.query_params:
            try:
                msgspec.convert(request.query_params[public], types[name], strict=False)
            except msgspec.ValidationError as error:
                faults[public] = in_words(str(error), types[name])
    return faults


@functools.cache
def _public_names(handler: HTTPRouteHandler) -> Mapping[str, str]:
    """Return the parameters of a handler and of what it depends on, with their public names."""
    providers = handler.resolve_dependencies().values()
    signatures = [handler.parsed_fn_signature, *(each.parsed_fn_signature for each in providers)]
    return {
        name: getattr(parameter.kwarg_definition, "name", None) or name
        for signature in signatures
        for name, parameter in signature.parameters.items()
    } | {"data": "$"}


def _types(handler: HTTPRouteHandler) -> Mapping[str, Any]:
    """Return the types of the same parameters, with their bounds."""
    providers = handler.resolve_dependencies().values()
    models = [handler.signature_model, *(each.signature_model for each in providers)]
    return {field.name: field.type for model in models for field in msgspec.structs.fields(model)}


class TimeLimit(ASGIMiddleware):
    """Answer 503 if no answer begins in time. One that has begun may stream as it likes."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, seconds: float) -> None:
        """Set the limit."""
        self._seconds = seconds

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Give up what takes too long."""
        task: Any = asyncio.current_task()
        is_late = False

        def give_up() -> None:
            nonlocal is_late
            is_late = task.cancel()

        async def send_in_time(message: Message) -> None:
            timer.cancel()
            await send(message)

        # What `asyncio.timeout` does, at half of what that costs each request.
        timer = asyncio.get_running_loop().call_later(self._seconds, give_up)
        try:
            await next_app(scope, receive, send_in_time)
        except asyncio.CancelledError as error:
            if is_late and not task.uncancel():
                raise ServiceUnavailable(private=f"no answer in {self._seconds} s") from error
            raise
        finally:
            timer.cancel()


class Options(ASGIMiddleware):
    """Let `OPTIONS` name all methods of an address; Litestar names one handler's."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Correct `Allow` in the answer."""
        if scope.get("method") != "OPTIONS":
            await next_app(scope, receive, send)
            return

        async def send_all(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                if "Allow" in headers:
                    headers["Allow"] = ", ".join(sorted(_methods(scope)))
            await send(message)

        await next_app(scope, receive, send_all)


def _methods(scope: Scope) -> set[str]:
    routes = scope["litestar_app"].routes
    here = scope["path_template"]
    own = (route for route in routes if route.path_format == here)
    found = {str(method) for route in own for method in route.methods}
    return found | {"HEAD"} if "GET" in found else found


async def serve_head(app: ASGIApp, scope: Any, receive: Receive, send: Send) -> None:
    """Answer HEAD as GET, without the body (RFC 9110, 9.3.2)."""

    async def send_without_body(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
        elif not message.get("more_body"):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    scope["method"] = "GET"
    try:
        await app(scope, receive, send_without_body)
    finally:
        scope["method"] = "HEAD"


async def answer_preflight(app: ASGIApp, scope: Any, receive: Receive, send: Send) -> None:
    """Refuse a preflight (CORS) in the shape of every refusal; Litestar does in plain text."""
    refusal: Any = None

    async def send_shaped(message: Any) -> None:
        nonlocal refusal
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders.from_message(message)
            if headers.get("Content-Type", "").startswith("text/plain"):
                refusal = message
                return
        elif refusal is not None:
            reason = f"{message['body'].decode()}."
            error = ErrorBody(FRAMEWORK_CODES[refusal["status"]], reason, {}, request_id(scope))
            message = {**message, "body": msgspec.json.encode(ErrorOut(error))}
            headers = MutableScopeHeaders.from_message(refusal)
            headers["Content-Type"] = "application/json"
            headers["Content-Length"] = str(len(message["body"]))
            await send(refusal)
        await send(message)

    await app(scope, receive, send_shaped)


def request_id(scope: Any) -> str:
    """Return the id of a request: the client's `X-Request-Id` if it has a sane form, else our own.

    Args:
        scope: The request's, which keeps the id.
    """
    state = scope.setdefault("state", {})
    if "request_id" not in state:
        given = [value for name, value in scope["headers"] if name == b"x-request-id"]
        text = given[0].decode("latin-1") if given else ""
        state["request_id"] = text if REQUEST_ID_FORM.fullmatch(text) else new_id()
    found: str = state["request_id"]
    return found


def answer_error(request: Request[Any, Any, Any], exception: Exception) -> Response[Any]:
    """Turn any exception into the contract's error shape; log what the client may not know."""
    error, status, code = _as_app_error(request, exception)
    _log(request, exception, error, status)
    headers: dict[str, str] = dict(getattr(exception, "headers", None) or {})
    if "GET" in headers.get("allow", ""):  # of 405
        headers["allow"] += ", HEAD"
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = error.challenge
    if isinstance(error, ServiceUnavailable):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    content = ErrorOut(ErrorBody(code, error.message, error.details, request_id(request.scope)))
    return Response(content=content, status_code=status, headers=headers)


def _as_app_error(
    request: Request[Any, Any, Any], exception: Exception
) -> tuple[AppError, int, str]:
    match exception:
        case AppError():
            error = exception
        case ValidationException():
            error = _from_litestar(request, exception)
        case HTTPException(status_code=status) if status in FRAMEWORK_CODES:
            return AppError(_sentence(request, exception)), status, FRAMEWORK_CODES[status]
        case asyncpg.CharacterNotInRepertoireError() | asyncpg.UntranslatableCharacterError():
            error = ValidationFailed("The address holds characters that no name has.")
        case asyncpg.DataError():
            error = InternalError(private=repr(exception))
        case _ if isinstance(exception, PASSING_FAULTS):
            error = ServiceUnavailable(private=repr(exception))
        case _:
            error = InternalError(private=repr(exception))
    return error, error.status, error.code


def _from_litestar(
    request: Request[Any, Any, Any], exception: ValidationException
) -> ValidationFailed:
    faults = exception.extra if isinstance(exception.extra, list) else []
    names = _public_names(request.route_handler)
    # Where the body is missing, Litestar tells KeyErrors, also of what the path holds.
    types = _types(request.route_handler)
    fields = {
        names.get(key := fault.get("key", ""), key or "$"): in_words(
            fault.get("message", "Not valid."), types.get(key)
        )
        for fault in faults
        if fault.get("message") != repr(fault.get("key"))
    }
    if faults and not fields:
        fields = {"$": "Send a JSON body."}
    fields |= _faults_of_values(request)
    return ValidationFailed.at(fields) if fields else ValidationFailed(exception.detail)


def _sentence(request: Request[Any, Any, Any], exception: HTTPException) -> str:
    """Litestar's own words, without the path or query that some of them repeat."""
    if exception.status_code == HTTP_413_REQUEST_ENTITY_TOO_LARGE:
        handler = request.route_handler
        is_http = isinstance(handler, HTTPRouteHandler)
        largest = handler.resolve_request_max_body_size() if is_http else LARGEST_BODY_BYTES
        return f"The body is larger than {largest:,} bytes."
    return {
        404: "There is nothing at this address.",
        405: "This address does not take that method.",
    }.get(exception.status_code, exception.detail.split(" for ")[0])


def _log(
    request: Request[Any, Any, Any], exception: Exception, error: AppError, status: int
) -> None:
    place = f"{request.method} {request.url.path} [{request_id(request.scope)}]"
    if isinstance(error, InternalError):
        logger.error("%s failed", place, exc_info=exception)
    elif error.private is not None:
        logger.warning("%s answered %s: %s", place, status, error.private)
