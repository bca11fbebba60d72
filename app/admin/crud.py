"""Piccolo's reading of a table, without secrets and deleted rows, and our writing.

Whatever writes in PiccoloCRUD is replaced here. A secret column does not exist for whoever reads:
it is in no row and no schema, and can't be filtered or sorted by.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlencode

from piccolo.columns import Bytea, Column, ForeignKey
from piccolo.table import Table
from piccolo.utils.pydantic import create_pydantic_model
from piccolo_api.crud.endpoints import ParamException, Params, PiccoloCRUD
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.admin.changes import change_row, delete_row, rules_of
from app.database.engine import fetchval
from app.database.soft_delete import including_deleted
from app.email_addresses import searched_address
from app.tables import App, Participant, User

SHOWN_BY_ADDRESS = (User, Participant)
"""Tables with addresses, by which their rows are named too."""

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


class GuardedTable(PiccoloCRUD):
    """A table in the page's API."""

    def __init__(self, table: type[Table], **options: Any) -> None:
        """Take what PiccoloCRUD takes."""
        columns = table._meta.columns  # noqa: SLF001 - Piccolo has no other way
        self._secrets = tuple(column for column in columns if _is_hidden(column))
        super().__init__(table, **options)

    @property
    def pydantic_model(self) -> type[BaseModel]:
        """What the page's forms show."""
        return self._model("In", json_schema_extra={"extra": self.schema_extra})

    @property
    def pydantic_model_optional(self) -> type[BaseModel]:
        """What a form may post."""
        return self._model("Optional", include_default_columns=True, all_optional=True)

    def _model(self, suffix: str, **options: Any) -> type[BaseModel]:
        default = () if options.get("include_default_columns") else (self.table._meta.primary_key,)  # noqa: SLF001 - as above
        return create_pydantic_model(
            self.table,
            exclude_columns=(*default, *self._secrets),
            model_name=f"{self.table.__name__}{suffix}",
            **options,
        )

    def _pydantic_model_output(
        self,
        include_readable: bool = False,  # noqa: FBT001, FBT002 - Piccolo's signature
        include_columns: tuple[Column, ...] = (),
        nested: bool | tuple[ForeignKey[Any], ...] = False,  # noqa: FBT001, FBT002 - as above
    ) -> type[BaseModel]:
        return super()._pydantic_model_output(
            include_readable, self._public(include_columns), nested
        )

    def pydantic_model_plural(
        self,
        include_readable: bool = False,  # noqa: FBT001, FBT002 - as above
        include_columns: tuple[Column, ...] = (),
        nested: bool | tuple[ForeignKey[Any], ...] = False,  # noqa: FBT001, FBT002 - as above
    ) -> type[BaseModel]:
        """What a list sends."""
        return super().pydantic_model_plural(
            include_readable, self._public(include_columns), nested
        )

    def _public(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        return tuple(
            column
            for column in columns or self.table._meta.columns  # noqa: SLF001 - as above
            if not _is_hidden(column)
        )

    def _get_column(self, column_name: str) -> Column:
        """Find a column that a request names, to show it or to sort by it.

        Raises:
            ParamException: There is none, or it is nobody's business.
        """
        try:
            column = super()._get_column(column_name)
        except ValueError as error:
            raise ParamException(str(error)) from error
        if _is_hidden(column):
            raise ParamException(f"{column_name} is not shown.")
        return column

    async def get_schema(self, request: Request) -> JSONResponse:  # noqa: ARG002 - Piccolo's signature
        """Describe the columns, in words, and which of them a form may change."""
        schema = self.pydantic_model.model_json_schema()
        for name, described in schema["properties"].items():
            described["title"] = _title(name)
        schema["extra"]["editable"] = sorted(rules_of(self.table).columns)
        return JSONResponse(schema)

    def _split_params(self, params: dict[str, Any]) -> Params:
        """Read a list's query; addresses are looked for in the form in which they are kept."""
        split = super()._split_params(params)
        typed = split.fields.get("email")
        if isinstance(typed, str) and self.table in SHOWN_BY_ADDRESS:
            split.fields["email"] = searched_address(typed)
        return split

    async def get_ids(self, request: Request) -> Response:
        """Name rows for the pickers; an app by its appId, which is what rooms refer to."""
        if self.table in SHOWN_BY_ADDRESS:
            request = _searching_address(request)
        if self.table is not App:
            return cast("Response", await super().get_ids(request))
        search = f"%{request.query_params.get('search', '')}%"
        found = await App.select(App.appId).where(App.appId.ilike(search)).order_by(App.appId)
        return JSONResponse({row["appId"]: row["appId"] for row in found})

    async def get_all(self, request: Request, params: dict[str, Any] | None = None) -> Response:
        """List alive rows; the deleted too for who asks for `deletedAt`."""
        with _deleted_if_asked(request):
            return cast("Response", await super().get_all(request, params))

    async def get_count(self, request: Request) -> Response:
        """Count what `get_all` lists."""
        with _deleted_if_asked(request):
            return cast("Response", await super().get_count(request))

    async def root(self, request: Request) -> Response:
        """List, and nothing else: rows are made by the platform, or by the page's forms."""
        if request.method != "GET":
            return _not_allowed("Rows are not added here: see the forms, or the API.")
        return await self.get_all(request, self._parse_params(request.query_params))

    async def detail(self, request: Request) -> Response:
        """Show, change or delete one row."""
        row_id = await self._key(request.path_params["row_id"])
        actor = request.user.display_name
        match request.method:
            case "GET":
                with including_deleted():
                    return cast("Response", await self.get_single(request, row_id))
            case "PATCH":
                posted = self._clean_data(await request.json())
                values = self.pydantic_model_optional(**posted)
                given = {name: getattr(values, name, value) for name, value in posted.items()}
                await change_row(actor, self.table, row_id, given)
                return cast("Response", await self.get_single(request, row_id))
            case "DELETE":
                await delete_row(actor, self.table, row_id)
                return Response(status_code=204)
        return _not_allowed("Rows are changed column by column.")

    async def _key(self, given: str) -> object:
        """Return a primary key; a link to an app carries its appId."""
        if self.table is App:
            return await fetchval('SELECT id FROM apps WHERE "appId" = $1', given) or given
        if self.table._meta.primary_key.value_type is int:  # noqa: SLF001 - as above
            return int(given) if given.isdecimal() else -1
        return given


def _searching_address(request: Request) -> Request:
    query = dict(request.query_params)
    if "search" in query:
        query["search"] = searched_address(query["search"])
    return Request({**request.scope, "query_string": urlencode(query).encode()}, request.receive)


def _is_hidden(column: Column) -> bool:
    """Tell what is shown to nobody: secrets, and bytes, which JSON has no words for."""
    return column._meta.secret or isinstance(column, Bytea)  # noqa: SLF001 - as above


def _title(column: str) -> str:
    """Write `appManifestVersion` as "App manifest version", and `userId` as "User"."""
    words = WORD.findall(column.replace("_", " "))
    if len(words) > 1 and words[-1] == "Id":
        words.pop()
    return " ".join(words).capitalize()


@contextmanager
def _deleted_if_asked(request: Request) -> Iterator[None]:
    if any(name.startswith("deletedAt") for name in request.query_params):
        with including_deleted():
            yield
    else:
        yield


def _not_allowed(message: str) -> Response:
    return JSONResponse({"detail": message}, status_code=405)
