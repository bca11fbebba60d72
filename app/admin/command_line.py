"""The commands of `litestar admin`. Passwords are asked for, never taken from the command line."""

import rich_click as click
from rich.table import Table

from app.admin.accounts import (
    Account,
    administrators,
    create_administrator,
    reset_second_factor,
    set_active,
    set_password,
)
from app.admin.tables import SHORTEST_PASSWORD
from app.database.terminal import console, with_database
from app.settings import COMMAND


@click.group(help="Who may sign in to the administrators' page.")
def admin() -> None:
    """Hold the commands."""


@admin.command("list", short_help="Show who may sign in, with what, and who did when.")
def list_accounts() -> None:
    """Show each administrator: last sign-in, since when a code is asked for, who is locked out.

    Example: litestar admin list
    """
    found = with_database(administrators)
    if not found:
        click.echo(f"There is no administrator. Make one: {COMMAND} admin create-user NAME")
        return
    console().print(_table_of(found))


@admin.command(short_help="Add an administrator.")
@click.argument("name")
def create_user(name: str) -> None:
    """Let NAME sign in to the page. Asks for the password.

    Example: litestar admin create-user alice
    """
    password = _asked_password()
    with_database(lambda: create_administrator(name, password))
    click.echo(f"{name} can sign in.")


@admin.command("set-password", short_help="Give an administrator a new password.")
@click.argument("name")
def change_password(name: str) -> None:
    """Give NAME a new password, which is asked for, and sign NAME out everywhere.

    Example: litestar admin set-password alice
    """
    password = _asked_password()
    with_database(lambda: set_password(name, password))
    click.echo(f"{name} has a new password.")


@admin.command(short_help="Shut an administrator out.")
@click.argument("name")
def lock_out(name: str) -> None:
    """Shut NAME out at once, also where NAME is signed in. What NAME did stays recorded.

    Example: litestar admin lock-out alice
    """
    with_database(lambda: set_active(name, active=False))
    click.echo(f"{name} is shut out.")


@admin.command(short_help="Let an administrator in again.")
@click.argument("name")
def let_in(name: str) -> None:
    """Let NAME sign in again.

    Example: litestar admin let-in alice
    """
    with_database(lambda: set_active(name, active=True))
    click.echo(f"{name} can sign in.")


@admin.command(short_help="Forget an administrator's authenticator.")
@click.argument("name")
def reset_mfa(name: str) -> None:
    """Let NAME, whose device is lost, sign in with the password alone; sign NAME out everywhere.

    Example: litestar admin reset-mfa alice
    """
    if with_database(lambda: reset_second_factor(name)):
        click.echo(f"{name} signs in with the password alone.")
    else:
        click.echo(f"{name} has no authenticator: there was nothing to reset.")


def _table_of(accounts: list[Account]) -> Table:
    table = Table("name", "last signed in", "authenticator", "locked out")
    for account in accounts:
        since = account.authenticator_since
        table.add_row(
            account.name,
            f"{account.last_login:%Y-%m-%d %H:%M}" if account.last_login else "never",
            f"since {since:%Y-%m-%d}" if since else "none",
            "no" if account.is_active else "yes",
        )
    return table


def _asked_password() -> str:
    password: str = click.prompt(
        f"Password, {SHORTEST_PASSWORD} characters or more",
        hide_input=True,
        confirmation_prompt=True,
    )
    return password
