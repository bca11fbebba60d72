"""What a schema marks `writeOnly` is left out, wherever it may be marked."""

from typing import Any

import pytest

from app.applications.hidden_settings import public_settings, reader_of

HIDDEN: dict[str, Any] = {"type": "integer", "writeOnly": True}
SCHEMAS: dict[str, dict[str, Any]] = {
    "a member": {"properties": {"secret": HIDDEN}},
    "a reference": {"properties": {"secret": {"$ref": "#/$defs/s"}}, "$defs": {"s": HIDDEN}},
    "a branch": {"anyOf": [{"properties": {"secret": HIDDEN}}, {"properties": {"open": {}}}]},
    "a branch of the member": {"properties": {"secret": {"oneOf": [{"type": "null"}, HIDDEN]}}},
    "a condition": {"if": {"required": ["open"]}, "then": {"properties": {"secret": HIDDEN}}},
    "a pattern": {"patternProperties": {"^sec": HIDDEN}},
    "the rest": {"properties": {"open": {}}, "additionalProperties": HIDDEN},
    "what is unevaluated": {
        "allOf": [{"properties": {"open": {}}}],
        "properties": {"open": {}},
        "unevaluatedProperties": HIDDEN,
    },
    "a dependency": {"dependentSchemas": {"open": {"properties": {"secret": HIDDEN}}}},
}


def public(schema: dict[str, Any], settings: dict[str, Any]) -> Any:
    root = reader_of(schema)
    assert root is not None
    return public_settings(root, settings)


@pytest.mark.parametrize("place", SCHEMAS.keys() - {"what is unevaluated"})
def test_a_hidden_member_is_found_wherever_it_is_marked(place: str) -> None:
    assert public(SCHEMAS[place], {"secret": 1, "open": {"deep": [1]}}) == {"open": {"deep": [1]}}


def test_what_may_be_unevaluated_is_hidden_rather_than_shown() -> None:
    assert "secret" not in public(SCHEMAS["what is unevaluated"], {"secret": 1, "open": 2})


def test_items_hide_their_members_and_hidden_items_go() -> None:
    question = {"properties": {"correct": HIDDEN}}
    schema = {"properties": {"all": {"items": question}, "some": {"contains": HIDDEN}}}
    settings = {"all": [{"correct": 1, "text": "?"}, {"text": "!"}], "some": [1, "x"]}
    assert public(schema, settings) == {"all": [{"text": "?"}, {"text": "!"}], "some": []}


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema = {"properties": {"next": {"anyOf": [{"$ref": "#"}, {}]}, "secret": HIDDEN}}
    settings = {"next": {"next": {"secret": 1, "a": 1}, "secret": 1}, "b": 2}
    assert public(schema, settings) == {"next": {"next": {"a": 1}}, "b": 2}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"open": {"type": "integer"}}},
        {"properties": {"writeOnly": {"const": True}}},
        {"properties": {"open": {"writeOnly": False}}},
        {"properties": {"secret": {"$ref": "#/nowhere", "writeOnly": True}}},
        None,
    ],
)
def test_a_schema_that_hides_nothing_needs_no_reader(schema: object) -> None:
    assert reader_of(schema) is None
