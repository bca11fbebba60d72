"""Logs: one line per event, JSON in production and readable in development.

Every logger ends here, Litestar's, Granian's and ours alike. What a request is about (its id, the
person, the room) stands on all lines that are written meanwhile.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import structlog
from structlog.contextvars import get_contextvars

QUIET = ("apscheduler", "httpx", "httpcore", "asyncio")
"""Loggers that tell of every step."""

FIRST_FIELDS = ("time", "level", "logger", "event")

_as_json = structlog.processors.JSONRenderer(ensure_ascii=False)


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        return str(_as_json(None, record.levelname, fields_of(self, record)))


class ReadableLines(logging.Formatter):
    """One line for people: time, level, words, and what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        fields = fields_of(self, record)
        moment, level, _, event = (
            fields.pop(name) for name in ("time", "level", "logger", "event")
        )
        trace = fields.pop("exception", "")
        about = " ".join(f"{name}={_in_one_line(value)}" for name, value in fields.items())
        return f"{moment[11:23]} {level:<8} {event} {about}".rstrip() + (trace and f"\n{trace}")


def _in_one_line(value: object) -> str:
    text = str(value)
    return text if text.isprintable() else repr(text)


def fields_of(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    """Return everything that a line tells."""
    fields = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": record.getMessage(),
        **get_contextvars(),
        **getattr(record, "fields", {}),
    }
    if record.exc_info:
        fields["exception"] = formatter.formatException(record.exc_info)
    return fields


def configure_logs(*, production: bool) -> None:
    """Send every logger's lines to standard error. Granian takes the formatter over.

    No line says which thread or which line of the source it comes from, so nobody finds that out.
    """
    logging._srcfile = None  # noqa: SLF001 - the way that Python's documentation names
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if production else ReadableLines())
    root = logging.getLogger()
    for former in [
        each for each in root.handlers if isinstance(each.formatter, JsonLines | ReadableLines)
    ]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
