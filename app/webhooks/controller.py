"""HTTP of /apps/{id}/webhooks and /apps/{id}/events."""

from datetime import timedelta
from typing import Annotated, Any

from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED
from msgspec import UNSET

from app.database.listing import PageRequest
from app.database.versions import Precondition
from app.errors import Conflict, ServiceUnavailable, ValidationFailed
from app.events.catalogue import EVENTS
from app.events.log import place_of
from app.http.envelopes import Data, Success
from app.http.openapi import refusals
from app.http.pagination import Page, page_of, page_request
from app.http.preconditions import Resource, location, provide_precondition
from app.tables import DeliveryStatus
from app.webhooks import service
from app.webhooks.guards import actor_of, its_app
from app.webhooks.payloads import TEST
from app.webhooks.pulling import pull
from app.webhooks.schemas import (
    DeliveryOut,
    PulledOut,
    RecoveredOut,
    RecoveryInput,
    RotationInput,
    WebhookChange,
    WebhookInput,
    WebhookOut,
    WebhookWithSecretOut,
)

NOT_KEPT = {"Cache-Control": "no-store"}
"""On answers that show a secret."""
MOST_PULLED = 500
DEFAULT_PULLED = 100
CALLERS: list[dict[str, list[str]]] = [{"app": []}, {"bearer": []}]
TYPES = frozenset({*EVENTS, TEST})

Status = Annotated[
    DeliveryStatus | None,
    QueryParameter(name="status", description="Only those of which this has become."),
]
Type = Annotated[
    str | None, QueryParameter(name="type", description="Only these events.", max_length=100)
]
After = Annotated[
    str | None,
    QueryParameter(
        name="after",
        description="`meta.after` of the answer before; without it, all that is kept.",
    ),
]
Types = Annotated[
    str | None,
    QueryParameter(name="types", description="Only these events, separated by commas."),
]
Limit = Annotated[int, QueryParameter(ge=1, le=MOST_PULLED, description="At most so many events.")]


class WebhookController(Controller):
    """Where an app is told what happens in the rooms that run it."""

    path = "/apps/{app_id:str}/webhooks"
    tags = ("webhooks",)
    guards = (its_app,)
    security = CALLERS
    dependencies = {  # noqa: RUF012 - Litestar's own form
        "paging": Provide(page_request),
        "precondition": Provide(provide_precondition),
    }

    @get(operation_id="listWebhooks", summary="An app's webhooks")
    async def list_(
        self, app_id: FromPath[str], paging: NamedDependency[PageRequest]
    ) -> Page[WebhookOut]:
        """List the endpoints, oldest first."""
        rows, total = await service.list_webhooks(app_id, paging)
        return page_of(rows, total, paging, WebhookOut.of)

    @post(
        responses=refusals(Conflict, ServiceUnavailable),
        operation_id="addWebhook",
        summary="Add a webhook",
    )
    async def add(
        self, app_id: FromPath[str], data: JSONBody[WebhookInput], request: Request[Any, Any, Any]
    ) -> Response[Data[WebhookWithSecretOut]]:
        """Send what happens from now on in the app's rooms to an address.

        Each event is one POST of `{type, timestamp, data}`, where `data` has ids alone. It is
        signed by [Standard Webhooks](https://www.standardwebhooks.com) with the secret, which is
        shown this once.
        """
        _require_known(data.types)
        row, secret = await service.add_webhook(actor_of(request), app_id, data.url, data.types)
        shown = Data(WebhookWithSecretOut.of(row, secret=secret))
        headers = {**NOT_KEPT, "Location": location(request, row["id"])}
        return Response(shown, status_code=HTTP_201_CREATED, headers=headers)

    @get("/{webhook_id:str}", operation_id="getWebhook", summary="A webhook")
    async def show(
        self, app_id: FromPath[str], webhook_id: FromPath[str]
    ) -> Resource[Data[WebhookOut]]:
        """Show an endpoint, and how it does."""
        row = await service.find_webhook(app_id, webhook_id)
        return Resource(Data(WebhookOut.of(row)), row["version"])

    @patch("/{webhook_id:str}", operation_id="updateWebhook", summary="Change a webhook")
    async def change(
        self,
        app_id: FromPath[str],
        webhook_id: FromPath[str],
        data: JSONBody[WebhookChange],
        precondition: NamedDependency[Precondition],
        request: Request[Any, Any, Any],
    ) -> Resource[Data[WebhookOut]]:
        """Change the address or the events; disable the endpoint, or enable it again.

        What waits for an endpoint that is disabled is given up. After enabling it, `recover` sends
        what it has missed.
        """
        _require_known([] if data.types is UNSET else data.types)
        change = service.Change(
            url=None if data.url is UNSET else data.url,
            types=None if data.types is UNSET else data.types,
            is_active=None if data.isActive is UNSET else data.isActive,
        )
        row = await service.change_webhook(
            actor_of(request), app_id, webhook_id, change, precondition
        )
        return Resource(Data(WebhookOut.of(row)), row["version"])

    @delete(
        "/{webhook_id:str}",
        status_code=HTTP_200_OK,
        operation_id="removeWebhook",
        summary="Remove a webhook",
    )
    async def remove(
        self,
        app_id: FromPath[str],
        webhook_id: FromPath[str],
        precondition: NamedDependency[Precondition],
        request: Request[Any, Any, Any],
    ) -> Data[Success]:
        """Send nothing more, and forget what was sent."""
        await service.remove_webhook(actor_of(request), app_id, webhook_id, precondition)
        return Data(Success())

    @post(
        "/{webhook_id:str}/rotate",
        responses=refusals(ServiceUnavailable),
        operation_id="rotateWebhookSecret",
        summary="Change a webhook's secret",
    )
    async def rotate(
        self,
        app_id: FromPath[str],
        webhook_id: FromPath[str],
        request: Request[Any, Any, Any],
        data: JSONBody[RotationInput | None] = None,
    ) -> Response[Data[WebhookWithSecretOut]]:
        """Make a new secret, shown this once. For a while both sign: each has a signature.

        The secret before goes on for 24 hours, or as `overlapHours` says.
        """
        overlap = timedelta(hours=(data or RotationInput()).overlapHours)
        row, secret = await service.rotate(actor_of(request), app_id, webhook_id, overlap)
        shown = Data(WebhookWithSecretOut.of(row, secret=secret))
        return Response(shown, status_code=HTTP_201_CREATED, headers=NOT_KEPT)

    @post(
        "/{webhook_id:str}/test",
        responses=refusals(Conflict),
        operation_id="testWebhook",
        summary="Try a webhook",
    )
    async def test(self, app_id: FromPath[str], webhook_id: FromPath[str]) -> Data[DeliveryOut]:
        """Send `webhook.test`, whatever events the endpoint hears. What became of it is listed."""
        return Data(DeliveryOut.of(await service.send_test(app_id, webhook_id)))

    @get(
        "/{webhook_id:str}/deliveries",
        operation_id="listWebhookDeliveries",
        summary="What was sent to a webhook",
    )
    async def list_deliveries(
        self,
        app_id: FromPath[str],
        webhook_id: FromPath[str],
        paging: NamedDependency[PageRequest],
        status: Status = None,
        type_: Type = None,
    ) -> Page[DeliveryOut]:
        """List what was sent and what waits, newest first."""
        if type_ is not None and type_ not in TYPES:
            raise ValidationFailed.at({"type": "Unknown."})
        rows, total = await service.list_deliveries(app_id, webhook_id, status, type_, paging)
        return page_of(rows, total, paging, DeliveryOut.of)

    @post(
        "/{webhook_id:str}/deliveries/{delivery_id:str}/redeliver",
        status_code=HTTP_200_OK,
        responses=refusals(Conflict),
        operation_id="redeliverWebhook",
        summary="Send something again",
    )
    async def redeliver(
        self, app_id: FromPath[str], webhook_id: FromPath[str], delivery_id: FromPath[str]
    ) -> Data[DeliveryOut]:
        """Send an event again at once, with the same `webhook-id`, whatever became of it."""
        return Data(DeliveryOut.of(await service.redeliver(app_id, webhook_id, delivery_id)))

    @post(
        "/{webhook_id:str}/recover",
        status_code=HTTP_200_OK,
        responses=refusals(Conflict),
        operation_id="recoverWebhook",
        summary="Send what a webhook has missed",
    )
    async def recover(
        self, app_id: FromPath[str], webhook_id: FromPath[str], data: JSONBody[RecoveryInput]
    ) -> Data[RecoveredOut]:
        """Send what has happened since a time and was not delivered, also while it was disabled.

        As far back as events are kept.
        """
        return Data(RecoveredOut(await service.recover(app_id, webhook_id, data.since)))


@get(
    "/apps/{app_id:str}/events",
    guards=[its_app],
    security=CALLERS,
    responses=refusals(ServiceUnavailable),
    tags=["webhooks"],
    operation_id="pullAppEvents",
    summary="Pull what happened in an app's rooms",
)
async def pull_events(
    app_id: FromPath[str],
    after: After = None,
    types: Types = None,
    limit: Limit = DEFAULT_PULLED,
) -> PulledOut:
    """Read what webhooks tell, in one order, for as long as events are kept.

    Go on with `meta.after`. An answer may be empty while `meta.hasMore` is true: what follows has
    not been looked through yet.
    """
    wanted = None if types is None else [part.strip() for part in types.split(",")]
    _require_known(wanted or [], "types")
    place = None if after is None else place_of(after)
    return PulledOut.of(await pull(app_id, place, wanted, limit))


def _require_known(types: list[str], field: str = "$.types") -> None:
    if unknown := set(types) - EVENTS.keys():
        raise ValidationFailed.at({field: f"Unknown: {', '.join(sorted(unknown))[:200]}."})
