"""The graph of a room's life."""

import pytest

from app.errors import InvalidTransition
from app.rooms.lifecycle import check_transition
from app.tables import RoomStatus as Status

STEPS = {
    (Status.DRAFT, Status.ACTIVE),
    (Status.DRAFT, Status.CANCELLED),
    (Status.ACTIVE, Status.COMPLETED),
    (Status.ACTIVE, Status.CANCELLED),
}


@pytest.mark.parametrize("present", Status)
@pytest.mark.parametrize("wanted", Status)
def test_a_status_follows_the_graph_or_stays(present: Status, wanted: Status) -> None:
    if present is wanted or (present, wanted) in STEPS:
        check_transition(present, wanted)
        return
    with pytest.raises(InvalidTransition) as refused:
        check_transition(present, wanted)
    allowed = sorted(to for start, to in STEPS if start is present)
    assert refused.value.details == {"from": present, "to": wanted, "allowed": allowed}


def test_people_and_prizes_come_and_go_before_the_end_only() -> None:
    assert [status for status in Status if status.is_open] == [Status.DRAFT, Status.ACTIVE]
