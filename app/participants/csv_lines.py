"""People as spreadsheets write them: CSV in several separators, encodings and languages."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.applications.documents import Fault
from app.errors import UnsupportedMediaType, ValidationFailed
from app.http.bodies import MOST_CONTAINERS, decode_json
from app.http.spreadsheets import unguarded

MOST_LINES = 10_000
MOST_TEXT_LINES = 100_000
"""A quoted cell may have several."""
LARGEST_LINE_BYTES = 100_000
MOST_COLUMNS = 100
LONGEST_COLUMN = 100

CHARSETS = {
    "utf8": "utf-8-sig",
    "usascii": "utf-8-sig",
    "utf16": "utf-16",
    "utf16le": "utf-16-le",
    "utf16be": "utf-16-be",
    "windows1251": "cp1251",
    "cp1251": "cp1251",
    "windows1252": "cp1252",
    "cp1252": "cp1252",
}
TAKEN_CHARSETS = "UTF-8, UTF-16, windows-1251 or windows-1252"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")

COLUMNS = {
    "userId": ("User ID", "ID пользователя", "Benutzer-ID", "ID utilisateur", "ID de usuario"),
    "email": (
        *("E-mail", "Mail", "E-mail address"),
        *("Почта", "Эл. почта", "Электронная почта", "Адрес электронной почты"),
        *("E-Mail-Adresse", "Courriel", "Adresse e-mail", "Correo", "Correo electrónico"),
    ),
    "name": (
        *("Full name", "Имя", "ФИО", "Vollständiger Name"),
        *("Nom", "Nom complet", "Nombre", "Nombre completo"),
    ),
    "role": ("Роль", "Rolle", "Rôle", "Rol"),
    "metadata": ("Метаданные", "Metadaten", "Métadonnées", "Metadatos"),
}
"""What columns are called, besides their own names."""
MARKS_OF_EXPORT = frozenset({"id", "joinedAt"})
EXPORTED_ALONE = MARKS_OF_EXPORT | {"ownMetadata"}
"""What is not read of an export: nobody's own words become a moderator's."""

UNKNOWN_COLUMN = (
    "Unknown column. Leave it out, or send ?extra=metadata: whoever sees the room sees it then."
)

_SEPARATORS = ",;\t"
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?[ ,;\t]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*(?:"|\Z)')
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\";\s]*)", re.IGNORECASE)


def _folded(name: str) -> str:
    return re.sub(r"[\s_.:-]+", "", unicodedata.normalize("NFKC", name).casefold())


_COLUMN_OF = {
    _folded(each): column for column, others in COLUMNS.items() for each in (column, *others)
}


@dataclass(frozen=True)
class _Header:
    names: Sequence[str]
    extra: frozenset[str]
    is_export: bool


def documents_of_csv(
    content_type: str, body: bytes, *, keep_extra: bool
) -> Iterator[tuple[int, Any]]:
    """Yield the line on which each record begins, and what its JSON would be; blank ones not.

    Args:
        content_type: What the body is said to be, with its charset.
        body: The file.
        keep_extra: Columns that have no meaning are metadata.

    Raises:
        ValidationFailed: It can't be divided into records, or has too many, blank ones too.
        UnsupportedMediaType: It is said to be in an encoding that is not taken.
    """
    records = _records(_decoded(content_type, body))
    _, first = next(records, (1, []))
    header = _header(first, keep_extra=keep_extra)
    for count, (begin, record) in enumerate(records, 1):
        if count > MOST_LINES:
            raise ValidationFailed.at({"$": f"Expected 1 to {MOST_LINES:,} lines, blank ones too."})
        if document := _document_of(header, record):
            yield begin, document


def _decoded(content_type: str, body: bytes) -> str:
    declared = _CHARSET.search(content_type)
    name = declared[1] if declared else "UTF-8"
    encoding = CHARSETS.get(re.sub(r"[_-]", "", name.lower()))
    if encoding is None:
        raise UnsupportedMediaType(f"Send CSV in {TAKEN_CHARSETS}.")
    if body.startswith(UTF_16_MARKS):
        encoding = "utf-16"
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        message = (
            f'Not {name[:20]}. Save it as "CSV UTF-8", or say in which encoding it is, such as '
            f"Content-Type: text/csv; charset=windows-1251. Taken are {TAKEN_CHARSETS}."
        )
        raise ValidationFailed.at({"$": message}) from error
    if text.count("{") + text.count("[") > MOST_CONTAINERS:
        raise ValidationFailed.at({"$": f"More than {MOST_CONTAINERS:,} objects and arrays."})
    return text.removeprefix("\ufeff")


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the line on which it begins."""
    declared = _SEPARATOR_LINE.match(text)
    lines = io.StringIO(text[declared.end() :] if declared else text, newline="")
    above = 1 if declared else 0
    begin, size = above + 1, 0

    def bounded() -> Iterator[str]:
        nonlocal size
        for number, line in enumerate(lines, above + 1):
            size += len(line)
            if size > LARGEST_LINE_BYTES or number > MOST_TEXT_LINES:
                message = f"Line {begin}: longer than {LARGEST_LINE_BYTES:,} characters."
                too_many = f"More than {MOST_TEXT_LINES:,} lines of text."
                raise ValidationFailed.at({"$": too_many if number > MOST_TEXT_LINES else message})
            yield line

    separator = declared[1] if declared else _separator(text)
    reader = csv.reader(bounded(), delimiter=separator, strict=True)
    try:
        for record in reader:
            yield begin, record
            begin, size = above + reader.line_num + 1, 0
    except csv.Error as error:
        raise ValidationFailed.at({"$": f"Line {begin}: {error}."}) from error


def _separator(text: str) -> str:
    """Choose what the header has most of, outside of quotes."""
    unquoted = _QUOTED.sub("", text[:LARGEST_LINE_BYTES])
    first = re.split(r"[\r\n]", unquoted, maxsplit=1)[0]
    return max(_SEPARATORS, key=first.count)


def _header(record: list[str], *, keep_extra: bool) -> _Header:
    given = [name.strip() for name in record]
    while given and not given[-1]:
        given.pop()
    if len(given) > MOST_COLUMNS or any(len(name) > LONGEST_COLUMN for name in given):
        message = f"At most {MOST_COLUMNS} columns, whose names have {LONGEST_COLUMN} characters."
        raise ValidationFailed.at({"$": message})
    is_export = set(given) >= MARKS_OF_EXPORT
    names = [_COLUMN_OF.get(_folded(name), name) for name in given]
    ignored = EXPORTED_ALONE if is_export else frozenset()
    extra = frozenset(names) - frozenset(COLUMNS) - ignored - {""}
    faults = {}
    for name, said in zip(names, given, strict=True):
        if name in extra and not keep_extra:
            faults[Fault((said,), "").json_path()] = UNKNOWN_COLUMN
        elif name and names.count(name) > 1:
            faults[Fault((said,), "").json_path()] = "Give it once."
    if faults or "" in names or not {"userId", "email"} & set(names):
        faults["$"] = "The first line names the columns: userId or email; name; role; metadata."
    if faults:
        raise ValidationFailed.at(faults)
    return _Header(names, extra, is_export)


def _document_of(header: _Header, record: list[str]) -> dict[str, Any] | ValidationFailed:
    if "".join(record[len(header.names) :]).strip():
        return _surplus(header, record)
    filled = {name: cell for name, cell in zip(header.names, record, strict=False) if cell.strip()}
    if header.is_export:
        document = _exported(filled)
    else:
        document = {name: cell.strip() for name, cell in filled.items()}
    if "metadata" in document:
        try:
            document["metadata"] = decode_json(document["metadata"].encode())
        except ValidationFailed:
            return document  # Text is no metadata, and refused as such.
    return _with_extra(header, document)


def _surplus(header: _Header, record: Sequence[str]) -> ValidationFailed:
    columns = enumerate(record[len(header.names) :], len(header.names) + 1)
    number = next(number for number, cell in columns if cell.strip())
    place = Fault((f"column {number}",), "").json_path()
    return ValidationFailed.at({place: "The header names no such column."})


def _exported(filled: Mapping[str, str]) -> dict[str, Any]:
    """Read a row of an export, which tells a person's own name and address beside their id."""
    told = {"name", "email"} if "userId" in filled else set()
    return {
        name: unguarded(cell)
        for name, cell in filled.items()
        if name not in told and name not in EXPORTED_ALONE
    }


def _with_extra(header: _Header, document: dict[str, Any]) -> dict[str, Any] | ValidationFailed:
    extra = {name: document.pop(name) for name in header.extra & document.keys()}
    metadata = document.get("metadata", {})
    if not extra or not isinstance(metadata, dict):
        return document
    if twice := extra.keys() & metadata.keys():
        paths = (Fault(("metadata", name), "").json_path() for name in twice)
        return ValidationFailed.at(dict.fromkeys(paths, "Given as a column, too."))
    return {**document, "metadata": {**metadata, **extra}}
