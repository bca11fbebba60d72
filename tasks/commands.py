"""Adds `litestar tasks …` to the command line; workers of the server import no more than this."""

from importlib import import_module
from typing import TYPE_CHECKING

from litestar.plugins import CLIPlugin

if TYPE_CHECKING:
    from click import Group


class TaskCommands(CLIPlugin):
    """Registers the group `tasks`."""

    def on_cli_init(self, cli: "Group") -> None:
        """Add the group; Litestar calls this in the command line's process alone."""
        cli.add_command(import_module("tasks.command_line").tasks)
