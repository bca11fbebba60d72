"""What is wrong with a body is told at its place, in words, however deep it is."""

from typing import Any

import msgspec
import pytest

from app.draws.schemas import AnnouncementInput, DrawInput
from app.errors import ValidationFailed
from app.http.bodies import Input, decode_body

TEXT = {"kind": "text", "label": "Dice", "format": {"alphabet": "1-6", "length": 3}}


@pytest.mark.parametrize(
    ("body", "place", "told"),
    [
        ({"prizes": [{"prizeId": "a"}]}, "$.prizes[0].prizeId", "Unknown field."),
        ({"prizes": [{"id": "a"}, {}]}, "$.prizes[1].id", "Required."),
        (
            {"prizes": [{"id": "a", "quantity": 0}]},
            "$.prizes[0].quantity",
            "Expected integer >= 1.",
        ),
        ({"prizes": {}}, "$.prizes", "Expected array or null, got object."),
        ({"entropy": {}}, "$.entropy.kind", "Required."),
        ({"entropy": {"kind": "dice"}}, "$.entropy.kind", "Expected one of none, text, drand."),
        ({"entropy": {"kind": 5}}, "$.entropy.kind", "Expected string, got integer."),
        (
            {"entropy": {**TEXT, "format": {"alphabet": "1-7", "length": 3}}},
            "$.entropy.format.alphabet",
            "Expected one of 0-9, 1-6, A-Z.",
        ),
        ({"entropy": {**TEXT, "format": {"length": 3}}}, "$.entropy.format.alphabet", "Required."),
        (
            {"entropy": {"kind": "drand", "chain": "52db…e971", "round": 1}},
            "$.entropy.chain",
            "64 hexadecimal digits in lower case.",
        ),
        ({"exclusions": [{"participantId": "a"}]}, "$.exclusions[0].reason", "Required."),
    ],
    ids=str,
)
def test_a_fault_of_an_announcement_is_told_at_its_place(body: Any, place: str, told: str) -> None:
    assert faults_of(body, AnnouncementInput) == {place: told}


def test_what_a_form_is_like_is_told_in_words() -> None:
    told = faults_of({"signature": "zz"}, DrawInput)
    assert told == {
        "$.signature": "The drand round's signature, as hexadecimal digits in lower case."
    }


def faults_of(body: Any, target: type[Input]) -> dict[str, str]:
    with pytest.raises(ValidationFailed) as refused:
        decode_body(msgspec.json.encode(body), target)
    fields: dict[str, str] = refused.value.details["fields"]
    return fields
