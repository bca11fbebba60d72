"""Following what happens: in a room, or of oneself in all rooms."""

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream as StreamResponse

from app.auth.guards import provide_token, signed_in, still_signed_in, token_of, viewer_of
from app.auth.tokens import VerifiedToken
from app.errors import ValidationFailed
from app.events import tickets
from app.events.catalogue import EVENTS
from app.events.guards import BEGINNING, by_ticket
from app.events.hub import HUB
from app.events.limits import one_at_address, one_of_person
from app.events.log import place_of
from app.events.reading import end_of_heard
from app.events.schemas import TicketOut
from app.events.streams import Stream
from app.http.envelopes import Data
from app.http.methods import is_head
from app.participants.guards import in_room, provide_member
from app.participants.service import Membership

After = Annotated[
    str | None,
    QueryParameter(
        name="after",
        description="How far one has read: the id of an event, or an `Event-Position`.",
    ),
]
LastEventId = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", description="`after`, as EventSource says it."),
]
Types = Annotated[
    str | None,
    QueryParameter(name="types", description="Only these events, separated by commas."),
]
Ticket = Annotated[
    str | None,
    QueryParameter(
        name="ticket", description="Of `POST /events/tickets`, instead of an access token."
    ),
]
MEDIA_TYPE = "text/event-stream"
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
"""Nothing between us and the client keeps anything back."""


@get(
    "/rooms/{room_id:str}/events",
    guards=[by_ticket, in_room()],
    dependencies={"member": Provide(provide_member)},
    media_type=MEDIA_TYPE,
    tags=["events"],
    operation_id="followRoom",
    summary="Follow a room",
)
async def follow_room(
    request: Request[Any, Any, Any],
    member: NamedDependency[Membership],
    after: After = None,
    last_event_id: LastEventId = None,
    types: Types = None,
    ticket: Ticket = None,  # noqa: ARG001 - the guard reads it
) -> StreamResponse:
    """Send what happens in the room, from now on or from a place on, as Server-Sent Events.

    Each message has an `id` to go on from, its type as `event`, and JSON as `data`; the types and
    what each says are listed under *webhooks*. They come in one order, at least once, also over a
    lost connection if one goes on from the last `id`: an event that comes again has the same `id`
    within its `data`. `event: reset` says that this is not possible (it is too long ago): read the
    room afresh. `event: end` is the last message of a stream that may not go on, with the reason
    `token_expired`, `token_revoked`, `no_access` or `too_many` (others were opened at the same
    moment). A comment comes at least every 15 seconds.
    """
    stream = Stream(
        f"roomId {member.room_id}", token_of(request), types=_types_of(types), member=member
    )
    return _answer(request, stream, last_event_id or after)


@get(
    "/me/events",
    guards=[by_ticket, signed_in],
    security=[{"bearer": []}],
    media_type=MEDIA_TYPE,
    tags=["events"],
    operation_id="followMe",
    summary="Follow what concerns oneself",
)
async def follow_oneself(
    request: Request[Any, Any, Any],
    after: After = None,
    last_event_id: LastEventId = None,
    types: Types = None,
    ticket: Ticket = None,  # noqa: ARG001 - the guard reads it
) -> StreamResponse:
    """Send what concerns oneself in all rooms: coming in and leaving, prizes won, rooms opened.

    Like the stream of a room.
    """
    person = viewer_of(request)
    stream = Stream(f"person {person}", token_of(request), types=_types_of(types))
    return _answer(request, stream, last_event_id or after)


@post(
    "/events/tickets",
    guards=[still_signed_in],
    security=[{"bearer": []}],
    dependencies={"token": Provide(provide_token)},
    tags=["events"],
    operation_id="createEventTicket",
    summary="Make a ticket for a stream",
)
async def make_ticket(token: NamedDependency[VerifiedToken]) -> Data[TicketOut]:
    """Make what opens one stream within 30 seconds: for EventSource, which sends no headers."""
    return Data(TicketOut.of(*await tickets.issue(token)))


def _types_of(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    wanted = frozenset(part.strip() for part in text.split(","))
    if unknown := wanted - EVENTS.keys():
        raise ValidationFailed.at({"types": f"Unknown: {', '.join(sorted(unknown))[:200]}."})
    return wanted


def _answer(request: Request[Any, Any, Any], stream: Stream, after: str | None) -> StreamResponse:
    """Begin a stream, if its client may have one more.

    Raises:
        ValidationFailed: It is to go on from what is no place.
        RateLimitExceeded: The person or the address has as many as it may.
        ServiceUnavailable: This process has not heard of the log yet.
    """
    place = None if after is None else place_of(after)
    counted = [one_at_address(request.scope)]
    if stream.token is not None:
        counted.append(one_of_person(stream.token))
    HUB.require_open()
    begin = request.scope["state"][BEGINNING] or end_of_heard()
    frames = () if is_head(request.scope) else stream.frames(begin, place, counted)
    return StreamResponse(frames, headers=HEADERS)
