"""CSV as people have it: encodings, separators, languages, our own export, and what costs much."""

import asyncio
import csv
import io
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Request

from app.database.engine import fetch, fetchval
from app.errors import ValidationFailed
from app.participants import lines
from app.participants.bulk import Newcomer
from app.participants.columns import COLUMNS, UNKNOWN_COLUMN, Extra, Meaning, Wishes
from app.participants.csv_lines import records_of_csv
from app.participants.lines import documents_of, lines_of, read_lines, table_of
from app.tables import ParticipantRole
from tests import factories
from tests.answers import Headers, code_of
from tests.waiting import eventually

FILES = Path(__file__).parent / "csv"
LARGE = 4_900_000
HEADER = b"email,metadata\n"


@pytest.fixture
def base(room: asyncpg.Record) -> str:
    return f"/api/v1/rooms/{room['id']}/participants"


PLAIN = Wishes({})
KEEPING = Wishes({}, extra=Extra.METADATA)


def documents(
    text: str | bytes, kind: str = "text/csv", wishes: Wishes = PLAIN
) -> list[tuple[int, Any]]:
    body = text if isinstance(text, bytes) else text.encode()
    table = table_of(records_of_csv(kind, body), wishes)
    if table.header.faults:
        raise ValidationFailed.at(table.header.faults)
    return list(documents_of(table))


def faults_of(text: str | bytes, kind: str = "text/csv") -> dict[str, str]:
    with pytest.raises(ValidationFailed) as refused:
        documents(text, kind)
    fields: dict[str, str] = refused.value.details["fields"]
    return fields


CASES: dict[str, tuple[str, str, list[tuple[str, str | None]]]] = {
    "capital_header.csv": ("", "", [("bob@example.com", None)]),
    "sep_line.csv": ("", "", [("bob@example.com", None)]),
    "excel_utf8_bom.csv": ("", "?extra=metadata", [("user1@firma.example", "Мария Сидорова 1")]),
    "excel_windows1251.csv": (
        "; charset=windows-1251",
        "?extra=metadata",
        [("user1@firma.example", "Мария Сидорова 1")],
    ),
}


@pytest.mark.parametrize("file", CASES)
async def test_files_of_spreadsheets_bring_in_whom_they_name(
    client: httpx.AsyncClient, base: str, headers: Headers, file: str
) -> None:
    parameters, query, expected = CASES[file]
    sent = {**headers, "Content-Type": f"text/csv{parameters}"}
    body = (FILES / file).read_bytes()

    answer = await client.post(f"{base}/bulk{query}", content=body, headers=sent)

    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["failed"] == 0
    rows = await fetch(
        "SELECT email, name, metadata FROM participants WHERE email = ANY($1::text[])",
        [email for email, _ in expected],
    )
    assert [(row["email"], row["name"]) for row in rows] == expected
    if query:
        assert json.loads(rows[0]["metadata"]) == {"Билеты": "2"}


async def test_an_export_brings_in_the_same_people_again(
    client: httpx.AsyncClient, base: str, headers: Headers
) -> None:
    await factories.user(id="y")
    sent = {**headers, "Content-Type": "text/csv"}
    body = (FILES / "own_export.csv").read_bytes()
    answer = await client.post(f"{base}/bulk", content=body, headers=sent)
    assert answer.json()["data"]["added"] == 1, answer.text
    assert await fetchval("SELECT name FROM participants WHERE \"userId\" = 'y'") is None


NAMES = (
    "=1+1",
    "'x",
    "'=1",
    "''+1",
    "-a",
    "  left",
    'a "b", c',
    "🎉",
    "@me",
    "\uff1d1",
)


async def test_names_come_back_from_an_export_as_they_were(
    client: httpx.AsyncClient, base: str, headers: Headers
) -> None:
    people = [{"email": f"p{n}@example.org", "name": name} for n, name in enumerate(NAMES)]
    await client.post(f"{base}/bulk", json={"participants": people}, headers=headers)
    file = (await client.get(f"{base}.csv?bom=true", headers=headers)).content
    assert file.startswith(b"\xef\xbb\xbf")
    await fetch("DELETE FROM participants WHERE email LIKE 'p%'")

    sent = {**headers, "Content-Type": "text/csv"}
    answer = await client.post(f"{base}/bulk", content=file, headers=sent)

    assert answer.json()["data"]["added"] == len(NAMES), answer.text
    rows = await fetch("SELECT email, name FROM participants WHERE email LIKE 'p%'")
    assert {row["email"]: row["name"] for row in rows} == {
        each["email"]: each["name"] for each in people
    }


@pytest.mark.parametrize("file", ["participants.csv", "winners.csv"])
async def test_an_export_begins_with_a_mark_only_if_asked(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers, file: str
) -> None:
    path = f"/api/v1/rooms/{room['id']}/{file}"
    plain = await client.get(path, headers=headers)
    marked = await client.get(path, params={"bom": "true"}, headers=headers)
    assert marked.content == b"\xef\xbb\xbf" + plain.content
    assert plain.content.startswith(b'"id"')


@pytest.mark.parametrize(
    ("column", "said"), [(column, said) for column in COLUMNS for said in COLUMNS[column]]
)
def test_columns_are_known_by_other_names_in_any_case(column: Meaning, said: str) -> None:
    if column in (Meaning.FIRST_NAME, Meaning.LAST_NAME):
        column = Meaning.NAME
    cells = {said: "x@y.z"} if column == "email" else {"email": "x@y.z", said: "{}"}
    expected: Any = {} if column == "metadata" else cells[said]
    for shape in (said, said.upper(), f" {said.lower()}: ", said.replace(" ", "_")):
        text = ",".join(shape if name == said else name for name in cells)
        [(line, document)] = documents(f"{text}\n{','.join(cells.values())}\n")
        assert line == 2
        assert (document["email"], document[column]) == ("x@y.z", expected)


@pytest.mark.parametrize(
    ("encoding", "kind"),
    [
        ("utf-8", "text/csv"),
        ("utf-8-sig", "text/csv; charset=utf8"),
        ("utf-8", 'Text/CSV; header=present; charset="UTF_8"'),
        ("utf-16", "text/csv"),
        ("utf-16", "text/csv; charset=utf-16"),
        ("utf-16-le", "text/csv; charset=UTF-16LE"),
        ("utf-16-be", "text/csv; charset=utf-16be"),
        ("cp1251", "text/csv; charset=Windows-1251"),
        ("cp1251", "text/csv; charset=cp1251"),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_is_read_in_its_encoding(encoding: str, kind: str, separator: str, end: str) -> None:
    rows = [("Почта", "Имя"), ("", ""), ("a@b.c", "Мария")]
    text = "".join(separator.join(row) + end for row in rows)
    found = documents(text.encode(encoding), kind)
    assert found == [(3, {"email": "a@b.c", "name": "Мария"})]


def test_western_letters_are_read_where_they_are_declared() -> None:
    text = "email;name\na@b.c;Zoë Müller\n".encode("cp1252")
    assert documents(text, "text/csv; charset=windows-1252")[0][1]["name"] == "Zoë Müller"
    assert "charset=windows-1251" in faults_of(text)["$"]


async def test_an_encoding_that_is_not_taken_is_told_which_are(
    client: httpx.AsyncClient, base: str, headers: Headers
) -> None:
    sent = {**headers, "Content-Type": "text/csv; charset=koi8-r"}
    answer = await client.post(f"{base}/bulk", content=b"email\n", headers=sent)
    assert (answer.status_code, code_of(answer)) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert "windows-1251" in answer.json()["error"]["message"]


def test_separators_inside_of_quotes_do_not_count() -> None:
    text = '"email";"a,b,c,d"\nx@y.z;1\n'
    [(_, document)] = documents(text, wishes=KEEPING)
    assert document == {"email": "x@y.z", "metadata": {"a,b,c,d": "1"}}


def test_lines_are_numbered_as_an_editor_shows_them() -> None:
    text = 'sep=;\r\nemail;name\r\na@b.c;"two\r\nlines"\r\n\r\nd@e.f;\r\n'
    assert [line for line, _ in documents(text)] == [3, 6]


def test_other_columns_are_metadata_where_asked_and_unknown_otherwise() -> None:
    text = 'email,metadata,Seat,__proto__\na@b.c,"{""x"":1}", 7 ,p\nd@e.f,,,\n'
    assert faults_of(text) == {
        "$.Seat": UNKNOWN_COLUMN,
        "$.__proto__": UNKNOWN_COLUMN,
        "$": "The first line names the columns: userId or email; name; role; metadata.",
    }
    assert documents(text, wishes=KEEPING) == [
        (2, {"email": "a@b.c", "metadata": {"x": 1, "Seat": "7", "__proto__": "p"}}),
        (3, {"email": "d@e.f"}),
    ]


def test_a_member_of_the_metadata_that_is_a_column_too_fails_its_line_alone() -> None:
    text = b'email,metadata,Seat\na@b.c,"{""Seat"":1}",7\nd@e.f,,8\n'
    first, second = read_lines("text/csv", text, lambda: False, KEEPING).lines
    assert isinstance(first.content, ValidationFailed)
    assert list(first.content.details["fields"]) == ["$.metadata.Seat"]
    assert isinstance(second.content, Newcomer)


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(
    st.lists(CELL, max_size=20),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_table_that_a_program_writes_is_read(
    names: list[str], separator: str, encoding: str, end: str
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("E-mail", "name"), *((f"p{n}@x.y", name) for n, name in enumerate(names))])

    found = documents(text.getvalue().encode(encoding))

    assert [each.get("name", "") for _, each in found] == [name.strip() for name in names]


def large(name: str) -> bytes:
    deep = b'{""a"":' + b"[" * 60 + b"]" * 60 + b"}"
    shapes = {
        "blank lines": HEADER + b"\n" * LARGE,
        "blank lines of an old Mac": HEADER + b"\r" * LARGE,
        "blank cells": HEADER + b",\n" * (LARGE // 2),
        "a cell": HEADER + b'"' + b"x" * LARGE + b'"\n',
        "lines in a cell": HEADER + (b'"' + b"\n" * 500 + b'"\n') * 9_700,
        "a header of commas": b"," * LARGE + b"\n",
        "a header of names": b"email," + b"a," * (LARGE // 2) + b"\n",
        "two million cells": HEADER + b"x," * 2_000_000 + b"\n",
        "deep metadata": HEADER + (b'p@b.c,"' + deep + b'"\n') * 9_999,
    }
    return shapes[name]


LARGE_NAMES = (
    *("blank lines", "blank lines of an old Mac", "blank cells", "a cell", "lines in a cell"),
    *("a header of commas", "a header of names", "two million cells", "deep metadata"),
)


@pytest.mark.parametrize("name", LARGE_NAMES)
def test_what_would_cost_much_is_refused_at_little_cost(name: str) -> None:
    body = large(name)
    begin = time.thread_time()
    with pytest.raises(ValidationFailed):
        read_lines("text/csv", body, lambda: False).require_lines()
    assert time.thread_time() - begin < 0.3


def test_blank_lines_count() -> None:
    assert "blank" in faults_of("email\n" + "\n" * 10_001)["$"]
    assert documents("email\n" + "\n" * 9_999 + "a@b.c\n") == [(10_001, {"email": "a@b.c"})]


class Slow:
    """Reads each line as slowly as a thread can be watched, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _: object) -> Newcomer:
        self.count += 1
        time.sleep(0.002)
        return Newcomer(None, "a@b.c", None, ParticipantRole.PARTICIPANT, None)

    async def has_begun(self) -> bool:
        return self.count > 0


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    slow = Slow()
    monkeypatch.setattr(lines, "_newcomer", slow)
    return slow


def request_of(gone: asyncio.Event) -> Request[Any, Any, Any]:
    """Make a request of 5,000 lines, whose client goes away when the event is set."""
    body = [{"type": "http.request", "body": b"email\n" + b"a@b.c\n" * 5_000, "more_body": False}]

    async def receive() -> Any:
        if body:
            return body.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    scope: Any = {
        "type": "http",
        "method": "POST",
        "headers": [(b"content-type", b"text/csv")],
        "state": {},
        "route_handler": SimpleNamespace(resolve_request_max_body_size=lambda: None),
    }
    return Request(scope, receive)


async def test_reading_stops_when_the_client_goes_away(slow: Slow) -> None:
    gone = asyncio.Event()
    reading = asyncio.create_task(lines_of(request_of(gone)))
    await eventually(slow.has_begun)
    gone.set()
    with pytest.raises(ValidationFailed):
        await reading
    assert 0 < slow.count < 2_000


async def test_reading_stops_when_the_request_is_given_up(slow: Slow) -> None:
    reading = asyncio.create_task(lines_of(request_of(asyncio.Event())))
    await eventually(slow.has_begun)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await asyncio.sleep(0.05)
    count = slow.count
    await asyncio.sleep(0.1)
    assert 0 < count == slow.count
