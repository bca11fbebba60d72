"""Names have something to see, and texts read as they are written."""

import pytest

from app.visible_text import cleaned_line, fault_of_line, fault_of_text, fault_of_words

NOTHING = [
    "",
    " \t",
    "\u00a0\u3000",
    "\u200b",
    "\u200d\u200c\u2060\ufeff",
    "\u00ad",
    "\u3164",
    "\u115f\u1160\uffa0",
    "\u2800",
    "\ufe0f",
    "\U000e0100",
    "\U000e0041",
    "\u0301\u0308",
    "\u180e",
]
MISLEADING = [
    *("\u202a", "\u202b", "\u202c", "\u202d", "\u202e"),
    *("\u2066", "\u2067", "\u2068", "\u2069"),
    *("\0", "\x1b", "\x7f", "\x9b"),
]
GOOD = [
    "Erin",
    "👩\u200d👩\u200d👧",
    "❤\ufe0f",
    "می\u200cخواهم",  # noqa: RUF001 - Persian
    "שלום",
    "e\u0301",
    "山田",
    ".",
    "A\u200e",
]


@pytest.mark.parametrize("text", NOTHING)
def test_name_with_nothing_to_see_is_refused(text: str) -> None:
    assert fault_of_line(text) == fault_of_words(text) == "Has nothing to see in it."
    assert cleaned_line(text) is None


@pytest.mark.parametrize("char", MISLEADING)
def test_what_shows_a_text_otherwise_than_it_is_written_is_refused(char: str) -> None:
    told = f"U+{ord(char):04X}"
    assert told in str(fault_of_line(f"gpj{char}exe"))
    assert told in str(fault_of_text(f"gpj{char}exe"))
    assert told in str(fault_of_words(f"gpj{char}exe"))
    assert cleaned_line(f" gpj{char}exe") == "gpj exe"


@pytest.mark.parametrize("char", ["\n", "\r", "\t", "\x85", "\u2028", "\u2029"])
def test_lines_end_in_texts_and_not_in_names(char: str) -> None:
    assert fault_of_text(f"one{char}two") is fault_of_words(f"one{char}two") is None
    assert fault_of_line(f"one{char}two") is not None
    assert cleaned_line(f"one{char}two") == "one two"


@pytest.mark.parametrize("text", GOOD)
def test_what_people_are_called_is_fit(text: str) -> None:
    assert fault_of_line(text) is None
    assert fault_of_text(text) is None
    assert cleaned_line(text) == text


def test_text_may_be_empty() -> None:
    assert fault_of_text("") is None
