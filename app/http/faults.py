"""What is wrong with a value that a client sent, in words for people.

msgspec speaks of Python's types, shows a pattern as it stands and does not say what an enum takes.
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args

import msgspec

JSON_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_QUOTED = re.compile(r"`([^`]+)`")


def in_words(message: str, expected: Any) -> str:
    """Write what msgspec says of a value as a sentence.

    Args:
        message: msgspec's, without the place.
        expected: The type that the value has to have.
    """
    if message.startswith("Invalid enum value") and (values := list(_values_of(expected))):
        return f"Expected one of {', '.join(values)}."
    if "matching regex" in message and (described := _description_of(expected)):
        return described
    return f"{_QUOTED.sub(_named_as_in_json, message).rstrip('.')}."


def _named_as_in_json(quoted: re.Match[str]) -> str:
    return " or ".join(JSON_TYPES.get(name, name) for name in quoted[1].split(" | "))


def _values_of(expected: Any) -> Iterator[str]:
    if isinstance(expected, type) and issubclass(expected, Enum):
        yield from (str(each.value) for each in expected)
    for part in get_args(expected):
        yield from _values_of(part)


def _description_of(expected: Any) -> str | None:
    """Return what is said of a text that has to have a form."""
    for part in get_args(expected):
        if isinstance(part, msgspec.Meta) and part.pattern is not None:
            return part.description
        if found := _description_of(part):
            return found
    return None
