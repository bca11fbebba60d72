"""`litestar admin`: no password is ever on the command line."""

import asyncio

import pytest
from click.testing import CliRunner, Result

from app.admin.command_line import admin
from app.admin.tables import Administrator
from app.database.engine import DB, fetch, fetchval

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
