"""Whether a text that people are shown has something to see, and shows what it says.

A name of zero-width characters alone looks like none; one with a bidirectional override reads
otherwise than it is written. Joiners within emoji or Persian words are no harm and stay.
"""

import re
import unicodedata

_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and symbols without a shape: Hangul fillers and the empty Braille cell."""
_UNSEEN_CATEGORIES = "ZCM"
"""Separators, controls and formats, and marks: what only changes how another looks."""
_DIRECTIONS = "\u202a-\u202e\u2066-\u2069"
_MISLEADING_IN_TEXTS = re.compile(rf"[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f{_DIRECTIONS}]")
_MISLEADING_IN_LINES = re.compile(rf"[\0-\x1f\x7f-\x9f\u2028\u2029{_DIRECTIONS}]")


def fault_of_line(text: str) -> str | None:
    """Say what is wrong with a name or a title; None where it is fit to be shown."""
    if not is_visible(text):
        return "Has nothing to see in it."
    if found := _MISLEADING_IN_LINES.search(text):
        return _told(found[0])
    return None


def fault_of_text(text: str) -> str | None:
    """Say what is wrong with a text of several lines, which may be empty."""
    found = _MISLEADING_IN_TEXTS.search(text)
    return _told(found[0]) if found else None


def fault_of_words(text: str) -> str | None:
    """Say what is wrong with a text of several lines that has to say something."""
    return fault_of_text(text) if is_visible(text) else "Has nothing to see in it."


def is_visible(text: str) -> bool:
    """Tell whether any character of a text shows."""
    return any(
        unicodedata.category(each)[0] not in _UNSEEN_CATEGORIES and each not in _BLANKS
        for each in text
    )


def cleaned_line(text: str) -> str | None:
    """Take out of a name what may not be in one; None where nothing is left to see."""
    cleaned = " ".join(_MISLEADING_IN_LINES.sub(" ", text).split())
    return cleaned if is_visible(cleaned) else None


def _told(char: str) -> str:
    return f"Has a control character (U+{ord(char):04X}), which would show it otherwise."
