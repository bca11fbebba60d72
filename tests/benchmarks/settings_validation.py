"""What it costs to check a room's settings: ``python -m tests.benchmarks.settings_validation``.

All kinds take turns in one run, because only ratios hold from machine to machine.
"""

import statistics
import sys
import timeit
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from app.applications.settings_schema import SettingsValidator, check_settings, validator_for
from app.errors import ValidationFailed

LOTTERY: Mapping[str, Any] = {
    "type": "object",
    "required": ["ticketCount", "drawDate"],
    "properties": {
        "ticketCount": {"type": "integer", "minimum": 1},
        "drawDate": {"type": "string", "format": "date-time"},
    },
    "additionalProperties": False,
}
QUIZ: Mapping[str, Any] = {
    "type": "object",
    "required": ["questions", "currentQuestionIndex", "quizStatus"],
    "properties": {
        "questions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["text", "choices"],
                "properties": {
                    "text": {"type": "string", "maxLength": 500},
                    "choices": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
        "currentQuestionIndex": {"type": "integer", "minimum": 0},
        "quizStatus": {"enum": ["WAITING", "RUNNING", "OVER"]},
    },
}
DRAW = {"ticketCount": 100, "drawDate": "2025-12-31T23:00:00Z"}
QUESTION = {"text": "Where do reindeer live?", "choices": ["north", "south", "west", "east"]}
SHOW = {"questions": [QUESTION] * 10, "currentQuestionIndex": 0, "quizStatus": "WAITING"}
WRONG = {"ticketCount": 0, "drawDate": "soon", "prize": 5}
REPEATS = 31
CALLS = 1_000
REFUSALS = 10_000


def main() -> None:
    """Print what one call of each kind costs, and what refusals leave behind."""
    for name, cost in compare(kinds()).items():
        sys.stdout.write(f"{name:<44}{cost:8.2f} µs\n")
    grown = growth_over_refusals()
    sys.stdout.write(f"{f'{REFUSALS:,} refusals leave behind':<44}{grown:8,} bytes\n")


def kinds() -> Mapping[str, Callable[[], object]]:
    """Give what is compared."""
    lottery, quiz = SettingsValidator(LOTTERY), SettingsValidator(QUIZ)
    return {
        "two settings that fit": lambda: check_settings(lottery, DRAW),
        "a quiz of ten questions that fits": lambda: check_settings(quiz, SHOW),
        "three settings that are wrong": lambda: lottery.errors(WRONG),
        "finding the kept validator": lambda: validator_for("lottery", "1.0.0", LOTTERY),
        "compiling a validator": lambda: SettingsValidator(LOTTERY),
    }


def compare(compared: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Time each kind in turn, round by round; microseconds per call, the median of all rounds."""
    rounds: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(REPEATS):
        for name, call in compared.items():
            rounds[name].append(timeit.timeit(call, number=CALLS) / CALLS * 1e6)
    return {name: statistics.median(costs) for name, costs in rounds.items()}


def growth_over_refusals() -> int:
    """Refuse settings again and again; give the bytes by which the process grew."""
    refuse(REFUSALS // 5)
    before = psutil.Process().memory_info().rss
    refuse(REFUSALS)
    return int(psutil.Process().memory_info().rss - before)


def refuse(times: int) -> None:
    """Go through the way of a refused room that many times."""
    for _ in range(times):
        try:
            check_settings(validator_for("lottery", "1.0.0", LOTTERY), WRONG)
        except ValidationFailed:
            continue


if __name__ == "__main__":
    main()
