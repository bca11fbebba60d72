"""Keywords that look at a value alone: does a new demand follow from what held before? Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from app.applications.json_schema import Draft, compile_schema
from app.applications.schema_nodes import (
    TYPES,
    Conjunction,
    Node,
    at_least,
    at_most,
    given,
    only_members,
    refers,
    required_by,
    types_of,
    values_of,
)


def follows(draft: Draft, keyword: str, demand: Any, old: Conjunction) -> bool:
    """Tell whether it is proved that every value that fits the old schemas meets a demand.

    Args:
        draft: The draft in which the demand is written.
        keyword: One of `ASSERTIONS`.
        demand: What stands beside it.
        old: What holds for the value.
    """
    values = values_of(old)
    if values is None:
        return ASSERTIONS[keyword](old, keyword, demand)
    return _takes(draft, {keyword: demand}, values)


def takes_every_listed_value(new: Node, old: Conjunction) -> bool:
    """Tell whether the old schemas list their values, and a new one takes them all."""
    values = values_of(old)
    return values is not None and not refers(new) and _takes(new.draft, new.keywords, values)


def _takes(draft: Draft, schema: Mapping[str, Any], values: list[Any]) -> bool:
    check = compile_schema(draft, schema)
    return all(check.is_valid(value) for value in values)


def reason_for(keyword: str) -> str:
    """Say in words what it means that a demand doesn't follow."""
    return _REASONS.get(keyword, f"{keyword} is new or stricter than before.")


_REASONS: Mapping[str, str] = {
    "const": "Not every value that was allowed before is this one.",
    "enum": "Not every value that was allowed before is listed.",
    "format": "The format is new or another one; texts of before may not have it.",
    "pattern": "The pattern is new or another one; texts of before may not match it.",
    "type": "Fewer types are allowed than before.",
}


def _type_follows(old: Conjunction, _: str, demand: Any) -> bool:
    names = demand if isinstance(demand, list) else [demand]
    return types_of(old) <= frozenset[str]().union(*(TYPES[name] for name in names))


def _never_follows(_: Conjunction, _keyword: str, _demand: Any) -> bool:
    return False


def _lower_bound_follows(old: Conjunction, keyword: str, demand: Any) -> bool:
    bounds = [(bound, False) for bound in given(old, "minimum")]
    bounds += [(bound, True) for bound in given(old, "exclusiveMinimum")]
    return any(bound >= (demand, keyword == "exclusiveMinimum") for bound in bounds)


def _upper_bound_follows(old: Conjunction, keyword: str, demand: Any) -> bool:
    bounds = [(-bound, False) for bound in given(old, "maximum")]
    bounds += [(-bound, True) for bound in given(old, "exclusiveMaximum")]
    return any(bound >= (-demand, keyword == "exclusiveMaximum") for bound in bounds)


def _multiple_follows(old: Conjunction, keyword: str, demand: Any) -> bool:
    if demand == 1:
        return "fraction" not in types_of(old)
    # Division of fractions is inexact; there only the same number will do.
    return any(
        step == demand or (isinstance(step, int) and isinstance(demand, int) and step % demand == 0)
        for step in given(old, keyword)
    )


def _fewest_follows(old: Conjunction, keyword: str, demand: Any) -> bool:
    if keyword == "minProperties" and len(required_by(old)) >= demand:
        return True
    return bool(at_least(old, keyword) >= demand)


def _most_follows(old: Conjunction, keyword: str, demand: Any) -> bool:
    if keyword == "maxProperties":
        names = only_members(old)
        if names is not None and len(names) <= demand:
            return True
    return bool(at_most(old, keyword) <= demand)


def _uniqueness_follows(old: Conjunction, keyword: str, demand: Any) -> bool:
    return not demand or any(given(old, keyword)) or at_most(old, "maxItems") <= 1


def _same_follows(old: Conjunction, keyword: str, demand: Any) -> bool:
    return demand in given(old, keyword)


ASSERTIONS: Mapping[str, Callable[[Conjunction, str, Any], bool]] = {
    "const": _never_follows,
    "contentEncoding": _same_follows,
    "contentMediaType": _same_follows,
    "enum": _never_follows,
    "exclusiveMaximum": _upper_bound_follows,
    "exclusiveMinimum": _lower_bound_follows,
    "format": _same_follows,
    "maxItems": _most_follows,
    "maxLength": _most_follows,
    "maxProperties": _most_follows,
    "maximum": _upper_bound_follows,
    "minItems": _fewest_follows,
    "minLength": _fewest_follows,
    "minProperties": _fewest_follows,
    "minimum": _lower_bound_follows,
    "multipleOf": _multiple_follows,
    "pattern": _same_follows,
    "type": _type_follows,
    "uniqueItems": _uniqueness_follows,
}
"""Keyword → does it follow from the old schemas, whose values aren't listed?"""
