"""Everything that was logged here, and by servers that tests started, to be searched."""

import logging
from typing import Any

# Not the service's: clients, and a provider of sign-ins, tell the addresses that tests asked for.
OTHERS = ("httpx", "httpcore", "werkzeug")

LINES: list[str] = []

_formatter = logging.Formatter("%(name)s %(message)s")
_make_record = logging.getLogRecordFactory()


def collect(*arguments: Any, **options: Any) -> logging.LogRecord:
    """Make a record and keep it as the text that a log file would have.

    Handlers would not do: whoever configures logging removes those of others.
    """
    record = _make_record(*arguments, **options)
    if record.name.split(".")[0] not in OTHERS:
        LINES.append(_formatter.format(record))
    return record
