"""`litestar apps`: what a service needs that has no demo data."""

import asyncio

from click.testing import CliRunner, Result

from app.applications.command_line import apps
from app.auth.tokens import token_hash
from app.database.engine import DB, fetchrow
from app.settings import settings


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, apps, arguments)


async def test_the_ready_lottery_is_registered_once(migrated_database: str) -> None:
    DB.connect_to(migrated_database)
    added = await run("add", "lottery")
    assert added.exit_code == 0, added.output
    row = await fetchrow("""SELECT "appId", "appSecret", manifest ->> 'baseUrl' AS url FROM apps""")
    assert row is not None
    secret = added.output.splitlines()[0].rpartition(" ")[2]
    assert tuple(row) == ("app_lottery_v1", token_hash(secret), settings().PUBLIC_URL)

    again = await run("add", "lottery")
    assert (again.exit_code, again.output) == (1, "Error: This appId is taken.\n")
    assert (await run("add", "casino")).exit_code != 0
