"""What is sent to webhooks, in the API's description."""

from typing import Any

from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    PathItem,
    Reference,
    RequestBody,
    Schema,
)

from app.events.catalogue import EVENTS, kind_of
from app.http.openapi import A_TIME, EXAMPLES
from app.webhooks.payloads import TEST

NAME = "webhook"
TEXT = Schema(type=OpenAPIType.STRING)
RANGE = Schema(
    type=OpenAPIType.OBJECT, properties={"from": TEXT, "to": TEXT}, required=["from", "to"]
)
NUMBERS = {"count": Schema(type=OpenAPIType.INTEGER), "range": RANGE}
HEADERS = {
    "webhook-id": "The same each time that an event is sent: who knows it already has had it.",
    "webhook-timestamp": "When it is sent, in seconds since 1970.",
    "webhook-signature": "`v1,` and a signature, for each secret that is in force, with blanks "
    "between them.",
}


def sent_to_apps() -> dict[str, PathItem | Reference]:
    """Describe the one request that endpoints get."""
    answers: dict[str, OpenAPIResponse | Reference] = {
        "2XX": OpenAPIResponse(description="It is taken, and not sent again."),
        "410": OpenAPIResponse(description="Nothing more is sent to this address."),
        "default": OpenAPIResponse(description="It is sent again: ten times at most."),
    }
    operation = Operation(
        tags=["webhooks"],
        summary="An event, to an app",
        description="What is sent to the addresses of an app, signed by Standard Webhooks.",
        operation_id=NAME,
        parameters=[
            Parameter(name, "header", schema=TEXT, required=True, description=meaning)
            for name, meaning in HEADERS.items()
        ],
        request_body=RequestBody(required=True, content={"application/json": _content()}),
        responses=answers,
    )
    return {NAME: PathItem(post=operation)}


def _content() -> OpenAPIMediaType:
    ids: dict[str, Schema | Reference] = dict.fromkeys(
        sorted({f"{kind_of(name)}Id" for name in (*EVENTS, TEST)}), TEXT
    )
    members: dict[str, Schema | Reference] = {
        "type": Schema(type=OpenAPIType.STRING, enum=[*EVENTS, TEST]),
        "timestamp": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME),
        "data": Schema(
            type=OpenAPIType.OBJECT,
            properties={**ids, **NUMBERS},
            additional_properties=False,
        ),
    }
    schema = Schema(
        type=OpenAPIType.OBJECT,
        properties=members,
        required=[*members],
        additional_properties=False,
    )
    return OpenAPIMediaType(schema=schema, example=_example())


def _example() -> dict[str, Any]:
    ids = {"roomId": EXAMPLES["id"], "winnerId": EXAMPLES["id"]}
    return {"type": "winner.awarded", "timestamp": A_TIME, "data": ids}
