"""Errors as HTTP: all in the contract's shape; what clients may not know is logged."""

import logging
from typing import Any

import asyncpg
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.status_codes import HTTP_413_REQUEST_ENTITY_TOO_LARGE

from app.database.engine import DatabaseUnavailable
from app.errors import (
    FRAMEWORK_CODES,
    NOTHING_HERE,
    AppError,
    InternalError,
    ServiceUnavailable,
    Unauthorized,
    ValidationFailed,
)
from app.http.bodies import LARGEST_BODY_BYTES
from app.http.envelopes import ErrorBody, ErrorOut, request_id
from app.http.faults import in_words
from app.http.queries import faults_of_values, public_names, types_of

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 2

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
    names = public_names(request.route_handler)
    # Where the body is missing, Litestar tells KeyErrors, also of what the path holds.
    types = types_of(request.route_handler)
    fields = {
        names.get(key := fault.get("key", ""), key or "$"): in_words(
            fault.get("message", "Not valid."), types.get(key)
        )
        for fault in faults
        if fault.get("message") != repr(fault.get("key"))
    }
    if faults and not fields:
        fields = {"$": "Send a JSON body."}
    fields |= faults_of_values(request)
    return ValidationFailed.at(fields) if fields else ValidationFailed(exception.detail)


def _sentence(request: Request[Any, Any, Any], exception: HTTPException) -> str:
    """Litestar's own words, without the path or query that some of them repeat."""
    if exception.status_code == HTTP_413_REQUEST_ENTITY_TOO_LARGE:
        handler = request.route_handler
        is_http = isinstance(handler, HTTPRouteHandler)
        largest = handler.resolve_request_max_body_size() if is_http else LARGEST_BODY_BYTES
        return f"The body is larger than {largest:,} bytes."
    return {
        404: NOTHING_HERE,
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
