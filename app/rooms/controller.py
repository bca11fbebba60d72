"""HTTP of /rooms."""

from collections.abc import Mapping
from typing import Annotated, Any

import asyncpg
from litestar import Controller, Request, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from app.auth.guards import provide_caller, provide_viewer, signed_in
from app.auth.tokens import AccessClaims
from app.database.listing import PageRequest
from app.database.versions import Precondition
from app.errors import (
    Conflict,
    InvalidTransition,
    MigrationRequired,
    NotFound,
    RoomClosed,
    VersionNotGreater,
)
from app.http.bodies import given
from app.http.envelopes import Data, Success
from app.http.openapi import refusals
from app.http.pagination import Page, page_of, page_request
from app.http.preconditions import Resource, provide_precondition
from app.participants.guards import in_room, provide_member
from app.participants.roles import Right
from app.participants.service import Membership
from app.rooms import service
from app.rooms.schemas import RoomChange, RoomInput, RoomOut, UpgradeInput
from app.rooms.upgrade import upgrade_room
from app.tables import RoomStatus


class RoomController(Controller):
    """Rooms."""

    path = "/rooms"
    tags = ("rooms",)
    dependencies = {  # noqa: RUF012 - Litestar's own form
        "caller": Provide(provide_caller),
        "member": Provide(provide_member),
        "paging": Provide(page_request),
        "precondition": Provide(provide_precondition),
    }

    @get(operation_id="listRooms", summary="Public rooms and one's own")
    async def list_(
        self,
        request: Request[Any, Any, Any],
        paging: NamedDependency[PageRequest],
        status: FromQuery[RoomStatus | None] = None,
        app_id: Annotated[str | None, QueryParameter(name="appId")] = None,
        is_public: Annotated[bool | None, QueryParameter(name="isPublic")] = None,
        created_by: Annotated[str | None, QueryParameter(name="createdBy")] = None,
    ) -> Page[RoomOut]:
        """List public rooms and those that one is in, newest first."""
        # Two dependencies would be resolved by two tasks, for a fifth of the request's time.
        viewer = await provide_viewer(request)
        wanted = service.RoomFilter(status, app_id, is_public, created_by)
        rows, total = await service.list_rooms(viewer, wanted, paging)
        return page_of(rows, total, paging, RoomOut.listed)

    @post(
        guards=[signed_in],
        security=[{"bearer": []}],
        responses=refusals(NotFound, Conflict),
        operation_id="createRoom",
        summary="Open a room",
    )
    async def open_(
        self, data: JSONBody[RoomInput], caller: NamedDependency[AccessClaims]
    ) -> Resource[Data[RoomOut]]:
        """Open a room in DRAFT. It is locked to the app's present version; one organizes it."""
        row = await service.open_room(
            caller.sub,
            name=data.name,
            description=data.description,
            app_id=data.appId,
            app_settings=data.appSettings,
            options=service.RoomOptions(
                isPublic=data.isPublic,
                sendsMail=data.sendsMail,
                showName=data.showName,
                forgetAfter=data.forgetAfter,
                guests=data.guests,
            ),
        )
        return _shown(row, created=row["id"])

    @get("/{room_id:str}", guards=[in_room()], operation_id="getRoom", summary="A room")
    async def show(self, member: NamedDependency[Membership]) -> Resource[Data[RoomOut]]:
        """Show a room with the manifest that it is locked to.

        Settings that the app's schema marks `writeOnly`, such as a quiz's right answers, are
        shown to moderators alone, and in no list.

        Where that version is deprecated, `app.deprecation` says since when and why, and a
        `Deprecation` header (RFC 9745) since when.
        """
        return _shown(await service.show_room(member))

    @patch(
        "/{room_id:str}",
        guards=[in_room(Right.CHANGE_ROOM)],
        security=[{"bearer": []}],
        responses=refusals(InvalidTransition, RoomClosed, Conflict),
        operation_id="updateRoom",
        summary="Change a room",
    )
    async def change(
        self,
        member: NamedDependency[Membership],
        data: JSONBody[RoomChange],
        precondition: NamedDependency[Precondition],
    ) -> Resource[Data[RoomOut]]:
        """Change a room one organizes. appSettings are replaced whole; status goes by the graph.

        With another ORGANIZER's `createdBy` the room's organizer hands it over, at any time of its
        life, if they have joined it. Where the organizer is none any more, every ORGANIZER may;
        ADMINs may always.
        """
        return _shown(await service.change_room(member, given(data), precondition))

    @post(
        "/{room_id:str}/upgrade",
        guards=[in_room(Right.CHANGE_ROOM)],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        responses=refusals(MigrationRequired, VersionNotGreater, RoomClosed, Conflict),
        operation_id="upgradeRoom",
        summary="Move a room up to a later version of its app",
    )
    async def upgrade(
        self,
        member: NamedDependency[Membership],
        data: JSONBody[UpgradeInput],
        precondition: NamedDependency[Precondition],
    ) -> Resource[Data[RoomOut]]:
        """Lock a room one organizes to a later version of its app; never to an earlier one.

        Where the settings don't fit it yet, MIGRATION_REQUIRED lists what is missing and what is
        wrong; a preview does the same. The preview's `ETag` is the room's: sent as `If-Match` with
        the upgrade, it makes sure that nothing has changed in between.
        """
        row = await upgrade_room(
            member, data.targetVersion, data.settings, precondition, is_preview=data.preview
        )
        return _shown(row)

    @delete(
        "/{room_id:str}",
        guards=[in_room(Right.CHANGE_ROOM)],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        operation_id="deleteRoom",
        summary="Delete a room",
    )
    async def remove(
        self,
        member: NamedDependency[Membership],
        precondition: NamedDependency[Precondition],
    ) -> Data[Success]:
        """Delete a room that one organizes, and everything in it from sight."""
        await service.delete_room(member, precondition)
        return Data(Success())


def _shown(
    row: asyncpg.Record | Mapping[str, Any], *, created: str | None = None
) -> Resource[Data[RoomOut]]:
    answer = Resource(Data(RoomOut.of(row)), row["version"], created=created)
    if row["deprecatedAt"] is not None:
        answer.set_header("Deprecation", f"@{int(row['deprecatedAt'].timestamp())}")
    return answer
