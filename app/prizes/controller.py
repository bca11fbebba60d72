"""HTTP of /rooms/{id}/prizes."""

from typing import Annotated

from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from app.database.listing import PageRequest
from app.database.versions import Precondition
from app.errors import Conflict, PrizeHasWinners, RoomClosed
from app.http.bodies import given
from app.http.envelopes import Data, Success
from app.http.openapi import refusals
from app.http.pagination import Page, page_of
from app.http.preconditions import Resource
from app.participants.guards import DEPENDENCIES, in_room
from app.participants.roles import Right
from app.participants.service import Membership
from app.prizes import service
from app.prizes.schemas import PrizeChange, PrizeInput, PrizeOut


class PrizeController(Controller):
    """What can be won in a room."""

    path = "/rooms/{room_id:str}/prizes"
    tags = ("prizes",)
    dependencies = DEPENDENCIES

    @get(guards=[in_room()], operation_id="listPrizes", summary="The room's prizes")
    async def list_(
        self,
        member: NamedDependency[Membership],
        paging: NamedDependency[PageRequest],
        include_exhausted: Annotated[bool, QueryParameter(name="includeExhausted")] = True,  # noqa: FBT002 - Litestar's own form
    ) -> Page[PrizeOut]:
        """List the prizes, oldest first; `includeExhausted=false` leaves out what is all won."""
        rows, total = await service.list_prizes(member, paging, include_exhausted=include_exhausted)
        return page_of(rows, total, paging, PrizeOut.of)

    @post(
        guards=[in_room(Right.WRITE_PRIZES)],
        security=[{"bearer": []}],
        responses=refusals(RoomClosed),
        operation_id="createPrize",
        summary="Add a prize",
    )
    async def add(
        self, member: NamedDependency[Membership], data: JSONBody[PrizeInput]
    ) -> Resource[Data[PrizeOut]]:
        """Put up a prize, as a moderator or above."""
        row = await service.add_prize(
            member,
            name=data.name,
            quantity=data.quantity,
            description=data.description,
            image_url=data.imageUrl,
            claim=data.claim,
            metadata=data.metadata,
        )
        return Resource(Data(PrizeOut.of(row)), row["version"], created=row["id"])

    @get("/{prize_id:str}", guards=[in_room()], operation_id="getPrize", summary="A prize")
    async def show(
        self, member: NamedDependency[Membership], prize_id: FromPath[str]
    ) -> Resource[Data[PrizeOut]]:
        """Show one prize."""
        row = await service.find_prize(member, prize_id)
        return Resource(Data(PrizeOut.of(row)), row["version"])

    @patch(
        "/{prize_id:str}",
        guards=[in_room(Right.WRITE_PRIZES)],
        security=[{"bearer": []}],
        responses=refusals(Conflict, RoomClosed),
        operation_id="updatePrize",
        summary="Change a prize",
    )
    async def change(
        self,
        member: NamedDependency[Membership],
        prize_id: FromPath[str],
        data: JSONBody[PrizeChange],
        precondition: NamedDependency[Precondition],
    ) -> Resource[Data[PrizeOut]]:
        """Change a prize. A new quantity keeps what was awarded and can't go below it.

        A new `claim` holds for who wins the prize from now on; in draws, in those that are
        announced from now on.
        """
        row = await service.change_prize(member, prize_id, given(data), precondition)
        return Resource(Data(PrizeOut.of(row)), row["version"])

    @delete(
        "/{prize_id:str}",
        guards=[in_room(Right.WRITE_PRIZES)],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        responses=refusals(PrizeHasWinners, RoomClosed),
        operation_id="deletePrize",
        summary="Delete a prize",
    )
    async def remove(
        self,
        member: NamedDependency[Membership],
        prize_id: FromPath[str],
        precondition: NamedDependency[Precondition],
    ) -> Data[Success]:
        """Delete a prize that nobody holds."""
        await service.delete_prize(member, prize_id, precondition)
        return Data(Success())
