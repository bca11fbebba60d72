"""People as spreadsheets write them: CSV in several separators, encodings and languages."""

import csv
import io
import re
from collections.abc import Iterator

from app.errors import UnsupportedMediaType, ValidationFailed

MOST_TEXT_LINES = 100_000
"""A quoted cell may have several."""
LARGEST_LINE_BYTES = 100_000

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

_SEPARATORS = ",;\t"
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?[ ,;\t]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*(?:"|\Z)')
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\";\s]*)", re.IGNORECASE)


def records_of_csv(content_type: str, body: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record begins, and its cells.

    Args:
        content_type: What the body is said to be, with its charset.
        body: The file.

    Raises:
        ValidationFailed: It can't be divided into records.
        UnsupportedMediaType: It is said to be in an encoding that is not taken.
    """
    return _records(_decoded(content_type, body))


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
