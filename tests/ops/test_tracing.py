"""Traces, as a collector gets them from the real server; and a collector that is of no use."""

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from app import asgi
from app.asgi import create_app
from app.ops import tracing
from app.settings import PROJECT_ROOT, Settings, SettingsError, load
from tests.ops.test_restart import SIGN_IN
from tests.server import serving

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP and keeps it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.bodies: list[bytes] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[Span]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        cast("Collector", self.server).bodies.append(body)
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collecting() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def attributes(span: Span) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


@pytest.mark.timeout(180)
def test_a_collector_gets_requests_with_their_statements_and_no_secret(
    migrated_database: str,
) -> None:
    with collecting() as collector:
        options = {"DATABASE_URL": migrated_database, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with serving(PROJECT_ROOT, **options) as server, httpx.Client(timeout=60) as client:
            api = f"{server.url}/api/v1"
            signed_in = client.post(f"{api}/auth/login", json=SIGN_IN, headers=TRACEPARENT)
            tokens = signed_in.json()["data"]
            client.get(f"{api}/rooms/secret-room?token=secret-query")
            assert server.end() == 0
            log = server.log.read_text()

    spans = {span.name: span for span in collector.spans() if span.kind == Span.SPAN_KIND_SERVER}
    login = spans["POST /api/v1/auth/login"]
    assert (login.trace_id.hex(), login.parent_span_id.hex()) == (TRACE, PARENT)
    assert attributes(login) == {
        "http.request.method": "POST",
        "http.route": "/api/v1/auth/login",
        "http.response.status_code": 200,
    }
    assert attributes(spans["GET /api/v1/rooms/{room_id}"])["http.response.status_code"] == 404
    statements = [span for span in collector.spans() if span.parent_span_id == login.span_id]
    texts = [attributes(span)["db.query.text"] for span in statements]
    assert any("INSERT INTO sessions" in str(text) for text in texts), texts
    assert all(login.start_time_unix_nano <= span.start_time_unix_nano for span in statements)
    assert f"trace_id={TRACE}" in log

    everything = b"".join(collector.bodies)
    assert b"event-platform" in everything
    for secret in (*SIGN_IN.values(), tokens["accessToken"], tokens["refreshToken"], "secret-"):
        assert secret.encode() not in everything
    assert not [
        span
        for span in collector.spans()
        if span.kind == Span.SPAN_KIND_CLIENT and not span.parent_span_id
    ], "statements of nobody's request"


@asynccontextmanager
async def traced_client(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    traced = Settings(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    monkeypatch.setattr(asgi, "settings", lambda: traced)
    monkeypatch.setattr(tracing, "settings", lambda: traced)
    app = create_app()
    transport = httpx.ASGITransport(cast("Any", app))
    async with (
        tracing.sent(app),
        httpx.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        yield client


@pytest.mark.usefixtures("database")
async def test_a_collector_that_hangs_slows_no_request_and_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as hanging:
        endpoint = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        async with traced_client(endpoint, monkeypatch) as client:
            statuses = {(await client.get("/health/live")).status_code for _ in range(2_600)}
            started = time.perf_counter()
    assert statuses == {200}
    assert time.perf_counter() - started < tracing.SEND_SECONDS


def test_an_endpoint_without_http_is_refused() -> None:
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        load({"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4317"})
