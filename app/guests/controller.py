"""HTTP of guests."""

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from app.auth.cookie import require_own_page, token_in_cookie
from app.auth.guards import provide_caller, provide_device, still_signed_in
from app.auth.limits import Policy
from app.auth.service import utc_now
from app.auth.sessions import Device
from app.auth.tokens import AccessClaims
from app.errors import Forbidden, NotFound, RoomClosed
from app.guests import service
from app.guests.schemas import GuestInput, GuestOut, GuestTakenOver, SeatOut
from app.http.bodies import LARGEST_CREDENTIALS_BYTES
from app.http.envelopes import Data
from app.http.openapi import refusals
from app.http.public_path import public
from app.participants.guards import in_room, provide_member
from app.participants.service import Membership
from app.visible_text import cleaned_line

NOT_KEPT = {"Cache-Control": "no-store"}


@post(
    "/rooms/{room_id:str}/guests",
    guards=[in_room()],
    dependencies={"device": Provide(provide_device), "member": Provide(provide_member)},
    opt={"rate_limit": Policy.GUESTS},
    request_max_body_size=LARGEST_CREDENTIALS_BYTES,
    responses=refusals(RoomClosed),
    tags=["participants"],
    operation_id="joinAsGuest",
    summary="Come in as a guest",
)
async def come_in(
    member: NamedDependency[Membership],
    data: JSONBody[GuestInput],
    device: NamedDependency[Device],
) -> Response[Data[GuestOut]]:
    """Take part in a public room that admits guests (`guests`), without an account, by a name.

    The tokens are this device's; they are refreshed and ended like everybody's. A guest is a
    PARTICIPANT of this room, and everything elsewhere is refused (403). Who signs in later keeps
    all of it: `POST /auth/guests`. Nothing keeps one person from coming in several times.
    """
    name = cleaned_line(data.name) or data.name
    pair, participant_id = await service.admit(member, name, device, utc_now())
    where = public(f"/api/v1/rooms/{member.room_id}/participants/{participant_id}")
    return Response(
        Data(GuestOut.of(pair, member.room_id, participant_id)),
        status_code=HTTP_201_CREATED,
        headers={**NOT_KEPT, "Location": where},
    )


@post(
    "/auth/guests",
    guards=[still_signed_in],
    dependencies={"caller": Provide(provide_caller)},
    security=[{"bearer": []}],
    status_code=HTTP_200_OK,
    request_max_body_size=LARGEST_CREDENTIALS_BYTES,
    responses=refusals(Forbidden, NotFound),
    tags=["auth"],
    operation_id="takeOverGuest",
    summary="Keep what one was as a guest",
)
async def take_over(
    data: JSONBody[GuestTakenOver],
    caller: NamedDependency[AccessClaims],
    request: Request[Any, Any, Any],
) -> Data[SeatOut]:
    """Take over the seat of a guest, whose refresh token proves that it is oneself.

    The guest's session ends. Who is in the room already keeps one seat: this one, unless the guest
    has won something and it has not. What the other seat has won stays won.
    """
    if data.refreshToken is None:
        require_own_page(request)
    refresh_token = data.refreshToken or token_in_cookie(request)
    return Data(SeatOut.of(await service.take_over(caller.sub, refresh_token)))
