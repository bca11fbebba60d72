"""What the columns of a spreadsheet mean, and what its lines say therefore."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.applications.documents import Fault
from app.errors import ValidationFailed
from app.http.bodies import decode_json
from app.http.spreadsheets import unguarded

MOST_COLUMNS = 100
LONGEST_COLUMN = 100


class Meaning(StrEnum):
    """What a column says of somebody."""

    USER_ID = "userId"
    EMAIL = "email"
    NAME = "name"
    FIRST_NAME = "firstName"
    LAST_NAME = "lastName"
    ROLE = "role"
    METADATA = "metadata"
    """All of them, as JSON."""
    MEMBER = "metadataMember"
    """One of them, called as the column is."""
    NOTHING = "nothing"


class Extra(StrEnum):
    """What becomes of columns that have no meaning."""

    METADATA = "metadata"
    IGNORE = "ignore"


COLUMNS = {
    Meaning.USER_ID: (
        *("User ID", "ID пользователя", "Benutzer-ID", "ID utilisateur", "ID de usuario"),
    ),
    Meaning.EMAIL: (
        *("E-mail", "Mail", "E-mail address"),
        *("Почта", "Эл. почта", "Электронная почта", "Адрес электронной почты"),
        *("E-Mail-Adresse", "Courriel", "Adresse e-mail", "Correo", "Correo electrónico"),
    ),
    Meaning.NAME: (
        *("Full name", "Имя", "ФИО", "Vollständiger Name"),
        *("Nom", "Nom complet", "Nombre", "Nombre completo"),
    ),
    Meaning.FIRST_NAME: ("First name", "Given name", "Forename", "Vorname", "Prénom"),
    Meaning.LAST_NAME: (
        *("Last name", "Surname", "Family name", "Фамилия"),
        *("Nachname", "Familienname", "Nom de famille", "Apellido", "Apellidos"),
    ),
    Meaning.ROLE: ("Роль", "Rolle", "Rôle", "Rol"),
    Meaning.METADATA: ("Метаданные", "Metadaten", "Métadonnées", "Metadatos"),
}
"""What columns are called, besides their own names."""
MARKS_OF_EXPORT = frozenset({"id", "joinedAt"})
EXPORTED_ALONE = MARKS_OF_EXPORT | {"ownMetadata"}
"""What is not read of an export: nobody's own words become a moderator's."""

UNKNOWN_COLUMN = (
    "Unknown column. Leave it out, or send ?extra=ignore, or ?extra=metadata: whoever sees the "
    "room sees it then."
)
NEEDED = "The first line names the columns: userId or email; name; role; metadata."


def _folded(name: str) -> str:
    return re.sub(r"[\s_.:-]+", "", unicodedata.normalize("NFKC", name).casefold())


_MEANING_OF = {
    _folded(each): column for column, others in COLUMNS.items() for each in (column, *others)
}
_HALVES = {
    (_folded(said), beside): half
    for said, beside, half in (
        ("Имя", Meaning.LAST_NAME, Meaning.FIRST_NAME),
        ("Nombre", Meaning.LAST_NAME, Meaning.FIRST_NAME),
        ("Name", Meaning.LAST_NAME, Meaning.FIRST_NAME),
        ("Nom", Meaning.FIRST_NAME, Meaning.LAST_NAME),
    )
}
"""What is half of a name where the other half has a column, and the whole name otherwise."""


@dataclass(frozen=True)
class Wishes:
    """What a request says of the columns."""

    named: Mapping[Meaning, str]
    """The column that has a meaning, where others have it not."""
    members: Sequence[str] = ()
    """Columns that are metadata, whatever else they could mean."""
    extra: Extra | None = None


@dataclass(frozen=True)
class Column:
    """A column of the file."""

    said: str
    meaning: Meaning


@dataclass(frozen=True)
class Header:
    """The columns of a file, and what is wrong with them."""

    columns: Sequence[Column]
    is_export: bool
    faults: Mapping[str, str]


def header_of(record: Sequence[str], wishes: Wishes) -> Header:
    """Find out what each column means, by its name and by what was wished.

    Raises:
        ValidationFailed: There are too many, or they have too long names.
    """
    said = [name.strip() for name in record]
    while said and not said[-1]:
        said.pop()
    if len(said) > MOST_COLUMNS or any(len(name) > LONGEST_COLUMN for name in said):
        message = f"At most {MOST_COLUMNS} columns, whose names have {LONGEST_COLUMN} characters."
        raise ValidationFailed.at({"$": message})
    is_export = set(said) >= MARKS_OF_EXPORT
    columns = [
        Column(name, meaning) for name, meaning in _meanings(said, wishes, is_export=is_export)
    ]
    faults = dict(_faults(columns, wishes))
    return Header(columns, is_export, faults)


def _meanings(
    said: Sequence[str], wishes: Wishes, *, is_export: bool
) -> Iterator[tuple[str, Meaning]]:
    wished = {_folded(name): meaning for meaning, name in wishes.named.items()}
    wished |= {_folded(name): Meaning.MEMBER for name in wishes.members}
    other = Meaning.NOTHING if wishes.extra is Extra.IGNORE else Meaning.MEMBER
    known = {_MEANING_OF.get(_folded(name)) for name in said} | set(wishes.named)
    for name in said:
        folded = _folded(name)
        meaning = _MEANING_OF.get(folded, other)
        halves = {
            half for (word, beside), half in _HALVES.items() if word == folded and beside in known
        }
        if folded in wished:
            meaning = wished[folded]
        elif meaning in wishes.named:
            meaning = other
        elif halves:
            [meaning] = halves
        elif is_export and name in EXPORTED_ALONE:
            meaning = Meaning.NOTHING
        yield name, meaning


def _faults(columns: Sequence[Column], wishes: Wishes) -> Iterator[tuple[str, str]]:
    found = {_folded(each.said) for each in columns}
    for meaning, name in wishes.named.items():
        if _folded(name) not in found:
            yield f"{meaning}Column", "There is no such column."
    for name in wishes.members:
        if _folded(name) not in found:
            yield "metadataColumn", f'There is no column "{name[:LONGEST_COLUMN]}".'
    members = {_folded(name) for name in wishes.members}
    keeps = wishes.extra is Extra.METADATA
    is_refused = False
    for each in columns:
        if fault := _fault_of(each, columns, is_kept=keeps or _folded(each.said) in members):
            is_refused = True
            yield Fault((each.said,), "").json_path(), fault
    meanings = {each.meaning for each in columns}
    is_nameless = any(not each.said and each.meaning is not Meaning.NOTHING for each in columns)
    if is_refused or is_nameless or not {Meaning.USER_ID, Meaning.EMAIL} & meanings:
        yield "$", NEEDED


def _fault_of(column: Column, columns: Sequence[Column], *, is_kept: bool) -> str | None:
    if not column.said or column.meaning is Meaning.NOTHING:
        return None
    if column.meaning is Meaning.MEMBER:
        alike = sum(each == column for each in columns)
        if not is_kept:
            return UNKNOWN_COLUMN
    else:
        alike = sum(each.meaning is column.meaning for each in columns)
    return "Give it once." if alike > 1 else None


def document_of(header: Header, record: Sequence[str]) -> dict[str, Any] | ValidationFailed:
    """Return what the JSON of a line would be; nothing of a blank one."""
    if "".join(record[len(header.columns) :]).strip():
        return _surplus(header, record)
    filled: dict[Meaning, str] = {}
    members: dict[str, str] = {}
    for column, cell in zip(header.columns, record, strict=False):
        text = unguarded(cell) if header.is_export else cell.strip()
        if not cell.strip() or column.meaning is Meaning.NOTHING:
            continue
        if column.meaning is Meaning.MEMBER:
            members[column.said] = text
        else:
            filled[column.meaning] = text
    document = _named(_exported(filled) if header.is_export else filled)
    if Meaning.METADATA in filled:
        try:
            document["metadata"] = decode_json(document["metadata"].encode())
        except ValidationFailed:
            return document  # Text is no metadata, and refused as such.
    return _with_members(document, members)


def _surplus(header: Header, record: Sequence[str]) -> ValidationFailed:
    columns = enumerate(record[len(header.columns) :], len(header.columns) + 1)
    number = next(number for number, cell in columns if cell.strip())
    place = Fault((f"column {number}",), "").json_path()
    return ValidationFailed.at({place: "The header names no such column."})


def _exported(filled: Mapping[Meaning, str]) -> dict[Meaning, str]:
    """Read a row of an export, which tells a person's own name and address beside their id."""
    told = {Meaning.NAME, Meaning.EMAIL} if Meaning.USER_ID in filled else set()
    return {meaning: cell for meaning, cell in filled.items() if meaning not in told}


def _named(filled: Mapping[Meaning, str]) -> dict[str, Any]:
    """Join the halves of a name, where the whole one is not given."""
    halves = [filled.get(each) for each in (Meaning.FIRST_NAME, Meaning.LAST_NAME)]
    joined = " ".join(half for half in halves if half)
    document = {str(meaning): cell for meaning, cell in filled.items()}
    document.pop(Meaning.FIRST_NAME, None)
    document.pop(Meaning.LAST_NAME, None)
    return {"name": joined, **document} if joined else document


def _with_members(
    document: dict[str, Any], members: Mapping[str, str]
) -> dict[str, Any] | ValidationFailed:
    metadata = document.get("metadata", {})
    if not members or not isinstance(metadata, dict):
        return document
    if twice := members.keys() & metadata.keys():
        paths = (Fault(("metadata", name), "").json_path() for name in twice)
        return ValidationFailed.at(dict.fromkeys(paths, "Given as a column, too."))
    return {**document, "metadata": {**metadata, **members}}
