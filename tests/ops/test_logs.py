"""The log: one line per request, with what it is about and no secret."""

import json
import logging
import sys

import httpx
import pytest
from litestar_granian.logging import build_logging_config, load_serialized_formatter

from app.ops.logs import JsonLines, ReadableLines
from tests.auth.conftest import bearer


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    records = [record for record in caplog.records if record.name == "requests"]
    return [json.loads(JsonLines().format(record)) for record in records]


async def test_each_request_is_one_line(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await client.get("/api/v1/rooms/some-room?secret=1", headers={"X-Request-Id": "abc"})
        await client.get("/nowhere")
    first, second = lines_of(caplog)
    assert (first["method"], first["path"], first["status"]) == (
        ("GET", "/api/v1/rooms/some-room", 404)
    )
    assert first["room"] == "some-room"
    assert isinstance(first["ms"], float)
    assert second["status"] == 404
    assert "secret" not in caplog.text.replace("some-room?secret", "")


async def test_the_path_is_told_as_it_was_sent(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Also what the administrators' page serves, and what would begin a line of its own."""
    with caplog.at_level(logging.INFO):
        await client.get("/admin/api/tables/?token=1")
        await client.get("/api/v1/rooms/%0aINFO all is well")
    requests = [record for record in caplog.records if record.name == "requests"]
    told = [ReadableLines().format(record) for record in requests]
    assert [line.count("\n") for line in told] == [0, 0]
    assert "GET /admin/api/tables/ 401 " in told[0]
    assert "GET /api/v1/rooms/%0aINFO%20all%20is%20well 404 " in told[1]


async def test_no_password_and_no_token_is_logged(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        password = "hunter2-hunter2"
        body = {"email": "alice@example.com", "password": password}
        await client.post("/api/v1/auth/login", json=body)
        await client.get("/api/v1/auth/me", headers=bearer({"accessToken": "not.a.token"}))
    ours = [record for record in caplog.records if not record.name.startswith("http")]
    text = "\n".join(JsonLines().format(record) for record in ours)
    assert password not in text
    assert "not.a.token" not in text
    assert len(lines_of(caplog)) == 2


def test_an_exception_is_one_json_line_and_readable_otherwise() -> None:
    try:
        int("broken")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "it %s", ("failed",), sys.exc_info())
    told = json.loads(JsonLines().format(record))
    assert (told["event"], told["level"]) == ("it failed", "error")
    assert "ValueError: invalid literal" in told["exception"]
    assert "\n" not in JsonLines().format(record)
    assert ReadableLines().format(record).splitlines()[0].endswith("error    it failed")


def logger_with(formatter: logging.Formatter) -> logging.Logger:
    logger = logging.getLogger(f"with {type(formatter).__name__}")
    handler = logging.NullHandler()
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    return logger


@pytest.mark.parametrize("formatter", [JsonLines(), ReadableLines()])
def test_granian_can_take_the_formatter_over(formatter: logging.Formatter) -> None:
    config = build_logging_config(None, logger=logger_with(formatter))
    assert config is not None
    payload = config["formatters"]["generic"]["payload"]
    assert type(load_serialized_formatter(payload)) is type(formatter)
