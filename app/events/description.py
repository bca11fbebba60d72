"""The events in the API's description: OpenAPI lists what is sent to clients under `webhooks`."""

from typing import Any

from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    PathItem,
    Reference,
    RequestBody,
    Schema,
)

from app.events.catalogue import EVENTS, KINDS, kind_of
from app.http.openapi import A_TIME, EXAMPLES

TEXT = Schema(type=OpenAPIType.STRING)
NAMES = Schema(type=OpenAPIType.ARRAY, items=TEXT)
NUMBER = Schema(type=OpenAPIType.INTEGER)
NOTHING = Schema(type=OpenAPIType.NULL)
GONE = Schema(
    type=OpenAPIType.OBJECT,
    description="What is left to say of what an operator took out of the database.",
    properties={"id": TEXT},
    required=["id"],
    additional_properties=False,
)
RANGE = Schema(
    type=OpenAPIType.OBJECT, properties={"from": TEXT, "to": TEXT}, required=["from", "to"]
)
STATUS_CHANGED, JOINED = "room.status_changed", "participant.joined"


def webhooks() -> dict[str, PathItem | Reference]:
    """Describe each event and what it says."""
    return {name: _described(name, meaning) for name, meaning in EVENTS.items()}


def _described(name: str, meaning: str) -> PathItem:
    body = RequestBody(required=True, content={"application/json": _content(name)})
    answered = OpenAPIResponse(description="Nothing is expected: events come in streams.")
    return PathItem(
        post=Operation(
            tags=["events"],
            summary=name,
            description=meaning,
            operation_id=name,
            request_body=body,
            responses={"2XX": answered},
        )
    )


def _content(name: str) -> OpenAPIMediaType:
    members = {
        "id": TEXT,
        "type": Schema(const=name),
        "roomId": TEXT,
        "time": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME),
        "data": _data(name),
    }
    more = _more(name)
    return OpenAPIMediaType(
        schema=Schema(
            type=OpenAPIType.OBJECT,
            properties={**members, **more},
            required=[*members, *([] if name == JOINED else more)],
        ),
        example=_example(name),
    )


def _data(name: str) -> Schema:
    shown = KINDS[kind_of(name)].shown
    kinds: list[Reference | Schema] = [Reference(f"#/components/schemas/{shown.__name__}"), GONE]
    return Schema(one_of=[*kinds, *([NOTHING] if name == JOINED else [])])


def _more(name: str) -> dict[str, Schema | Reference]:
    """Return what only some events say."""
    if name.endswith(".updated"):
        return {"changed": NAMES}
    if name == STATUS_CHANGED:
        return {"before": TEXT, "after": TEXT}
    return {"count": NUMBER, "range": RANGE} if name == JOINED else {}


def _example(name: str) -> dict[str, Any]:
    """Show the shortest that may come."""
    more = {
        "changed": ["name"],
        "before": "DRAFT",
        "after": "ACTIVE",
    }
    return {
        "id": "3699459c-bc29-4e46-9c16-a556d0c6fa45",
        "type": name,
        "roomId": EXAMPLES["id"],
        "time": A_TIME,
        "data": {"id": EXAMPLES["id"]},
        **{member: more[member] for member in _more(name) if member in more},
    }
