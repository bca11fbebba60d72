"""The command `event-platform` of an installed package: `litestar`, with this application."""

import os

from litestar.cli.main import litestar_group

APPLICATION = "app:create_app"


def main() -> None:
    """Run the command line, whatever the working folder holds."""
    os.environ["LITESTAR_APP"] = APPLICATION
    litestar_group.help = "Event Platform: serve it, and look after its database and its jobs."
    litestar_group()
