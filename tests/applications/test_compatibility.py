import re
from typing import Any, NamedTuple

import pytest

from app.applications import schema_comparison, schema_demands, schema_rules
from app.applications.compatibility import breaking_changes, breaking_within_major
from app.applications.json_schema import (
    APPLICATORS,
    DRAFT_7,
    DRAFT_2020_12,
    Draft,
    compile_schema,
    schema_faults,
)
from app.applications.schema_comparison import Change

NOTHING = object()
"""In place of a witness where the change is harmless and the checker can't prove it."""


def manifest(settings: object = None, version: str = "1.0.0", **members: Any) -> dict[str, Any]:
    return {
        "meta": {"name": "Lottery", "version": version},
        "baseUrl": "https://lottery.example",
        "capabilities": {"prizeFund": True},
        "permissions": ["rooms:read"],
        "settings": {"type": "object"} if settings is None else settings,
        **members,
    }


def changes(old: object, new: object) -> list[Change]:
    return breaking_changes(manifest(old), manifest(new))


def pointers(old: object, new: object) -> list[str]:
    return [change.pointer for change in changes(old, new)]


def accepts(draft: Draft, schema: dict[str, Any], settings: object) -> bool:
    return isinstance(settings, dict) and compile_schema(draft, schema).is_valid(settings)


class Row(NamedTuple):
    """A change of the schema of one member, `v`, of a closed object."""

    title: str
    old: Any
    new: Any
    pointer: str | None
    """Where the change is breaking, below the member; None where it isn't."""
    witness: object = None
    """What the old schema took and the new one refuses, where the change is breaking."""


def closed(member: Any, draft: Draft = DRAFT_2020_12) -> dict[str, Any]:
    return {
        "$schema": draft.uri,
        "type": "object",
        "properties": {"v": member},
        "additionalProperties": False,
        "$defs" if draft is DRAFT_2020_12 else "definitions": {
            "small": {"type": "integer", "maximum": 10},
            "large": {"type": "integer", "maximum": 100},
        },
    }


SMALL, LARGE = {"$ref": "#/$defs/small"}, {"$ref": "#/$defs/large"}
OPEN_AB = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
CLOSED_AB = {**OPEN_AB, "additionalProperties": False}
CLOSED_A = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "additionalProperties": False,
}
UNEVALUATED_A = {
    "type": "object",
    "allOf": [{"properties": {"a": {"type": "string"}}}],
    "unevaluatedProperties": False,
}
CIRCLE = {
    "type": "object",
    "required": ["kind"],
    "properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}},
}
SQUARE = {
    "type": "object",
    "required": ["kind"],
    "properties": {"kind": {"const": "square"}, "side": {"type": "number"}},
}
PAID = {"required": ["paid"], "properties": {"paid": {"const": True}}}
IN_WORDS = {"not": {"pattern": "^[0-9]"}}

ANYTHING, REFUSED = True, False


def labelled(*values: str) -> dict[str, Any]:
    return {"oneOf": [{"const": value, "title": value.upper()} for value in values]}


REFUSE_NOTHING = frozenset(
    re.findall(
        r"\S+",
        """
        $comment $defs $id $schema contentSchema default definitions deprecated description
        examples readOnly title writeOnly
        """,
    )
)
KEYWORDS_OF_BOTH_DRAFTS = frozenset(
    re.findall(
        r"\S+",
        """
        $anchor $comment $defs $dynamicAnchor $dynamicRef $id $ref $schema $vocabulary
        additionalItems additionalProperties allOf anyOf const contains contentEncoding
        contentMediaType contentSchema default definitions dependencies dependentRequired
        dependentSchemas deprecated description else enum examples exclusiveMaximum
        exclusiveMinimum format if items maxContains maxItems maxLength maxProperties maximum
        minContains minItems minLength minProperties minimum multipleOf not oneOf pattern
        patternProperties prefixItems properties propertyNames readOnly required then title type
        unevaluatedItems unevaluatedProperties uniqueItems writeOnly
        """,
    )
)
"""As https://json-schema.org/draft/2020-12/meta and http://json-schema.org/draft-07/schema do."""

ROWS = [
    # annotations
    Row("nothing changes", {"type": "string"}, {"type": "string"}, None),
    Row("a title is added", {"type": "string"}, {"type": "string", "title": "Name"}, None),
    Row("a default changes", {"default": 1}, {"default": 2}, None),
    Row("a word unknown to JSON Schema is added", {}, {"x-widget": "slider"}, None),
    Row("a schema that takes anything is written another way", ANYTHING, {}, None),
    # types
    Row("any value becomes a string", {}, {"type": "string"}, "/type", 1),
    Row("a type changes", {"type": "string"}, {"type": "integer"}, "/type", "a"),
    Row("number narrows to integer", {"type": "number"}, {"type": "integer"}, "/type", 0.5),
    Row("integer widens to number", {"type": "integer"}, {"type": "number"}, None),
    Row("null is admitted", {"type": "string"}, {"type": ["string", "null"]}, None),
    Row("null is refused", {"type": ["string", "null"]}, {"type": "string"}, "/type", None),
    Row("a type goes", {"type": "string"}, {}, None),
    Row("listed values imply their type", {"enum": ["a", "b"]}, {"type": "string"}, None),
    Row("listed values have another type", {"enum": ["a", 1]}, {"type": "string"}, "/type", 1),
    Row("whole fractions are integers", {"enum": [1.0, 2]}, {"type": "integer"}, None),
    Row("everything is refused", {"type": "string"}, REFUSED, "", "a"),
    Row("what was refused stays refused", REFUSED, REFUSED, None),
    Row("what was refused is admitted", REFUSED, {"type": "string"}, None),
    # listed values
    Row("a choice is removed", {"enum": ["a", "b"]}, {"enum": ["a"]}, "/enum", "b"),
    Row("a choice is added", {"enum": ["a"]}, {"enum": ["a", "b"]}, None),
    Row("choices change their order", {"enum": ["a", "b"]}, {"enum": ["b", "a"]}, None),
    Row("one is not true", {"enum": [1, 2]}, {"enum": [True, 2]}, "/enum", 1),
    Row("one is one point zero", {"enum": [1]}, {"enum": [1.0]}, None),
    Row("a constant becomes a choice", {"const": "a"}, {"enum": ["a", "b"]}, None),
    Row("a choice becomes a constant", {"enum": ["a", "b"]}, {"const": "a"}, "/const", "b"),
    Row("texts become a choice", {"type": "string"}, {"enum": ["a"]}, "/enum", "b"),
    Row("a boolean is one of its two values", {"type": "boolean"}, {"enum": [True, False]}, None),
    Row("a boolean must be true", {"type": "boolean"}, {"const": True}, "/const", witness=False),
    Row(
        "a listed object changes",
        {"const": {"a": [1]}},
        {"const": {"a": [2]}},
        "/const",
        {"a": [1]},
    ),
    Row("two lists of choices meet", {"enum": [1, 2], "const": 2}, {"const": 2}, None),
    Row("listed values keep within new bounds", {"enum": [1, 2]}, {"maximum": 2}, None),
    Row("a listed value breaks a new bound", {"enum": [1, 2]}, {"maximum": 1}, "/maximum", 2),
    # numbers
    Row("a minimum is added", {"type": "integer"}, {"minimum": 1}, "/minimum", 0),
    Row("a minimum rises", {"minimum": 1}, {"minimum": 2}, "/minimum", 1),
    Row("a minimum falls", {"minimum": 2}, {"minimum": 1}, None),
    Row(
        "a minimum becomes exclusive",
        {"minimum": 1},
        {"exclusiveMinimum": 1},
        "/exclusiveMinimum",
        1,
    ),
    Row("a minimum lies above", {"minimum": 2}, {"exclusiveMinimum": 1}, None),
    Row("an exclusive minimum opens", {"exclusiveMinimum": 1}, {"minimum": 1}, None),
    Row("a maximum falls", {"maximum": 9}, {"maximum": 8}, "/maximum", 9),
    Row("a maximum rises", {"maximum": 8}, {"maximum": 9}, None),
    Row(
        "a maximum becomes exclusive",
        {"maximum": 9},
        {"exclusiveMaximum": 9},
        "/exclusiveMaximum",
        9,
    ),
    Row("an exclusive maximum opens", {"exclusiveMaximum": 9}, {"maximum": 9}, None),
    Row("a bound that texts never meet", {"type": "string"}, {"minimum": 1}, None),
    Row("a step is added", {"type": "integer"}, {"multipleOf": 5}, "/multipleOf", 1),
    Row("a step is coarser", {"multipleOf": 2}, {"multipleOf": 4}, "/multipleOf", 2),
    Row("a step is finer", {"multipleOf": 4}, {"multipleOf": 2}, None),
    Row("integers go by ones", {"type": "integer"}, {"multipleOf": 1}, None),
    Row("fractions don't go by ones", {"type": "number"}, {"multipleOf": 1}, "/multipleOf", 0.5),
    Row("the same fraction is the same step", {"multipleOf": 0.1}, {"multipleOf": 0.1}, None),
    Row(
        "fractions are not divided",
        {"multipleOf": 1.5},
        {"multipleOf": 0.5},
        "/multipleOf",
        NOTHING,
    ),
    # texts
    Row("a length is demanded", {"type": "string"}, {"minLength": 1}, "/minLength", ""),
    Row("no length is demanded", {"type": "string"}, {"minLength": 0}, None),
    Row("a length shrinks", {"maxLength": 9}, {"maxLength": 8}, "/maxLength", "a" * 9),
    Row("a length grows", {"maxLength": 8}, {"maxLength": 9}, None),
    Row("a pattern is added", {"type": "string"}, {"pattern": "^a"}, "/pattern", "b"),
    Row("a pattern changes", {"pattern": "^a"}, {"pattern": "^(a|b)"}, "/pattern", NOTHING),
    Row(
        "a pattern stays",
        {"pattern": "^a"},
        {"pattern": "^a", "type": ["string", "null"]},
        "/type",
        1,
    ),
    Row("a pattern goes", {"pattern": "^a"}, {}, None),
    Row("a format is added", {"type": "string"}, {"format": "date-time"}, "/format", "soon"),
    Row("a format goes", {"format": "date-time"}, {}, None),
    Row("choices match a new pattern", {"enum": ["ab", "ac"]}, {"pattern": "^a"}, None),
    # arrays
    Row("items get a type", {"type": "array"}, {"items": {"type": "string"}}, "/items/type", [1]),
    Row(
        "items are narrowed",
        {"items": {"maximum": 9}},
        {"items": {"maximum": 8}},
        "/items/maximum",
        [9],
    ),
    Row("items are widened", {"items": {"maximum": 8}}, {"items": {"maximum": 9}}, None),
    Row("no more items", {"items": {"type": "null"}}, {"items": False}, "/items", [None]),
    Row("an array that must be empty may refuse items", {"maxItems": 0}, {"items": False}, None),
    Row("items are demanded", {"type": "array"}, {"minItems": 1}, "/minItems", []),
    Row("fewer items", {"maxItems": 3}, {"maxItems": 2}, "/maxItems", [1, 2, 3]),
    Row("more items", {"minItems": 2, "maxItems": 3}, {"minItems": 1, "maxItems": 4}, None),
    Row("items must differ", {"type": "array"}, {"uniqueItems": True}, "/uniqueItems", [1, 1]),
    Row("items needn't differ", {"uniqueItems": True}, {"uniqueItems": False}, None),
    Row("a single item differs", {"maxItems": 1}, {"uniqueItems": True}, None),
    Row(
        "a first item is typed",
        {"type": "array"},
        {"prefixItems": [{"type": "string"}]},
        "/prefixItems/0/type",
        [1],
    ),
    Row(
        "a first item was typed by items",
        {"items": {"type": "string"}},
        {"prefixItems": [{"type": "string"}]},
        None,
    ),
    Row(
        "a second item is released",
        {"prefixItems": [True, {"type": "string"}]},
        {"prefixItems": [True]},
        None,
    ),
    Row("a prefix beyond the last item", {"maxItems": 1}, {"prefixItems": [True, False]}, None),
    Row(
        "a prefix gives way to items",
        {"prefixItems": [{"type": "string"}], "items": {"type": "integer"}},
        {"items": {"type": ["string", "integer"]}},
        None,
    ),
    Row(
        "items don't take the former prefix",
        {"prefixItems": [{"type": "string"}], "items": {"type": "integer"}},
        {"items": {"type": "integer"}},
        "/items/type",
        ["a"],
    ),
    Row("an item must be there", {"type": "array"}, {"contains": {"const": 1}}, "/contains", []),
    Row(
        "a wider item must be there",
        {"contains": {"const": 1}},
        {"contains": {"type": "integer"}},
        None,
    ),
    Row(
        "more such items must be there",
        {"contains": {"const": 1}},
        {"contains": {"const": 1}, "minContains": 2},
        "/contains",
        [1],
    ),
    Row(
        "no such item need be there",
        {"type": "array"},
        {"contains": {"const": 1}, "minContains": 0},
        None,
    ),
    Row(
        "fewer such items are allowed",
        {"contains": {"const": 1}, "maxContains": 3},
        {"contains": {"const": 1}, "maxContains": 2},
        "/maxContains",
        [1, 1, 1],
    ),
    Row(
        "more such items are allowed",
        {"contains": {"type": "integer"}, "maxContains": 2},
        {"contains": {"type": "integer"}, "minContains": 0, "maxContains": 3},
        None,
    ),
    Row(
        "unevaluated items are refused",
        {"type": "array"},
        {"unevaluatedItems": False},
        "/unevaluatedItems",
        [1],
    ),
    Row("unevaluated items are like items", {"unevaluatedItems": False}, {"items": False}, None),
    Row("items are like unevaluated items", {"items": False}, {"unevaluatedItems": False}, None),
    Row(
        "nothing is left unevaluated",
        {"type": "array"},
        {"items": True, "unevaluatedItems": False},
        None,
    ),
    Row(
        "contains evaluates items",
        {"contains": {"const": 1}, "unevaluatedItems": False},
        {"items": False},
        "/items",
        [1],
    ),
    # objects
    Row("a member is required", OPEN_AB, {**OPEN_AB, "required": ["a"]}, "/required", {}),
    Row("a member is no longer required", {**OPEN_AB, "required": ["a"]}, OPEN_AB, None),
    Row("a requirement moves", {"required": ["a"]}, {"required": ["b"]}, "/required", {"a": 1}),
    Row("a closed object grows", CLOSED_A, CLOSED_AB, None),
    Row("a closed object shrinks", CLOSED_AB, CLOSED_A, "/properties/b", {"b": "x"}),
    Row("an open object grows", {"type": "object"}, OPEN_AB, "/properties/a", {"a": 1}),
    Row(
        "an open object grows by anything",
        {"type": "object"},
        {"properties": {"a": {"title": "A"}}},
        None,
    ),
    Row("an open object shrinks", OPEN_AB, {"type": "object"}, None),
    Row("an object is closed", OPEN_AB, CLOSED_AB, "/additionalProperties", {"c": 1}),
    Row("an object is opened", CLOSED_AB, OPEN_AB, None),
    Row(
        "other members get a type",
        {"type": "object"},
        {"additionalProperties": {"type": "string"}},
        "/additionalProperties",
        {"c": 1},
    ),
    Row(
        "a property keeps the type of other members",
        {"additionalProperties": {"type": "string"}},
        {"properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}},
        None,
    ),
    Row(
        "a property leaves for other members of its type",
        {"properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}},
        {"additionalProperties": {"type": "string"}},
        None,
    ),
    Row(
        "a nested bound tightens",
        {"properties": {"a": {"maximum": 9}}},
        {"properties": {"a": {"maximum": 8}}},
        "/properties/a/maximum",
        {"a": 9},
    ),
    Row("members are demanded", {"type": "object"}, {"minProperties": 1}, "/minProperties", {}),
    Row("required members are members", {"required": ["a"]}, {"minProperties": 1}, None),
    Row(
        "fewer members",
        {"maxProperties": 2},
        {"maxProperties": 1},
        "/maxProperties",
        {"a": 1, "b": 2},
    ),
    Row("a closed object has no more members", CLOSED_AB, {"maxProperties": 2}, None),
    Row(
        "a closed object has more members",
        CLOSED_AB,
        {"maxProperties": 1},
        "/maxProperties",
        {"a": "", "b": ""},
    ),
    Row(
        "names get a pattern",
        {"type": "object"},
        {"propertyNames": {"pattern": "^a"}},
        "/propertyNames/pattern",
        {"b": 1},
    ),
    Row(
        "names get longer",
        {"propertyNames": {"maxLength": 3}},
        {"propertyNames": {"maxLength": 4}},
        None,
    ),
    Row("names of a closed object are known", CLOSED_AB, {"propertyNames": {"maxLength": 1}}, None),
    Row(
        "names of a closed object are too long",
        CLOSED_AB,
        {"propertyNames": {"maxLength": 0}},
        "/propertyNames/maxLength",
        {"a": ""},
    ),
    Row(
        "a pattern of names demands more",
        {"patternProperties": {"^a": {"type": "number"}}},
        {"patternProperties": {"^a": {"type": "integer"}}},
        "/patternProperties/^a/type",
        {"ab": 0.5},
    ),
    Row(
        "a pattern of names demands less",
        {"patternProperties": {"^a": {"type": "integer"}}},
        {"patternProperties": {"^a": {"type": "number"}}},
        None,
    ),
    Row(
        "a new pattern meets a property",
        OPEN_AB,
        {**OPEN_AB, "patternProperties": {"^a$": {"type": "integer"}}},
        "/patternProperties/^a$/type",
        {"a": "x"},
    ),
    Row(
        "a new pattern meets only known members",
        CLOSED_A,
        {**CLOSED_A, "patternProperties": {"^a": {"type": "string"}}},
        None,
    ),
    Row(
        "a new pattern meets other members",
        {"patternProperties": {"b": True}},
        {"patternProperties": {"^a": {"type": "string"}}},
        "/patternProperties/^a/type",
        {"a": 1},
    ),
    Row(
        "a property was under a pattern",
        {"patternProperties": {"^a": {"type": "string"}}},
        {"properties": {"ab": {"type": "string"}}},
        None,
    ),
    Row(
        "a pattern is closed out",
        {"patternProperties": {"^a": True}, "additionalProperties": False},
        {"additionalProperties": False},
        "/additionalProperties",
        {"ab": 1},
    ),
    Row(
        "a property moves under a pattern",
        {"properties": {"ab": {"type": "string"}}, "additionalProperties": False},
        {"patternProperties": {"^a": {"type": "string"}}, "additionalProperties": False},
        None,
    ),
    Row(
        "unevaluated members are refused",
        {"type": "object"},
        {"unevaluatedProperties": False},
        "/unevaluatedProperties",
        {"a": 1},
    ),
    Row("unevaluated members are other members", CLOSED_A, UNEVALUATED_A, None),
    Row("other members are unevaluated members", UNEVALUATED_A, CLOSED_AB, None),
    Row(
        "a referred-to object grows",
        UNEVALUATED_A,
        {**UNEVALUATED_A, "properties": {"b": {}}},
        None,
    ),
    Row(
        "what was evaluated is not",
        {**UNEVALUATED_A, "properties": {"b": True}},
        UNEVALUATED_A,
        "/properties/b",
        {"b": 1},
    ),
    Row(
        "no member is left unevaluated",
        {"type": "object"},
        {"additionalProperties": True, "unevaluatedProperties": False},
        None,
    ),
    Row(
        "no member is left by what applies in place",
        {"type": "object"},
        {"allOf": [{"additionalProperties": True}], "unevaluatedProperties": False},
        None,
    ),
    Row(
        "what applied in place left no member",
        {"allOf": [{"additionalProperties": True}], "unevaluatedProperties": False},
        CLOSED_A,
        "/additionalProperties",
        {"c": 1},
    ),
    Row(
        "branches evaluate members",
        {"anyOf": [{"properties": {"b": True}}], "unevaluatedProperties": False},
        {"additionalProperties": False},
        "/additionalProperties",
        {"b": 1},
    ),
    Row(
        "patterns evaluate members",
        {"patternProperties": {"^a": True}, "unevaluatedProperties": False},
        {"patternProperties": {"^a": True}, "additionalProperties": False},
        None,
    ),
    Row(
        "patterns that apply in place evaluate members",
        {"allOf": [{"patternProperties": {"^a": True}}], "unevaluatedProperties": False},
        {"additionalProperties": False},
        "/additionalProperties",
        {"a": 1},
    ),
    Row(
        "a member demands another",
        {"type": "object"},
        {"dependentRequired": {"a": ["b"]}},
        "/dependentRequired",
        {"a": 1},
    ),
    Row(
        "a required member is demanded",
        {"required": ["b"]},
        {"dependentRequired": {"a": ["b"]}},
        None,
    ),
    Row(
        "a member that can't be demands another",
        CLOSED_A,
        {"dependentRequired": {"c": ["b"]}},
        None,
    ),
    Row(
        "a member demands fewer",
        {"dependentRequired": {"a": ["b", "c"]}},
        {"dependentRequired": {"a": ["b"]}},
        None,
    ),
    Row(
        "a member demands a schema",
        {"type": "object"},
        {"dependentSchemas": {"a": {"required": ["b"]}}},
        "/dependentSchemas/a/required",
        {"a": 1},
    ),
    Row(
        "a member that can't be demands a schema",
        CLOSED_A,
        {"dependentSchemas": {"c": False}},
        None,
    ),
    Row(
        "a member demands a wider schema",
        {"dependentSchemas": {"a": {"required": ["b", "c"]}}},
        {"dependentSchemas": {"a": {"required": ["b"]}}},
        None,
    ),
    # references and combinations
    Row("a reference narrows", LARGE, SMALL, "/settings/$defs/small/maximum", 50),
    Row("a reference widens", SMALL, LARGE, None),
    Row("a reference is written out", SMALL, {"type": "integer", "maximum": 10}, None),
    Row("a written-out schema is referred to", {"type": "integer", "maximum": 10}, SMALL, None),
    Row("a demand beside a reference", LARGE, {**LARGE, "minimum": 0}, "/minimum", -1),
    Row(
        "all of more",
        {"allOf": [{"minimum": 1}]},
        {"allOf": [{"minimum": 1}, {"maximum": 9}]},
        "/allOf/1/maximum",
        10,
    ),
    Row(
        "all of less",
        {"allOf": [{"minimum": 1}, {"maximum": 9}]},
        {"allOf": [{"maximum": 9}]},
        None,
    ),
    Row(
        "all of it is written out",
        {"allOf": [{"minimum": 1}, {"maximum": 9}]},
        {"minimum": 1, "maximum": 9},
        None,
    ),
    Row(
        "any of more",
        {"anyOf": [{"type": "string"}]},
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
        None,
    ),
    Row(
        "any of less",
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
        {"anyOf": [{"type": "string"}]},
        "/anyOf",
        None,
    ),
    Row(
        "any of it is written as types",
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
        {"type": ["null", "string"]},
        None,
    ),
    Row(
        "any of wider ones",
        {"anyOf": [SMALL, {"type": "null"}]},
        {"anyOf": [{"type": "null"}, LARGE]},
        None,
    ),
    Row(
        "cases meet other cases",
        {
            "anyOf": [{"type": "integer"}, {"type": "null"}],
            "oneOf": [{"type": "integer"}, {"type": "string"}],
        },
        {"type": "integer"},
        None,
    ),
    Row(
        "a case goes further",
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        {"type": "integer"},
        "/type",
        None,
    ),
    Row("a choice of kinds grows", {"oneOf": [CIRCLE]}, {"oneOf": [CIRCLE, SQUARE]}, None),
    Row(
        "a choice of kinds shrinks",
        {"oneOf": [CIRCLE, SQUARE]},
        {"oneOf": [CIRCLE]},
        "/oneOf",
        {"kind": "square"},
    ),
    Row(
        "a choice of types grows",
        {"oneOf": [{"type": "string"}]},
        {"oneOf": [{"type": "string"}, {"type": "null"}]},
        None,
    ),
    Row("labelled choices grow", labelled("a", "b"), labelled("b", "a", "c"), None),
    Row("labelled choices become a list", labelled("a", "b"), {"enum": ["a", "b"]}, None),
    Row("a list becomes labelled choices", {"enum": ["a", "b"]}, labelled("a", "b"), None),
    Row("labelled choices shrink", labelled("a", "b"), labelled("a"), "/oneOf", "b"),
    Row("the same reference twice", {"allOf": [LARGE, LARGE]}, LARGE, None),
    Row("a listed value meets a reference", {"enum": [5, 50]}, LARGE, None),
    Row(
        "a listed value exceeds a reference",
        {"enum": [5, 50]},
        SMALL,
        "/settings/$defs/small/maximum",
        50,
    ),
    Row(
        "alternatives overlap",
        {"oneOf": [{"type": "integer"}]},
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        "/oneOf",
        1,
    ),
    Row(
        "the same overlapping alternatives",
        {"oneOf": [{"minimum": 1}, {"maximum": 9}], "maximum": 20},
        {"oneOf": [{"minimum": 1, "title": "x"}, {"maximum": 9}]},
        None,
    ),
    Row("something is refused", {"type": "string"}, {"type": "string", **IN_WORDS}, "/not", "1"),
    Row("less is refused", {"not": {"type": ["string", "null"]}}, {"not": {"type": "null"}}, None),
    Row(
        "more is refused",
        {"not": {"type": "null"}},
        {"not": {"type": ["string", "null"]}},
        "/not",
        "a",
    ),
    Row("what could not be is refused", {"type": "string"}, {"not": {"type": "null"}}, None),
    Row(
        "a condition is added",
        {},
        {"if": {"type": "integer"}, "then": {"minimum": 0}},
        "/then/minimum",
        -1,
    ),
    Row(
        "a condition that changes nothing",
        {"minimum": 0},
        {"if": {"type": "integer"}, "then": {"minimum": 0}},
        None,
    ),
    Row(
        "a condition implies its consequence",
        {},
        {"if": {"type": "integer"}, "then": {"type": "number"}},
        None,
    ),
    Row(
        "a consequence relaxes",
        {"if": PAID, "then": {"required": ["price", "tax"]}},
        {"if": PAID, "then": {"required": ["price"]}},
        None,
    ),
    Row(
        "an exception tightens",
        {"if": PAID, "else": {"required": ["a"]}},
        {"if": PAID, "else": {"required": ["a", "b"]}},
        "/else/required",
        {"a": 1},
    ),
    Row(
        "an exception relaxes",
        {"if": PAID, "else": {"required": ["a", "b"]}},
        {"if": PAID, "else": {"required": ["a"]}},
        None,
    ),
    Row(
        "a condition changes",
        {"if": PAID, "then": {"required": ["a"]}},
        {"if": {"required": ["paid"]}, "then": {"required": ["a"]}},
        "/then/required",
        {"paid": False},
    ),
    Row("a condition goes", {"if": PAID, "then": {"required": ["a"]}}, {}, None),
    Row("what nothing fits may change", {"type": "string", "const": 1}, {"type": "null"}, None),
]

SEVEN = [
    Row(
        "a first item is typed",
        {"type": "array"},
        {"items": [{"type": "string"}]},
        "/items/0/type",
        [1],
    ),
    Row("a first item is released", {"items": [{"type": "string"}]}, {"items": [True]}, None),
    Row(
        "items after the first are refused",
        {"items": [True]},
        {"items": [True], "additionalItems": False},
        "/additionalItems",
        [1, 2],
    ),
    Row(
        "items after the first are admitted",
        {"items": [True], "additionalItems": False},
        {"items": [True]},
        None,
    ),
    Row(
        "additional items mean nothing beside one schema",
        {"items": True},
        {"items": True, "additionalItems": False},
        None,
    ),
    Row(
        "additional items meant nothing beside one schema",
        {"items": True, "additionalItems": False},
        {"items": {"type": "null"}},
        "/items/type",
        [1],
    ),
    Row("additional items mean nothing alone", {"type": "array"}, {"additionalItems": False}, None),
    Row(
        "subschemas beside a reference count for nothing",
        {"$ref": "#/definitions/large"},
        {"$ref": "#/definitions/large", "not": {"type": "integer"}},
        None,
    ),
    Row(
        "items take the place of the first and others",
        {"items": [{"type": "string"}], "additionalItems": {"type": "string"}},
        {"items": {"type": "string"}},
        None,
    ),
    Row(
        "a member demands another",
        {"type": "object"},
        {"dependencies": {"a": ["b"]}},
        "/dependencies",
        {"a": 1},
    ),
    Row(
        "a member demands fewer",
        {"dependencies": {"a": ["b", "c"]}},
        {"dependencies": {"a": ["c"]}},
        None,
    ),
    Row(
        "a member demands a schema",
        {"type": "object"},
        {"dependencies": {"a": {"required": ["b"]}}},
        "/dependencies/a/required",
        {"a": 1},
    ),
    Row(
        "a member demands a wider schema",
        {"dependencies": {"a": {"required": ["b", "c"]}}},
        {"dependencies": {"a": {"required": ["c"]}}},
        None,
    ),
    Row(
        "an unchanged demand stays",
        {"dependencies": {"a": ["b"]}, "maxProperties": 2},
        {"dependencies": {"a": ["b"]}},
        None,
    ),
    Row(
        "what stands beside a reference counts for nothing",
        {"$ref": "#/definitions/large", "maximum": 5},
        {"$ref": "#/definitions/small"},
        "/settings/definitions/small/maximum",
        50,
    ),
    Row(
        "nothing is demanded beside a reference",
        {"$ref": "#/definitions/large"},
        {"$ref": "#/definitions/large", "minimum": 5},
        None,
    ),
    Row(
        "an encoding is demanded",
        {"type": "string"},
        {"contentEncoding": "base64"},
        "/contentEncoding",
        "!",
    ),
    Row(
        "an encoding is as before",
        {"contentEncoding": "base64"},
        {"contentEncoding": "base64", "minLength": 0},
        None,
    ),
    Row(
        "a media type is demanded",
        {"type": "string"},
        {"contentMediaType": "application/json"},
        "/contentMediaType",
        "{",
    ),
]
ALL = [*((DRAFT_2020_12, row) for row in ROWS), *((DRAFT_7, row) for row in SEVEN)]


def titles(rows: list[tuple[Draft, Row]]) -> list[str]:
    return [f"{draft.name}: {row.title}" for draft, row in rows]


BREAKING = [(draft, row) for draft, row in ALL if row.pointer is not None]
HARMLESS = [(draft, row) for draft, row in ALL if row.pointer is None]


@pytest.mark.parametrize(("draft", "row"), BREAKING, ids=titles(BREAKING))
def test_breaking_change_is_named_by_its_place(draft: Draft, row: Row) -> None:
    assert row.pointer is not None
    place = (
        row.pointer
        if row.pointer.startswith("/settings")
        else f"/settings/properties/v{row.pointer}"
    )
    assert place in pointers(closed(row.old, draft), closed(row.new, draft))


@pytest.mark.parametrize(("draft", "row"), BREAKING, ids=titles(BREAKING))
def test_breaking_change_refuses_what_was_valid(draft: Draft, row: Row) -> None:
    if row.witness is NOTHING:
        return
    settings = {"v": row.witness}
    assert accepts(draft, closed(row.old, draft), settings)
    assert not accepts(draft, closed(row.new, draft), settings)


@pytest.mark.parametrize(("draft", "row"), HARMLESS, ids=titles(HARMLESS))
def test_harmless_change_is_compatible(draft: Draft, row: Row) -> None:
    assert changes(closed(row.old, draft), closed(row.new, draft)) == []


@pytest.mark.parametrize(("draft", "row"), ALL, ids=titles(ALL))
def test_schema_is_compatible_with_itself(draft: Draft, row: Row) -> None:
    for member in (row.old, row.new):
        settings = closed(member, draft)
        assert schema_faults(settings) == []
        # Another annotation keeps the comparison from ending at equality.
        assert changes(settings, {**settings, "title": "Settings"}) == []


def test_each_keyword_of_both_drafts_is_compared_or_known_to_refuse_nothing() -> None:
    compared = schema_rules.RULES.keys() | schema_demands.ASSERTIONS.keys()
    beside_others = {"then", "else", "minContains", "maxContains"}
    unsupported = {"$anchor", "$dynamicAnchor", "$dynamicRef", "$vocabulary"}
    understood = compared | beside_others | REFUSE_NOTHING
    assert understood >= APPLICATORS
    assert understood | unsupported >= KEYWORDS_OF_BOTH_DRAFTS
    assert compared >= schema_comparison.CONCERNS.keys()


def test_root_is_known_to_be_an_object() -> None:
    assert changes({"properties": {}}, {"type": "object", "properties": {}}) == []


def test_other_draft_is_breaking() -> None:
    assert pointers({"$schema": DRAFT_7.uri}, {"type": "object"}) == ["/settings/$schema"]


def test_draft_that_is_spelled_out_is_the_same() -> None:
    assert changes({}, {"$schema": DRAFT_2020_12.uri, "type": "object"}) == []


@pytest.mark.parametrize("old", [None, [], "schema", {"type": 5}, {"$ref": "https://a.example"}])
def test_unusable_old_schema_counts_as_one_that_took_anything(old: object) -> None:
    former = manifest()
    former["settings"] = old
    assert breaking_changes(former, manifest({})) == []
    assert [c.pointer for c in breaking_changes(former, manifest({"required": ["a"]}))] == [
        "/settings/required"
    ]


def test_old_manifest_may_lack_everything_but_its_version() -> None:
    former = {"meta": {"version": "1.0.0"}}
    assert breaking_changes(former, manifest({})) == []


@pytest.mark.parametrize("member", [None, 5, "rooms:read", {}, []])
def test_old_manifest_may_have_members_of_any_shape(member: object) -> None:
    former = {"permissions": member, "capabilities": member, "settings": member}
    assert breaking_changes(former, manifest({})) == []


def test_removed_permission_is_breaking() -> None:
    old = manifest(permissions=["rooms:read", "rooms:write"])
    assert breaking_changes(old, manifest()) == [
        Change("/permissions", "The permission rooms:write was removed.")
    ]


def test_added_permission_is_not() -> None:
    assert breaking_changes(manifest(), manifest(permissions=["users:read", "rooms:read"])) == []


@pytest.mark.parametrize("capabilities", [{}, {"prizeFund": False}])
def test_capability_that_goes_or_is_switched_off_is_breaking(capabilities: object) -> None:
    found = breaking_changes(manifest(), manifest(capabilities=capabilities))
    assert [change.pointer for change in found] == ["/capabilities/prizeFund"]


def test_capability_that_was_off_may_go() -> None:
    old = manifest(capabilities={"prizeFund": True, "notifications": False})
    assert breaking_changes(old, manifest()) == []


def test_change_of_description_and_address_is_not_breaking() -> None:
    new = manifest(baseUrl="https://elsewhere.example")
    new["meta"]["description"] = "Draws"
    assert breaking_changes(manifest(), new) == []


def test_every_breaking_place_is_listed() -> None:
    old = {"properties": {"a": {"type": "string", "maxLength": 9}, "b": {"enum": [1, 2]}}}
    new = {
        "properties": {"a": {"type": "string", "maxLength": 8}, "b": {"enum": [1]}},
        "required": ["c"],
    }
    assert pointers(old, new) == [
        "/settings/properties/a/maxLength",
        "/settings/properties/b/enum",
        "/settings/required",
    ]


def test_reason_tells_how_an_object_can_grow() -> None:
    (change,) = changes({}, {"properties": {"a": {"type": "string"}}})
    assert "additionalProperties: false" in change.reason


def test_pointer_is_escaped() -> None:
    old = {"properties": {"a/b~c": {"maximum": 9}}}
    new = {"properties": {"a/b~c": {"maximum": 8}}}
    assert pointers(old, new) == ["/settings/properties/a~1b~0c/maximum"]


def tree(**node: Any) -> dict[str, Any]:
    return {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"children": {"items": {"$ref": "#/$defs/node"}}, **node},
                "additionalProperties": False,
            }
        },
    }


def test_recursive_schema_may_grow() -> None:
    assert changes(tree(), tree(name={"type": "string"})) == []


def test_recursive_schema_is_compared_to_its_end() -> None:
    old = tree(size={"maximum": 9})
    assert pointers(old, tree(size={"maximum": 8})) == [
        "/settings/$defs/node/properties/size/maximum"
    ]


def test_assumption_about_recursion_ends_when_it_is_refuted() -> None:
    def settings(limit: int, **properties: Any) -> dict[str, Any]:
        chain = {"properties": {"next": {"$ref": "#/$defs/link"}, "size": {"maximum": limit}}}
        link = {"properties": {"back": {"$ref": "#/$defs/chain"}}}
        return {"properties": properties, "$defs": {"chain": chain, "link": link}}

    chain, link = {"$ref": "#/$defs/chain"}, {"$ref": "#/$defs/link"}
    old = settings(9, first=link, second=chain)
    # Trying the alternative `link` finds it harmless but for `size`, which comes last.
    # What was found on the way must not count when `second` comes to the same pair.
    new = settings(8, first={"anyOf": [link, ANYTHING]}, second={"properties": {"next": link}})
    assert pointers(old, new) == ["/settings/$defs/chain/properties/size/maximum"]


def test_long_list_of_labelled_choices_may_grow() -> None:
    countries = [f"country {number}" for number in range(400)]
    old, new = labelled(*countries[1:]), labelled(*countries)
    assert changes(closed(old), closed(new)) == []


def doubling(levels: int, last: object) -> dict[str, Any]:
    rungs = {
        f"d{i}": {"properties": {n: {"$ref": f"#/$defs/d{i + 1}"} for n in "ab"}}
        for i in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**rungs, f"d{levels}": last}}


def test_doubling_references_are_compared_once_each() -> None:
    assert changes(doubling(25, {"maximum": 8}), doubling(25, {"maximum": 9})) == []


def test_too_deep_a_comparison_counts_as_breaking() -> None:
    old, new = doubling(60, {"maximum": 8}), doubling(60, {"maximum": 9})
    assert changes(old, new) == [
        Change("/settings", "Too complex to prove that the change is harmless.")
    ]


def test_too_long_a_comparison_counts_as_breaking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_comparison, "MOST_COMPARISONS", 10)
    old, new = doubling(25, {"maximum": 8}), doubling(25, {"maximum": 9})
    assert pointers(old, new) == ["/settings"]


def test_new_version_is_compared_with_every_one_of_its_major() -> None:
    published = [
        manifest({"properties": {"a": {"maximum": limit}}}, version)
        for limit, version in [(90, "1.0.0"), (9, "2.0.0"), (8, "2.1.0")]
    ]
    new = manifest({"properties": {"a": {"maximum": 8}}}, "2.2.0")
    # 2.1.0 broke with 2.0.0, perhaps before that was checked; rooms of 2.0.0 still count.
    assert breaking_within_major(new, published) == breaking_changes(published[1], new) != []


def test_new_major_may_break_with_everything() -> None:
    assert breaking_within_major(manifest({"required": ["a"]}, "2.0.0"), [manifest()]) == []


def test_zero_is_a_major_like_any_other() -> None:
    old = manifest(version="0.1.0")
    assert breaking_within_major(manifest({"required": ["a"]}, "0.2.0"), [old])


def test_release_is_held_to_its_pre_release() -> None:
    old = manifest(version="1.0.0-beta.1")
    assert breaking_within_major(manifest({"required": ["a"]}, "1.0.0"), [old])


def test_same_break_with_several_versions_is_named_once() -> None:
    published = [manifest(version="1.0.0"), manifest(version="1.1.0")]
    assert len(breaking_within_major(manifest({"required": ["a"]}, "1.2.0"), published)) == 1


def test_version_that_is_not_semantic_belongs_to_no_major() -> None:
    assert breaking_within_major(manifest({"required": ["a"]}), [manifest(version="v1")]) == []


@pytest.mark.parametrize("old", [{}, {"meta": None}, {"meta": {}}, {"meta": {"version": 1}}])
def test_manifest_without_a_version_counts_as_the_first(old: dict[str, Any]) -> None:
    assert breaking_within_major(manifest({"required": ["a"]}, "1.1.0"), [old])
    assert not breaking_within_major(manifest({"required": ["a"]}, "2.0.0"), [old])
