"""Which JSON Schemas an app may publish, and the one way in which they are compiled.

A schema comes from outside and then runs against every room's settings. So nothing in it is
ever fetched, its patterns run in linear time, and the number of subschemas that one value can
meet is bounded, recursion included. Pure.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any
from urllib.parse import unquote

import msgspec
from jsonschema_rs import (
    Draft7Validator,
    Draft202012Validator,
    ReferencingError,
    RegexOptions,
    ValidationError,
    ValidationErrorKind,
    Validator,
)

from app.applications.documents import Fault, Path, pointer_to

MOST_VISITS = 1_000
"""Subschemas that may apply to one and the same value; doubling references pass any bound."""
MOST_PATTERNS = 64
"""Regular expressions in one schema."""
PATTERN_LIMITS = RegexOptions(size_limit=300_000, dfa_size_limit=300_000)
"""The linear-time engine, and the bytes that each of its expressions may take."""
DEEPEST_SETTINGS = 32
"""Nested objects and arrays of a room's settings."""

NAMED = frozenset(
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"]
)
"""Keywords that hold subschemas by name."""
IN_PLACE = frozenset(
    ["allOf", "anyOf", "dependencies", "dependentSchemas", "else", "if", "not", "oneOf", "then"]
)
"""Keywords whose subschemas meet the same value as the schema itself; `$ref` is another."""
ONE_MEMBER = frozenset(["additionalProperties", "properties", "unevaluatedProperties"])
"""Keywords of which one subschema meets a given member."""
EACH_MEMBER = frozenset(["patternProperties", "propertyNames"])
"""Keywords of which every subschema may meet a given member."""
ONE_ITEM = frozenset(["additionalItems", "items", "prefixItems", "unevaluatedItems"])
EACH_ITEM = frozenset({"contains"})
APPLICATORS = NAMED | IN_PLACE | ONE_MEMBER | EACH_MEMBER | ONE_ITEM | EACH_ITEM
ROOT_ONLY = frozenset({"$id", "$schema"})
UNSUPPORTED = frozenset(
    ["$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef", "$vocabulary"]
)


class Draft(msgspec.Struct, frozen=True):
    """A version of JSON Schema."""

    name: str
    uri: str
    validator: type[Validator]
    foreign: frozenset[str]
    """Keywords of the other draft, which this one would silently ignore."""
    metaschema: Validator
    """Validates schemas, but for formats: what they would say is checked here."""


def _metaschema(validator: type[Validator], uri: str) -> Validator:
    rule = {"$schema": uri, "$ref": uri}
    return validator(rule, mask="The value", validate_formats=False, offline=True)


DRAFT_7 = Draft(
    "draft 7",
    "http://json-schema.org/draft-07/schema#",
    Draft7Validator,
    frozenset(
        [
            "$defs",
            "dependentRequired",
            "dependentSchemas",
            "maxContains",
            "minContains",
            "prefixItems",
            "unevaluatedItems",
            "unevaluatedProperties",
        ]
    ),
    _metaschema(Draft7Validator, "http://json-schema.org/draft-07/schema#"),
)
DRAFT_2020_12 = Draft(
    "draft 2020-12",
    "https://json-schema.org/draft/2020-12/schema",
    Draft202012Validator,
    frozenset({"additionalItems", "dependencies"}),
    _metaschema(Draft202012Validator, "https://json-schema.org/draft/2020-12/schema"),
)


def draft_of(schema: Mapping[str, Any]) -> Draft | None:
    """Tell the draft of a schema by its `$schema`: 2020-12 without it, None for any other."""
    uri = schema.get("$schema", DRAFT_2020_12.uri)
    drafts = {draft.uri.rstrip("#"): draft for draft in (DRAFT_7, DRAFT_2020_12)}
    return drafts.get(uri.removesuffix("#")) if isinstance(uri, str) else None


def compile_schema(draft: Draft, schema: Mapping[str, Any]) -> Validator:
    """Compile a schema: formats asserted, patterns in linear time, nothing fetched.

    Raises:
        ValueError: The library refuses it.
        ReferencingError: A `$ref` leads nowhere.
    """
    # `$id` may claim any address; local references need none.
    body = {keyword: value for keyword, value in schema.items() if keyword not in ROOT_ONLY}
    return draft.validator(
        body,
        validate_formats=True,
        offline=True,
        pattern_options=PATTERN_LIMITS,
        mask="The value",
    )


def faults_of(validator: Validator, document: object) -> list[Fault]:
    """List every place where a document doesn't fit, each with its own path."""
    errors = validator.iter_errors(document)
    return list(dict.fromkeys(fault for error in errors for fault in _faults(error, document)))


def first_faults_of(validator: Validator, document: object) -> list[Fault]:
    """List what the first failing keyword finds, however much else is wrong."""
    try:
        validator.validate(document)
    except ValidationError as error:
        return list(_faults(error, document))
    return []


def _faults(error: ValidationError, document: Any) -> Iterator[Fault]:
    path, keyword = tuple(error.instance_path), error.kind.name
    match error.kind:
        case ValidationErrorKind.Required(property=name):
            yield Fault((*path, name), "Required.", keyword)
        case (
            ValidationErrorKind.AdditionalProperties(unexpected=names)
            | ValidationErrorKind.UnevaluatedProperties(unexpected=names)
        ):
            yield from _unexpected(path, names, keyword)
        case ValidationErrorKind.FalseSchema() if "additionalProperties" in error.schema_path[-1:]:
            # Where nothing else names members, the library reports one of them, without its name.
            yield from _unexpected(path, _at(path, document), keyword)
        case ValidationErrorKind.FalseSchema():
            yield Fault(path, "Not allowed here.", keyword)
        case _:
            yield Fault(path, f"{error.message}.", keyword)


def _at(path: Path, document: Any) -> Any:
    for step in path:
        document = document[step]
    return document


def _unexpected(path: Path, names: Iterable[str], keyword: str) -> Iterator[Fault]:
    return (Fault((*path, name), "No such member is known.", keyword) for name in names)


class Position(msgspec.Struct, frozen=True):
    """A place of a document where a schema stands."""

    path: Path
    schema: Mapping[str, Any] | bool

    @property
    def keywords(self) -> Mapping[str, Any]:
        """What the schema says; nothing where it is a boolean."""
        return {} if isinstance(self.schema, bool) else self.schema


def children(position: Position) -> Iterator[Position]:
    """List the direct subschemas of a schema, in the order of the document."""
    for keyword, value in position.keywords.items():
        inner: Iterator[tuple[Path, Any]] = iter(())
        if keyword not in APPLICATORS:
            continue
        if isinstance(value, list):
            inner = (((keyword, index), item) for index, item in enumerate(value))
        elif isinstance(value, dict) and keyword in NAMED:
            inner = (((keyword, name), member) for name, member in value.items())
        else:
            inner = iter([((keyword,), value)])
        for path, schema in inner:
            if isinstance(schema, dict | bool):
                yield Position(position.path + path, schema)


def schema_faults(schema: object) -> list[Fault]:
    """Find everything for which a settings schema is refused; paths start at the schema."""
    if not isinstance(schema, dict):
        return [Fault((), "Must be an object: the JSON Schema of a room's settings.")]
    draft = draft_of(schema)
    if draft is None:
        known = f"{DRAFT_7.uri} or {DRAFT_2020_12.uri}"
        return [Fault(("$schema",), f"Must be {known}; without it, the latter holds.")]
    places = positions(schema)
    faults = faults_of(draft.metaschema, schema)
    faults += _root_faults(schema)
    faults += _pattern_faults(places)
    for place in places.values():
        faults += _keyword_faults(draft, place)
        faults += _reference_faults(place, places)
    return faults or _faults_of_the_whole(draft, schema, places)


def positions(schema: Mapping[str, Any]) -> dict[str, Position]:
    """Find every schema inside a schema and itself, by JSON pointer."""
    found: dict[str, Position] = {}
    pending = deque([Position((), schema)])
    while pending:
        position = pending.popleft()
        found[pointer_to(position.path)] = position
        pending.extend(children(position))
    return found


def _root_faults(schema: Mapping[str, Any]) -> Iterator[Fault]:
    types = schema.get("type", "object")
    if "object" not in (types if isinstance(types, list) else [types]):
        yield Fault(("type",), "Must admit objects: a room's settings are one.")


def _pattern_faults(places: Mapping[str, Position]) -> Iterator[Fault]:
    patterns = [found for place in places.values() for found in _patterns(place)]
    if len(patterns) > MOST_PATTERNS:
        yield Fault((), f"More than {MOST_PATTERNS} regular expressions.")
    for path, pattern in patterns[:MOST_PATTERNS]:
        try:
            compile_schema(DRAFT_2020_12, {"pattern": pattern})
        except ValueError:
            yield Fault(
                path,
                "Not a regular expression that matches in linear time: back-references, "
                "look-around and very large repetitions are not available.",
            )


def _patterns(position: Position) -> Iterator[tuple[Path, str]]:
    if isinstance(pattern := position.keywords.get("pattern"), str):
        yield (*position.path, "pattern"), pattern
    if isinstance(by_pattern := position.keywords.get("patternProperties"), dict):
        for pattern in by_pattern:
            yield (*position.path, "patternProperties", pattern), pattern


def _keyword_faults(draft: Draft, position: Position) -> Iterator[Fault]:
    for keyword in position.keywords:
        path = (*position.path, keyword)
        if keyword in UNSUPPORTED:
            yield Fault(path, "Not supported. Refer by JSON pointer, as in #/$defs/name.")
        elif keyword in ROOT_ONLY and position.path:
            yield Fault(path, "Supported at the root of the schema only.")
        elif keyword in draft.foreign:
            yield Fault(path, f"Not a keyword of {draft.name}, the draft of this schema.")


def _reference_faults(position: Position, places: Mapping[str, Position]) -> Iterator[Fault]:
    reference = position.keywords.get("$ref")
    if not isinstance(reference, str):
        return
    path = (*position.path, "$ref")
    if reference != "#" and not reference.startswith("#/"):
        yield Fault(path, "Must be a JSON pointer into this schema, as in #/$defs/name.")
    elif target_of(reference) not in places:
        yield Fault(path, "Leads to no subschema of this schema.")


def target_of(reference: str) -> str:
    """Turn a local `$ref` into the JSON pointer that it stands for."""
    return unquote(reference[1:])


def _faults_of_the_whole(
    draft: Draft, schema: Mapping[str, Any], places: Mapping[str, Position]
) -> list[Fault]:
    try:
        visits = _most_visits(places)
    except CycleError as error:
        path = places[error.args[1][0]].path
        return [Fault(path, "Refers back to itself without going into a member or an item.")]
    if visits > MOST_VISITS:
        return [Fault((), f"More than {MOST_VISITS} subschemas apply to one and the same value.")]
    try:
        compile_schema(draft, schema)
    except (ValueError, ReferencingError) as error:
        return [Fault((), f"Can't be used: {error}")]
    return []


def most_visits(schema: Mapping[str, Any]) -> int:
    """Bound how many subschemas meet one value of the settings; the schema has no faults."""
    return _most_visits(positions(schema))


def _most_visits(places: Mapping[str, Position]) -> int:
    reach = {pointer: Reach.of(place) for pointer, place in places.items()}
    # What applies in place comes before what it applies for.
    order = tuple(TopologicalSorter({p: r.in_place for p, r in reach.items()}).static_order())
    leaves = {pointer: 0 for pointer in order if not reach[pointer].goes_inside}
    inside = dict.fromkeys(order, 1)
    worst = 0
    for _ in range(DEEPEST_SETTINGS):
        visits: dict[str, int] = {}
        for pointer in order:
            in_place = sum(visits[p] for p in reach[pointer].in_place)
            visits[pointer] = min(inside[pointer] + in_place, MOST_VISITS + 1)
        if visits[""] in {0, MOST_VISITS + 1}:
            return max(worst, visits[""])
        worst = max(worst, visits[""])
        deeper = leaves | {p: reach[p].visits_inside(visits) for p in order if p not in leaves}
        if deeper == inside:
            return worst
        inside = deeper
    return worst


class Reach(msgspec.Struct, frozen=True):
    """Pointers of the subschemas that a schema leads to, by the value that they meet."""

    in_place: list[str]
    one_member: list[str]
    each_member: list[str]
    one_item: list[str]
    each_item: list[str]

    @classmethod
    def of(cls, position: Position) -> "Reach":
        """Sort the subschemas of a schema by the value that they meet."""
        pointers = [
            (child.path[len(position.path)], pointer_to(child.path)) for child in children(position)
        ]
        kinds = (IN_PLACE, ONE_MEMBER, EACH_MEMBER, ONE_ITEM, EACH_ITEM)
        reach = cls(*([p for keyword, p in pointers if keyword in kind] for kind in kinds))
        if reference := position.keywords.get("$ref"):
            reach.in_place.append(target_of(reference))
        return reach

    @property
    def goes_inside(self) -> bool:
        """Whether it leads to schemas of members or items."""
        return bool(self.one_member or self.each_member or self.one_item or self.each_item)

    def visits_inside(self, visits: Mapping[str, int]) -> int:
        """Bound the visits of one member or item, given those of each subschema there."""
        member = max((visits[p] for p in self.one_member), default=0)
        item = max((visits[p] for p in self.one_item), default=0)
        return max(
            member + sum(visits[p] for p in self.each_member),
            item + sum(visits[p] for p in self.each_item),
        )
