"""Workbooks bring people in as CSV does; what is hostile costs a process of its own, not ours."""

import asyncio
import csv
import io
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from app.database.engine import fetch, fetchval
from app.http.spreadsheets import XLSX
from app.participants import xlsx_lines
from app.participants.xlsx_reader import rows_of, written
from tests import factories
from tests.answers import Headers, code_of
from tests.workbooks import packed, sheet_of, with_sheet, xlsx

FILES = Path(__file__).parent / "csv"
DAY = datetime(2026, 12, 1)  # noqa: DTZ001 - a workbook knows no time zones


@pytest.fixture
def path(room: asyncpg.Record) -> str:
    return f"/api/v1/rooms/{room['id']}/participants/bulk"


@pytest.fixture
def sent(headers: Headers) -> Headers:
    return {**headers, "Content-Type": XLSX}


def table_of(file: str) -> list[list[str]]:
    encoding = "cp1251" if "1251" in file else "utf-8-sig"
    text = (FILES / file).read_text(encoding).removeprefix("sep=;\n")
    separator = ";" if ";" in text else ","
    return list(csv.reader(io.StringIO(text), delimiter=separator))


@pytest.mark.parametrize("file", sorted(each.name for each in FILES.iterdir()))
async def test_a_workbook_is_read_as_the_same_table_in_csv(
    client: httpx.AsyncClient, path: str, headers: Headers, sent: Headers, file: str
) -> None:
    await factories.user(id="y")
    query = f"{path}?extra=metadata&preview=true"
    charset = "; charset=windows-1251" if "1251" in file else ""
    as_csv = {**headers, "Content-Type": f"text/csv{charset}"}

    text = await client.post(query, content=(FILES / file).read_bytes(), headers=as_csv)
    book = await client.post(query, content=xlsx(table_of(file)), headers=sent)

    assert book.status_code == 200, book.text
    told = [each.json()["data"] for each in (text, book)]
    for each in told[0]["lines"]:  # Text has a line "sep=;" above the header.
        each["line"] -= file.startswith("sep_line")
    assert told[0] == told[1]
    assert told[1]["added"] == len(told[1]["lines"]) > 0


async def test_numbers_and_dates_become_what_people_see(
    client: httpx.AsyncClient, path: str, sent: Headers
) -> None:
    rows: list[list[Any]] = [
        ["E-mail", "Имя", "Фамилия", "Билеты", "Дата"],
        ["a@b.c", "Мария", "Ли", 2.0, DAY],
    ]

    answer = await client.post(f"{path}?extra=metadata", content=xlsx(rows), headers=sent)

    assert answer.json()["data"]["added"] == 1, answer.text
    [row] = await fetch("SELECT name, metadata FROM participants WHERE email = 'a@b.c'")
    assert tuple(row) == ("Мария Ли", '{"Дата": "2026-12-01", "Билеты": "2"}')


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (3.0, "3"),
        (-0.5, "-0.5"),
        (0.1 + 0.2, "0.3"),
        (79161234567.0, "79161234567"),
        (1e22, "1" + "0" * 22),
        (100, "100"),
        (True, "TRUE"),
        (DAY.date(), "2026-12-01"),
        (DAY.replace(hour=18, minute=30), "2026-12-01 18:30"),
        (DAY.replace(second=5), "2026-12-01 00:00:05"),
        (DAY.replace(hour=9).time(), "09:00"),
        ("00042", "00042"),
    ],
)
def test_a_cell_is_written_as_people_read_it(cell: Any, text: str) -> None:
    assert written(cell) == text


def test_the_first_sheet_that_can_be_seen_is_read_with_its_own_numbers() -> None:
    sheets: Any = ([["secret"]], [[None], [None, "email"], [], [None, "a@b.c", None]], [["third"]])
    assert rows_of(xlsx(*sheets, hidden=1)) == [(2, ["email"]), (4, ["a@b.c"])]


async def test_faults_are_told_by_the_row_of_the_sheet_and_before_the_lines(
    client: httpx.AsyncClient, path: str, sent: Headers
) -> None:
    rows = [[], ["email"], ["a@b.c"], [], ["nobody"]]
    answer = await client.post(path, content=xlsx(rows), headers=sent)
    told = answer.json()["data"]
    assert (told["added"], told["failed"]) == (1, 1)
    assert [(each["line"], each["error"]["code"]) for each in told["faults"]] == [
        (5, "VALIDATION_ERROR")
    ]
    assert list(told) == ["added", "cameBack", "alreadyIn", "failed", "faults", "lines"]


GOOD = xlsx([["email"], ["a@b.c"]])
FAR = with_sheet(
    sheet_of(['<row r="1"><c r="A1"><v>1</v></c><c r="XFD1048576"><v>1</v></c></row>'])
)
OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no .xlsx"),
    "text": (b"email\na@b.c\n", "text/csv"),
    "an old file": (OLD + b"\0" * 600, ".xls file, of old"),
    "a password": (OLD + "EncryptedPackage".encode("utf-16-le"), "password"),
    "cut off": (GOOD[:-40], "damaged"),
    "no line breaks": (GOOD.replace(b"\n", b"")[:-9].replace(b"\x05\x06", b""), "--data-binary"),
    "another archive": (packed({"word/document.xml": "<x/>"}), "no workbook"),
    "a broken sheet": (with_sheet("<worksheet><sheetData><row>"), "can't be read"),
    "an empty sheet": (xlsx([]), "is empty"),
    "all hidden": (xlsx([["email"]], hidden=1), "no sheet"),
    "a bomb": (with_sheet(sheet_of(["<row/>" * 18_000_000])), "unpacks to more"),
    "a cell far away": (FAR, "can't be read"),
    "too many rows": (xlsx([["email"], *[["a@b.c"]] * 10_001]), "Row 10002"),
    "too many columns": (xlsx([["email"] * 101]), "100 columns"),
    "too much text": (xlsx([["email"], *[["x" * 30_000]] * 400]), "characters"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_no_workbook_or_too_much_is_told_and_brings_nobody_in(
    client: httpx.AsyncClient, path: str, sent: Headers, name: str
) -> None:
    body, words = REFUSED[name]
    answer = await client.post(path, content=body, headers=sent)
    assert (answer.status_code, code_of(answer)) == (400, "VALIDATION_ERROR")
    assert words in answer.json()["error"]["details"]["fields"]["$"]
    assert await fetchval("SELECT count(*) FROM participants") == 1


async def test_a_reader_that_takes_too_long_is_ended_while_others_are_served(
    client: httpx.AsyncClient,
    path: str,
    sent: Headers,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "endless.py").write_text("while True: pass")
    monkeypatch.setattr(xlsx_lines, "READER", tmp_path / "endless.py")
    monkeypatch.setattr(xlsx_lines, "MOST_SECONDS", 0.5)
    begin = time.monotonic()

    request = asyncio.create_task(client.post(path, content=GOOD, headers=sent))
    other = await client.get("/api/v1/rooms")
    assert not request.done()
    answer = await request

    assert (other.status_code, answer.status_code) == (200, 400)
    assert time.monotonic() - begin < 5


async def test_the_reader_learns_no_secret_of_ours(
    client: httpx.AsyncClient,
    path: str,
    sent: Headers,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    telling = "import json, os; print(json.dumps({'fault': ' '.join(sorted(os.environ))}))"
    (tmp_path / "telling.py").write_text(telling)
    monkeypatch.setattr(xlsx_lines, "READER", tmp_path / "telling.py")
    answer = await client.post(path, content=GOOD, headers=sent)
    told = answer.json()["error"]["details"]["fields"]["$"].split()
    assert set(told) <= {"PYTHONPATH", "LC_CTYPE"}
