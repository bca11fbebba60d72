"""What is shown of a spreadsheet before anybody is brought in by it."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from app.errors import ValidationFailed
from app.participants.bulk import Outcome, Result
from app.participants.lines import Reading, Table
from app.participants.schemas import (
    MOST_SHOWN_LINES,
    ColumnOut,
    LineError,
    LineForeseen,
    LinesForeseen,
    faults_of,
)

MOST_EXAMPLES = 3
LONGEST_EXAMPLE = 60

_WEIGHT = re.compile(r"0*(?:[1-9][0-9]{0,2}|1000)", re.ASCII)


def preview_of(reading: Reading, results: Sequence[Result]) -> LinesForeseen:
    """Show what would become of a body's lines."""
    counts = Counter(each.outcome for each in results)
    faults = {} if reading.table is None else reading.table.header.faults
    return LinesForeseen(
        counts[Outcome.ADDED],
        counts[Outcome.CAME_BACK],
        counts[Outcome.ALREADY_IN],
        counts[Outcome.FAILED],
        LineError.of(ValidationFailed.at(faults) if faults else None),
        [] if reading.table is None else _columns(reading.table),
        faults_of(results),
        [
            LineForeseen.of(line, result)
            for line, result in islice(zip(reading.lines, results, strict=True), MOST_SHOWN_LINES)
        ],
    )


def _columns(table: Table) -> list[ColumnOut]:
    shown = []
    for place, column in enumerate(table.header.columns):
        cells = [row[place].strip() for _, row in table.records if place < len(row)]
        filled = [cell for cell in cells if cell]
        examples = [cell[:LONGEST_EXAMPLE] for cell in filled[:MOST_EXAMPLES]]
        is_weight = bool(filled) and all(_WEIGHT.fullmatch(cell) for cell in filled)
        shown.append(ColumnOut(column.said, column.meaning, examples, is_weight))
    return shown
