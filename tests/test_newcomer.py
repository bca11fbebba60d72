"""The README's first command on a fresh checkout, and the whole main job over HTTP."""

import asyncio
import json
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from app.database.embedded.server import EmbeddedServer
from app.settings import PROJECT_ROOT, SettingsError, load
from tests.server import PRODUCTION, Server, free_port, kill_all, run, serving

pytestmark = pytest.mark.timeout(240)

PATIENCE = 60
"""Seconds that something may take on a busy machine."""
SETTINGS = {"ticketCount": 10, "drawDate": "2027-01-01T00:00:00Z"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what git would clone to a path with a space."""
    target = tmp_path_factory.mktemp("new comer") / "event platform"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for name in filter(None, (each.decode() for each in listed)):
        if (PROJECT_ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT_ROOT / name, target / name)
    return target


def postgres_of(checkout: Path) -> list[psutil.Process]:
    data = str(checkout / ".data" / "postgres")
    return [
        p for p in psutil.process_iter(["cmdline"]) if data in " ".join(p.info["cmdline"] or [])
    ]


class Client:
    """A web client: signs in and speaks JSON."""

    def __init__(self, server: Server, email: str) -> None:
        self.url = f"{server.url}/api/v1"
        self.headers: dict[str, str] = {}
        pair = self.ask("POST", "/auth/login", {"email": email, "password": "password123"})
        self.headers = {"Authorization": f"Bearer {pair['accessToken']}"}

    def ask(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        # Without a body there is no content type either, as a browser does it.
        content = None if body is None else json.dumps(body)
        headers = {**self.headers, **({} if body is None else {"Content-Type": "application/json"})}
        url = f"{self.url}{path}"
        answer = httpx.request(method, url, headers=headers, content=content, timeout=PATIENCE)
        assert answer.status_code == status, answer.text
        return answer.json().get("data", answer.json().get("error"))


def test_a_newcomer_does_the_whole_job(checkout: Path) -> None:
    with serving(checkout) as server:
        alice, bob = Client(server, "alice@example.com"), Client(server, "bob@example.com")
        assert alice.ask("GET", "/auth/me")["name"] == "Alice Johnson"
        assert {room["name"] for room in alice.ask("GET", "/rooms")} >= {"New Year Lottery 2025"}

        opening = {"name": "Raffle", "appId": "app_lottery_v1", "appSettings": SETTINGS}
        room = alice.ask("POST", "/rooms", opening, status=201)
        path = f"/rooms/{room['id']}"
        assert room["status"] == "DRAFT"
        bad = {**opening, "appSettings": {"ticketCount": 0}}
        fields = alice.ask("POST", "/rooms", bad, status=400)["details"]["fields"]
        assert set(fields) == {"$.appSettings.ticketCount", "$.appSettings.drawDate"}

        alice.ask("PATCH", path, {"status": "ACTIVE"})
        participant = bob.ask("POST", f"{path}/participants", status=201)
        prize = alice.ask("POST", f"{path}/prizes", {"name": "Phone", "quantity": 1}, status=201)
        award = {"participantId": participant["id"], "prizeId": prize["id"]}
        assert bob.ask("POST", f"{path}/winners", award, status=403)["code"] == "FORBIDDEN"
        winner = alice.ask("POST", f"{path}/winners", award, status=201)
        assert winner["participant"]["user"]["name"] == "Bob Smith"
        assert [each["id"] for each in bob.ask("GET", f"{path}/winners")] == [winner["id"]]
        assert alice.ask("GET", path)["_count"] == {"participants": 2, "prizes": 1, "winners": 1}

        refusal = alice.ask("DELETE", f"{path}/prizes/{prize['id']}", status=409)
        assert refusal["code"] == "PRIZE_HAS_WINNERS"
        alice.ask("DELETE", f"{path}/winners/{winner['id']}")
        assert alice.ask("GET", f"{path}/prizes")[0]["quantityRemaining"] == 1
        alice.ask("PATCH", path, {"status": "COMPLETED"})
        assert alice.ask("POST", f"{path}/winners", award, status=409)["code"] == "ROOM_NOT_ACTIVE"
        alice.ask("DELETE", path)
        assert alice.ask("GET", path, status=404)["code"] == "NOT_FOUND"
    _wait_until_gone(checkout)


def test_no_row_is_lost_and_no_process_left_behind_by_any_end(checkout: Path) -> None:
    rooms: list[str] = []
    for end in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        with serving(checkout) as server:
            alice = Client(server, "alice@example.com")
            for room in rooms:
                alice.ask("GET", f"/rooms/{room}")
            body = {"name": end.name, "appId": "app_lottery_v1", "appSettings": SETTINGS}
            rooms.append(alice.ask("POST", "/rooms", body, status=201)["id"])
            server.end(end)
        _wait_until_gone(checkout)
    with serving(checkout) as server:
        alice = Client(server, "alice@example.com")
        assert [alice.ask("GET", f"/rooms/{room}")["name"] for room in rooms] == [
            "SIGTERM",
            "SIGINT",
            "SIGKILL",
        ]


def test_a_kill_in_the_middle_of_awards_keeps_stock_and_winners_equal(checkout: Path) -> None:
    with serving(checkout) as server:
        room_id, prize_id, participants = asyncio.run(_room_with_a_crowd(checkout))
        alice = Client(server, "alice@example.com")
        awarded = asyncio.run(_award_until_killed(server, alice, room_id, prize_id, participants))
    assert 0 < awarded < len(participants), "the kill came in the middle"
    _wait_until_gone(checkout)
    with serving(checkout) as server:
        alice = Client(server, "alice@example.com")
        prize = alice.ask("GET", f"/rooms/{room_id}/prizes/{prize_id}")
        winners = alice.ask("GET", f"/rooms/{room_id}/winners?prizeId={prize_id}")
    assert prize["quantity"] - prize["quantityRemaining"] == len(winners) >= awarded


async def _room_with_a_crowd(checkout: Path) -> tuple[str, str, list[str]]:
    """Add 900 participants and one prize of 900 to the demo lottery."""
    connection = await asyncpg.connect(EmbeddedServer(checkout / ".data" / "postgres").dsn())
    try:
        room = await connection.fetchval(
            "SELECT id FROM rooms WHERE name = 'New Year Lottery 2025'"
        )
        await connection.execute(
            'INSERT INTO users (id, email, "updatedAt") '
            "SELECT 'crowd' || n, 'crowd' || n || '@example.com', now() "
            "FROM generate_series(1, 900) n"
        )
        await connection.execute(
            'INSERT INTO participants (id, "userId", "roomId", "updatedAt") '
            "SELECT 'member' || n, 'crowd' || n, $1, now() FROM generate_series(1, 900) n",
            room,
        )
        await connection.execute(
            'INSERT INTO prizes (id, "roomId", name, quantity, "quantityRemaining", "updatedAt") '
            "VALUES ('hot', $1, 'Sticker', 900, 900, now())",
            room,
        )
    finally:
        await connection.close()
    return room, "hot", [f"member{n}" for n in range(1, 901)]


async def _award_until_killed(
    server: Server, alice: Client, room_id: str, prize_id: str, participants: list[str]
) -> int:
    """Award from eight clients at once and kill the server; return how many were confirmed."""
    waiting = list(participants)
    confirmed: list[str] = []

    async def award() -> None:
        async with httpx.AsyncClient(headers=alice.headers, timeout=PATIENCE) as http:
            while waiting:
                body = {"participantId": waiting.pop(), "prizeId": prize_id}
                try:
                    answer = await http.post(f"{alice.url}/rooms/{room_id}/winners", json=body)
                except httpx.HTTPError:
                    return
                assert answer.status_code == 201, answer.text
                confirmed.append(body["participantId"])
                if len(confirmed) == 100:
                    kill_all(server.tree)

    await asyncio.gather(*(award() for _ in range(8)))
    return len(confirmed)


def _wait_until_gone(checkout: Path) -> None:
    _, alive = psutil.wait_procs(postgres_of(checkout), timeout=PATIENCE)
    assert not alive


def test_the_start_tells_where_everything_is_and_a_second_one_that_the_port_is_taken(
    checkout: Path,
) -> None:
    with serving(checkout) as server:
        printed = server.log.read_text()
        for address in ("/schema", "/health/ready", "/metrics", "/admin/"):
            assert f"{server.url}{address}" in printed
            assert httpx.get(f"{server.url}{address}", timeout=PATIENCE).status_code == 200
        assert "alice@example.com" in printed
        assert "password123" in printed
        second = run("uv", "run", "litestar", "run", "--port", str(server.port), cwd=checkout)
    assert_one_clear_line(second, f"Port {server.port} is taken")


def assert_one_clear_line(ended: subprocess.CompletedProcess[str], words: str) -> None:
    assert ended.returncode == 1, ended.stderr
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr


def start(checkout: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return run("uv", "run", "litestar", "run", "--port", str(free_port()), cwd=checkout, **settings)


def test_an_unreachable_database_is_named(checkout: Path) -> None:
    url = f"postgresql://someone:secret@127.0.0.1:{free_port()}/events"
    ended = start(checkout, DATABASE_URL=url)
    assert_one_clear_line(ended, "can't be reached")
    assert "secret" not in ended.stdout + ended.stderr


def test_a_missing_database_is_named(checkout: Path, server_url: str) -> None:
    url = server_url.rsplit("/", 1)[0] + "/nowhere"
    assert_one_clear_line(start(checkout, DATABASE_URL=url), "has no database 'nowhere'")


def test_a_wrong_option_of_the_databases_url_is_named(checkout: Path) -> None:
    ended = start(checkout, DATABASE_URL="postgresql://someone@127.0.0.1/events?sslmode=often")
    assert_one_clear_line(ended, "`sslmode` parameter must be one of")


def test_the_url_past_pgbouncer_is_named(checkout: Path, migrated_database: str) -> None:
    port = free_port()
    direct = f"postgresql://someone@127.0.0.1:{port}/events"
    ended = start(checkout, DATABASE_URL=migrated_database, DATABASE_DIRECT_URL=direct)
    assert_one_clear_line(ended, f"127.0.0.1:{port} can't be reached")
    assert "(DATABASE_DIRECT_URL)" in ended.stderr


def test_wrong_times_of_jobs_are_named(checkout: Path, migrated_database: str) -> None:
    ended = start(checkout, DATABASE_URL=migrated_database, SCHEDULES="cleanup-tokens: 0 25 * * *")
    assert_one_clear_line(ended, "'0 25 * * *' is no cron line")


def test_a_wrong_password_is_named(checkout: Path, tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "guarded", durable=False)
    server.join()
    try:
        hba = server.data / "pg_hba.conf"
        hba.write_text("local all all scram-sha-256\n")
        postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
        psutil.Process(postmaster).send_signal(signal.SIGHUP)
        url = server.dsn("postgres").replace("postgres@", "postgres:wrong@")
        ended = start(checkout, DATABASE_URL=url)
        assert_one_clear_line(ended, "check the password")
        assert f"PostgreSQL at {server.data}" in ended.stderr
    finally:
        server.leave()


def test_a_server_that_is_too_old_is_named(checkout: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with subprocess.Popen(["python3", "-c", OLD_POSTGRES], stdin=listener.fileno()) as old:
            url = f"postgresql://someone@127.0.0.1:{port}/events?sslmode=disable"
            try:
                ended = start(checkout, DATABASE_URL=url)
            finally:
                old.kill()
    assert_one_clear_line(ended, "PostgreSQL 13 is too old")


OLD_POSTGRES = """
import socket, struct
def message(kind, body): return kind + struct.pack(">I", len(body) + 4) + body
listener = socket.socket(fileno=0)
while True:
    client, _ = listener.accept()
    client.recv(1000)
    client.sendall(
        message(b"R", struct.pack(">I", 0))
        + message(b"S", b"server_version\\0" + b"13.14\\0")
        + message(b"S", b"client_encoding\\0UTF8\\0")
        + message(b"K", struct.pack(">II", 1, 1))
        + message(b"Z", b"I")
    )
    client.recv(1000)
    client.close()
"""


def test_production_refuses_pending_migrations(checkout: Path, empty_database: str) -> None:
    ended = start(checkout, DATABASE_URL=empty_database, **PRODUCTION)
    assert_one_clear_line(ended, "litestar database upgrade")


def test_production_refuses_insecure_settings_and_names_all_of_them(checkout: Path) -> None:
    settings = {"JWT_SECRET": "your-secret-key-here", "DEMO_PASSWORD": "open sesame"}
    ended = start(checkout, ENVIRONMENT="production", **settings)
    assert_one_clear_line(
        ended,
        "Production refuses to start: DATABASE_URL is missing. JWT_SECRET is shorter than 32 bytes."
        " JWT_SECRET is an example; make one with `openssl rand -base64 48`."
        " PUBLIC_URL is http://127.0.0.1:8000, over which anybody on the way reads tokens:"
        " use https, or set ALLOW_HTTP=1 in a network of your own."
        " DEMO_PASSWORD is for development only.",
    )


def test_production_refuses_a_missing_secret() -> None:
    with pytest.raises(SettingsError, match=r"refuses to start: JWT_SECRET is missing\.$"):
        load({**PRODUCTION, "JWT_SECRET": "", "DATABASE_URL": "postgresql://h/d"})


def test_production_serves_a_migrated_database_by_the_plans_url(
    checkout: Path, migrated_database: str
) -> None:
    url = f"{migrated_database}?schema=public"
    with serving(checkout, DATABASE_URL=url, **PRODUCTION) as server:
        login = {"email": "alice@example.com", "password": "password123"}
        answer = httpx.post(f"{server.url}/api/v1/auth/login", json=login, timeout=PATIENCE)
        assert answer.status_code == 404
        assert "password123" not in server.log.read_text()
    assert asyncio.run(_count_people(migrated_database)) == 0


async def _count_people(database: str) -> int:
    connection = await asyncpg.connect(database)
    try:
        people: int = await connection.fetchval("SELECT count(*) FROM users")
    finally:
        await connection.close()
    return people
