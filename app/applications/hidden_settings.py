"""Settings that only those who run a room may see: members that the app's schema marks `writeOnly`.

A quiz keeps its right answers there. Where a schema may apply or not (`anyOf`, `if`, …) it counts
as applying: what might be meant to stay hidden stays so. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from app.applications.json_schema import positions, schema_faults
from app.applications.schema_nodes import BRANCHES, Conjunction, Node, item, joined, member, read


def reader_of(schema: object) -> Node | None:
    """Prepare a settings schema for `public_settings`; None where it hides nothing.

    Nor does what is no schema that could be published, as a database that was taken over may hold.
    """
    if not isinstance(schema, dict) or schema_faults(schema):
        return None
    places = positions(schema).values()
    hides = any(place.keywords.get("writeOnly") is True for place in places)
    return read(schema) if hides else None


def public_settings(root: Node, settings: Mapping[str, Any]) -> Any:
    """Return a room's settings without their hidden members."""
    return _shown(settings, _widely(root))


def _shown(value: Any, holding: Conjunction) -> Any:
    if isinstance(value, Mapping):
        members = ((name, inner, _of_member(holding, name)) for name, inner in value.items())
        return {name: _shown(inner, its) for name, inner, its in members if not _is_hidden(its)}
    if isinstance(value, list):
        items = ((inner, _of_item(holding, index)) for index, inner in enumerate(value))
        return [_shown(inner, its) for inner, its in items if not _is_hidden(its)]
    return value


def _is_hidden(holding: Conjunction) -> bool:
    return any(node.keywords.get("writeOnly") is True for node in holding)


def _of_member(holding: Conjunction, name: str) -> Conjunction:
    return _widely(*member(holding, name), *_alone(holding, "unevaluatedProperties"))


def _of_item(holding: Conjunction, index: int) -> Conjunction:
    return _widely(
        *item(holding, index), *_alone(holding, "contains"), *_alone(holding, "unevaluatedItems")
    )


def _alone(holding: Conjunction, keyword: str) -> Iterator[Node]:
    return (found for node in holding if (found := node.only(keyword)) is not None)


def _widely(*nodes: Node) -> Conjunction:
    """Collect what holds for a value, and what may hold."""
    found: dict[Node, None] = {}
    pending = list(nodes)
    while pending:
        for node in joined(pending.pop()):
            if node not in found:
                found[node] = None
                pending.extend(
                    branch for keyword in BRANCHES for branch in node.under(keyword).values()
                )
    return tuple(found)
