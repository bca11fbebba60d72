"""A grammar of small settings schemas, of changes to them, and of settings that may fit.

Everything is drawn from few names, numbers and texts, so that schemas and settings often meet.
"""

import copy
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from random import Random
from typing import Any

from app.applications.json_schema import DRAFT_7, DRAFT_2020_12, Draft

NAMES = ["a", "b", "ab", "c"]
PATTERNS = ["^a", "b$", "a", "^.$"]
TYPES = ["null", "boolean", "object", "array", "number", "integer", "string"]
PLAIN_VALUES = [None, True, False, 0, 1, 2, 3, 4, -1, 0.5, 1.5, 2.0, "", "a", "b", "ab", "abc", "1"]
LISTED_VALUES = [*PLAIN_VALUES, [], {}, {"a": 1}, [1]]
DEEPEST = 3
BY_NAME = {"properties", "patternProperties", "definitions", "dependencies", "dependentSchemas"}
SEQUENCES = {"allOf", "anyOf", "oneOf", "prefixItems", "items"}

Maker = Callable[[Random, int, Draft], Any]


def _number(*choices: float) -> Maker:
    return lambda random, _depth, _draft: random.choice(choices)


def _names(random: Random, _depth: int, _draft: Draft) -> list[str]:
    return random.sample(NAMES, random.randint(1, 2))


def _schemas(random: Random, depth: int, draft: Draft) -> list[Any]:
    return [schema(random, depth + 1, draft) for _ in range(random.randint(1, 3))]


def _one(random: Random, depth: int, draft: Draft) -> Any:
    return schema(random, depth + 1, draft)


def _closing(random: Random, depth: int, draft: Draft) -> Any:
    return False if random.random() < 0.7 else schema(random, depth + 1, draft)


def _named(*names: str) -> Maker:
    def make(random: Random, depth: int, draft: Draft) -> dict[str, Any]:
        chosen = random.sample(names, random.randint(1, min(3, len(names))))
        return {name: schema(random, depth + 1, draft) for name in chosen}

    return make


def _dependencies(random: Random, depth: int, draft: Draft) -> dict[str, Any]:
    make = random.choice([_names, _one])
    return {random.choice(NAMES): make(random, depth, draft)}


def _dependents(random: Random, depth: int, draft: Draft) -> dict[str, Any]:
    return {random.choice(NAMES): _names(random, depth, draft)}


def _items_of_seven(random: Random, depth: int, draft: Draft) -> Any:
    return random.choice([_one, _schemas])(random, depth, draft)


NUMBERS: dict[str, tuple[float, Maker]] = {
    "minimum": (0.3, _number(0, 1, 2, 0.5)),
    "maximum": (0.3, _number(1, 2, 3)),
    "exclusiveMinimum": (0.15, _number(0, 1, 2)),
    "exclusiveMaximum": (0.15, _number(1, 2, 3, 4)),
    "multipleOf": (0.2, _number(1, 2, 4, 0.5)),
}
TEXTS: dict[str, tuple[float, Maker]] = {
    "minLength": (0.3, _number(0, 1, 2)),
    "maxLength": (0.3, _number(0, 1, 2, 3)),
    "pattern": (0.2, lambda random, _depth, _draft: random.choice(PATTERNS)),
}
OBJECTS: dict[str, tuple[float, Maker]] = {
    "properties": (0.7, _named(*NAMES)),
    "required": (0.2, _names),
    "additionalProperties": (0.4, _closing),
    "patternProperties": (0.15, _named(*PATTERNS)),
    "propertyNames": (0.08, _one),
    "minProperties": (0.1, _number(0, 1, 2)),
    "maxProperties": (0.1, _number(0, 1, 2, 3)),
}
ARRAYS: dict[str, tuple[float, Maker]] = {
    "contains": (0.15, _one),
    "minItems": (0.2, _number(0, 1, 2)),
    "maxItems": (0.2, _number(0, 1, 2, 3)),
    "uniqueItems": (0.1, lambda random, _depth, _draft: random.random() < 0.7),
}
OF_DRAFT: dict[str, tuple[dict[str, tuple[float, Maker]], dict[str, tuple[float, Maker]]]] = {
    DRAFT_7.name: (
        {"dependencies": (0.12, _dependencies)},
        {"items": (0.6, _items_of_seven), "additionalItems": (0.3, _one)},
    ),
    DRAFT_2020_12.name: (
        {
            "dependentRequired": (0.08, _dependents),
            "dependentSchemas": (0.08, _named(*NAMES)),
            "unevaluatedProperties": (0.12, _closing),
        },
        {
            "items": (0.5, _one),
            "prefixItems": (0.3, _schemas),
            "unevaluatedItems": (0.1, _closing),
            "minContains": (0.1, _number(0, 1, 2)),
            "maxContains": (0.1, _number(0, 1, 2)),
        },
    ),
}
COMBINATIONS: dict[str, tuple[float, Maker]] = {
    "allOf": (0.08, _schemas),
    "anyOf": (0.1, _schemas),
    "oneOf": (0.08, _schemas),
    "not": (0.06, _one),
    "if": (0.06, _one),
    "then": (0.05, _one),
    "else": (0.05, _one),
}


def schema(random: Random, depth: int, draft: Draft) -> Any:
    """Draw a schema; the deeper, the simpler."""
    if random.random() < 0.06:
        return random.choice([True, False, {}])
    made: dict[str, Any] = {}
    kind = None
    if random.random() < 0.45:
        kind = random.choice(TYPES)
        made["type"] = kind if random.random() < 0.8 else sorted({kind, random.choice(TYPES)})
    if random.random() < 0.1:
        made["enum"] = random.sample(LISTED_VALUES, random.randint(1, 4))
    if random.random() < 0.05:
        made["const"] = random.choice(LISTED_VALUES)
    if random.random() < 0.08:
        made["$ref"] = random.choice(["#/definitions/x", "#/definitions/y", "#"])
    for keyword, (share, make) in _vocabulary(random, kind, depth, draft).items():
        if random.random() < share:
            made[keyword] = make(random, depth, draft)
    return made


def _vocabulary(
    random: Random, kind: str | None, depth: int, draft: Draft
) -> dict[str, tuple[float, Maker]]:
    of_objects, of_arrays = OF_DRAFT[draft.name]
    chosen: dict[str, tuple[float, Maker]] = {}
    if kind in {"number", "integer"} or random.random() < 0.15:
        chosen |= NUMBERS
    if kind == "string" or random.random() < 0.15:
        chosen |= TEXTS
    if depth < DEEPEST:
        chosen |= COMBINATIONS
        if kind == "object" or random.random() < 0.35:
            chosen |= OBJECTS | of_objects
        if kind == "array" or random.random() < 0.15:
            chosen |= ARRAYS | of_arrays
    return chosen


def settings_schema(random: Random, draft: Draft) -> dict[str, Any]:
    """Draw the schema of a room's settings, with two definitions."""
    made = schema(random, 0, draft)
    made = made if isinstance(made, dict) else {}
    for keyword in ("type", "enum", "const"):
        made.pop(keyword, None)
    made.setdefault("properties", _named(*NAMES)(random, 0, draft))
    made["definitions"] = {name: schema(random, 1, draft) for name in ("x", "y")}
    return {"$schema": draft.uri, **made}


def changed(random: Random, old: dict[str, Any], draft: Draft) -> dict[str, Any]:
    """Draw a change somewhere in a schema; it may tighten, relax or break it."""
    new = copy.deepcopy(old)
    # Much of the definitions is referred to by nothing.
    aside = {"$schema"} if random.random() < 0.3 else {"$schema", "definitions"}
    places = list(_places(new, aside))
    if not places:
        return settings_schema(random, draft)
    holder, key = random.choice(places)
    value = holder[key]
    if isinstance(holder, dict) and random.random() < 0.3:
        del holder[key]
    elif isinstance(value, bool):
        holder[key] = not value
    elif isinstance(value, int | float):
        holder[key] = value + random.choice([-1, 1])
    elif isinstance(value, dict):
        _change_object(random, holder, key, draft)
    elif isinstance(value, list):
        _change_list(random, key, value, draft)
    elif key == "type":
        holder[key] = random.choice(TYPES)
    return new


def _places(document: Any, aside: AbstractSet[str] = frozenset()) -> Iterator[tuple[Any, Any]]:
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in pairs:
        if key not in aside:
            yield document, key
            if isinstance(value, dict | list):
                yield from _places(value)


def _change_object(random: Random, holder: Any, key: Any, draft: Draft) -> None:
    value = holder[key]
    if key in BY_NAME:
        value[random.choice(NAMES)] = schema(random, DEEPEST - 1, draft)
    elif random.random() < 0.6:
        extra = schema(random, DEEPEST - 1, draft)
        value.update(extra if isinstance(extra, dict) else {})
    else:
        other = schema(random, DEEPEST - 1, draft)
        holder[key] = random.choice([other, {"anyOf": [value, other]}, {"allOf": [value]}, True])


def _change_list(random: Random, key: Any, value: list[Any], draft: Draft) -> None:
    if value and random.random() < 0.5:
        value.pop(random.randrange(len(value)))
    elif key == "required":
        value.append(random.choice(NAMES))
    elif key == "enum":
        value.append(random.choice(PLAIN_VALUES))
    elif key in SEQUENCES:
        value.insert(random.randint(0, len(value)), schema(random, DEEPEST - 1, draft))


def settings(random: Random) -> dict[str, Any]:
    """Draw settings."""
    return {name: _value(random, 1) for name in random.sample(NAMES, random.randint(0, 4))}


def _value(random: Random, depth: int) -> Any:
    kind = random.random()
    if depth < DEEPEST and kind < 0.35:
        chosen = random.sample(NAMES, random.randint(0, 3))
        return {name: _value(random, depth + 1) for name in chosen}
    if depth < DEEPEST and kind < 0.5:
        return [_value(random, depth + 1) for _ in range(random.randint(0, 3))]
    return random.choice(PLAIN_VALUES)
