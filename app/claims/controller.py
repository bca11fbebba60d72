"""HTTP of /rooms/{id}/winners/{id}/claim and /decline."""

from litestar import Controller, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK

from app.auth.guards import FOR_GUESTS
from app.claims import service
from app.errors import Conflict
from app.http.envelopes import Data
from app.http.openapi import refusals
from app.http.preconditions import Resource
from app.participants.guards import in_room, provide_member
from app.participants.service import Membership
from app.winners.schemas import WinnerOut
from app.winners.service import find_winner


class ClaimController(Controller):
    """What becomes of wins of prizes that ask to be claimed."""

    path = "/rooms/{room_id:str}/winners/{winner_id:str}"
    tags = ("winners",)
    dependencies = {"member": Provide(provide_member)}  # noqa: RUF012 - Litestar's own form

    @post(
        "/claim",
        guards=[in_room(strictly=True, or_winner=True)],
        opt=FOR_GUESTS,
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        responses=refusals(Conflict),
        operation_id="claimPrize",
        summary="Claim a prize",
    )
    async def claim(
        self, member: NamedDependency[Membership], winner_id: FromPath[str]
    ) -> Resource[Data[WinnerOut]]:
        """Say that one takes what one won, or say so for the winner, as a moderator or above.

        In time (`claim.by`) and once: neither can be taken back. It goes on when the room is
        completed, and for winners who have left it; not in a room that was deleted.
        """
        await service.confirm(member, winner_id)
        return await _shown(member, winner_id)

    @post(
        "/decline",
        guards=[in_room(strictly=True, or_winner=True)],
        opt=FOR_GUESTS,
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        responses=refusals(Conflict),
        operation_id="declinePrize",
        summary="Decline a prize",
    )
    async def decline(
        self, member: NamedDependency[Membership], winner_id: FromPath[str]
    ) -> Resource[Data[WinnerOut]]:
        """Give up what one won, or do so for the winner, as a moderator or above.

        As when the time is over, the unit goes to the next in line of the draw that it was won
        in, or can be awarded again.
        """
        await service.decline(member, winner_id)
        return await _shown(member, winner_id)


async def _shown(member: Membership, winner_id: str) -> Resource[Data[WinnerOut]]:
    row = await find_winner(member, winner_id)
    return Resource(Data(WinnerOut.of(row)), row["version"])
