"""Rows as CSV (RFC 4180) in which a spreadsheet finds nothing to compute."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
from litestar.response import Stream

from app.http.envelopes import timestamp

MEDIA_TYPE = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
BYTE_ORDER_MARK = "\ufeff"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet compute a cell, as OWASP lists it under "CSV Injection"; the last four
are the wide forms of the first."""

Pieces = AsyncIterator[Sequence[asyncpg.Record | Mapping[str, Any]]]


def download(name: str, columns: Mapping[str, str], pieces: Pieces, *, bom: bool) -> Stream:
    """Answer with a file.

    Args:
        name: What the file is called.
        columns: The name of each column, and what it is called in the rows.
        pieces: The rows.
        bom: Begin with a byte order mark, by which Excel knows UTF-8.
    """
    headers = {
        "content-type": f"{MEDIA_TYPE}; charset=utf-8; header=present",
        "content-disposition": f'attachment; filename="{name}"',
    }
    return Stream(written(columns, pieces, bom=bom), headers=headers)


async def written(columns: Mapping[str, str], pieces: Pieces, *, bom: bool) -> AsyncIterator[str]:
    """Write rows as CSV, piece by piece; as for `download`."""
    yield BYTE_ORDER_MARK * bom + _lines([list(columns)])
    async for rows in pieces:
        yield _lines([_cell(row[name]) for name in columns.values()] for row in rows)


def _lines(cells: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(cells)
    return text.getvalue()


def _cell(value: str | float | datetime | None) -> str:
    """Write a value as text, with an apostrophe before what would be computed."""
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else str(value)
    return f"'{text}" if _is_computed(text) else text


def unguarded(text: str) -> str:
    """Take the apostrophe away that a cell was given when it was written."""
    return text[1:] if text.startswith("'") and _is_computed(text[1:]) else text


def _is_computed(text: str) -> bool:
    """Tell whether a cell needs an apostrophe, or has one that must not be taken for ours."""
    return text.lstrip("'").startswith(FORMULA_STARTS)
