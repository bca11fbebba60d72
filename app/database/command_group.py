"""The group `litestar database`, which imports its commands when one of them is wanted.

Comparing schemas takes Piccolo's migration machinery, a tenth of a second and more to import.
`litestar run` gets by without it.
"""

from importlib import import_module

import rich_click as click


class LazyGroup(click.RichGroup):
    """A group whose commands stand in `app.database.command_line`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order in which they are written."""
        return list(self._commands())

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Return a command, or nothing for a name that there isn't."""
        return self._commands().get(cmd_name)

    def _commands(self) -> dict[str, click.Command]:
        commands: dict[str, click.Command] = import_module("app.database.command_line").COMMANDS
        return commands


database = LazyGroup(
    name="database",
    help="Migrate, check, fill and watch the database of DATABASE_URL, or the embedded one.",
)
