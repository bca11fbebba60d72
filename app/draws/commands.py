"""Adds `litestar draws …` to the command line, at no cost for the server's workers."""

from importlib import import_module
from typing import TYPE_CHECKING

from litestar.plugins import CLIPlugin

if TYPE_CHECKING:
    from click import Group


class DrawCommands(CLIPlugin):
    """Registers the group `draws`."""

    def on_cli_init(self, cli: "Group") -> None:
        """Add the group; Litestar calls this in the command line's process alone."""
        cli.add_command(import_module("app.draws.command_line").draws)
