"""Proofs that a new JSON Schema accepts whatever an old one accepts. Pure.

How it is proved for a keyword is in `schema_demands` and `schema_rules`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from app.applications.documents import pointer_to
from app.applications.schema_demands import (
    ASSERTIONS,
    follows,
    reason_for,
    takes_every_listed_value,
)
from app.applications.schema_nodes import (
    ANY_TYPE,
    TYPES,
    Conjunction,
    Node,
    dependents,
    identity,
    is_impossible,
    joined,
    types_of,
)

MOST_COMPARISONS = 30_000
"""Pairs of places that are looked at; schemas that need more count as broken."""
DEEPEST_COMPARISON = 100
"""Pairs on the way from the root to one place."""


class Change(msgspec.Struct, frozen=True):
    """A place of a manifest that may refuse what was valid before."""

    pointer: str
    """JSON pointer into the manifest: where the new one is stricter, or the old one had more."""
    reason: str
    """What changed there, in words."""


class TooComplex(Exception):
    """A comparison went beyond its limits."""


class Comparison:
    """Proofs that whatever an old conjunction accepts, a new schema accepts too.

    Recursive schemas are compared as far as the same pair comes back: the pair may then be taken
    as proved, because a value is finite and each round goes one level into it.
    """

    def __init__(self, rules: "Mapping[str, Rule]") -> None:
        """Begin with nothing proved.

        Args:
            rules: For each keyword that is no mere assertion, where it may refuse more.
        """
        self._rules = rules
        self._proved: dict[tuple[frozenset[Node], Node], None] = {}
        self._refuted: dict[tuple[frozenset[Node], Node], list[Change]] = {}
        self._depth = 0
        self._compared = 0

    def fits(self, old: Conjunction, new: Node) -> bool:
        """Tell whether it is proved that the new schema accepts whatever the old ones do."""
        return not self.demands_more(old, new)

    def demands_more(self, old: Conjunction, new: Node) -> list[Change]:
        """List where the new schema might refuse what the old ones accept.

        Raises:
            TooComplex: The limits of a comparison are reached.
        """
        pair = (frozenset(old), new)
        if pair in self._proved:
            return []
        if pair not in self._refuted:
            self._prove(pair, old, new)
        return self._refuted.get(pair, [])

    def _prove(self, pair: tuple[frozenset[Node], Node], old: Conjunction, new: Node) -> None:
        if self._depth > DEEPEST_COMPARISON:
            raise TooComplex
        assumed_before = len(self._proved)
        self._proved[pair] = None
        self.count()
        self._depth += 1
        changes = [] if self._is_clear(old, new) else self._stricter(old, new)
        if changes and not self._fits_by_cases(old, new):
            # What was proved meanwhile may rest on this pair.
            while len(self._proved) > assumed_before:
                self._proved.popitem()
            self._refuted[pair] = changes
        self._depth -= 1

    def count(self) -> None:
        """Take one more pair into account.

        Raises:
            TooComplex: It is one too many.
        """
        self._compared += 1
        if self._compared > MOST_COMPARISONS:
            raise TooComplex

    def _is_clear(self, old: Conjunction, new: Node) -> bool:
        return (
            is_impossible(old)
            or any(self.repeat({None: node}, {None: new}) for node in old)
            or (not new.never and takes_every_listed_value(new, old))
        )

    def repeat(self, ours: Mapping[Any, Node], theirs: Mapping[Any, Node]) -> bool:
        """Tell whether schemas surely demand the same, in the same words; annotations aside."""
        pending = [(ours, theirs)]
        seen: set[tuple[Node, Node]] = set()
        while pending:
            ours, theirs = pending.pop()
            if ours.keys() != theirs.keys():
                return False
            for pair in ((node, theirs[step]) for step, node in ours.items()):
                if pair in seen:
                    continue
                seen.add(pair)
                self.count()
                if _plain_demands(pair[0]) != _plain_demands(pair[1]):
                    return False
                pending.append((_links(pair[0]), _links(pair[1])))
        return True

    def _stricter(self, old: Conjunction, new: Node) -> list[Change]:
        if new.never:
            return [Change(pointer_to(new.path), "No value is allowed here any more.")]
        changes: list[Change] = []
        types = types_of(old)
        for keyword, demand in new.keywords.items():
            if types.isdisjoint(CONCERNS.get(keyword, ANY_TYPE)):
                continue
            if keyword in ASSERTIONS:
                if not follows(new.draft, keyword, demand, old):
                    changes.append(changed_at(new, keyword, reason_for(keyword)))
            elif keyword in self._rules:
                changes += self._rules[keyword](self, old, new)
        return changes

    def _fits_by_cases(self, old: Conjunction, new: Node) -> bool:
        """Try each alternative of an `anyOf` or `oneOf` for itself."""
        for node in old:
            for keyword in ("anyOf", "oneOf"):
                cases = list(node.under(keyword).values())
                # A case that is known to hold says nothing new, and would never end.
                if cases and not any(case in old for case in cases):
                    return all(self.fits(joined(*old, case), new) for case in cases)
        return False


Rule = Callable[[Comparison, Conjunction, Node], Iterable[Change]]
"""Lists where a new schema's keyword may refuse what the old schemas accept."""


def changed_at(node: Node, keyword: str, reason: str) -> Change:
    """Name a keyword as the place of a change."""
    return Change(pointer_to([*node.path, keyword]), reason)


def _plain_demands(node: Node) -> dict[str, object]:
    return {
        keyword: identity(demand)
        for keyword, demand in node.keywords.items()
        if keyword in ASSERTIONS or keyword in {"maxContains", "minContains", "required"}
    } | {"": (node.never, identity(dependents(node)))}


def _links(node: Node) -> dict[tuple[str, object], Node]:
    links: dict[tuple[str, object], Node] = {
        (keyword, step): inner
        for keyword, found in node.inner.items()
        if keyword not in {"$defs", "definitions"}
        for step, inner in found.items()
    }
    return links if node.target is None else {**links, ("$ref", None): node.target}


_NUMBERS, _TEXTS = TYPES["number"], TYPES["string"]
_ARRAYS, _OBJECTS = TYPES["array"], TYPES["object"]
CONCERNS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum"], _NUMBERS),
    "multipleOf": _NUMBERS,
    **dict.fromkeys(["contentEncoding", "contentMediaType", "format", "pattern"], _TEXTS),
    **dict.fromkeys(["maxLength", "minLength"], _TEXTS),
    **dict.fromkeys(["additionalItems", "contains", "items", "prefixItems"], _ARRAYS),
    **dict.fromkeys(["maxItems", "minItems", "unevaluatedItems", "uniqueItems"], _ARRAYS),
    **dict.fromkeys(["additionalProperties", "patternProperties", "properties"], _OBJECTS),
    **dict.fromkeys(["dependencies", "dependentRequired", "dependentSchemas"], _OBJECTS),
    **dict.fromkeys(["maxProperties", "minProperties", "propertyNames", "required"], _OBJECTS),
    "unevaluatedProperties": _OBJECTS,
}
"""The types that a keyword says anything about; every type where it isn't listed."""
