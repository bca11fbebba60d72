"""HTTP of /users."""

from typing import Annotated

from litestar import Controller, Response, delete, get, patch
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK

from app.auth.guards import FOR_GUESTS, provide_caller, signed_in, still_signed_in
from app.auth.service import is_platform_administrator, utc_now
from app.auth.tokens import AccessClaims
from app.database.versions import Precondition
from app.errors import Conflict, Forbidden
from app.http import archives
from app.http.bodies import given
from app.http.envelopes import Data, Success
from app.http.openapi import refusals
from app.http.preconditions import Resource, provide_precondition
from app.participants.schemas import Removal
from app.users import export, service
from app.users.erasing import erase_user
from app.users.schemas import DeletionPreview, UserChange, UserOut


class UserController(Controller):
    """Profiles."""

    path = "/users/{user_id:str}"
    tags = ("users",)
    guards = (signed_in,)
    dependencies = {  # noqa: RUF012 - Litestar's own form
        "caller": Provide(provide_caller),
        "precondition": Provide(provide_precondition),
    }
    security = ({"bearer": []},)

    @get(operation_id="getUser", summary="A profile")
    async def show(
        self, user_id: FromPath[str], caller: NamedDependency[AccessClaims]
    ) -> Resource[Data[UserOut]]:
        """Show somebody's profile."""
        row = await service.find_user(caller.sub, user_id)
        return Resource(Data(UserOut.of(row)), row["version"])

    @patch(operation_id="updateUser", summary="Change one's profile")
    async def change(
        self,
        user_id: FromPath[str],
        data: JSONBody[UserChange],
        caller: NamedDependency[AccessClaims],
        precondition: NamedDependency[Precondition],
    ) -> Resource[Data[UserOut]]:
        """Change one's own name or avatar. Of others 403, whether or not they exist."""
        _require_self(caller, user_id)
        row = await service.change_user(user_id, given(data), precondition)
        return Resource(Data(UserOut.of(row)), row["version"])

    @delete(
        guards=[still_signed_in],
        opt=FOR_GUESTS,
        status_code=HTTP_200_OK,
        responses=refusals(Conflict),
        operation_id="deleteUser",
        summary="Delete oneself, or erase somebody",
    )
    async def remove(
        self,
        user_id: FromPath[str],
        caller: NamedDependency[AccessClaims],
        precondition: NamedDependency[Precondition],
        *,
        data: JSONBody[Removal | None] = None,
        preview: Annotated[bool, QueryParameter(name="preview")] = False,
        erase: Annotated[bool, QueryParameter(name="erase")] = False,
    ) -> Response[Data[Success | DeletionPreview]]:
        """Delete one's own account, and the rooms that nobody else organizes; ends all sessions.

        A room with another ORGANIZER passes to the one who has been in it for longest. A preview
        changes nothing and tells which rooms would be deleted, and which would pass to whom.

        Who signs in again has the account back, until it is erased 30 days later (or as long as
        the platform says): address, name, picture, providers, what was said and answered, mails and
        the details of audit records become blank, ids stay. With `erase`, in the body or the query
        (not every client and proxy passes on a body of a DELETE), that happens at once.

        Platform administrators erase others too, also who is deleted already; rooms that the person
        organizes alone stand in the way (409). Of others everybody else gets 403, whether or not
        they exist.
        """
        erase = erase or (data is not None and data.erase)
        is_oneself = caller.sub == user_id
        if not (is_oneself or (erase and await is_platform_administrator(caller.sub))):
            raise _NOT_ONESELF
        if preview:
            person, rooms = await service.preview_deletion(user_id, precondition)
            return Resource(Data(DeletionPreview.of(rooms)), person["version"])
        if erase:
            await erase_user(user_id, precondition, by=caller.sub, spare_rooms=not is_oneself)
        else:
            await service.delete_user(user_id, precondition, by_oneself=True)
        return Response(Data(Success()))


@get(
    "/users/me/export",
    guards=[still_signed_in],
    opt=FOR_GUESTS,
    dependencies={"caller": Provide(provide_caller)},
    security=[{"bearer": []}],
    media_type=archives.MEDIA_TYPE,
    tags=["users"],
    operation_id="exportMe",
    summary="Everything about oneself",
)
async def export_oneself(caller: NamedDependency[AccessClaims]) -> Stream:
    """Send everything that is kept about oneself: a ZIP archive of lists as JSON and as CSV.

    README.txt in it says what each is. Tokens are kept as hashes alone and are not in it, nor is
    what the backups and the logs of the server hold.
    """
    return archives.download("about-me.zip", _files_about(caller.sub), utc_now())


def _files_about(user_id: str) -> archives.Files:
    about = ["What is kept about you, each as JSON and as CSV.\n"]
    about += [f"{part.name}: {part.about}" for part in export.PARTS]
    yield "README.txt", archives.text("\n".join([*about, ""]))
    for part in export.PARTS:
        yield f"{part.name}.json", archives.json_of(part.pieces(user_id), part.documents)
        yield f"{part.name}.csv", archives.csv_of([*part.columns], part.pieces(user_id))


_NOT_ONESELF = Forbidden("You may change only your own profile.")


def _require_self(caller: AccessClaims, user_id: str) -> None:
    if caller.sub != user_id:
        raise _NOT_ONESELF
