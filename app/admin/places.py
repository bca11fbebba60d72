"""Where in a JSON text a JSON pointer leads, for who looks at the text."""

import json
import re

from app.applications.documents import pointer_to

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def line_of(text: str, pointer: str) -> int:
    """Return the line, from 1, of what a pointer leads to, or of what would hold it.

    Args:
        text: A valid JSON document.
        pointer: A JSON pointer (RFC 6901).
    """
    lines = _lines(text)
    while pointer not in lines:
        pointer = pointer.rpartition("/")[0]
    return lines[pointer]


def _lines(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    path: list[str | int] = []
    is_name = False
    line, counted = 1, 0
    for token in TOKEN.finditer(text):
        line, counted = line + text.count("\n", counted, token.start()), token.start()
        match token[0]:
            case ":":
                is_name = False
            case "}" | "]":
                path.pop()
            case ",":
                step = path[-1]
                is_name = isinstance(step, str)
                path[-1] = step + 1 if isinstance(step, int) else step
            case name if is_name:
                path[-1] = json.loads(name)
            case value:
                found[pointer_to(path)] = line
                if value in {"{", "["}:
                    is_name = value == "{"
                    path.append("" if is_name else 0)
    return found
