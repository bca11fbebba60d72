"""What the database refuses, in words that say what to do instead."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import asyncpg

from app.errors import AppError, AppHasRooms, Conflict, PrizeHasWinners

# The plan's "Restrict Relations": these rows keep history, so they are only ever soft-deleted.
DELETIONS: Mapping[str, AppError] = {
    "winners_prizeId_fkey": PrizeHasWinners(
        "A prize that was won can't be deleted for good, or its winners' history would go with it. "
        "Revoke its winners, then soft-delete it (set deletedAt)."
    ),
    "rooms_appId_fkey": AppHasRooms(
        "An app that rooms use, or used, can't be deleted for good. "
        "Delete its live rooms, then soft-delete it (set deletedAt)."
    ),
    "draws_roomId_fkey": Conflict(
        "A room that has drawn can't be deleted for good: its draws stay for everybody to check. "
        "Soft-delete it (set deletedAt)."
    ),
    "rooms_createdBy_fkey": Conflict(
        "A person who organized a room can't be deleted for good. "
        "Soft-delete the person (set deletedAt); that takes their rooms along."
    ),
}

ANOTHER_DRAW = Conflict("Another draw of this room is open; draw or cancel it first.")

OTHERS: Mapping[str, AppError] = {
    "prizes_quantity_check": Conflict("A prize has at least one unit."),
    "prizes_quantityRemaining_check": Conflict(
        "What remains of a prize is neither negative nor more than its quantity."
    ),
    "draws_roomId_open_key": ANOTHER_DRAW,
    "draws_roomId_number_key": ANOTHER_DRAW,
    "draws_idempotencyKey_key": Conflict("A request with this Idempotency-Key is under way."),
    "draws_replaces_key": Conflict("This winner's unit has been drawn again already."),
    "participants_email_roomId_key": Conflict(
        "Somebody was brought in by this address at the same moment; try again."
    ),
    "participants_person_check": Conflict(
        "This person has joined with another row of the room; this one is nobody's any more."
    ),
    "participants_erased_check": Conflict(
        "What was known of this person was erased, and stays so."
    ),
    "participants_guest_check": Conflict(
        "A guest is in one room alone, as PARTICIPANT or VIEWER, until they sign in."
    ),
    "users_guest_check": Conflict("A guest has no account: they have to sign in first."),
    "answers_roundId_participantId_key": Conflict("You have answered this question already."),
    "winners_participantId_prizeId_key": Conflict("This participant has won this prize already."),
}


@contextmanager
def explained() -> Iterator[None]:
    """Turn violations of the constraints above into errors that explain themselves.

    Others, and rows that refer to something that isn't there, stay as they are: bugs of ours.
    """
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        if isinstance(error, asyncpg.CheckViolationError | asyncpg.NotNullViolationError):
            error.detail = None  # It shows the whole row, with whatever is secret there.
        known = _explanation(error)
        if known is None:
            raise
        raise type(known)(known.message, private=str(error)) from error


def _explanation(error: asyncpg.IntegrityConstraintViolationError) -> AppError | None:
    name = getattr(error, "constraint_name", None) or ""
    if isinstance(error, asyncpg.RestrictViolationError):  # as PostgreSQL 18 says it
        return DELETIONS.get(name)
    if isinstance(error, asyncpg.ForeignKeyViolationError):  # as those before say it, too
        return DELETIONS.get(name) if "delete" in str(error) else None
    return OTHERS.get(name)
