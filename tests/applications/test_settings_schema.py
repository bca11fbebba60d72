import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from app.applications import settings_schema
from app.applications.json_schema import DRAFT_2020_12, compile_schema, first_faults_of
from app.applications.settings_schema import (
    LARGEST_SETTINGS_BYTES,
    MOST_KEPT_VALIDATORS,
    SettingsValidator,
    check_settings,
    missing_for,
    validator_for,
)
from app.errors import InvalidManifest, ValidationFailed

LOTTERY = {
    "type": "object",
    "required": ["ticketCount", "drawDate"],
    "properties": {
        "ticketCount": {"type": "integer", "minimum": 1},
        "drawDate": {"type": "string", "format": "date-time"},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["text"],
                "properties": {"text": {"type": "string", "maxLength": 5}},
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
VALID = {"ticketCount": 100, "drawDate": "2025-12-31T23:00:00Z"}


@pytest.fixture(autouse=True)
def no_kept_validators() -> Iterator[None]:
    settings_schema._kept.clear()
    yield
    settings_schema._kept.clear()


def fields(schema: dict[str, Any], settings: object) -> dict[str, str]:
    with pytest.raises(ValidationFailed) as caught:
        check_settings(SettingsValidator(schema), settings)
    found: dict[str, str] = caught.value.details["fields"]
    return found


def test_valid_settings_pass() -> None:
    check_settings(SettingsValidator(LOTTERY), VALID)


def test_every_failing_place_is_named_by_its_path() -> None:
    settings = {
        "ticketCount": 0,
        "lines": [{"text": "good"}, {}, {"text": "too long", "font size": 3, "it's": 1, "b\\c": 2}],
        "prize": 5,
    }
    assert fields(LOTTERY, settings).keys() == {
        "$.appSettings.ticketCount",
        "$.appSettings.drawDate",
        "$.appSettings.lines[1].text",
        "$.appSettings.lines[2].text",
        "$.appSettings.lines[2]['font size']",
        "$.appSettings.lines[2]['it\\'s']",
        "$.appSettings.lines[2]['b\\\\c']",
        "$.appSettings.prize",
    }


def test_two_faults_of_one_place_are_both_told() -> None:
    schema = {"properties": {"a": {"minLength": 3, "pattern": "^b"}}}
    (message,) = fields(schema, {"a": "x"}).values()
    assert "shorter" in message
    assert "match" in message


def test_path_may_start_elsewhere() -> None:
    with pytest.raises(ValidationFailed) as caught:
        check_settings(SettingsValidator(LOTTERY), {**VALID, "ticketCount": 0}, root="$.settings")
    assert list(caught.value.details["fields"]) == ["$.settings.ticketCount"]


@pytest.mark.parametrize("settings", [None, [], "a", 5, True])
def test_settings_are_an_object_whatever_the_schema_says(settings: object) -> None:
    assert fields({}, settings) == {"$.appSettings": "Must be a JSON object."}


@pytest.mark.parametrize("date", ["tomorrow", "2025-12-31", "2025-02-30T00:00:00Z"])
def test_date_and_time_are_asserted(date: str) -> None:
    assert fields(LOTTERY, {**VALID, "drawDate": date}).keys() == {"$.appSettings.drawDate"}


@pytest.mark.parametrize("keyword", ["additionalProperties", "unevaluatedProperties"])
@pytest.mark.parametrize("beside", [{}, {"properties": {"c": {}}}])
def test_unexpected_members_are_each_named(keyword: str, beside: dict[str, Any]) -> None:
    schema = {"properties": {"x": {"items": {**beside, keyword: False}}}}
    found = fields(schema, {"x": [{}, {"a": 1, "b": {"c": 2}}]})
    places = ("$.appSettings.x[1].a", "$.appSettings.x[1].b")
    assert found == dict.fromkeys(places, "No such member is known.")


def test_forbidden_member_is_named() -> None:
    assert fields({"properties": {"a": False}}, {"a": 1}) == {
        "$.appSettings.a": "Not allowed here."
    }


def test_draft_7_is_validated_as_draft_7() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"a": {"items": [{"type": "string"}], "additionalItems": False}},
    }
    check_settings(SettingsValidator(schema), {"a": ["x"]})
    assert fields(schema, {"a": ["x", 1]}).keys() == {"$.appSettings.a"}


def test_address_of_a_schema_has_no_part_in_its_references() -> None:
    uri = "https://json-schema.org/draft/2020-12/schema"
    schema = {
        "$id": uri,
        "$defs": {"n": {"type": "null"}},
        "properties": {"a": {"$ref": "#/$defs/n"}},
    }
    assert fields(schema, {"a": 1}).keys() == {"$.appSettings.a"}


def test_values_are_not_repeated_in_messages() -> None:
    found = fields(LOTTERY, {"ticketCount": "secret", "drawDate": "secret"})
    assert not any("secret" in message for message in found.values())


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"a": "\0"}, "$.appSettings.a"),
        ({"a": [{"b": "x\0"}]}, "$.appSettings.a[0].b"),
        ({"a\0": 1}, "$.appSettings"),
        ({"a": "\udfff"}, "$.appSettings.a"),
        ({"\ud800": 1}, "$.appSettings"),
        ({"a": float("nan")}, "$.appSettings.a"),
        ({"a": "x" * LARGEST_SETTINGS_BYTES}, "$.appSettings"),
    ],
)
def test_what_can_not_be_stored_is_refused(settings: object, path: str) -> None:
    assert fields({}, settings).keys() == {path}


def test_null_and_a_spelled_out_escape_are_stored() -> None:
    check_settings(SettingsValidator({}), {"a": None, "b": "\\u0000", "c": 10**40, "d": 0.5})


def chain(levels: int) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for _ in range(levels - 1):
        settings = {"a": settings}
    return settings


def test_nesting_of_settings_is_limited() -> None:
    recursive = {"properties": {"a": {"$ref": "#"}}, "additionalProperties": False}
    check_settings(SettingsValidator(recursive), chain(32))
    assert fields(recursive, chain(33)) == {
        "$.appSettings" + ".a" * 32: "Nested deeper than 32 levels."
    }
    assert len(fields(recursive, chain(100_000))) == 1


def test_wide_settings_are_not_deep_ones() -> None:
    check_settings(SettingsValidator({}), {"a": [[] for _ in range(1_000)]})


def test_number_of_faults_is_limited() -> None:
    assert len(fields({"additionalProperties": False}, {f"a{i}": 1 for i in range(2_000)})) == 1_000


def test_schema_that_could_not_be_published_is_refused() -> None:
    with pytest.raises(InvalidManifest) as caught:
        SettingsValidator({"properties": {"a": {"$ref": "https://a.example"}}})
    assert [fault["pointer"] for fault in caught.value.details["faults"]] == ["/properties/a/$ref"]


# Moving to another version


def test_missing_and_failing_fields_are_told_apart() -> None:
    found = missing_for(SettingsValidator(LOTTERY), {"ticketCount": 0, "lines": [{}]})
    assert set(found["missing"]) == {"$.settings.drawDate", "$.settings.lines[0].text"}
    assert found["fields"].keys() == {*found["missing"], "$.settings.ticketCount"}


def test_nothing_is_missing_where_settings_fit() -> None:
    assert missing_for(SettingsValidator(LOTTERY), VALID) == {}


# Kept validators


def test_validator_of_a_version_is_compiled_once() -> None:
    assert validator_for("lottery", "1.0.0", LOTTERY) is validator_for("lottery", "1.0.0", LOTTERY)


def test_versions_have_validators_of_their_own() -> None:
    narrow = validator_for("lottery", "1.0.0", {"properties": {"a": {"const": 1}}})
    wide = validator_for("lottery", "2.0.0", {})
    assert narrow.errors({"a": 2})
    assert not wide.errors({"a": 2})


def test_another_schema_under_the_same_version_is_not_taken_for_the_kept_one() -> None:
    # An app can be purged and registered again. 1 and true are equal in Python only.
    validator_for("lottery", "1.0.0", {"properties": {"a": {"const": 1}}})
    other = validator_for("lottery", "1.0.0", {"properties": {"a": {"const": True}}})
    assert not other.errors({"a": True})
    assert other.errors({"a": 1})


def test_kept_validators_are_bounded_and_the_used_ones_stay() -> None:
    used = validator_for("used", "1.0.0", LOTTERY)
    for number in range(2 * MOST_KEPT_VALIDATORS):
        validator_for("app", f"{number}.0.0", {"title": str(number)})
        assert validator_for("used", "1.0.0", LOTTERY) is used
    assert len(settings_schema._kept) == MOST_KEPT_VALIDATORS


def test_refused_schema_is_not_kept() -> None:
    with pytest.raises(InvalidManifest):
        validator_for("lottery", "1.0.0", {"type": "text"})
    assert not settings_schema._kept


def test_ten_thousand_refusals_leave_the_memory_where_it_was() -> None:
    refused = {"ticketCount": 0, "lines": [{"text": 5}] * 10, "prize": 5}

    def refuse(times: int) -> int:
        for _ in range(times):
            with pytest.raises(ValidationFailed):
                check_settings(validator_for("lottery", "1.0.0", LOTTERY), refused)
        return int(psutil.Process().memory_info().rss)

    def grows() -> bool:
        before = refuse(0)
        return refuse(10_000) - before >= 4_000_000

    refuse(2_000)
    # What leaks does so each time; this process may grow once for another reason.
    assert not all(grows() for _ in range(3))


# Hostile schemas and settings


def test_pattern_that_backtracks_elsewhere_is_matched_in_linear_time() -> None:
    validator = SettingsValidator({"properties": {"a": {"pattern": "^(a+)+$"}}})
    begun = time.thread_time()
    assert validator.errors({"a": "a" * 30_000 + "b"})
    assert time.thread_time() - begun < 0.5


def test_recursion_is_validated_in_bounded_time() -> None:
    tree = {
        "properties": {name: {"anyOf": [{"type": "null"}, {"$ref": "#"}]} for name in "abc"},
        "required": ["end"],
    }
    begun = time.thread_time()
    assert SettingsValidator(tree).errors(chain(32))
    assert time.thread_time() - begun < 0.5


def test_many_wrong_values_are_listed_in_bounded_time() -> None:
    validator = SettingsValidator({"properties": {"a": {"items": {"type": "string"}}}})
    begun = time.thread_time()
    assert len(validator.errors({"a": [0] * 16_000})) == 1_000
    assert time.thread_time() - begun < 2


def test_wrong_values_times_subschemas_are_listed_up_to_a_bound() -> None:
    choices = {"oneOf": [{"const": f"country {number}"} for number in range(250)]}
    validator = SettingsValidator({"properties": {"a": {"items": choices}}})
    listed = validator.errors({"a": ["elsewhere"] * 100})
    assert [fault.pointer for fault in listed] == [f"/a/{index}" for index in range(100)]
    begun = time.thread_time()
    told = validator.errors({"a": ["country 1", *([0] * 10_000)]})
    assert [fault.pointer for fault in told] == ["/a/1"]
    assert time.thread_time() - begun < 2


def test_first_fault_of_what_fits_is_none() -> None:
    compiled = compile_schema(DRAFT_2020_12, {"type": "object"})
    assert first_faults_of(compiled, {}) == []
    assert [fault.keyword for fault in first_faults_of(compiled, [])] == ["type"]


@pytest.mark.parametrize("form", ["$ref", "$schema", "$id", "$dynamicRef"])
def test_nothing_is_ever_fetched(form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        visits: list[object] = []
        listener = threading.Thread(target=_note_a_visit, args=(server, visits))
        listener.start()
        for schema in ({form: address}, {"properties": {"a": {form: address}}}):
            try:
                SettingsValidator(schema).errors({"a": 1})
            except InvalidManifest:
                continue
        listener.join()
    assert visits == []


def _note_a_visit(server: socket.socket, visits: list[object]) -> None:
    try:
        connection, address = server.accept()
    except TimeoutError:
        return
    connection.close()
    visits.append(address)


def test_compiler_itself_fetches_nothing() -> None:
    # The faults above come first; were one of them overlooked, this would still hold.
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        for address in (f"http://127.0.0.1:{server.getsockname()[1]}/", "file:///etc/passwd"):
            with pytest.raises(ValueError, match="disabled"):
                compile_schema(DRAFT_2020_12, {"$ref": address})
        with pytest.raises(TimeoutError):
            server.accept()
