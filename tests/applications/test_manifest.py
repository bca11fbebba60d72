import re
import time
from typing import Any

import pytest

from app.applications.manifest import (
    CAPABILITIES,
    DEEPEST_MANIFEST,
    LARGEST_MANIFEST_BYTES,
    PERMISSIONS,
    is_greater,
    is_version,
    major,
    parse_manifest,
    version_of,
)
from app.errors import InvalidManifest


def manifest(**members: Any) -> dict[str, Any]:
    return {
        "meta": {"name": "Lottery", "version": "1.0.0", "description": "Draws lots."},
        "baseUrl": "https://lottery.example",
        "capabilities": dict.fromkeys(CAPABILITIES, True),
        "permissions": list(PERMISSIONS),
        "settings": {
            "type": "object",
            "required": ["ticketCount"],
            "properties": {"ticketCount": {"type": "integer", "minimum": 1}},
        },
        **members,
    }


def faults(document: object) -> dict[str, str]:
    with pytest.raises(InvalidManifest) as caught:
        parse_manifest(document)
    found = caught.value.details["faults"]
    assert len({fault["pointer"] for fault in found}) == len(found), found
    return {fault["pointer"]: fault["message"] for fault in found}


def settings_faults(settings: object) -> dict[str, str]:
    return faults(manifest(settings=settings))


def test_valid_manifest_comes_back_unchanged() -> None:
    document = manifest()
    assert parse_manifest(document) == manifest()


def test_description_may_be_missing() -> None:
    parse_manifest(manifest(meta={"name": "x" * 100, "version": "0.0.1"}))


def test_every_fault_is_listed_at_once() -> None:
    document = manifest(
        meta={"name": "", "version": "1.0", "colour": "red"},
        baseUrl="http://lottery.example",
        capabilities={"prizeFund": "yes", "teleport": True},
        permissions=["rooms:read", "rooms:burn"],
        settings={"type": "string", "properties": {"a": {"type": "text"}}},
    )
    document["a/b~c"] = 1
    assert faults(document).keys() == {
        "/meta/name",
        "/meta/version",
        "/meta/colour",
        "/baseUrl",
        "/capabilities/prizeFund",
        "/capabilities/teleport",
        "/permissions/1",
        "/settings/type",
        "/settings/properties/a/type",
        "/a~1b~0c",
    }


@pytest.mark.parametrize("document", [None, [], "manifest", 1, True])
def test_manifest_is_an_object(document: object) -> None:
    assert faults(document) == {"": 'The value is not of type "object".'}


def test_missing_members_are_named() -> None:
    everything = ("/meta", "/baseUrl", "/capabilities", "/permissions", "/settings")
    assert faults({}) == dict.fromkeys(everything, "Required.")


def test_missing_name_and_version_are_named() -> None:
    assert faults(manifest(meta={})) == dict.fromkeys(("/meta/name", "/meta/version"), "Required.")


@pytest.mark.parametrize(
    ("member", "value", "pointer"),
    [
        ("meta", [], "/meta"),
        ("meta", {"name": "x" * 101, "version": "1.0.0"}, "/meta/name"),
        ("meta", {"name": 5, "version": "1.0.0"}, "/meta/name"),
        ("meta", {"name": "x", "version": 1}, "/meta/version"),
        ("meta", {"name": "x", "version": "1.0.0", "description": "x" * 501}, "/meta/description"),
        ("meta", {"name": "x", "version": "1.0.0", "description": None}, "/meta/description"),
        ("baseUrl", None, "/baseUrl"),
        ("capabilities", ["prizeFund"], "/capabilities"),
        ("permissions", {"rooms:read": True}, "/permissions"),
        ("permissions", ["rooms:read", "rooms:read"], "/permissions"),
        ("permissions", ["rooms:*"], "/permissions/0"),
    ],
)
def test_member_of_the_wrong_shape_is_named(member: str, value: object, pointer: str) -> None:
    assert faults(manifest(**{member: value})).keys() == {pointer}


# Versions


VERSIONS = ["0.0.0", "1.2.3", "10.20.30", "1.0.0-alpha.1", "1.0.0--", "1.0.0+build.7", "1.0.0-rc+x"]
NO_VERSIONS = [
    *("", "1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-01", "1.0.0-", "1.0.0+", " 1.0.0"),
    *(
        "1.0.0\n",
        "1.0.0-ä",
        "\N{ARABIC-INDIC DIGIT ONE}.0.0",
        "1\N{ARABIC-INDIC DIGIT ONE}.0.0",
        "-1.0.0",
        "latest",
        "9" * 90 + ".x",
    ),
]


@pytest.mark.parametrize("version", VERSIONS)
def test_semantic_version_is_accepted(version: str) -> None:
    assert is_version(version)
    document = parse_manifest(manifest(meta={"name": "x", "version": version}))
    assert version_of(document) == version


@pytest.mark.parametrize("version", NO_VERSIONS)
def test_other_version_is_refused(version: str) -> None:
    assert not is_version(version)
    assert faults(manifest(meta={"name": "x", "version": version})).keys() == {"/meta/version"}


def test_version_of_absurd_length_is_refused() -> None:
    assert not is_version("9" * 5_000 + ".0.0")
    pointers = [
        fault["pointer"]
        for version in ("9" * 5_000 + ".0.0", "1.0.0-" + "a" * 95)
        for fault in _raw_faults(manifest(meta={"name": "x", "version": version}))
    ]
    assert set(pointers) == {"/meta/version"}


@pytest.mark.parametrize("member", ["name", "description"])
def test_what_an_app_is_called_has_something_to_see_and_shows_what_it_says(member: str) -> None:
    meta = {"name": "x", "version": "1.0.0", member: "six \u202eno"}
    assert faults(manifest(meta=meta)).keys() == {f"/meta/{member}"}


def _raw_faults(document: object) -> list[dict[str, str]]:
    with pytest.raises(InvalidManifest) as caught:
        parse_manifest(document)
    return list(caught.value.details["faults"])


def test_versions_are_ordered_as_semver_orders_them() -> None:
    # The example of semver.org, paragraph 11.
    ascending = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"]
    ascending += ["1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "2.0.0", "2.1.0", "2.1.1", "10.0.0"]
    for index, old in enumerate(ascending):
        assert [is_greater(new, old) for new in ascending] == [
            position > index for position in range(len(ascending))
        ]


def test_build_metadata_makes_no_version_greater() -> None:
    assert not is_greater("1.0.0+2", "1.0.0+1")
    assert not is_greater("1.0.0+1", "1.0.0+2")


def test_version_from_before_they_were_checked_is_less_than_any() -> None:
    assert is_greater("0.0.1-alpha", "v7")


def test_major_is_the_first_number() -> None:
    assert [major(version) for version in ("0.9.1", "1.0.0-rc.1", "12.3.4")] == [0, 1, 12]


# Base URLs


@pytest.mark.parametrize(
    "url",
    [
        "https://lottery.example",
        "https://lottery.example:8443/app/v1?x=1",
        "http://localhost",
        "http://localhost:3000/app",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
    ],
)
def test_base_url_is_accepted(url: str) -> None:
    parse_manifest(manifest(baseUrl=url))


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "lottery.example",
            "//lottery.example",
            "https://",
            "https:///path",
            "ftp://a.example",
        ),
        *(
            "http://lottery.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
        ),
        *(
            "http://localhost@evil.example",
            "https://user:secret@lottery.example",
            "https://u@a.example",
        ),
        *("javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "https://a b.example"),
        *(
            "https://a.example\n",
            "https://a.example:port",
            "https://a.example:99999",
            "https://[::1",
        ),
        *("https://bücher.example", "\thttps://a.example"),
    ],
)
def test_other_base_url_is_refused(url: str) -> None:
    assert faults(manifest(baseUrl=url)).keys() == {"/baseUrl"}


# What can't be stored


def test_nul_and_half_surrogates_are_refused_where_they_stand() -> None:
    found = faults(manifest(meta={"name": "a\0", "version": "1.0.0"}, settings={"title": "\ud800"}))
    assert found == {
        "/meta/name": "Holds a NUL character.",
        "/settings/title": "Holds half of a surrogate pair.",
    }


def test_nul_in_a_name_is_refused_at_its_object() -> None:
    found = settings_faults({"properties": {"a\0": {}}})
    assert found == {"/settings/properties": "The name of a member: Holds a NUL character."}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_in_json_is_refused(number: float) -> None:
    found = settings_faults({"properties": {"a": {"minimum": number}}})
    assert found == {"/settings/properties/a/minimum": "Not a number that JSON has."}


def test_null_and_an_escaped_backslash_are_no_fault() -> None:
    parse_manifest(manifest(settings={"default": None, "description": "\\u0000"}))


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


def test_nesting_is_limited() -> None:
    # The manifest and the innermost schema are levels too.
    parse_manifest(manifest(settings=nested(DEEPEST_MANIFEST - 2)))
    found = settings_faults(nested(DEEPEST_MANIFEST - 1))
    assert found == {"/settings" + "/not" * (DEEPEST_MANIFEST - 1): "Nested deeper than 32 levels."}


def test_array_nesting_is_limited() -> None:
    items: list[Any] = []
    for _ in range(100_000):
        items = [items]
    assert len(settings_faults({"default": items})) == 1


def test_size_is_limited() -> None:
    room = LARGEST_MANIFEST_BYTES - 1_000
    parse_manifest(manifest(settings={"description": "x" * room}))
    found = settings_faults({"description": "x" * (room + 1_000)})
    assert found == {"": f"The document is larger than {LARGEST_MANIFEST_BYTES} bytes."}


def test_ten_megabytes_are_refused_at_once() -> None:
    settings = {"enum": list(range(1_400_000))}
    begun = time.thread_time()
    assert settings_faults(settings).keys() == {""}
    assert time.thread_time() - begun < 1


# The settings schema


def test_settings_schema_is_an_object() -> None:
    for settings in ("object", None, True, list[object]()):
        assert settings_faults(settings).keys() == {"/settings"}


@pytest.mark.parametrize(
    "uri",
    [
        "http://json-schema.org/draft-07/schema#",
        "http://json-schema.org/draft-07/schema",
        "https://json-schema.org/draft/2020-12/schema",
    ],
)
def test_both_drafts_are_accepted(uri: str) -> None:
    parse_manifest(
        manifest(settings={"$schema": uri, "$id": "https://a.example/s", "type": "object"})
    )


@pytest.mark.parametrize(
    "uri", ["http://json-schema.org/draft-04/schema#", "https://a.example/mine", "", 7, None, []]
)
def test_other_draft_is_refused(uri: object) -> None:
    assert settings_faults({"$schema": uri}).keys() == {"/settings/$schema"}


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"type": "object", "properties": []}, "/properties"),
        ({"properties": {"a": 5}}, "/properties/a"),
        ({"properties": {"a": {"type": "text"}}}, "/properties/a/type"),
        ({"properties": {"a": {"minLength": -1}}}, "/properties/a/minLength"),
        ({"properties": {"a": {"multipleOf": 0}}}, "/properties/a/multipleOf"),
        ({"properties": {"a": {"enum": 5}}}, "/properties/a/enum"),
        ({"required": ["a", "a"]}, "/required"),
        ({"required": "a"}, "/required"),
        ({"properties": {"a": {"items": [{}]}}}, "/properties/a/items"),
        ({"allOf": []}, "/allOf"),
        ({"$ref": 5}, "/$ref"),
        ({"pattern": 5}, "/pattern"),
        ({"patternProperties": 5}, "/patternProperties"),
        ({"$defs": {"unused": {"type": "text"}}}, "/$defs/unused/type"),
    ],
)
def test_settings_schema_obeys_its_metaschema(settings: object, pointer: str) -> None:
    assert settings_faults(settings).keys() == {f"/settings{pointer}"}


def test_draft_7_has_its_own_metaschema() -> None:
    draft = "http://json-schema.org/draft-07/schema#"
    parse_manifest(manifest(settings={"$schema": draft, "properties": {"a": {"items": [{}]}}}))
    found = settings_faults({"$schema": draft, "properties": {"a": {"items": [5]}}})
    assert "/settings/properties/a/items" in found.keys() | {p.rpartition("/")[0] for p in found}


@pytest.mark.parametrize("types", ["string", ["array", "null"]])
def test_settings_are_an_object(types: object) -> None:
    assert settings_faults({"type": types}).keys() == {"/settings/type"}


def test_a_root_that_admits_objects_is_enough() -> None:
    parse_manifest(manifest(settings={"type": ["object", "null"]}))


@pytest.mark.parametrize(
    ("draft", "keyword", "value"),
    [
        ("http://json-schema.org/draft-07/schema#", "unevaluatedProperties", False),
        ("http://json-schema.org/draft-07/schema#", "$defs", {}),
        ("http://json-schema.org/draft-07/schema#", "dependentRequired", {}),
        ("https://json-schema.org/draft/2020-12/schema", "dependencies", {}),
        ("https://json-schema.org/draft/2020-12/schema", "additionalItems", False),
    ],
)
def test_keyword_that_the_draft_ignores_is_refused(draft: str, keyword: str, value: object) -> None:
    found = settings_faults({"$schema": draft, "properties": {"a": {keyword: value}}})
    assert found.keys() == {f"/settings/properties/a/{keyword}"}


@pytest.mark.parametrize(
    "keyword", ["$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$vocabulary"]
)
def test_identifiers_inside_a_schema_are_refused(keyword: str) -> None:
    found = _raw_faults(manifest(settings={"properties": {"a": {keyword: "x"}}}))
    assert f"/settings/properties/a/{keyword}" in [fault["pointer"] for fault in found]


@pytest.mark.parametrize("keyword", ["$id", "$schema"])
def test_address_and_draft_stand_at_the_root_alone(keyword: str) -> None:
    found = settings_faults({"properties": {"a": {keyword: "https://a.example/x"}}})
    assert found.keys() == {f"/settings/properties/a/{keyword}"}


def test_words_of_json_schema_may_name_properties_and_stand_in_values() -> None:
    names = {"$id": {"type": "string"}, "$ref": {"type": "string"}, "$anchor": True}
    values = {"const": {"$ref": "https://a.example", "pattern": "("}}
    parse_manifest(manifest(settings={"properties": {**names, "a": values}}))


@pytest.mark.parametrize(
    "reference",
    [
        *("https://a.example/s.json", "http://127.0.0.1/x#/a", "file:///etc/passwd", "other.json"),
        *("#anchor", "//a.example", "", "#/$defs/none", "#/properties/a/const", "#/$defs/list/00"),
    ],
)
def test_reference_that_is_not_local_or_leads_nowhere_is_refused(reference: str) -> None:
    settings = {
        "$defs": {"list": {"allOf": [{}]}},
        "properties": {"a": {"const": {}}, "b": {"$ref": reference}},
    }
    assert settings_faults(settings).keys() == {"/settings/properties/b/$ref"}


def test_local_references_are_accepted() -> None:
    definitions = {"a/b": {"type": "string"}, "c d": {"allOf": [{"type": "null"}]}}
    references = ["#/$defs/a~1b", "#/$defs/c%20d/allOf/0", "#/properties/0"]
    properties: dict[str, Any] = {"0": {"type": "object"}}
    properties |= {f"p{i}": {"$ref": reference} for i, reference in enumerate(references)}
    parse_manifest(manifest(settings={"$defs": definitions, "properties": properties}))


def test_reference_that_the_validator_can_not_read_is_refused() -> None:
    settings = {"$defs": {"a b": {}}, "properties": {"a": {"$ref": "#/$defs/a b"}}}
    assert settings_faults(settings).keys() == {"/settings"}


@pytest.mark.parametrize(
    "settings",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#"}}},
    ],
)
def test_reference_that_goes_in_circles_is_refused(settings: dict[str, Any]) -> None:
    (fault,) = _raw_faults(manifest(settings=settings))
    assert fault["message"] == "Refers back to itself without going into a member or an item."


def test_recursion_into_members_and_items_is_accepted() -> None:
    tree = {"properties": {"children": {"items": {"$ref": "#"}}, "next": {"$ref": "#"}}}
    parse_manifest(manifest(settings=tree))


def doubling(levels: int) -> dict[str, Any]:
    rungs = {
        f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"$ref": f"#/$defs/d{i + 1}"}]}
        for i in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**rungs, f"d{levels}": {}}}


@pytest.mark.parametrize(
    "settings",
    [
        {"properties": {"a": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}},
        {"properties": {"a": {"$ref": "#"}}, "patternProperties": {"a": {"$ref": "#"}}},
        {"properties": {"a": {"items": {"$ref": "#"}, "contains": {"$ref": "#"}}}},
        {"allOf": [{"title": str(i)} for i in range(1_000)]},
        doubling(levels=300),
    ],
)
def test_multiplying_subschemas_are_refused(settings: dict[str, Any]) -> None:
    assert settings_faults(settings) == {
        "/settings": "More than 1000 subschemas apply to one and the same value."
    }


@pytest.mark.parametrize(
    "pattern",
    [r"(a)\1", r"(?=a)b", r"(?<!a)b", "(", "[z-a]", "(a{1000}){1000}", r"(?P=name)", "*"],
)
def test_pattern_beyond_linear_time_is_refused(pattern: str) -> None:
    settings = {
        "properties": {"a": {"pattern": pattern}, "b": {"propertyNames": {"pattern": pattern}}},
        "patternProperties": {pattern: {}},
    }
    found = settings_faults(settings)
    assert len(found) == 3
    assert all("linear time" in message for message in found.values())


def test_ordinary_patterns_are_accepted() -> None:
    patterns = [r"^[A-Z]{2}\d{4}$", r"^\w{1,100}$", "^(a+)+$", r"^\S+@\S+\.\S+$", "^[^/]*$", "ä|ö"]
    properties = {f"p{i}": {"pattern": pattern} for i, pattern in enumerate(patterns)}
    parse_manifest(manifest(settings={"properties": properties}))


def test_number_of_patterns_is_limited() -> None:
    def settings(count: int) -> dict[str, Any]:
        return {"patternProperties": {f"^a{i}$": {} for i in range(count)}}

    parse_manifest(manifest(settings=settings(64)))
    assert settings_faults(settings(65)) == {"/settings": "More than 64 regular expressions."}


def test_large_choice_is_accepted_quickly() -> None:
    begun = time.thread_time()
    parse_manifest(manifest(settings={"properties": {"a": {"enum": list(range(9_000))}}}))
    assert time.thread_time() - begun < 1


def test_messages_don_t_repeat_values() -> None:
    found = faults(manifest(meta={"name": "secret" * 20, "version": "secret"}, baseUrl="secret"))
    assert len(found) == 3
    assert not any(re.search("secret", message) for message in found.values())
