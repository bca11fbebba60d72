"""Adds `litestar database …` to the command line.

Every worker of the server imports this module, so it imports nothing that only a command line
needs: click comes with `command_group`, what the commands do with `command_line`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from litestar.plugins import CLIPlugin

if TYPE_CHECKING:
    from click import Group


class DatabaseCommands(CLIPlugin):
    """Registers the group `database`."""

    def on_cli_init(self, cli: "Group") -> None:
        """Add the group; Litestar calls this in the command line's process alone."""
        cli.add_command(import_module("app.database.command_group").database)
