"""The first sheet of a workbook as text, read in a process of its own: nothing here is trusted.

The library allocates whatever a file asks for, and ends the process where it does not get it. So
this process has no memory to waste, no time and no secrets; its end is an answer, too.
"""

import io
import json
import resource
import sys
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

MOST_ROWS = 10_001
"""The header, too."""
MOST_CELLS = 100
"""Of a row."""
MOST_TEXT = 10_000_000
"""Characters of all cells."""
MOST_UNPACKED_BYTES = 100_000_000
MOST_MEMORY_BYTES = 512 * 1024 * 1024
MOST_SECONDS = 8
"""Of computing."""

DAMAGED = (
    "The file is damaged or was cut off. Save it anew; "
    "with curl send it with --data-binary, not -d."
)

Cell = int | float | str | bool | time | date | datetime | timedelta


def main() -> None:
    """Read a workbook from standard input, and write its rows, or its fault, as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer: dict[str, object] = {"rows": rows_of(sys.stdin.buffer.read())}
    except ValueError as fault:
        answer = {"fault": str(fault)}
    sys.stdout.write(json.dumps(answer))


def rows_of(body: bytes) -> list[tuple[int, list[str]]]:
    """Return the rows of the first sheet that can be seen, numbered as there; blank ones not.

    Raises:
        ValueError: It has none, or too much.
    """
    _require_workbook(body)
    workbook = CalamineWorkbook.from_filelike(io.BytesIO(body))
    visible = [
        each.name
        for each in workbook.sheets_metadata
        if (each.typ, each.visible) == (SheetTypeEnum.WorkSheet, SheetVisibleEnum.Visible)
    ]
    if not visible:
        raise ValueError("It has no sheet that can be seen.")
    sheet = workbook.get_sheet_by_name(visible[0])
    if sheet.start is None:
        raise ValueError(f'Its first sheet, "{visible[0][:100]}", is empty.')
    return list(_rows(sheet.iter_rows()))


def _require_workbook(body: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            parts = archive.infolist()
    except zipfile.BadZipFile as error:
        raise ValueError(DAMAGED) from error
    if not any(each.filename.startswith("xl/workbook.") for each in parts):
        raise ValueError('This is no workbook. Save it as "Excel workbook (.xlsx)".')
    if sum(each.file_size for each in parts) > MOST_UNPACKED_BYTES:
        raise ValueError(f"It unpacks to more than {MOST_UNPACKED_BYTES:,} bytes.")


def _rows(found: Iterator[list[Cell]]) -> Iterator[tuple[int, list[str]]]:
    """Write rows as text; those above the first cell are blank, and counted."""
    count = size = 0
    for number, cells in enumerate(found, 1):
        row = [written(cell) for cell in cells]
        while row and not row[-1].strip():
            row.pop()
        if not row:
            continue
        count += 1
        size += sum(map(len, row))
        if count > MOST_ROWS or len(row) > MOST_CELLS or size > MOST_TEXT:
            raise ValueError(
                f"Row {number}: more than {MOST_ROWS - 1:,} rows, {MOST_CELLS} columns or "
                f"{MOST_TEXT:,} characters."
            )
        yield number, row


def written(cell: Cell) -> str:
    """Write a cell as people read it: without a point behind whole numbers, dates as in ISO 8601.

    A workbook keeps 15 digits of a number, and how it is shown apart from it.
    """
    match cell:
        case bool():
            return str(cell).upper()
        case int() | float():
            return f"{Decimal(format(cell, '.15g')).normalize():f}"
        case datetime():
            return cell.isoformat(" ", "seconds").removesuffix(":00")
        case time():
            return cell.isoformat("seconds").removesuffix(":00")
        case _:
            return str(cell)


if __name__ == "__main__":
    main()
