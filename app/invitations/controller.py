"""HTTP of /rooms/{id}/invitations and /invitations."""

from typing import Any

from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from app.auth.guards import signed_in
from app.auth.throttle import guessing
from app.database.listing import PageRequest
from app.database.versions import Precondition
from app.errors import Conflict, NotFound, RoomClosed
from app.http.bodies import LARGEST_CREDENTIALS_BYTES
from app.http.envelopes import Data, Success
from app.http.openapi import refusals
from app.http.pagination import Page, page_of
from app.http.preconditions import Resource, location
from app.http.qr_codes import painted
from app.invitations import service
from app.invitations.schemas import (
    CodeInput,
    InvitationInput,
    InvitationOut,
    InvitedTo,
    NewInvitationOut,
)
from app.participants.guards import DEPENDENCIES, in_room
from app.participants.roles import Right
from app.participants.schemas import ParticipantOut
from app.participants.service import Membership
from app.settings import settings


class RoomInvitationController(Controller):
    """Codes that let people into a room."""

    path = "/rooms/{room_id:str}/invitations"
    tags = ("invitations",)
    dependencies = DEPENDENCIES
    security = ({"bearer": []},)

    @get(
        guards=[in_room(Right.MANAGE_PARTICIPANTS)],
        operation_id="listInvitations",
        summary="The room's invitations",
    )
    async def list_(
        self, member: NamedDependency[Membership], paging: NamedDependency[PageRequest]
    ) -> Page[InvitationOut]:
        """List the invitations, newest first, those that are over too, as a moderator or above."""
        rows, total = await service.list_invitations(member, paging)
        return page_of(rows, total, paging, InvitationOut.of)

    @post(
        guards=[in_room(Right.MANAGE_PARTICIPANTS, strictly=True)],
        responses=refusals(RoomClosed),
        operation_id="createInvitation",
        summary="Invite with a code",
    )
    async def invite(
        self,
        member: NamedDependency[Membership],
        request: Request[Any, Any, Any],
        data: JSONBody[InvitationInput | None] = None,
    ) -> Response[Data[NewInvitationOut]]:
        """Make a code that lets in whoever signs in and has it, private rooms too.

        As a moderator or above, with a role below one's own. The answer alone has the code, a link
        to our page on which it is used, and the link to scan. It works as long as who made it may
        give its role.
        """
        given = data or InvitationInput()
        row, code = await service.invite(
            member, role=given.role, max_uses=given.maxUses, expires_at=given.expiresAt
        )
        link = f"{settings().join_url}#{code}"
        shown = NewInvitationOut.shown(row, code, link, (await painted(link)).decode())
        headers = {"Cache-Control": "no-store", "Location": location(request, row["id"])}
        return Response(Data(shown), status_code=HTTP_201_CREATED, headers=headers)

    @get(
        "/{invitation_id:str}",
        guards=[in_room(Right.MANAGE_PARTICIPANTS)],
        operation_id="getInvitation",
        summary="An invitation",
    )
    async def show(
        self, member: NamedDependency[Membership], invitation_id: FromPath[str]
    ) -> Resource[Data[InvitationOut]]:
        """Show one invitation, as a moderator or above."""
        row = await service.find_invitation(member, invitation_id)
        return Resource(Data(InvitationOut.of(row)), row["version"])

    @delete(
        "/{invitation_id:str}",
        guards=[in_room(Right.MANAGE_PARTICIPANTS, strictly=True)],
        status_code=HTTP_200_OK,
        operation_id="revokeInvitation",
        summary="Revoke an invitation",
    )
    async def revoke(
        self,
        member: NamedDependency[Membership],
        invitation_id: FromPath[str],
        precondition: NamedDependency[Precondition],
    ) -> Data[Success]:
        """Let nobody in by it any more, as who may invite with its role. Who is in stays in."""
        await service.revoke(member, invitation_id, precondition)
        return Data(Success())


class InvitationController(Controller):
    """Codes, as those have them who are invited."""

    path = "/invitations"
    tags = ("invitations",)
    request_max_body_size = LARGEST_CREDENTIALS_BYTES

    @post(
        "/find",
        status_code=HTTP_200_OK,
        responses=refusals(NotFound, Conflict),
        operation_id="findInvitation",
        summary="What a code invites to",
    )
    async def find(
        self, data: JSONBody[CodeInput], request: Request[Any, Any, Any]
    ) -> Data[InvitedTo]:
        """Tell which room it is, before one signs in. Changes nothing."""
        async with guessing(request):
            return Data(InvitedTo.of(await service.find(data.code)))

    @post(
        "/accept",
        guards=[signed_in],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        responses=refusals(NotFound, Conflict, RoomClosed),
        operation_id="acceptInvitation",
        summary="Come in by a code",
    )
    async def accept(
        self, data: JSONBody[CodeInput], request: Request[Any, Any, Any]
    ) -> Data[ParticipantOut]:
        """Join the room, with the role that the code gives; `roomId` says which room it is.

        Who is in already stays as they are, and takes no use. How the code is written does not
        matter: small letters, without the dash, O for 0.
        """
        async with guessing(request):
            return Data(ParticipantOut.of(await service.accept(request.user.sub, data.code)))
