"""How long the winners of a prize have to claim it. Pure."""

from datetime import timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=366)


def time_to_claim(within: str) -> timedelta:
    """Read a duration as `Within` describes it; `P7D` is seven times 24 hours."""
    return msgspec.convert(within, timedelta)


def fault_of_within(within: str) -> str | None:
    """Say what is wrong with a duration that has the form of one."""
    try:
        is_bounded = SHORTEST <= time_to_claim(within) <= LONGEST
    except msgspec.ValidationError:
        is_bounded = False
    return None if is_bounded else "A duration from PT1M, a minute, to P366D."


Within = Annotated[
    str,
    Meta(
        max_length=20,
        pattern=r"^P([0-9]{1,3}D)?(T([0-9]{1,4}H)?([0-9]{1,6}M)?)?\Z",
        description="An ISO 8601 duration of days, hours and minutes, from PT1M to P366D. A day "
        "is 24 hours.",
        examples=["P7D"],
        extra={"check": fault_of_within},
    ),
]


class ClaimTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of who wins a prize: to say in time that they take it."""

    within: Within
