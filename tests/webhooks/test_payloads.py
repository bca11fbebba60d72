"""What apps are told has ids and nothing else, whatever an event says to people."""

import msgspec
import pytest

from app.database.engine import fetch, jsonb
from app.database.ids import new_id
from app.events.catalogue import EVENTS, kind_of
from tests.waiting import eventually
from tests.webhooks.conftest import Hooks
from tests.webhooks.endpoint import Endpoint

PERSONAL = "Ann Example"
CONTENT = {
    "data": {"name": PERSONAL, "user": {"name": PERSONAL}, "email": PERSONAL},
    "changed": [PERSONAL],
    "before": PERSONAL,
    "after": PERSONAL,
}
RANGE = {"from": "a", "to": "b"}


@pytest.mark.usefixtures("courier")
async def test_of_each_event_ids_alone_are_sent(hooks: Hooks, endpoint: Endpoint) -> None:
    await hooks.add(endpoint)
    subjects = {name: new_id() for name in EVENTS}
    for name, subject in subjects.items():
        await tell(hooks, name, subject, CONTENT)
    await tell(hooks, "participant.joined", None, CONTENT | {"count": 101, "range": RANGE})

    async def all_came() -> bool:
        return len(endpoint.got) == len(EVENTS) + 1

    await eventually(all_came, 10)
    assert (
        PERSONAL not in msgspec.json.encode([each.body.decode() for each in endpoint.got]).decode()
    )
    room = {"roomId": hooks.room["id"]}
    told = sorted((each.said["type"], *sorted(each.said["data"].items())) for each in endpoint.got)
    singly = [
        (name, *sorted({f"{kind_of(name)}Id": subject, **room}.items()))
        for name, subject in subjects.items()
        if kind_of(name) != "room"
    ]
    rooms = [(name, *room.items()) for name in EVENTS if kind_of(name) == "room"]
    many = ("participant.joined", ("count", 101), ("range", RANGE), *room.items())
    assert told == sorted([*singly, *rooms, many])


async def tell(hooks: Hooks, name: str, subject: str | None, content: object) -> None:
    """Write an event to the log, which says more than it should."""
    await fetch(
        'INSERT INTO events (id, type, "roomId", audience, subject, content, "createdAt") '
        "VALUES ($1, $2, $3, 'members', $4, $5, now())",
        *(new_id(), name, hooks.room["id"], subject, jsonb(content)),
    )
