"""Who manages the webhooks of an app: the app itself, and platform administrators."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from app.auth.apps import AppCredentials
from app.auth.guards import platform_administrator
from app.errors import Forbidden


async def its_app(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Guard what the app of the address may do, and platform administrators.

    Raises:
        Unauthorized: Nobody is signed in, and no app identifies itself.
        Forbidden: It is another app, or a person who is no platform administrator.
        InvalidToken: The token was revoked.
    """
    caller = connection.scope["auth"]
    if not isinstance(caller, AppCredentials):
        await platform_administrator(connection, handler)
    elif caller.app_id != connection.path_params["app_id"]:
        raise Forbidden("An app manages its own webhooks alone.")


def actor_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Tell who acts, for the audit log: the app's appId, or the administrator's id."""
    caller = connection.scope["auth"]
    return caller.app_id if isinstance(caller, AppCredentials) else str(caller.claims.sub)
