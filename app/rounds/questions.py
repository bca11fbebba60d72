"""What a room's settings say of its questions. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.errors import NotFound, ValidationFailed

LONGEST_SECONDS = 86_400
LARGEST_INDEX = 2**31 - 1
Index = Annotated[int, Meta(ge=0, le=LARGEST_INDEX)]


class ShownQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question as it is shown to everybody."""

    id: Annotated[str, Meta(min_length=1)]
    text: str
    options: Annotated[list[str], Meta(min_length=1)]
    timeLimit: (
        Annotated[
            float,
            Meta(gt=0, le=LONGEST_SECONDS, description="Seconds, after which nobody may answer."),
        ]
        | None
    ) = None


class _Question(ShownQuestion, frozen=True, kw_only=True):
    correctIndex: Index


class Asked(msgspec.Struct, frozen=True):
    """A question of the settings, and which of them it is."""

    shown: ShownQuestion
    correct_index: int
    index: int
    total: int


def question_of(settings: object, question_id: str) -> Asked:
    """Find a question in a room's settings.

    Raises:
        NotFound: They have none with this id.
        ValidationFailed: It is not one that can be asked.
    """
    questions = settings.get("questions") if isinstance(settings, Mapping) else None
    if isinstance(questions, list):
        for index, found in enumerate(questions):
            if isinstance(found, dict) and found.get("id") == question_id:
                return _asked(found, index, len(questions))
    raise NotFound("The room's settings have no such question.")


def _asked(found: Mapping[str, Any], index: int, total: int) -> Asked:
    place = f"$.appSettings.questions[{index}]"
    try:
        question = msgspec.convert(found, _Question)
    except msgspec.ValidationError as error:
        message = f"The room's settings have no question that can be asked there: {error}."
        raise ValidationFailed(message, details={"fields": {place: str(error)}}) from error
    if question.correctIndex >= len(question.options):
        raise ValidationFailed.at({f"{place}.correctIndex": "There is no such option."})
    shown = ShownQuestion(question.id, question.text, question.options, question.timeLimit)
    return Asked(shown, question.correctIndex, index, total)
