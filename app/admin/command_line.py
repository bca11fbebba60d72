"""The commands of `litestar admin`. Passwords are asked for, never taken from the command line."""

import rich_click as click

from app.admin.accounts import create_administrator, reset_second_factor, set_active, set_password
from app.admin.tables import SHORTEST_PASSWORD
from app.database.terminal import with_database


@click.group(help="Who may sign in to the administrators' page.")
def admin() -> None:
    """Hold the commands."""


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
    with_database(lambda: reset_second_factor(name))
    click.echo(f"{name} signs in with the password alone.")


def _asked_password() -> str:
    password: str = click.prompt(
        f"Password, {SHORTEST_PASSWORD} characters or more",
        hide_input=True,
        confirmation_prompt=True,
    )
    return password
