"""JSON documents that clients send and PostgreSQL keeps: what can be stored, and where a fault is.

Pure: a document comes in, faults come out.
"""

import math
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

NUL = "\0"
MOST_FAULTS = 1_000
"""Faults that one answer lists."""

_BACKSLASH = ord("\\")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")

Path = tuple[str | int, ...]


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a document."""

    path: Path
    """Member names and array positions, from the document's root."""
    message: str
    """What is wrong, in words that don't repeat the value."""
    keyword: str = ""
    """The JSON Schema keyword that failed, where one did."""

    @property
    def pointer(self) -> str:
        """The place as a JSON pointer (RFC 6901)."""
        return pointer_to(self.path)

    def json_path(self, root: str = "$") -> str:
        """Write the place as a JSON path (RFC 9535) below `root`."""
        return root + "".join(_segment(step) for step in self.path)


def pointer_to(path: Iterable[str | int]) -> str:
    """Write a path as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _segment(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if _PLAIN_NAME.fullmatch(step):
        return f".{step}"
    quoted = step.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{quoted}']"


def storage_faults(document: object, *, max_bytes: int, max_depth: int) -> list[Fault]:
    """Find what keeps a decoded JSON document from being stored.

    Args:
        document: What a JSON decoder gave; Python's own decoder lets NaN and lone surrogates pass.
        max_bytes: Limit of the document's compact UTF-8 form.
        max_depth: Limit of nested objects and arrays; a bare object has depth 1.
    """
    try:
        written = msgspec.json.encode(document)
    except (UnicodeEncodeError, RecursionError):
        return list(islice(_closer_look(document, max_depth), MOST_FAULTS))
    if len(written) > max_bytes:
        return [Fault((), f"The document is larger than {max_bytes} bytes.")]
    if not _suspicious(written, max_depth):
        return []
    return list(islice(_closer_look(document, max_depth), MOST_FAULTS))


def _suspicious(written: bytes, max_depth: int) -> bool:
    # So few brackets can't nest deeper, and msgspec writes NaN and the infinities as null.
    # Most documents need no walk in Python.
    # One byte is found far faster than several: most documents escape nothing.
    brackets = written.count(b"{") + written.count(b"[")
    return (
        brackets > max_depth
        or b"null" in written
        or (_BACKSLASH in written and b"\\u0000" in written)
    )


def _closer_look(document: object, max_depth: int) -> Iterator[Fault]:
    pending: list[tuple[Path, Any]] = [((), document)]
    while pending:
        path, value = pending.pop()
        if fault := _value_fault(value):
            yield Fault(path, fault)
        elif isinstance(value, dict | list) and len(path) >= max_depth:
            yield Fault(path, f"Nested deeper than {max_depth} levels.")
        elif isinstance(value, list):
            pending.extend(((*path, index), item) for index, item in enumerate(value))
        elif isinstance(value, dict):
            for name, member in value.items():
                if fault := _value_fault(name):
                    yield Fault(path, f"The name of a member: {fault}")
                else:
                    pending.append(((*path, name), member))


def _value_fault(value: object) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else "Not a number that JSON has."
    if not isinstance(value, str):
        return None
    if NUL in value:
        return "Holds a NUL character."
    return "Holds half of a surrogate pair." if _SURROGATE.search(value) else None
