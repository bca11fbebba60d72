"""Adds our groups to the command line, at no cost for the server's workers.

They import this module too, so what only a command line needs is imported when there is one.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from litestar.plugins import CLIPlugin

if TYPE_CHECKING:
    from click import Group

GROUPS = {
    "database": "app.database.command_group",
    "tasks": "tasks.command_line",
    "draws": "app.draws.command_line",
    "admin": "app.admin.command_line",
    "apps": "app.applications.command_line",
}
"""The module of each, which calls it by its name."""


class Commands(CLIPlugin):
    """Registers the groups."""

    def on_cli_init(self, cli: "Group") -> None:
        """Add them; Litestar calls this in the command line's process alone."""
        for name, module in GROUPS.items():
            cli.add_command(getattr(import_module(module), name))
