"""HTTP of /apps."""

from typing import Any

from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED
from msgspec import UNSET

from app.applications import publishing, service
from app.applications.schemas import (
    AppChange,
    AppInput,
    AppOut,
    DeprecationInput,
    RegisteredAppOut,
    SecretOut,
    VersionOut,
)
from app.auth.guards import platform_administrator, provide_viewer
from app.database.listing import PageRequest
from app.database.versions import Precondition
from app.errors import (
    AppHasRooms,
    BreakingChange,
    Conflict,
    InvalidManifest,
    VersionNotGreater,
)
from app.http.envelopes import Data, Success
from app.http.openapi import refusals
from app.http.pagination import Page, meta_of, page_of, page_request
from app.http.preconditions import Resource, location, provide_precondition

NOT_KEPT = {"Cache-Control": "no-store"}
"""On answers that show a secret."""


class AppController(Controller):
    """The apps that rooms can run."""

    path = "/apps"
    tags = ("apps",)
    dependencies = {  # noqa: RUF012 - Litestar's own form
        "paging": Provide(page_request),
        "viewer": Provide(provide_viewer),
        "precondition": Provide(provide_precondition),
    }

    @get(operation_id="listApps", summary="Active apps")
    async def list_(self, paging: NamedDependency[PageRequest]) -> Page[AppOut]:
        """List the active apps, oldest first."""
        rows, total = await service.list_apps(paging)
        return page_of(rows, total, paging, AppOut.of)

    @post(
        guards=[platform_administrator],
        security=[{"bearer": []}],
        responses=refusals(InvalidManifest, Conflict),
        operation_id="registerApp",
        summary="Register an app",
    )
    async def register(
        self, data: JSONBody[AppInput], request: Request[Any, Any, Any]
    ) -> Response[Data[RegisteredAppOut]]:
        """Register an app with its first manifest. Its secret is shown this once."""
        row, secret = await publishing.register_app(data.appId, data.manifest)
        shown = Data(RegisteredAppOut.of(row, appSecret=secret))
        headers = {**NOT_KEPT, "Location": location(request, data.appId)}
        return Response(shown, status_code=HTTP_201_CREATED, headers=headers)

    @get("/{app_id:str}", operation_id="getApp", summary="An app")
    async def show(
        self, app_id: FromPath[str], viewer: NamedDependency[str | None]
    ) -> Resource[Data[AppOut]]:
        """Show an active app; platform administrators see the others too."""
        row = await service.find_app(viewer, app_id)
        return Resource(Data(AppOut.of(row)), row["version"])

    @patch(
        "/{app_id:str}",
        guards=[platform_administrator],
        security=[{"bearer": []}],
        responses=refusals(InvalidManifest, VersionNotGreater, BreakingChange),
        operation_id="updateApp",
        summary="Publish a version, or close an app",
    )
    async def change(
        self,
        app_id: FromPath[str],
        data: JSONBody[AppChange],
        precondition: NamedDependency[Precondition],
    ) -> Resource[Data[AppOut]]:
        """Publish a new version of an app, or decide whether it takes new rooms.

        A version must be greater than every one before. Within a major version it must accept
        whatever a room's settings could hold, and take back no permission and no capability.
        Rooms stay on the version that they were opened with.
        """
        row = await publishing.change_app(
            app_id,
            precondition,
            manifest=None if data.manifest is UNSET else data.manifest,
            is_active=None if data.isActive is UNSET else data.isActive,
        )
        return Resource(Data(AppOut.of(row)), row["version"])

    @delete(
        "/{app_id:str}",
        guards=[platform_administrator],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        responses=refusals(AppHasRooms),
        operation_id="deleteApp",
        summary="Delete an app",
    )
    async def remove(
        self, app_id: FromPath[str], precondition: NamedDependency[Precondition]
    ) -> Data[Success]:
        """Delete an app that no live room uses."""
        await publishing.delete_app(app_id, precondition)
        return Data(Success())

    @post(
        "/{app_id:str}/secret",
        guards=[platform_administrator],
        security=[{"bearer": []}],
        operation_id="replaceAppSecret",
        summary="Replace an app's secret",
    )
    async def replace_secret(self, app_id: FromPath[str]) -> Response[Data[SecretOut]]:
        """Make a new secret, shown this once. The one before is worth nothing from now on."""
        secret = await publishing.replace_secret(app_id)
        shown = Data(SecretOut(app_id, secret))
        return Response(shown, status_code=HTTP_201_CREATED, headers=NOT_KEPT)

    @get("/{app_id:str}/versions", operation_id="listVersions", summary="An app's versions")
    async def list_versions(
        self,
        app_id: FromPath[str],
        viewer: NamedDependency[str | None],
        paging: NamedDependency[PageRequest],
    ) -> Page[VersionOut]:
        """List what an app has published, newest first."""
        found, total = await service.list_versions(viewer, app_id, paging)
        shown = found[: paging.limit]
        last = shown[-1].position if len(found) > paging.limit else None
        return Page([VersionOut.of(each) for each in shown], meta_of(paging, total, last))

    @post(
        "/{app_id:str}/versions/{version:str}/deprecate",
        guards=[platform_administrator],
        security=[{"bearer": []}],
        status_code=HTTP_200_OK,
        responses=refusals(Conflict),
        operation_id="deprecateVersion",
        summary="Deprecate a version",
    )
    async def deprecate(
        self, app_id: FromPath[str], version: FromPath[str], data: JSONBody[DeprecationInput]
    ) -> Data[VersionOut]:
        """Take no new rooms on a version. Rooms that are on it keep working, and say so."""
        deprecated = await publishing.deprecate_version(app_id, version, data.reason)
        return Data(VersionOut.of(deprecated))
