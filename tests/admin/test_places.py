"""Lines of a document as it was typed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.admin.places import line_of
from app.applications.documents import pointer_to

TYPED = """
{"meta": {"name": "a, b: {[\\"]}",
          "version": "1"},
 "list": [1,
   {"a/b": null},
   [],

   {}], "~": true
}"""


@pytest.mark.parametrize(
    ("pointer", "line"),
    [
        ("", 2),
        ("/meta", 2),
        ("/meta/name", 2),
        ("/meta/version", 3),
        ("/list/0", 4),
        ("/list/1/a~1b", 5),
        ("/list/2", 6),
        ("/list/3", 8),
        ("/~0", 8),
        ("/meta/missing", 2),
        ("/list/3/missing/deeply", 8),
        ("/missing", 2),
    ],
)
def test_a_pointer_leads_to_a_line(pointer: str, line: int) -> None:
    assert line_of(TYPED, pointer) == line


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text(), inner, min_size=1),
    max_leaves=20,
)


@given(DOCUMENTS)
def test_every_line_of_an_indented_document_is_found(document: object) -> None:
    text = json.dumps(document, indent=1)
    expected = {}
    line = 1

    def walk(value: object, path: tuple[str | int, ...]) -> None:
        nonlocal line
        expected[pointer_to(path)] = line
        if not isinstance(value, dict | list):
            return
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            line += 1
            walk(inner, (*path, step))
        line += 1

    walk(document, ())
    assert {pointer: line_of(text, pointer) for pointer in expected} == expected
