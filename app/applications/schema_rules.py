"""The rules of `schema_comparison` for keywords that are more than assertions. Pure."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from math import inf

from app.applications.documents import pointer_to
from app.applications.schema_comparison import Change, Comparison, Rule, changed_at
from app.applications.schema_nodes import (
    Conjunction,
    Node,
    at_most,
    dependent_schemas,
    dependents,
    evaluates_all,
    is_impossible,
    item,
    joined,
    longest_prefix,
    matches,
    member,
    member_patterns,
    named_members,
    only_members,
    other_member,
    prefix,
    read,
    required_by,
    rest_of_items,
    types_of,
)

_TEXT = read({"type": "string"})


def _compare_required(_: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    for name in new.keywords["required"]:
        if name not in required_by(old):
            yield changed_at(new, "required", f'"{name}" is required now.')


def _compare_dependents(_: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    keyword = "dependencies" if "dependencies" in new.keywords else "dependentRequired"
    for name, needed in dependents(new).items():
        known = required_by(old).union(*(dependents(node).get(name, []) for node in old))
        if not known.issuperset(needed) and not is_impossible(member(old, name)):
            reason = f'"{name}" demands more members beside it than before.'
            yield changed_at(new, keyword, reason)


def _compare_dependent_schemas(
    comparison: Comparison, old: Conjunction, new: Node
) -> Iterator[Change]:
    for name, schema in dependent_schemas(new).items():
        if not is_impossible(member(old, name)):
            known = [found for node in old if (found := dependent_schemas(node).get(name))]
            yield from comparison.demands_more(joined(*old, *known), schema)


def _compare_dependencies(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    yield from _compare_dependents(comparison, old, new)
    yield from _compare_dependent_schemas(comparison, old, new)


def _compare_properties(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    for name, schema in new.under("properties").items():
        known = member(old, name)
        changes = comparison.demands_more(known, schema)
        if changes and not known:
            yield Change(
                pointer_to(schema.path),
                f'"{name}" could hold anything before, because the object was open to members '
                "that it doesn't name. An object with additionalProperties: false can grow.",
            )
        else:
            yield from changes


def _compare_patterns(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    known = member_patterns(old)
    for pattern, schema in new.under("patternProperties").items():
        for name in named_members(old):
            if matches(pattern, name):
                yield from comparison.demands_more(member(old, name), schema)
        for possible in [pattern] if pattern in known else [*known, None]:
            yield from comparison.demands_more(other_member(old, possible), schema)


def _compare_additional(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    yield from _compare_other_members(comparison, old, new, "additionalProperties", (new,))


def _compare_unevaluated(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    # What branches evaluate besides is left aside, which only makes the demand look stricter.
    evaluators = joined(new)
    others = [node for node in evaluators if node is not new]
    if "additionalProperties" not in new.keywords and not any(map(evaluates_all, others)):
        yield from _compare_other_members(comparison, old, new, "unevaluatedProperties", evaluators)


def _compare_other_members(
    comparison: Comparison, old: Conjunction, new: Node, keyword: str, evaluators: Conjunction
) -> Iterator[Change]:
    """Compare the members that the old schemas allowed and the new evaluators don't name."""
    schema = new.under(keyword)[None]
    names, patterns = named_members(evaluators), member_patterns(evaluators)
    for name in named_members(old):
        is_named = name in names or any(matches(pattern, name) for pattern in patterns)
        if not is_named and not comparison.fits(member(old, name), schema):
            reason = f'"{name}" was removed, and {keyword} refuses what it could hold.'
            yield Change(pointer_to([*new.path, "properties", name]), reason)
    for pattern in [*member_patterns(old), None]:
        known = other_member(old, pattern)
        if pattern not in patterns and not comparison.fits(known, schema):
            reason = f"{keyword} refuses members that were allowed before."
            yield changed_at(new, keyword, reason)


def _compare_names(comparison: Comparison, old: Conjunction, new: Node) -> list[Change]:
    known = [node.under("propertyNames")[None] for node in old if node.only("propertyNames")]
    names = only_members(old)
    listed = [] if names is None else [read({"enum": names})]
    return comparison.demands_more(joined(_TEXT, *known, *listed), new.under("propertyNames")[None])


def _compare_prefix(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    for index, schema in enumerate(prefix(new)):
        if index < at_most(old, "maxItems"):
            yield from comparison.demands_more(item(old, index), schema)


def _compare_rest(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    if (schema := rest_of_items(new)) is not None:
        yield from _compare_later_items(comparison, old, new, schema)


def _compare_items(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    """Compare `items`, which in draft 7 may be the prefix."""
    is_prefix = isinstance(new.keywords["items"], list)
    yield from (_compare_prefix if is_prefix else _compare_rest)(comparison, old, new)


def _compare_unevaluated_items(
    comparison: Comparison, old: Conjunction, new: Node
) -> Iterator[Change]:
    # Other evaluators are left aside, which only makes the demand look stricter.
    if rest_of_items(new) is None:
        yield from _compare_later_items(comparison, old, new, new.under("unevaluatedItems")[None])


def _compare_later_items(
    comparison: Comparison, old: Conjunction, new: Node, schema: Node
) -> Iterator[Change]:
    first = len(prefix(new))
    last = max(first, longest_prefix(old))
    for index in range(first, last + 1):
        if index < at_most(old, "maxItems"):
            yield from comparison.demands_more(item(old, index), schema)


def _compare_contained(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    wanted = new.under("contains")[None]
    rivals = [node for node in old if node.only("contains")]
    fewest = new.keywords.get("minContains", 1)
    if fewest and not any(
        node.keywords.get("minContains", 1) >= fewest
        and comparison.fits(joined(node.under("contains")[None]), wanted)
        for node in rivals
    ):
        yield changed_at(new, "contains", "Items are demanded that didn't have to be there before.")
    most = new.keywords.get("maxContains")
    if most is not None and not any(
        node.keywords.get("maxContains", inf) <= most
        and comparison.fits(joined(wanted), node.under("contains")[None])
        for node in rivals
    ):
        yield changed_at(new, "maxContains", "Fewer items of this kind are allowed than before.")


def _compare_target(comparison: Comparison, old: Conjunction, new: Node) -> list[Change]:
    return [] if new.target is None else comparison.demands_more(old, new.target)


def _compare_all(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    for schema in new.under("allOf").values():
        yield from comparison.demands_more(old, schema)


def _compare_any(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    if not any(comparison.fits(old, schema) for schema in new.under("anyOf").values()):
        yield changed_at(new, "anyOf", "No alternative surely takes every value of before.")


def _compare_one(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    choices = new.under("oneOf")
    if any(comparison.repeat(node.under("oneOf"), choices) for node in old):
        return
    exclusive = True
    for one, other in combinations(choices.values(), 2):
        comparison.count()
        exclusive = exclusive and _exclude(joined(one), joined(other))
    if not exclusive or not any(comparison.fits(old, schema) for schema in choices.values()):
        yield changed_at(
            new, "oneOf", "Not every value of before surely fits exactly one alternative."
        )


def _compare_not(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    refused = joined(new.under("not")[None])
    was_refused = (rival for node in old if (rival := node.only("not")))
    if not _exclude(old, refused) and not any(
        comparison.fits(refused, rival) for rival in was_refused
    ):
        yield changed_at(new, "not", "Values may be refused that were allowed before.")


def _exclude(one: Conjunction, other: Conjunction) -> bool:
    """Tell whether surely no value fits both, by type, by listed values or by those of a member."""
    both = joined(*one, *other)
    if is_impossible(both):
        return True
    return types_of(both) == {"object"} and any(
        is_impossible(member(both, name)) for name in required_by(both)
    )


def _compare_if(comparison: Comparison, old: Conjunction, new: Node) -> Iterator[Change]:
    condition = new.under("if")[None]
    rivals = [node for node in old if comparison.repeat(node.under("if"), {None: condition})]
    for keyword in ("then", "else"):
        if schema := new.only(keyword):
            known = [branch for node in rivals if (branch := node.only(keyword))]
            met = [condition] if keyword == "then" else []
            yield from comparison.demands_more(joined(*old, *met, *known), schema)


RULES: Mapping[str, Rule] = {
    "$ref": _compare_target,
    "additionalItems": _compare_rest,
    "additionalProperties": _compare_additional,
    "allOf": _compare_all,
    "anyOf": _compare_any,
    "contains": _compare_contained,
    "dependencies": _compare_dependencies,
    "dependentRequired": _compare_dependents,
    "dependentSchemas": _compare_dependent_schemas,
    "if": _compare_if,
    "items": _compare_items,
    "not": _compare_not,
    "oneOf": _compare_one,
    "patternProperties": _compare_patterns,
    "prefixItems": _compare_prefix,
    "properties": _compare_properties,
    "propertyNames": _compare_names,
    "required": _compare_required,
    "unevaluatedItems": _compare_unevaluated_items,
    "unevaluatedProperties": _compare_unevaluated,
}
