"""What is wrong with a value that a client sent, in words for people.

msgspec speaks of Python's types, shows a pattern as it stands and does not say what an enum takes.
"""

import re
from collections.abc import Iterator
from enum import Enum
from functools import reduce
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

JSON_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_QUOTED = re.compile(r"`([^`]+)`")
_MEMBER = re.compile(r"Object (contains unknown|missing required) field `([^`]+)`")
_STEP = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")


def place_and_words(error: msgspec.ValidationError, expected: Any) -> tuple[str, str]:
    """Tell what msgspec says of a value: where in it, such as `.prizes[0].id`, and as a sentence.

    Args:
        error: msgspec's.
        expected: The type that the value has to have.
    """
    message, _, path = str(error).partition(" - at `")
    place = path.removesuffix("`").removeprefix("$")
    if member := _MEMBER.match(message):
        told = "Unknown field." if member[1] == "contains unknown" else "Required."
        return f"{place}.{member[2]}", told
    return place, in_words(message, reduce(_inside, _STEP.finditer(place), expected))


def in_words(message: str, expected: Any) -> str:
    """Write what msgspec says of a value as a sentence.

    Args:
        message: msgspec's, without the place.
        expected: The type that the value has to have.
    """
    if message.startswith(("Invalid enum value", "Invalid value")) and (
        values := list(_values_of(expected))
    ):
        return f"Expected one of {', '.join(values)}."
    if "matching regex" in message and (described := _description_of(expected)):
        return described
    return f"{_QUOTED.sub(_named_as_in_json, message).rstrip('.')}."


def _named_as_in_json(quoted: re.Match[str]) -> str:
    return " or ".join(JSON_TYPES.get(name, name) for name in quoted[1].split(" | "))


def _inside(expected: Any, step: re.Match[str]) -> Any:
    """Return the type of a member, or of what a list holds; of a tag the structs it tells apart."""
    name = step[1]
    if name is None:
        return next((get_args(kind)[0] for kind in _kinds_in(expected) if _is_list(kind)), None)
    structs = [kind for kind in _kinds_in(expected) if _is_struct(kind)]
    for struct in structs:
        if struct.__struct_config__.tag_field == name:
            return Literal[tuple(each.__struct_config__.tag for each in structs)]
        hints = get_type_hints(struct, include_extras=True)
        if name in hints:
            return hints[name]
    return None


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _kinds_in(expected: Any) -> Iterator[Any]:
    """Yield the types that a value may have."""
    if isinstance(expected, type) or _is_list(expected):
        yield expected
    else:
        for part in get_args(expected):
            yield from _kinds_in(part)


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in {list, tuple}


def _values_of(expected: Any) -> Iterator[str]:
    if get_origin(expected) is Literal:
        yield from (str(each) for each in get_args(expected))
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
