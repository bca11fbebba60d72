"""The commands of `litestar apps`."""

import rich_click as click

from app.applications.publishing import register_app
from app.database.seed import LOTTERY
from app.database.terminal import with_database
from app.settings import settings

READY = {"lottery": ("app_lottery_v1", LOTTERY)}
"""Apps that the service brings along."""


@click.group(help="Apps, which rooms run.")
def apps() -> None:
    """Hold the commands."""


@apps.command(short_help="Register an app that the service brings along.")
@click.argument("name", type=click.Choice(list(READY)))
def add(name: str) -> None:
    """Register the ready app NAME, so that rooms can be opened with it.

    Example: litestar apps add lottery
    """
    app_id, manifest = READY[name]
    here = {**manifest, "baseUrl": settings().PUBLIC_URL}
    _, secret = with_database(lambda: register_app(app_id, here))
    click.echo(f"{app_id} is registered. Its secret, shown this once: {secret}")
    click.echo("A room needs no secret; it is for programs that act as the app.")
