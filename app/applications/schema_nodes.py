"""Settings schemas as the compatibility checker reads them: linked nodes and conjunctions of them.

A conjunction is a list of schemas that hold for one and the same value: a schema, what it refers
to, its `allOf`, and whatever else is known to hold. The functions here tell what a conjunction is
sure to demand; where they can't tell, they know of no demand. That errs on one side only: who
reasons from them may call a harmless change breaking, never the other way round. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from types import NoneType
from typing import Any

from jsonschema_rs import Validator

from app.applications.documents import Path, pointer_to
from app.applications.json_schema import (
    DRAFT_7,
    DRAFT_2020_12,
    Draft,
    children,
    compile_schema,
    draft_of,
    positions,
    target_of,
)

TYPES: Mapping[str, frozenset[str]] = {
    **{name: frozenset([name]) for name in ("array", "boolean", "integer", "null", "object")},
    "string": frozenset(["string"]),
    "number": frozenset(["integer", "fraction"]),
}
"""JSON Schema's types, as disjoint ones."""
ANY_TYPE = frozenset[str]().union(*TYPES.values())
BRANCHES = frozenset(["anyOf", "dependentSchemas", "else", "if", "oneOf", "then"])
"""Keywords whose subschemas may hold or not, and evaluate members only where they do."""
_TYPE_NAMES: Mapping[type, str] = {
    NoneType: "null",
    bool: "boolean",
    dict: "object",
    int: "integer",
    list: "array",
    str: "string",
}


@dataclass(eq=False, slots=True)
class Node:
    """A schema at its place."""

    path: Path
    """Its place in the manifest."""
    draft: Draft
    never: bool
    """It is the schema `false`."""
    keywords: Mapping[str, Any]
    """What it says, without what its draft ignores."""
    inner: "dict[str, dict[Any, Node]]" = field(default_factory=dict)
    """Its direct subschemas by keyword, and there by name or position; one alone by None."""
    target: "Node | None" = None
    """Where its `$ref` leads."""

    def under(self, keyword: str) -> "dict[Any, Node]":
        """Give the subschemas that a keyword holds, by name or position."""
        return self.inner.get(keyword, {})

    def only(self, keyword: str) -> "Node | None":
        """Give the one subschema that a keyword holds."""
        return self.under(keyword).get(None)


Conjunction = tuple[Node, ...]


def read(schema: Mapping[str, Any], at: Path = ()) -> Node:
    """Link the nodes of a schema that has no faults, and give its root.

    Args:
        schema: A settings schema, or a part of one that refers to nothing.
        at: Its place in the manifest.
    """
    draft = draft_of(schema) or DRAFT_2020_12
    places = positions(schema)
    nodes = {
        pointer: Node(
            (*at, *place.path), draft, place.schema is False, _effective(draft, place.keywords)
        )
        for pointer, place in places.items()
    }
    for pointer, node in nodes.items():
        for child in children(places[pointer]):
            keyword, *step = child.path[len(places[pointer].path) :]
            if keyword in node.keywords:
                found = node.inner.setdefault(str(keyword), {})
                found[step[0] if step else None] = nodes[pointer_to(child.path)]
        if "$ref" in node.keywords:
            node.target = nodes[target_of(node.keywords["$ref"])]
    return nodes[""]


def _effective(draft: Draft, keywords: Mapping[str, Any]) -> Mapping[str, Any]:
    # Draft 7 ignores everything beside a `$ref`.
    if draft is DRAFT_7 and "$ref" in keywords:
        return {"$ref": keywords["$ref"]}
    return keywords


def joined(*nodes: Node) -> Conjunction:
    """Collect what holds for a value for which all these schemas hold."""
    found: dict[Node, None] = {}
    pending = list(reversed(nodes))
    while pending:
        node = pending.pop()
        if node in found:
            continue
        found[node] = None
        pending.extend(node.under("allOf").values())
        if node.target is not None:
            pending.append(node.target)
    return tuple(found)


def refers(node: Node) -> bool:
    """Tell whether a `$ref` stands anywhere in a schema."""
    return node.target is not None or any(
        refers(inner) for found in node.inner.values() for inner in found.values()
    )


def given(conjunction: Conjunction, keyword: str) -> list[Any]:
    """List what the schemas say by a keyword."""
    return [node.keywords[keyword] for node in conjunction if keyword in node.keywords]


def is_impossible(conjunction: Conjunction) -> bool:
    """Tell whether surely no value fits."""
    return (
        any(node.never for node in conjunction)
        or not types_of(conjunction)
        or values_of(conjunction) == []
    )


def types_of(conjunction: Conjunction) -> frozenset[str]:
    """Give the disjoint types beyond which surely no value fits."""
    types = ANY_TYPE
    for named in given(conjunction, "type"):
        names = named if isinstance(named, list) else [named]
        types &= frozenset[str]().union(*(TYPES[name] for name in names))
    if (listed := _listed(conjunction)) is not None:
        types &= {type_of(value) for value in listed}
    return types


def values_of(conjunction: Conjunction) -> list[Any] | None:
    """List the values beyond which surely none fits; None where they aren't listed."""
    listed = _listed(conjunction)
    if listed is None and types_of(conjunction) <= {"boolean", "null"}:
        listed = [None, False, True]
    if listed is None:
        return None
    types = types_of(conjunction)
    return [value for value in listed if type_of(value) in types]


def _listed(conjunction: Conjunction) -> list[Any] | None:
    lists = [values for node in conjunction for values in _lists(node)]
    if not lists:
        return None
    common = frozenset.intersection(*(frozenset(map(identity, values)) for values in lists))
    return [value for value in lists[0] if identity(value) in common]


def _lists(node: Node) -> Iterator[list[Any]]:
    if "enum" in node.keywords:
        yield node.keywords["enum"]
    if "const" in node.keywords:
        yield [node.keywords["const"]]
    for keyword in ("anyOf", "oneOf"):
        cases = [_listed((case,)) for case in node.under(keyword).values()]
        values = [value for case in cases if case is not None for value in case]
        if cases and None not in cases:
            yield values


def type_of(value: object) -> str:
    """Name the disjoint type of a JSON value."""
    if isinstance(value, float):
        return "integer" if value.is_integer() else "fraction"
    return _TYPE_NAMES[type(value)]


def identity(value: object) -> object:
    """Give a hashable stand-in, equal for equal JSON values: 1 is 1.0 and not true."""
    match value:
        case bool() | None:
            return (value,)
        case list():
            return ("array", tuple(map(identity, value)))
        case dict():
            return ("object", frozenset((name, identity(value[name])) for name in value))
    return value


def at_least(conjunction: Conjunction, keyword: str) -> float:
    """Give the strictest of lower limits on a count."""
    return max(given(conjunction, keyword), default=0)


def at_most(conjunction: Conjunction, keyword: str) -> float:
    """Give the strictest of upper limits on a count."""
    return min(given(conjunction, keyword), default=inf)


def required_by(conjunction: Conjunction) -> frozenset[str]:
    """Give the members that every value surely has, if it is an object."""
    return frozenset(name for names in given(conjunction, "required") for name in names)


def dependents(node: Node) -> dict[str, list[str]]:
    """Give the members that must be there, by the member that demands them."""
    keyword = "dependencies" if node.draft is DRAFT_7 else "dependentRequired"
    pairs = node.keywords.get(keyword, {}).items()
    return {name: needed for name, needed in pairs if isinstance(needed, list)}


def dependent_schemas(node: Node) -> "dict[str, Node]":
    """Give the schemas that must hold for the object, by the member that demands them."""
    return node.under("dependencies" if node.draft is DRAFT_7 else "dependentSchemas")


# Members


def named_members(conjunction: Conjunction) -> list[str]:
    """List the members that the schemas name, in order."""
    return list(
        dict.fromkeys(n for properties in given(conjunction, "properties") for n in properties)
    )


def member_patterns(conjunction: Conjunction) -> list[str]:
    """List the patterns that the schemas give for names of members."""
    return list(
        dict.fromkeys(p for given_ in given(conjunction, "patternProperties") for p in given_)
    )


def member(conjunction: Conjunction, name: str) -> Conjunction:
    """Tell what holds for the member of this name."""
    return joined(*(found for node in conjunction for found in _member(node, name)))


def _member(node: Node, name: str) -> Iterator[Node]:
    if _names(node, name):
        properties = node.under("properties")
        yield from [properties[name]] if name in properties else []
        yield from (n for p, n in node.under("patternProperties").items() if matches(p, name))
    elif (additional := node.only("additionalProperties")) is not None:
        yield additional
    elif (rest := _sure_unevaluated(node)) and not any(_names(n, name) for n in joined(node)):
        yield rest


def _names(node: Node, name: str) -> bool:
    return name in node.keywords.get("properties", {}) or any(
        matches(pattern, name) for pattern in node.keywords.get("patternProperties", {})
    )


def other_member(conjunction: Conjunction, pattern: str | None) -> Conjunction:
    """Tell what holds for a member that no schema names.

    Args:
        conjunction: Schemas of the object.
        pattern: A pattern that the name matches, perhaps beside others; None for a name that
            matches none of the schemas' patterns.
    """
    return joined(*(found for node in conjunction for found in _other_member(node, pattern)))


def _other_member(node: Node, pattern: str | None) -> Iterator[Node]:
    by_pattern = node.under("patternProperties")
    if pattern is not None and by_pattern:
        yield from [by_pattern[pattern]] if pattern in by_pattern else []
    elif (additional := node.only("additionalProperties")) is not None:
        yield additional
    elif (rest := _sure_unevaluated(node)) and (
        pattern is None or not member_patterns(joined(node))
    ):
        yield rest


def only_members(conjunction: Conjunction) -> list[str] | None:
    """List the members beyond which surely none is allowed; None where others may be."""
    kinds = [*member_patterns(conjunction), None]
    if not all(is_impossible(other_member(conjunction, kind)) for kind in kinds):
        return None
    return [n for n in named_members(conjunction) if not is_impossible(member(conjunction, n))]


def _sure_unevaluated(node: Node) -> Node | None:
    """Give `unevaluatedProperties` where every other keyword that evaluates members is known."""
    rest = node.only("unevaluatedProperties")
    for other in joined(node):
        if other.keywords.keys() & BRANCHES or (other is not node and evaluates_all(other)):
            return None
    return rest


def evaluates_all(node: Node) -> bool:
    """Tell whether a schema's own keywords leave no member unevaluated."""
    return not node.keywords.keys().isdisjoint(["additionalProperties", "unevaluatedProperties"])


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> Validator:
    return compile_schema(DRAFT_2020_12, {"pattern": pattern})


def matches(pattern: str, text: str) -> bool:
    """Match as the validator does."""
    return _pattern(pattern).is_valid(text)


# Items


def prefix(node: Node) -> list[Node]:
    """List the schemas of the first items."""
    if node.draft is not DRAFT_7:
        return list(node.under("prefixItems").values())
    return [] if node.only("items") else list(node.under("items").values())


def rest_of_items(node: Node) -> Node | None:
    """Give the schema of the items after the prefix."""
    if node.draft is DRAFT_7 and isinstance(node.keywords.get("items"), list):
        return node.only("additionalItems")
    return node.only("items")


def item(conjunction: Conjunction, index: int) -> Conjunction:
    """Tell what holds for the item at a position."""
    found: list[Node] = []
    for node in conjunction:
        first, rest = prefix(node), _sure_rest_of_items(node)
        found += [first[index]] if index < len(first) else [rest] if rest is not None else []
    return joined(*found)


def longest_prefix(conjunction: Conjunction) -> int:
    """Count the items that have schemas of their own."""
    return max((len(prefix(node)) for node in conjunction), default=0)


def _sure_rest_of_items(node: Node) -> Node | None:
    if (rest := rest_of_items(node)) is not None:
        return rest
    evaluators = BRANCHES | {"$ref", "allOf", "contains"}
    return node.only("unevaluatedItems") if evaluators.isdisjoint(node.keywords) else None
