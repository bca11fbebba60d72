"""Request bodies: their text alone tells what a walk through them would, at next to no cost."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.applications.documents import MOST_FAULTS, MOST_VALUES, depth_of, storage_faults
from app.errors import ValidationFailed
from app.http.bodies import (
    LARGEST_BODY_BYTES,
    LARGEST_CREDENTIALS_BYTES,
    LARGEST_INTEGER,
    MOST_CONTAINERS,
    decode_any,
    decode_json,
)
from tests import factories
from tests.answers import Headers, code_of
from tests.work import python_calls

TEXTS = st.text(st.sampled_from('ab"\\/[]{}:,\n\x7f\u2028é😀'), max_size=4)
PLAIN = st.none() | st.booleans() | st.integers(-9, 9) | st.just(0.5) | TEXTS


def written(text: str) -> st.SearchStrategy[str]:
    """Write a text as JSON, in one of the ways that there are."""
    return st.sampled_from([json.dumps(text), json.dumps(text, ensure_ascii=False)])


def documents() -> st.SearchStrategy[str]:
    """Write documents as JSON whose members may be there twice."""

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        member = st.tuples(TEXTS.flatmap(written), inner).map(": ".join)
        return st.lists(inner, max_size=4).map(lambda items: f"[{' , '.join(items)}]") | st.lists(
            member, max_size=4
        ).map(lambda members: f"{{{','.join(members)}}}")

    return st.recursive(PLAIN.map(json.dumps) | TEXTS.flatmap(written), larger, max_leaves=12)


def says_a_member_again(text: str) -> bool:
    found = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len(dict(pairs)) < len(pairs)

    json.loads(text, object_pairs_hook=look)
    return found


@given(documents())
def test_a_member_that_is_there_twice_is_refused_and_nothing_else(text: str) -> None:
    if says_a_member_again(text):
        with pytest.raises(ValidationFailed, match="twice"):
            decode_json(text.encode())
    else:
        assert decode_json(text.encode()) == json.loads(text)


def depth(value: Any) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, inner), default=0)
    return 0


@given(documents())
def test_the_depth_is_told_by_the_text(text: str) -> None:
    document = json.loads(text)
    compact = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    assert depth_of(compact) == depth(document)


@pytest.mark.parametrize(
    "document",
    [
        {"a": ["\\u0000", "\\\\u0000", "null", "]]]", '"]', "\\"]},
        [[[None]], [{"a": "[[[["}]] * 300,
        {str(LARGEST_INTEGER) + "0": "9" * 400},
        LARGEST_INTEGER,
        -LARGEST_INTEGER,
    ],
)
def test_what_only_looks_as_if_it_could_not_be_stored_is_let_through(document: Any) -> None:
    assert decode_any(json.dumps(document).encode()) == document


@pytest.mark.parametrize("number", [LARGEST_INTEGER + 1, -LARGEST_INTEGER - 1, 10**400])
def test_a_number_that_readers_take_for_infinity_is_refused_at_its_place(number: int) -> None:
    with pytest.raises(ValidationFailed) as refused:
        decode_any(f'{{"a": [0, {{"b": {number}}}]}}'.encode())
    assert refused.value.details["fields"] == {"$.a[1].b": "A number out of range."}


FAR = [0] * (MOST_VALUES + 10)
"""What stands behind it is too far for a place to be told."""


@pytest.mark.parametrize("value", [float("nan"), "\0", "\ud800", {"\0": 1}, [[[[[1]]]]]])
def test_a_fault_is_found_however_far_it_is(value: Any) -> None:
    assert storage_faults([*FAR, value], max_bytes=1_000_000, max_depth=4)[0].path == ()
    found = storage_faults([value, *FAR], max_bytes=1_000_000, max_depth=4)
    assert found[0].path[:1] == (0,)


def test_a_number_out_of_range_is_found_however_far_it_is() -> None:
    with pytest.raises(ValidationFailed) as refused:
        decode_any(json.dumps([*FAR, 10**400]).encode())
    assert list(refused.value.details["fields"]) == ["$"]


def members(count: int) -> str:
    return ",".join(f'"{number:x}":0' for number in range(count))


HOSTILE = {
    "objects": '{"a":[' + "{}," * 40_000 + "{}]}",
    "too many objects": '{"a":[' + "{}," * 330_000 + "{}]}",
    "arrays": '{"a":[' + "[]," * 40_000 + "[]]}",
    "arrays of arrays": "[" + "[[[[]]]]," * 10_000 + "[]]",
    "objects with members": '{"a":[' + '{"a":1},' * 40_000 + "{}]}",
    "nulls": "[" + "null," * 190_000 + "null]",
    "members": "{" + members(90_000) + "}",
    "members, one of them twice": "{" + members(80_000) + ',"1":0}',
    "objects, one of them with a member twice": "[" + "{}," * 40_000 + '{"a":1,"a":1}]',
    "NULs": "[" + '"\\u0000",' * 100_000 + "1]",
    "a NUL behind many": "[" + "{}," * 40_000 + '"\\u0000"]',
    "too deep behind many": "[" + "{}," * 40_000 + "[" * 200 + "]" * 200 + "]",
    "a large number behind many": "[" + "{}," * 40_000 + "9" * 400 + "]",
    "too deep many times": "[" + ("[" * 101 + "]" * 101 + ",") * 150 + "1]",
    "far too deep": "[" * 25_000 + "]" * 25_000,
    "a long number": "9" * 999_000,
    "long numbers": "[" + ("9" * 4_000 + ",") * 240 + "1]",
    "escapes": '"' + "\\u0041" * 160_000 + '"',
    "quotes": '"' + '\\"' * 400_000 + '"',
    "backslashes": '"' + "\\\\" * 400_000 + '"',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_body_is_more_work_than_the_search_for_a_place(text: str) -> None:
    body = text.encode()
    assert len(body) <= LARGEST_BODY_BYTES

    def decode() -> None:
        with suppress(ValidationFailed):
            decode_any(body)

    assert python_calls(decode) < 7 * MOST_VALUES + 20 * MOST_FAULTS


SOUND = {
    "objects": lambda n: "[" + "{}," * n + "{}]",
    "arrays": lambda n: "[" + "[]," * n + "[]]",
    "members": lambda n: "{" + members(n) + "}",
    "nulls": lambda n: "[" + "null," * n + "null]",
    "texts": lambda n: "[" + '"a\\\\\\"",' * n + '""]',
}


@pytest.mark.parametrize("make", SOUND.values(), ids=SOUND)
def test_of_sound_bodies_a_large_one_calls_no_more_python_than_a_small_one(
    make: Callable[[int], str],
) -> None:
    small, large = (make(count).encode() for count in (200, 40_000))
    assert python_calls(lambda: decode_any(large)) < python_calls(lambda: decode_any(small)) + 500


def test_a_body_in_too_many_pieces_is_told_so() -> None:
    with pytest.raises(ValidationFailed) as refused:
        decode_any(b"[" + b"{}," * MOST_CONTAINERS + b"{}]")
    assert refused.value.details["fields"] == {"$": "More than 50,000 objects and arrays."}


def test_numbers_whose_reading_takes_long_are_not_read() -> None:
    body = b"[" + (b"9" * 4_000 + b",") * 240 + b"1]"
    started = time.process_time()
    with pytest.raises(ValidationFailed) as refused:
        decode_any(body)
    assert time.process_time() - started < 0.1
    assert refused.value.details["fields"] == {"$": "Holds a number out of range."}


def test_long_fractions_exponents_and_digits_in_texts_are_no_long_numbers() -> None:
    text = f'["{"9" * 20_000}", 0.{"1" * 400}, -1.{"5" * 400}e-{"0" * 400}1, 1e+{"0" * 400}2]'
    assert decode_any(text.encode())[1:] == json.loads(text)[1:]


async def test_addresses_take_what_they_need(client: httpx.AsyncClient, headers: Headers) -> None:
    room = await factories.room()
    for path, largest in {
        "auth/login": LARGEST_CREDENTIALS_BYTES,
        "auth/refresh": LARGEST_CREDENTIALS_BYTES,
        "rooms": LARGEST_BODY_BYTES,
        f"rooms/{room['id']}/prizes": LARGEST_BODY_BYTES,
        "apps": LARGEST_BODY_BYTES,
    }.items():
        fits, larger = [
            await client.post(f"/api/v1/{path}", content=b" " * size, headers=headers)
            for size in (largest, largest + 1)
        ]
        assert fits.status_code != 413, path
        assert (larger.status_code, code_of(larger)) in {
            (413, "PAYLOAD_TOO_LARGE"),
            (fits.status_code, code_of(fits)),
        }
        if larger.status_code == 413:
            assert f"{largest:,} bytes" in larger.json()["error"]["message"]
