"""HTTP of /rooms/{id}/draws."""

from typing import Annotated

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.enums import MediaType
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK

from app.database.listing import PageRequest
from app.database.versions import Precondition
from app.draws.announcing import announce
from app.draws.cancelling import cancel
from app.draws.closing import close
from app.draws.drawing import draw
from app.draws.guards import may_read, provide_draws
from app.draws.reading import Readable, find_draw, list_draws, name_wins, read_entrants
from app.draws.record import LONGEST_REASON, Record
from app.draws.schemas import (
    AnnouncementInput,
    CancellationInput,
    DrawInput,
    DrawOut,
    WinsOut,
    made,
    record_of,
)
from app.errors import (
    Conflict,
    NotFound,
    PrizeExhausted,
    RoomNotActive,
    ValidationFailed,
)
from app.http.envelopes import Data, Success
from app.http.idempotency import IN_STEPS, idempotency_key_of
from app.http.openapi import refusals
from app.http.pagination import Page, page_of, page_request
from app.http.preconditions import Resource, provide_precondition
from app.participants.guards import in_room, provide_member
from app.participants.roles import Right
from app.participants.service import Membership
from app.visible_text import fault_of_words

Number = Annotated[int, PathParameter(ge=1, le=2**31 - 1)]


class DrawController(Controller):
    """Draws that anyone can check."""

    path = "/rooms/{room_id:str}/draws"
    tags = ("draws",)
    dependencies = {  # noqa: RUF012 - Litestar's own form
        "member": Provide(provide_member),
        "draws": Provide(provide_draws),
        "paging": Provide(page_request),
        "precondition": Provide(provide_precondition),
    }

    @get(guards=[may_read], operation_id="listDraws", summary="The room's draws")
    async def list_(
        self, draws: NamedDependency[Readable], paging: NamedDependency[PageRequest]
    ) -> Page[DrawOut]:
        """List the draws, newest first, the cancelled ones too."""
        rows, total = await list_draws(draws, paging)
        return page_of(rows, total, paging, DrawOut.of, order_column="announcedAt")

    @post(
        guards=[in_room(Right.DRAW, strictly=True)],
        security=[{"bearer": []}],
        opt=IN_STEPS,
        dependencies={"idempotency_key": Provide(idempotency_key_of)},
        responses=refusals(PrizeExhausted, RoomNotActive, Conflict),
        operation_id="announceDraw",
        summary="Announce a draw",
    )
    async def announce(
        self,
        member: NamedDependency[Membership],
        idempotency_key: NamedDependency[str | None],
        data: JSONBody[AnnouncementInput | None] = None,
    ) -> Resource[Data[DrawOut]]:
        """Fix what will be drawn and commit to a secret, as a moderator or above.

        An immediate draw keeps its number when it can't go on: `details.number` of the refusal
        says which. Put right what it names, then close and draw it, or cancel it.
        """
        terms = (data or AnnouncementInput()).terms()
        number = await announce(member, terms, idempotency_key=idempotency_key)
        return await _shown(Readable(member.room_id), number, created=str(number))

    @get("/{number:int}", guards=[may_read], operation_id="getDraw", summary="A draw")
    async def show(
        self, draws: NamedDependency[Readable], number: Number
    ) -> Resource[Data[DrawOut]]:
        """Show one draw; its secret once it is over."""
        return await _shown(draws, number)

    @post(
        "/{number:int}/close",
        guards=[in_room(Right.DRAW, strictly=True)],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        opt=IN_STEPS,
        responses=refusals(RoomNotActive, Conflict),
        operation_id="closeDraw",
        summary="Close the entries",
    )
    async def close(
        self, member: NamedDependency[Membership], number: Number
    ) -> Resource[Data[DrawOut]]:
        """Fix who takes part, with which weights. Repeating it changes nothing."""
        await close(member, number)
        return await _shown(Readable(member.room_id), number)

    @post(
        "/{number:int}/draw",
        guards=[in_room(Right.DRAW, strictly=True)],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        opt=IN_STEPS,
        responses=refusals(RoomNotActive, Conflict),
        operation_id="drawWinners",
        summary="Draw the winners",
    )
    async def draw(
        self,
        member: NamedDependency[Membership],
        number: Number,
        data: JSONBody[DrawInput | None] = None,
    ) -> Resource[Data[DrawOut]]:
        """Fix the public input, award the winners that follow from it and reveal the secret.

        Once it is fixed no other is taken, and the draw can't be cancelled any more. A unit that
        can't be awarded is listed in `unawarded`, with the reason.
        """
        given = data or DrawInput()
        await draw(member, number, text=given.public, signature=given.signature)
        return await _shown(Readable(member.room_id), number)

    @delete(
        "/{number:int}",
        guards=[in_room(Right.DRAW, strictly=True)],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        responses=refusals(Conflict),
        operation_id="cancelDraw",
        summary="Cancel a draw",
    )
    async def cancel(
        self,
        member: NamedDependency[Membership],
        number: Number,
        precondition: NamedDependency[Precondition],
        data: JSONBody[CancellationInput | None] = None,
        reason: Annotated[str | None, QueryParameter(name="reason")] = None,
    ) -> Data[Success]:
        """Give a draw up, for a reason in body or query. It stays listed; its secret is shown."""
        given = (reason if data is None else data.reason) or ""
        if not 1 <= len(given) <= LONGEST_REASON:
            raise ValidationFailed.at({"$.reason": f"Required: 1 to {LONGEST_REASON} characters."})
        if fault := fault_of_words(given):
            raise ValidationFailed.at({"$.reason": fault})
        await cancel(member, number, given, precondition)
        return Data(Success())

    @get(
        "/{number:int}/record",
        guards=[may_read],
        operation_id="getDrawRecord",
        summary="A draw's public record",
    )
    async def record(self, draws: NamedDependency[Readable], number: Number) -> Record:
        """Show everything that the public may know, as one document to keep and to check."""
        return await made(record_of, await find_draw(draws, number))

    @get(
        "/{number:int}/winners",
        guards=[in_room()],
        operation_id="getDrawWinners",
        summary="A draw's winners by name",
    )
    async def winners(self, member: NamedDependency[Membership], number: Number) -> Data[WinsOut]:
        """Show who won, as the lists of the room call them, and which wins were taken back.

        For who may see the room itself: what is left of a deleted or private one are ids.
        """
        return Data(WinsOut.of(await name_wins(member, number)))

    @get(
        "/{number:int}/entrants.txt",
        guards=[may_read],
        media_type=MediaType.TEXT,
        operation_id="exportDrawEntrants",
        summary="The entrants of a closed draw",
    )
    async def entrants(self, draws: NamedDependency[Readable], number: Number) -> Stream:
        """Send the list whose SHA-256 the plan holds: a participant's id and weight in a line."""
        row = await find_draw(draws, number)
        if row["closedAt"] is None:
            raise NotFound("The entrants of this draw are not fixed.")
        return Stream(
            read_entrants(row["id"]), headers={"content-type": "text/plain; charset=utf-8"}
        )


async def _shown(
    draws: Readable, number: int, *, created: str | None = None
) -> Resource[Data[DrawOut]]:
    row = await find_draw(draws, number)
    return Resource(Data(await made(DrawOut.of, row)), row["version"], created=created)
