"""Adds `litestar apps …` to the command line, and imports it when it is wanted."""

from importlib import import_module
from typing import TYPE_CHECKING

from litestar.plugins import CLIPlugin

if TYPE_CHECKING:
    from click import Group


class AppCommands(CLIPlugin):
    """Registers the group `apps`."""

    def on_cli_init(self, cli: "Group") -> None:
        """Add the group; Litestar calls this in the command line's process alone."""
        cli.add_command(import_module("app.applications.command_line").apps)
