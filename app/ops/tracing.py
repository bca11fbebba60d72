"""Traces: a span for each request and for each statement in it, sent to an OpenTelemetry collector.

Imported only where OTEL_EXPORTER_OTLP_ENDPOINT is set; nobody else pays for it. Spans wait in a
bounded queue for a thread that sends them: a collector that is gone costs spans, never a request.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from asyncpg.connection import LoggedQuery
from litestar import Litestar
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.contextvars import bound_contextvars

from app.database.engine import DB
from app.ops.observing import INTERNAL_ERROR, StatusMemory, route_of
from app.settings import settings

SEND_SECONDS = 3.0
"""For one batch, further attempts included."""
FLUSH_SECONDS = 5.0
"""How long the end of a server waits until its last spans are sent."""

W3C = TraceContextTextMapPropagator()
W3C_HEADERS = frozenset(name.encode() for name in W3C.fields)


@asynccontextmanager
async def sent(app: Litestar) -> AsyncIterator[None]:
    """Send the spans of `app` meanwhile, and the last ones before the end."""
    # The SDK reads this, and what else its documentation lists, from the environment.
    os.environ.setdefault("OTEL_SERVICE_NAME", "event-platform")
    collector = str(settings().OTEL_EXPORTER_OTLP_ENDPOINT).rstrip("/")
    exporter = OTLPSpanExporter(f"{collector}/v1/traces", timeout=SEND_SECONDS)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    app.state.tracer = provider.get_tracer("event-platform")
    DB.statement_logger = partial(_trace_statement, app.state.tracer)
    try:
        yield
    finally:
        DB.statement_logger = None
        # A thread of the event loop's own would keep the process from ending.
        flush = threading.Thread(target=provider.shutdown, daemon=True)
        flush.start()
        await asyncio.to_thread(flush.join, FLUSH_SECONDS)


async def trace(app: ASGIApp, state: State, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request within a span, which continues the trace of a `traceparent` header."""
    if scope["type"] != ScopeType.HTTP:
        await app(scope, receive, send)
        return
    sending = StatusMemory(send)
    tracer: Tracer = state.tracer
    with (
        tracer.start_as_current_span(
            scope["method"],
            W3C.extract(_headers(scope)),
            SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span,
        bound_contextvars(trace_id=format(span.get_span_context().trace_id, "032x")),
    ):
        try:
            await app(scope, receive, sending)
        finally:
            await asyncio.sleep(0)  # asyncpg tells of a statement in the loop's next turn
            _describe(span, scope, sending.status)


def _headers(scope: Any) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in W3C_HEADERS
    }


def _describe(span: Span, scope: Any, status: int) -> None:
    """Tell the route's template, never the path or the query: those may hold what is secret."""
    route = route_of(scope)
    span.update_name(f"{scope['method']} {route}")
    span.set_attributes(
        {
            "http.request.method": scope["method"],
            "http.route": route,
            "http.response.status_code": status,
        }
    )
    if status >= INTERNAL_ERROR:
        span.set_status(StatusCode.ERROR)


def _trace_statement(tracer: Tracer, statement: LoggedQuery) -> None:
    """Tell a statement of a request, without its parameters and without PostgreSQL's message."""
    if not get_current_span().is_recording():
        return
    ended = time.time_ns()
    span = tracer.start_span(
        statement.query.split(maxsplit=1)[0].upper(),
        kind=SpanKind.CLIENT,
        attributes={"db.system.name": "postgresql", "db.query.text": statement.query},
        start_time=ended - int(statement.elapsed * 1e9),
    )
    if statement.exception is not None:
        span.set_attribute("error.type", type(statement.exception).__name__)
        span.set_status(StatusCode.ERROR)
    span.end(ended)
