"""Workbooks (.xlsx) as small as they can be: what a spreadsheet program writes, by hand."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_HIDDEN = ' state="hidden"'
_DAY_0 = datetime(1899, 12, 30)  # noqa: DTZ001 - a workbook knows no time zones
_TYPES = (
    f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)
_STYLES = (
    f'<styleSheet xmlns="{_MAIN}"><cellXfs><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs>'
    "</styleSheet>"
)


def xlsx(*sheets: Sequence[Sequence[Any]], hidden: int = 0) -> bytes:
    """Write sheets, of which the first ones are hidden."""
    named = [(f"S{number}", rows) for number, rows in enumerate(sheets, 1)]
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"{_HIDDEN * (n <= hidden)}/>'
        for n, (name, _) in enumerate(named, 1)
    )
    targets = {f"r{n}": ("worksheet", f"{name}.xml") for n, (name, _) in enumerate(named, 1)}
    return packed(
        {
            "[Content_Types].xml": _TYPES,
            "_rels/.rels": _relations({"r1": ("officeDocument", "xl/workbook.xml")}),
            "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
            f"<sheets>{listed}</sheets></workbook>",
            "xl/_rels/workbook.xml.rels": _relations({**targets, "s": ("styles", "styles.xml")}),
            "xl/styles.xml": _STYLES,
            **{f"xl/{name}.xml": sheet_of(map(_row, rows)) for name, rows in named},
        }
    )


def packed(parts: Mapping[str, str | bytes]) -> bytes:
    """Write a ZIP archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return file.getvalue()


def with_sheet(sheet: str) -> bytes:
    """Write a workbook whose only sheet is given as it stands in the file."""
    with zipfile.ZipFile(io.BytesIO(xlsx([]))) as archive:
        parts: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    return packed({**parts, "xl/S1.xml": sheet})


def sheet_of(rows: Iterable[str]) -> str:
    """Write a sheet of rows that are XML already."""
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(rows)}</sheetData></worksheet>'


def _relations(targets: Mapping[str, tuple[str, str]]) -> str:
    listed = "".join(
        f'<Relationship Id="{id_}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for id_, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{listed}</Relationships>'


def _row(cells: Sequence[Any]) -> str:
    return f"<row>{''.join(map(_cell, cells))}</row>"


def _cell(value: Any) -> str:
    match value:
        case None:
            return "<c/>"
        case bool():
            return f'<c t="b"><v>{int(value)}</v></c>'
        case int() | float():
            return f"<c><v>{value!r}</v></c>"
        case datetime():
            days = (value - _DAY_0).total_seconds() / 86_400
            return f'<c s="1"><v>{days!r}</v></c>'
        case _:
            text = escape(str(value))
            return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
