"""What the checker calls compatible never refuses settings that were valid."""

from itertools import pairwise
from random import Random
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from jsonschema_rs import RegexOptions, canonicalize
from jsonschema_rs.canonical import Containment

from app.applications import schema_demands, schema_rules
from app.applications.compatibility import breaking_changes, breaking_within_major
from app.applications.json_schema import (
    DRAFT_7,
    DRAFT_2020_12,
    Draft,
    compile_schema,
    schema_faults,
)
from tests.applications import schema_grammar

DRAFTS = [DRAFT_7, DRAFT_2020_12]


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - repeatable test data, nothing secret


POOL = [schema_grammar.settings(seeded(seed)) for seed in range(1_000)]
"""Settings that are tried on every pair of schemas."""


def manifest(schema: dict[str, Any], version: str = "1.0.0") -> dict[str, Any]:
    return {
        "meta": {"name": "Lottery", "version": version},
        "baseUrl": "https://lottery.example",
        "capabilities": {},
        "permissions": [],
        "settings": schema,
    }


def valid_settings(draft: Draft, schema: dict[str, Any]) -> list[int]:
    check = compile_schema(draft, schema)
    return [number for number, settings in enumerate(POOL) if check.is_valid(settings)]


def releases(random: Random, draft: Draft, count: int) -> list[dict[str, Any]]:
    """Draw a schema that takes a good part of the pool, and changes of it, one upon the other."""
    schemas = [schema_grammar.settings_schema(random, draft)]
    while schema_faults(schemas[0]) or len(valid_settings(draft, schemas[0])) < 20:
        schemas = [schema_grammar.settings_schema(random, draft)]
    while len(schemas) <= count:
        schema = schema_grammar.changed(random, schemas[-1], draft)
        if schema != schemas[-1] and not schema_faults(schema):
            schemas.append(schema)
    return schemas


def wrongly_refused(random: Random) -> list[Any]:
    """Draw releases; give a change that is called compatible, and settings that it refuses."""
    draft = random.choice(DRAFTS)
    for old, new in pairwise(releases(random, draft, 3)):
        if not breaking_changes(manifest(old), manifest(new)):
            refused = set(valid_settings(draft, old)) - set(valid_settings(draft, new))
            if refused:
                return [old, new, POOL[min(refused)]]
    return []


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=True))
def test_compatible_change_refuses_no_settings_that_were_valid(random: Random) -> None:
    assert wrongly_refused(random) == []


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=True), st.sampled_from(DRAFTS))
def test_later_release_takes_the_settings_of_every_release_before(
    random: Random, draft: Draft
) -> None:
    published: list[dict[str, Any]] = []
    were_valid: set[int] = set()
    for minor, schema in enumerate(releases(random, draft, 5)):
        release = manifest(schema, f"1.{minor}.0")
        if breaking_within_major(release, published):
            continue
        now_valid = set(valid_settings(draft, schema))
        assert now_valid >= were_valid
        published.append(release)
        were_valid |= now_valid
    event(f"{len(published)} releases of one major")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=True), st.sampled_from(DRAFTS))
def test_another_prover_never_contradicts(random: Random, draft: Draft) -> None:
    for old, new in pairwise(releases(random, draft, 2)):
        if not breaking_changes(manifest(old), manifest(new)):
            assert covers(draft, old, new) is not Containment.NO


def covers(draft: Draft, old: dict[str, Any], new: dict[str, Any]) -> Containment:
    """Ask the validator's own prover, which works on normal forms; it gives up on some."""

    def normal(schema: dict[str, Any]) -> jsonschema_rs.CanonicalSchema:
        return canonicalize(schema, validate_formats=True, pattern_options=RegexOptions())

    try:
        objects = normal({"$schema": draft.uri, "type": "object"})
        return normal(new).covers(normal(old).intersect(objects))
    except ValueError:
        return Containment.UNKNOWN


def test_grammar_leads_to_both_verdicts() -> None:
    verdicts = []
    for seed in range(150):
        random = seeded(seed)
        for old, new in pairwise(releases(random, random.choice(DRAFTS), 3)):
            verdicts.append(bool(breaking_changes(manifest(old), manifest(new))))
    assert verdicts.count(True) > 50
    assert verdicts.count(False) > 50


@pytest.mark.parametrize(
    "keyword", ["$ref", "additionalProperties", "anyOf", "items", "properties", "type"]
)
def test_property_test_finds_a_checker_that_forgets_a_keyword(
    monkeypatch: pytest.MonkeyPatch, keyword: str
) -> None:
    if keyword in schema_rules.RULES:
        rules = {**schema_rules.RULES, keyword: lambda *_: []}
        monkeypatch.setattr("app.applications.compatibility.RULES", rules)
    else:
        assertions = {**schema_demands.ASSERTIONS, keyword: lambda *_: True}
        monkeypatch.setattr(schema_demands, "ASSERTIONS", assertions)
    assert any(wrongly_refused(seeded(seed)) for seed in range(150))
