"""Generated requests of every role against the real server, all of schemathesis' checks on.

Each operation meets its examples and the boundaries of its description (`coverage`) from a role
that may do it, and random requests from every role.
"""

import asyncio
import base64
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from app.database import migrations
from app.database.engine import DB
from app.database.seed import seed
from app.settings import PROJECT_ROOT
from app.tables import DrawStatus
from tests import factories
from tests.auth.provider import CLIENT_ID, CLIENT_SECRET, providing
from tests.generated_requests import Run
from tests.server import serving

ROLES = ("anonymous", "outsider", "VIEWER", "PARTICIPANT", "MODERATOR", "ORGANIZER", "platform")
EXAMPLES = 1
"""Of each operation, role and kind (valid, invalid)."""
MANY_EXAMPLES = 30
"""The same with `--long`."""
CONFIG = Path(__file__).with_name("schemathesis.toml")

ENDING = "DELETE .*|POST /api/v1/auth/(logout|revocations)"
"""What takes away what other requests need."""
HIDING = "PATCH /api/v1/rooms/[^/]+"
"""It may make the room private, or end it."""
STREAMS = "GET .*/events"
"""They never end; tests/events sends them what is odd."""
OF_APPS = ".* /api/v1/apps.*"
# What was deleted is not there for anybody: 404 comes before 401.
AFTER_THE_END = ("--exclude-checks", "missing_required_header,ignored_auth")


async def scene(role: str, draw: DrawStatus) -> dict[str, str]:
    """Make a room for a role: what fills the addresses, and the access token."""
    person = await factories.user(isAdmin=role == "platform")
    room = await factories.room(app_id="app_lottery_v1")
    if role in {"VIEWER", "PARTICIPANT", "MODERATOR", "ORGANIZER"}:
        await factories.participant(room["id"], person["id"], role=role)
    somebody = await factories.participant(room["id"])
    prize = await factories.prize(room["id"], quantity=100, quantityRemaining=99)
    winner = await factories.winner(room["id"], somebody["id"], prize["id"])
    await factories.draw(room["id"], draw)
    cursor = json.dumps([factories.now().isoformat(), room["id"]]).encode()
    return {
        "path.room_id": room["id"],
        "path.participant_id": somebody["id"],
        "path.prize_id": prize["id"],
        "path.winner_id": winner["id"],
        "path.user_id": somebody["userId"],
        "path.app_id": "app_lottery_v1",
        "path.number": "1",
        "path.provider": "acme",
        "path.session_id": (await factories.session(person["id"]))["id"],
        "query.redirect_url": "/",
        "query.cursor": base64.urlsafe_b64encode(cursor).decode().rstrip("="),
        "query.page": "1",
        "header.If-Match": "*",
        "token": "" if role == "anonymous" else await factories.token(person),
    }


def steps(role: str) -> Iterator[tuple[DrawStatus, tuple[str, ...]]]:
    """Yield what a role sends, and how far the draw of the room has come."""
    thorough, lasting = (
        ("--phases", "examples,coverage"),
        ("--exclude-name-regex", f"^({ENDING}|{STREAMS})$"),
    )
    if role == "ORGANIZER":
        elsewhere = ("--exclude-name-regex", f"^({ENDING}|{HIDING}|{STREAMS}|{OF_APPS})$")
        yield DrawStatus.CLOSED, (*thorough, *elsewhere)
    if role == "platform":
        yield DrawStatus.CLOSED, (*thorough, "--include-name-regex", f"^{OF_APPS}$", *lasting)
    yield DrawStatus.DRAWN, ("--phases", "fuzzing", *lasting)
    ending = ("--phases", "coverage", "--include-name-regex", f"^({ENDING}|{HIDING})$")
    yield DrawStatus.ANNOUNCED, (*ending, *AFTER_THE_END)


async def run_of(
    url: str, folder: Path, role: str, draw: DrawStatus, *options: str, examples: int
) -> Run:
    given = await scene(role, draw)
    token = given.pop("token")
    parameters = "".join(f'"{name}" = "{value}"\n' for name, value in given.items())
    config = folder / f"{role} {draw}.toml"
    config.write_text(f"{CONFIG.read_text()}\n[parameters]\n{parameters}")
    return Run(
        f"{role}: {' '.join(options)}",
        [
            *("--config-file", str(config), "run", f"{url}/schema/openapi.json", "--no-color"),
            *("--seed", "1", "--max-examples", str(examples), "--continue-on-failure"),
            *(["--header", f"Authorization: Bearer {token}"] if token else []),
            *options,
        ],
    )


async def found_by(runs: list[Run], folder: Path) -> str:
    """Let schemathesis do these runs; return what it printed of those that found something."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.generated_requests"),
        cwd=folder,
        env={**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(PROJECT_ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, failed = await process.communicate(b"\n".join(map(msgspec.json.encode, runs)))
    printed = {part.partition("\n")[0]: part for part in output.decode().split("##### ")}
    return "\n".join(printed.get(line, line) for line in failed.decode().splitlines())


@pytest.mark.timeout(3600)
async def test_no_generated_request_of_any_role_meets_what_is_not_described(
    empty_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    examples = MANY_EXAMPLES if request.config.option.long else EXAMPLES
    monkeypatch.setitem(DB.config, "dsn", empty_database)
    monkeypatch.setattr(DB, "pool", None)
    await migrations.upgrade()
    await seed()

    with providing() as provider:
        client = {"issuer": provider.issuer, "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET}
        providers = json.dumps({"acme": client})
        with serving(DATABASE_URL=empty_database, SCHEDULES="", OIDC_PROVIDERS=providers) as server:
            runs = [
                await run_of(server.url, tmp_path, role, draw, *options, examples=examples)
                for role in ROLES
                for draw, options in steps(role)
            ]
            if found := await found_by(runs, tmp_path):
                pytest.fail(found, pytrace=False)
