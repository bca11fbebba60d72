"""JSON documents that clients send and PostgreSQL keeps: what can be stored, and where a fault is.

Pure: a document comes in, faults come out.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from itertools import accumulate, islice

import msgspec

NUL = "\0"
MOST_FAULTS = 1_000
"""Faults that one answer lists."""
MOST_VALUES = 20_000
"""Of a document, that are looked at for the place of a fault."""

_BACKSLASH = ord("\\")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_UNSTORABLE = "a NUL character, half of a surrogate pair or a number that JSON has not"
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", bytes([1, 1, 255, 255]))  # as signed bytes: 1 up, 1 down
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

    Whether there is anything is told by the text, at the speed of C; where it is by a walk in
    Python, which ends after MOST_VALUES.

    Args:
        document: What a JSON decoder gave; Python's own decoder lets NaN and lone surrogates pass.
        max_bytes: Limit of the document's compact UTF-8 form.
        max_depth: Limit of nested objects and arrays; a bare object has depth 1.
    """
    try:
        written = msgspec.json.encode(document)
    except (UnicodeEncodeError, RecursionError):
        written = None
    if written is not None and len(written) > max_bytes:
        return [Fault((), f"The document is larger than {max_bytes} bytes.")]
    if written is not None and not _has_faults(document, written, max_depth):
        return []
    found = list(islice(_faults_of_values(document, max_depth), MOST_FAULTS))
    return found or [Fault((), f"Holds {_UNSTORABLE}, or is nested deeper than {max_depth}.")]


def _has_faults(document: object, written: bytes, max_depth: int) -> bool:
    # One byte is found far faster than several: most documents escape nothing and are flat.
    if _BACKSLASH in written and rb"\u0000" in written.replace(rb"\\", b""):
        return True
    brackets = written.count(b"{") + written.count(b"[")
    if brackets > max_depth and depth_of(written) > max_depth:
        return True
    # msgspec writes NaN and the infinities as null.
    return b"null" in written and not _is_finite(document)


def _is_finite(document: object) -> bool:
    try:
        json.dumps(document, allow_nan=False)
    except ValueError:
        return False
    return True


def depth_of(written: bytes) -> int:
    """Tell how deep objects and arrays are nested in compact JSON text."""
    steps = b"".join(outside_of_strings(written)).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def outside_of_strings(written: bytes) -> list[bytes]:
    """Return what stands between the strings of JSON text: one piece more than it has strings."""
    if _BACKSLASH in written:
        written = written.replace(rb"\\", b"").replace(rb"\"", b"")
    return written.split(b'"')[::2]


def _faults_of_values(document: object, max_depth: int) -> Iterator[Fault]:
    for path, value in values_of(document, max_depth):
        if fault := _value_fault(value):
            yield Fault(path, fault)
        elif isinstance(value, dict | list) and len(path) >= max_depth:
            yield Fault(path, f"Nested deeper than {max_depth} levels.")
        elif isinstance(value, dict):
            for name in value:
                if fault := _value_fault(name):
                    yield Fault(path, f"The name of a member: {fault}")


def values_of(document: object, max_depth: int) -> Iterator[tuple[Path, object]]:
    """Yield each value of a document with its place, the first MOST_VALUES of them.

    Args:
        document: Decoded JSON.
        max_depth: How deep to go.
    """
    left = MOST_VALUES
    pending: list[Iterator[tuple[Path, object]]] = [iter([((), document)])]
    while pending and left:
        entry = next(pending[-1], None)
        if entry is None:
            pending.pop()
            continue
        left -= 1
        yield entry
        path, value = entry
        if len(path) < max_depth:
            pending.append(_members(path, value))


def _members(path: Path, value: object) -> Iterator[tuple[Path, object]]:
    if isinstance(value, list):
        yield from (((*path, index), item) for index, item in enumerate(value))
    elif isinstance(value, dict):
        yield from (((*path, name), member) for name, member in value.items())


def _value_fault(value: object) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else "Not a number that JSON has."
    if not isinstance(value, str):
        return None
    if NUL in value:
        return "Holds a NUL character."
    return "Holds half of a surrogate pair." if _SURROGATE.search(value) else None
