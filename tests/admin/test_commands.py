"""`litestar admin`: no password is ever on the command line."""

import asyncio

import click
import pytest
from click.testing import CliRunner, Result

from app.admin.accounts import create_administrator
from app.admin.command_line import admin
from app.admin.tables import Administrator
from app.database.engine import DB, fetch, fetchval
from app.ops.launch import Launch

PASSWORD = "correct horse battery"


@pytest.fixture
async def nobody(shared_database: str) -> None:
    """Have no administrators; the commands open connections of their own."""
    DB.connect_to(shared_database)
    await fetch("DELETE FROM admin.administrators")


def command(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(admin, arguments, input=typed)


async def run(*arguments: str, typed: str = "") -> Result:
    return await asyncio.to_thread(command, *arguments, typed=typed)


@pytest.mark.usefixtures("nobody")
async def test_an_administrator_is_made_locked_out_and_let_in_again() -> None:
    twice = f"{PASSWORD}\n{PASSWORD}\n"

    made = await run("create-user", "dora", typed=twice)
    assert made.output.endswith("dora can sign in.\n")
    assert PASSWORD not in made.output
    assert await Administrator.login("dora", PASSWORD)
    assert (await run("create-user", "dora", typed=twice)).exit_code == 1

    assert (await run("lock-out", "dora")).exit_code == 0
    assert await Administrator.login("dora", PASSWORD) is None
    assert (await run("let-in", "dora")).exit_code == 0
    assert await Administrator.login("dora", PASSWORD)

    other = "another correct horse"
    assert (await run("set-password", "dora", typed=f"{other}\n{other}\n")).exit_code == 0
    assert await Administrator.login("dora", PASSWORD) is None
    assert await Administrator.login("dora", other)

    await fetch("INSERT INTO admin.authenticators SELECT id, 'lost' FROM admin.administrators")
    assert (await run("reset-mfa", "dora")).output == "dora signs in with the password alone.\n"
    assert await fetchval("SELECT count(*) FROM admin.authenticators") == 0
    again = await run("reset-mfa", "dora")
    assert again.output == "dora has no authenticator: there was nothing to reset.\n"


@pytest.mark.usefixtures("nobody")
async def test_who_has_nothing_to_reset_stays_signed_in() -> None:
    await create_administrator("dora", PASSWORD)
    await fetch(
        "INSERT INTO admin.administrator_sessions (token, user_id, expiry_date, max_expiry_date) "
        "SELECT 'hers', id, now(), now() FROM admin.administrators"
    )

    await run("reset-mfa", "dora")

    assert await fetchval("SELECT count(*) FROM admin.administrator_sessions") == 1


@pytest.mark.usefixtures("nobody")
async def test_the_list_tells_who_has_an_authenticator_and_who_is_locked_out() -> None:
    empty = await run("list")
    assert "There is no administrator." in empty.output

    for name in ("dora", "carl"):
        await create_administrator(name, PASSWORD)
    await fetch(
        """
        INSERT INTO admin.authenticators (administrator, secret, confirmed_at)
        SELECT id, 'any', '2026-05-04T10:00Z' FROM admin.administrators WHERE username = 'dora'
        """
    )
    assert await Administrator.login("dora", PASSWORD)
    await run("lock-out", "carl")

    carl, dora = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in (await run("list")).output.splitlines()
        if line.startswith("│")
    ]

    assert carl == ["carl", "never", "none", "yes"]
    assert (dora[0], dora[2:]) == ("dora", ["since 2026-05-04", "no"])
    assert dora[1].startswith("20")


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("arguments", "typed", "said"),
    [
        (("create-user", "dora"), "short\nshort\n", "too short"),
        (("create-user", "dora"), "aaaaaaaaaaaaaaa\naaaaaaaaaaaaaaa\n", "different characters"),
        (("lock-out", "dora"), "", "There is no administrator dora."),
        (("reset-mfa", "dora"), "", "There is no administrator dora."),
        (("set-password", "dora"), f"{PASSWORD}\n{PASSWORD}\n", "There is no administrator dora."),
        (("create-user", "dora", PASSWORD), "", "unexpected extra argument"),
        (("create-user", "dora", "--password", PASSWORD), "", "No such option"),
    ],
)
async def test_what_is_wrong_is_said_and_changes_nothing(
    arguments: tuple[str, ...], typed: str, said: str
) -> None:
    answer = await run(*arguments, typed=typed)

    assert answer.exit_code != 0
    assert said in answer.output
    assert await fetchval("SELECT count(*) FROM admin.administrators") == 0


def test_commands_that_can_not_work_are_not_offered() -> None:
    group = click.Group(commands={"run": click.Command("run"), "sessions": click.Group()})

    Launch().on_cli_init(group)

    assert list(group.commands) == ["run"]
