"""Rows as CSV (RFC 4180) in which a spreadsheet finds nothing to compute."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime

import asyncpg
from litestar.response import Stream

from app.http.envelopes import timestamp

MEDIA_TYPE = "text/csv"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet compute a cell, as OWASP lists it under "CSV Injection"; the last four
are the wide forms of the first."""

Pieces = AsyncIterator[Sequence[asyncpg.Record]]


def download(name: str, columns: Mapping[str, str], pieces: Pieces) -> Stream:
    """Answer with a file.

    Args:
        name: What the file is called.
        columns: The name of each column, and what it is called in the rows.
        pieces: The rows.
    """
    headers = {
        "content-type": f"{MEDIA_TYPE}; charset=utf-8; header=present",
        "content-disposition": f'attachment; filename="{name}"',
    }
    return Stream(_written(columns, pieces), headers=headers)


async def _written(columns: Mapping[str, str], pieces: Pieces) -> AsyncIterator[str]:
    yield _lines([list(columns)])
    async for rows in pieces:
        yield _lines([_cell(row[name]) for name in columns.values()] for row in rows)


def _lines(cells: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(cells)
    return text.getvalue()


def _cell(value: str | datetime | None) -> str:
    """Write a value as text, with an apostrophe before what would be computed."""
    if isinstance(value, datetime):
        return timestamp(value)
    text = value or ""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
