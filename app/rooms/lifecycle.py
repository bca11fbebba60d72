"""A room's life: which status may follow which. Pure."""

from collections.abc import Mapping

from app.errors import InvalidTransition
from app.tables import RoomStatus

NEXT: Mapping[RoomStatus, frozenset[RoomStatus]] = {
    RoomStatus.DRAFT: frozenset({RoomStatus.ACTIVE, RoomStatus.CANCELLED}),
    RoomStatus.ACTIVE: frozenset({RoomStatus.COMPLETED, RoomStatus.CANCELLED}),
    RoomStatus.COMPLETED: frozenset(),
    RoomStatus.CANCELLED: frozenset(),
}


def check_transition(present: RoomStatus, wanted: RoomStatus) -> None:
    """Allow the steps of the graph, and staying where one is.

    Raises:
        InvalidTransition: There is no such step.
    """
    if wanted is not present and wanted not in NEXT[present]:
        raise InvalidTransition(
            f"A room that is {present} can't become {wanted}.",
            details={"from": present, "to": wanted, "allowed": sorted(NEXT[present])},
        )
