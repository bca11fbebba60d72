"""HTTP of /rooms/{id}/winners."""

from typing import Annotated

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK

from app.database.listing import PageRequest
from app.database.versions import Precondition
from app.errors import Conflict, PrizeExhausted, RoomNotActive
from app.http import spreadsheets
from app.http.envelopes import Data, Success
from app.http.openapi import refusals
from app.http.pagination import Page, page_of
from app.http.preconditions import Resource
from app.participants.guards import DEPENDENCIES, in_room, provide_member
from app.participants.roles import Right
from app.participants.service import Membership
from app.tables import ClaimStatus
from app.winners import service
from app.winners.schemas import AwardInput, WinnerOut


class WinnerController(Controller):
    """Who won what in a room."""

    path = "/rooms/{room_id:str}/winners"
    tags = ("winners",)
    dependencies = DEPENDENCIES

    @get(guards=[in_room()], operation_id="listWinners", summary="The room's winners")
    async def list_(
        self,
        member: NamedDependency[Membership],
        paging: NamedDependency[PageRequest],
        prize_id: Annotated[str | None, QueryParameter(name="prizeId")] = None,
        participant_id: Annotated[str | None, QueryParameter(name="participantId")] = None,
        claim: FromQuery[ClaimStatus | None] = None,
    ) -> Page[WinnerOut]:
        """List the winners, newest first.

        Who declined or did not claim in time is no winner any more, and listed by `claim` alone.
        """
        rows, total = await service.list_winners(
            member, paging, prize_id=prize_id, participant_id=participant_id, claim=claim
        )
        return page_of(rows, total, paging, WinnerOut.of)

    @post(
        guards=[in_room(Right.AWARD, strictly=True)],
        security=[{"bearer": []}],
        responses=refusals(PrizeExhausted, RoomNotActive, Conflict),
        operation_id="awardPrize",
        summary="Award a prize",
    )
    async def award(
        self, member: NamedDependency[Membership], data: JSONBody[AwardInput]
    ) -> Resource[Data[WinnerOut]]:
        """Give a unit of a prize to a participant, as a moderator or above."""
        row = await service.award(
            member,
            participant_id=data.participantId,
            prize_id=data.prizeId,
            metadata=data.metadata,
        )
        return Resource(Data(WinnerOut.of(row)), row["version"], created=row["id"])

    @get("/{winner_id:str}", guards=[in_room()], operation_id="getWinner", summary="A winner")
    async def show(
        self, member: NamedDependency[Membership], winner_id: FromPath[str]
    ) -> Resource[Data[WinnerOut]]:
        """Show one award."""
        row = await service.find_winner(member, winner_id)
        return Resource(Data(WinnerOut.of(row)), row["version"])

    @delete(
        "/{winner_id:str}",
        guards=[in_room(Right.REVOKE, strictly=True)],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        operation_id="revokeAward",
        summary="Revoke an award",
    )
    async def revoke(
        self,
        member: NamedDependency[Membership],
        winner_id: FromPath[str],
        precondition: NamedDependency[Precondition],
    ) -> Data[Success]:
        """Take a prize back, as an organizer; its unit can be awarded again."""
        await service.revoke(member, winner_id, precondition)
        return Data(Success())


@get(
    "/rooms/{room_id:str}/winners.csv",
    guards=[in_room()],
    media_type=spreadsheets.MEDIA_TYPE,
    dependencies={"member": Provide(provide_member)},
    tags=["winners"],
    operation_id="exportWinners",
    summary="The room's winners, as CSV",
)
async def export_winners(
    member: NamedDependency[Membership], *, bom: FromQuery[bool] = False
) -> Stream:
    """Send all winners for a spreadsheet, newest first; to moderators with their addresses.

    UTF-8, RFC 4180; the first line names the columns. A cell that a spreadsheet would compute
    begins with an apostrophe. Who has left the room is shown without the address. With `bom` it
    begins with a byte order mark, by which Excel knows UTF-8.
    """
    columns = {
        "id": "id",
        "participantId": "participantId",
        "userId": "userId",
        "name": "userName",
        **({"email": "email"} if member.moderates else {}),
        "prizeId": "prizeId",
        "prizeName": "prizeName",
        "claimStatus": "claimStatus",
        "claimBy": "claimBy",
        "metadata": "metadata",
        "createdAt": "createdAt",
    }
    rows = service.read_winners(member)
    return spreadsheets.download("winners.csv", columns, rows, bom=bom)
