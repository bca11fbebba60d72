"""HTTP of /rooms/{id}/participants."""

from typing import Annotated, Any

from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK

from app.auth.guards import FOR_GUESTS
from app.auth.throttle import spend_addresses
from app.database.listing import PageRequest
from app.database.versions import Precondition
from app.errors import Conflict, NotFound, RoomClosed, Unauthorized, ValidationFailed
from app.http import spreadsheets
from app.http.bodies import given
from app.http.envelopes import Data, Success
from app.http.openapi import refusals
from app.http.pagination import Page, page_of
from app.http.preconditions import Resource
from app.participants import bulk, service
from app.participants.columns import Extra, Meaning, Wishes
from app.participants.erasing import erase_participant
from app.participants.guards import DEPENDENCIES, in_room, provide_member
from app.participants.joining import join
from app.participants.lines import LARGEST_LINES_BYTES, TakesLines, lines_of, newcomer_of
from app.participants.previews import preview_of
from app.participants.roles import HELD_FROM, Right
from app.participants.schemas import (
    LinesForeseen,
    LinesOut,
    ParticipantChange,
    ParticipantInput,
    ParticipantOut,
    Removal,
)
from app.participants.service import Membership
from app.settings import settings
from app.tables import ParticipantRole

ME = "me"


def provide_wishes(
    extra: FromQuery[Extra | None] = None,
    email_column: Annotated[str | None, QueryParameter(name="emailColumn")] = None,
    name_column: Annotated[str | None, QueryParameter(name="nameColumn")] = None,
    first_name_column: Annotated[str | None, QueryParameter(name="firstNameColumn")] = None,
    last_name_column: Annotated[str | None, QueryParameter(name="lastNameColumn")] = None,
    role_column: Annotated[str | None, QueryParameter(name="roleColumn")] = None,
    metadata_column: Annotated[list[str] | None, QueryParameter(name="metadataColumn")] = None,
) -> Wishes:
    """Read what a request says of the columns of a spreadsheet."""
    named = {
        Meaning.EMAIL: email_column,
        Meaning.NAME: name_column,
        Meaning.FIRST_NAME: first_name_column,
        Meaning.LAST_NAME: last_name_column,
        Meaning.ROLE: role_column,
    }
    said = {meaning: name for meaning, name in named.items() if name is not None}
    return Wishes(said, metadata_column or (), extra)


class ParticipantController(Controller):
    """Who is in a room."""

    path = "/rooms/{room_id:str}/participants"
    tags = ("participants",)
    dependencies = DEPENDENCIES

    @get(guards=[in_room()], operation_id="listParticipants", summary="Who is in the room")
    async def list_(
        self,
        member: NamedDependency[Membership],
        paging: NamedDependency[PageRequest],
        role: FromQuery[ParticipantRole | None] = None,
    ) -> Page[ParticipantOut]:
        """List the participants, oldest first; with `role` those who have exactly that one."""
        rows, total = await service.list_participants(member, paging, role)
        return page_of(rows, total, paging, ParticipantOut.of, order_column="joinedAt")

    @post(
        guards=[in_room(strictly=True)],
        security=[{"bearer": []}],
        responses={
            200: ResponseSpec(
                Data[ParticipantOut], description="Who was in the room before, or expected."
            ),
            **refusals(RoomClosed, Conflict),
        },
        operation_id="addParticipant",
        summary="Join, or bring somebody in",
    )
    async def enter(
        self,
        member: NamedDependency[Membership],
        request: Request[Any, Any, Any],
        data: JSONBody[ParticipantInput | None] = None,
    ) -> Response[Data[ParticipantOut]]:
        """Join a public room (201; coming back 200), or bring somebody in as a moderator.

        Who was brought in joins likewise (200), a private room too: only then, or if they were
        brought in by it, do the room's moderators see their address. Somebody who is named by an
        address is in at once, and is shown without a person until they join, whether or not
        anybody has an account with it. `metadata` of who joins is what they say of themselves
        (`ownMetadata`): it is shown with what moderators say, but counts in no draw. Who comes
        back may add to it.
        """
        if data is None or data.is_oneself:
            _refuse_privileges(data)
            said = data or ParticipantInput()
            row, is_new = await join(member, said.metadata, show_name=said.showName)
        else:
            member.require(HELD_FROM[Right.MANAGE_PARTICIPANTS])
            if data.showName is not None:
                raise ValidationFailed.at({"$.showName": "Only they choose it, on joining."})
            newcomer = newcomer_of(data)
            await spend_addresses(request, member.user_id, int(newcomer.email is not None))
            row, is_new = await bulk.add_participant(member, newcomer)
        created = row["id"] if is_new else None
        return Resource(Data(ParticipantOut.of(row)), row["version"], created=created)

    @post(
        "/bulk",
        guards=[in_room(Right.MANAGE_PARTICIPANTS, strictly=True)],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        request_max_body_size=LARGEST_LINES_BYTES,
        responses=refusals(RoomClosed),
        operation_class=TakesLines,
        operation_id="addManyParticipants",
        dependencies={"wishes": Provide(provide_wishes, sync_to_thread=False)},
        summary="Bring many people in",
    )
    async def enter_many(
        self,
        member: NamedDependency[Membership],
        request: Request[Any, Any, Any],
        wishes: NamedDependency[Wishes],
        *,
        preview: Annotated[
            bool,
            QueryParameter(
                name="preview", description="Write nothing, and tell what would be done."
            ),
        ] = False,
    ) -> Data[LinesOut | LinesForeseen]:
        """Bring in up to 10,000 people as a moderator, in one transaction.

        JSON, or a spreadsheet whose first line names the columns: `userId` or `email`, and if you
        like `name` (or `firstName` and `lastName`), `role` and `metadata` (JSON), in any case and
        in some languages; `emailColumn` and the like say which it is where the name does not. Other
        columns are refused, unless `extra` or `metadataColumn` say what becomes of them. An export
        of participants (CSV) is taken, too.

        CSV is in UTF-8 or UTF-16, or in windows-1251 or windows-1252 if the Content-Type says so
        (`charset`), and separated by commas, semicolons or tabs. Of a workbook (.xlsx) the first
        sheet that can be seen is read, without the formats of its cells: numbers as numbers, dates
        as in ISO 8601.

        Each line has the rules of a request of its own, and is treated as if it came after the one
        above it. One that fails is told and keeps nobody else out. Who is in the room already stays
        as they are. An address is added whether or not anybody has an account with it.

        With `preview` nothing is written. The answer says what the columns are read as, how the
        first lines are understood, and what would become of all.
        """
        reading = await lines_of(request, wishes)
        if preview:
            return Data(preview_of(reading, await bulk.foresee_participants(member, reading.lines)))
        reading.require_lines()
        await spend_addresses(request, member.user_id, bulk.count_addresses(reading.lines))
        results = await bulk.add_participants(member, reading.lines)
        return Data(LinesOut.of(results))

    @get(
        "/{participant_id:str}",
        guards=[in_room()],
        operation_id="getParticipant",
        summary="A participant",
    )
    async def show(
        self, member: NamedDependency[Membership], participant_id: FromPath[str]
    ) -> Resource[Data[ParticipantOut]]:
        """Show one participant; `me` is oneself."""
        row = await service.find_participant(member, _resolve(member, participant_id))
        return Resource(Data(ParticipantOut.of(row)), row["version"])

    @patch(
        "/{participant_id:str}",
        guards=[in_room(Right.LEAVE, strictly=True)],
        security=[{"bearer": []}],
        responses=refusals(Conflict, RoomClosed),
        operation_id="updateParticipant",
        summary="Change a participant",
    )
    async def change(
        self,
        member: NamedDependency[Membership],
        participant_id: FromPath[str],
        data: JSONBody[ParticipantChange],
        precondition: NamedDependency[Precondition],
    ) -> Resource[Data[ParticipantOut]]:
        """Change somebody's role or metadata, as a moderator or above, or `showName` of oneself.

        That says how one is called before who does not moderate the room, in lists, on screens, in
        files and events: `FULL`, `INITIALS` ("A. J."), `NONE`, or null for what the room has. It is
        possible in a closed room too.

        Of the metadata, what somebody said of themselves stays theirs while it is sent unchanged,
        and what is left out goes.
        """
        row = await service.change_participant(
            member, _resolve(member, participant_id), given(data), precondition
        )
        return Resource(Data(ParticipantOut.of(row)), row["version"])

    @delete(
        "/{participant_id:str}",
        guards=[in_room(Right.LEAVE, strictly=True)],
        opt=FOR_GUESTS,
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        responses=refusals(Conflict),
        operation_id="removeParticipant",
        summary="Leave, or take somebody out",
    )
    async def remove(
        self,
        member: NamedDependency[Membership],
        participant_id: FromPath[str],
        precondition: NamedDependency[Precondition],
        *,
        data: JSONBody[Removal | None] = None,
        erase: FromQuery[bool] = False,
    ) -> Data[Success]:
        """Leave the room, or take somebody out as a moderator. Prizes won stay won.

        With `erase`, in the body or the query, a moderator takes out somebody who was brought in by
        an address and has not joined, and address, name and metadata become blank for good, in the
        room and wherever they are kept; also of who was taken out before. Who has joined erases the
        account themselves (409).
        """
        id_ = _resolve(member, participant_id)
        if erase or (data is not None and data.erase):
            await erase_participant(member, id_, precondition)
        else:
            await service.remove_participant(member, id_, precondition)
        return Data(Success())


@get(
    "/rooms/{room_id:str}/participants.csv",
    guards=[in_room()],
    media_type=spreadsheets.MEDIA_TYPE,
    dependencies={"member": Provide(provide_member)},
    tags=["participants"],
    operation_id="exportParticipants",
    summary="Who is in the room, as CSV",
)
async def export_participants(
    member: NamedDependency[Membership], *, bom: FromQuery[bool] = False
) -> Stream:
    """Send all participants for a spreadsheet, oldest first; to moderators with their addresses.

    Of who joined by themselves that is their own, of others the one that they were brought in by.

    UTF-8, RFC 4180; the first line names the columns. A cell that a spreadsheet would compute
    begins with an apostrophe. With `bom` it begins with a byte order mark, by which Excel knows
    UTF-8.
    """
    columns = {
        "id": "id",
        "userId": "userId",
        "name": "userName",
        **({"email": "email"} if member.moderates else {}),
        "role": "role",
        "metadata": "metadata",
        "ownMetadata": "ownMetadata",
        "joinedAt": "joinedAt",
    }
    rows = service.read_participants(member)
    return spreadsheets.download("participants.csv", columns, rows, bom=bom)


@get(
    "/rooms/{room_id:str}/expected.csv",
    guards=[in_room(Right.MANAGE_PARTICIPANTS)],
    security=[{"bearer": []}],
    media_type=spreadsheets.MEDIA_TYPE,
    dependencies={"member": Provide(provide_member)},
    tags=["participants"],
    operation_id="exportExpectedPeople",
    summary="Who was brought in by an address and has not joined, as CSV",
)
async def export_expected(
    member: NamedDependency[Membership], *, bom: FromQuery[bool] = False
) -> Stream:
    """Send who is expected, oldest first, as a moderator: for mails that you send yourself.

    `link` leads to the page on which they sign in with the address and join. It is the same for
    all, and opens nothing to anybody else. The form is that of `participants.csv`.
    """
    names = {
        "id": "id",
        "name": "userName",
        "email": "email",
        "role": "role",
        "joinedAt": "joinedAt",
        "link": "link",
    }
    link = f"{settings().join_url}?room={member.room_id}"
    rows = (
        [{**row, "link": link} for row in piece] async for piece in service.read_expected(member)
    )
    return spreadsheets.download("expected.csv", names, rows, bom=bom)


def _refuse_privileges(data: ParticipantInput | None) -> None:
    """Nobody gives a role to themselves."""
    if data is None:
        return
    faults = {}
    if data.name is not None:
        faults["$.name"] = "Only together with userId or email."
    if data.role is not ParticipantRole.PARTICIPANT:
        faults["$.role"] = "Who joins is a PARTICIPANT."
    if faults:
        raise ValidationFailed.at(faults)


def _resolve(member: Membership, participant_id: str) -> str:
    if participant_id != ME:
        return participant_id
    if member.user_id is None:
        raise Unauthorized
    if member.participant_id is None:
        raise NotFound("You are not in this room.")
    return member.participant_id
