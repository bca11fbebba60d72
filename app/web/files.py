"""The page's files as they are sent: modules, styles, and the document that loads them.

All of them have the digest of their whole in their address, so that browsers keep them for good and
never mix those of two versions.
"""

import base64
import functools
import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from app.http.public_path import public
from app.settings import DEFAULT_ADMIN_PATH, Settings, settings

HERE = Path(__file__).parent
MEDIA_TYPES: Final = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css"}
FIRST_MODULE: Final = "page/main.js"
_FROM = re.compile(r"(?:^|;)(?:import|export)\b[^;\"']*?\bfrom\s*[\"']([^\"']+)[\"']", re.MULTILINE)
_LINK = re.compile(r' (href|src)="/')
_TO_ADMINISTRATORS = re.compile(r"<a href=\"/admin/\".*?</a>\n", re.DOTALL)


class File(msgspec.Struct, frozen=True):
    """A file, and the same compressed."""

    content: bytes
    compressed: bytes
    media_type: str


class Library(msgspec.Struct, frozen=True):
    """A file of `vendor/`, as the package has it that it comes from."""

    package: str
    version: str
    file: str
    sha256: str
    imported: str | None = None
    """What modules call it; None: no module."""


class Document(msgspec.Struct, frozen=True):
    """The page without its contents: they are made by the modules that it loads."""

    content: bytes
    compressed: bytes
    tag: str
    import_map: str
    """What its policy calls the only script that stands in it."""


@functools.cache
def libraries() -> Mapping[str, Library]:
    """Return what `vendor/` holds, by the name of its file."""
    listed = (HERE / "vendor" / "vendor.json").read_bytes()
    return msgspec.json.decode(listed, type=dict[str, Library])


@functools.cache
def files() -> Mapping[str, File]:
    """Return all files by their path below this folder."""
    return {
        path.relative_to(HERE).as_posix(): _read(path)
        for folder in ("page", "vendor")
        for path in sorted((HERE / folder).iterdir())
        if path.suffix in MEDIA_TYPES
    }


@functools.cache
def digest() -> str:
    """Return what names this version of the files."""
    whole = hashlib.sha256()
    for path, file in files().items():
        whole.update(f"{path}\n{len(file.content)}\n".encode())
        whole.update(file.content)
    return whole.hexdigest()[:16]


@functools.cache
def document() -> Document:
    """Return the document with the addresses of its files."""
    current = settings()
    import_map = msgspec.json.encode(
        {"imports": {name: _address(path) for name, path in _names().items()}}
    ).decode()
    preloads = "\n".join(
        f'<link rel="modulepreload" href="{_address(path)}">' for path in loaded_first()
    )
    text = _written((HERE / "index.html").read_text(encoding="utf-8"), current)
    for place, filling in {
        "{{ base }}": current.public_path,
        "{{ style }}": _address("page/style.css"),
        "{{ imports }}": import_map,
        "{{ preloads }}": preloads,
        "{{ main }}": _address(FIRST_MODULE),
    }.items():
        text = text.replace(place, filling)
    content = text.encode()
    return Document(
        content,
        gzip.compress(content, mtime=0),
        f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        f"'sha256-{base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()}'",
    )


def loaded_first() -> list[str]:
    """Return the modules without which nothing is shown, so that browsers ask for all at once."""
    found, waiting = [], [FIRST_MODULE]
    while waiting:
        path = waiting.pop(0)
        if path not in found:
            found.append(path)
            waiting.extend(_imports_of(path))
    return found


def _imports_of(path: str) -> Iterator[str]:
    folder = path.rpartition("/")[0]
    for name in _FROM.findall(files()[path].content.decode()):
        yield f"{folder}/{name.removeprefix('./')}" if name.startswith("./") else _names()[name]


def _names() -> dict[str, str]:
    return {each.imported: f"vendor/{file}" for file, each in libraries().items() if each.imported}


def _address(path: str) -> str:
    return public(f"/web/{digest()}/{path}")


def _read(path: Path) -> File:
    content = path.read_bytes()
    return File(content, gzip.compress(content, mtime=0), MEDIA_TYPES[path.suffix])


def _written(text: str, current: Settings) -> str:
    """Let the links lead below PUBLIC_URL; a page for administrators that was moved is not told."""
    if current.ADMIN_PATH != DEFAULT_ADMIN_PATH:
        text = _TO_ADMINISTRATORS.sub("", text)
    return _LINK.sub(rf' \1="{current.public_path}/', text)
