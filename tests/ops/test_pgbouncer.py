"""The whole job through a real PgBouncer in transaction mode, by two workers at once.

It keeps two connections to PostgreSQL for everybody and gives them out by turns, so that hardly two
statements of a client meet the same one unless a transaction holds them together.
"""

import asyncio
import os
import pwd
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import httpx
import pytest

from app.settings import PROJECT_ROOT
from tasks.schedule import NEVER, jobs
from tests.ops.test_restart import SIGN_IN
from tests.server import Server, free_port, serving
from tests.waiting import eventually

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SETTINGS = {"ticketCount": 10, "drawDate": "2027-01-01T00:00:00Z"}
CROWD = 40
STOCK = 25

pytestmark = [
    pytest.mark.skipif(
        PGBOUNCER is None and "CI" not in os.environ, reason="there is no PgBouncer"
    ),
    pytest.mark.timeout(240),
]

CONFIGURATION = """
[databases]
pooled = host='{host}' port={port} dbname='{database}' user={user} {password} \
connect_query='SET statement_timeout = 10000; SET lock_timeout = 5000'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
server_round_robin = 1
ignore_startup_parameters = \
extra_float_digits,tcp_keepalives_idle,tcp_keepalives_interval,tcp_keepalives_count
"""


@contextmanager
def pgbouncer(database: str, directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run one in front of a database; give out its process and the database's URL through it."""
    assert PGBOUNCER is not None, "CI installs it"
    url, port = urlsplit(database), free_port()
    host = unquote(url.netloc.rpartition("@")[2].rpartition(":")[0])
    file = directory / "pgbouncer.ini"
    file.write_text(
        CONFIGURATION.format(
            host=host,
            port=url.port or 5432,
            database=url.path.removeprefix("/"),
            user=url.username,
            password=f"password='{unquote(url.password)}'" if url.password else "",
            listen_port=port,
        )
    )
    with subprocess.Popen(
        [PGBOUNCER, *as_somebody(host), str(file)], stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process, f"postgresql://{url.username}@127.0.0.1:{port}/pooled"
        finally:
            process.kill()


def as_somebody(host: str) -> list[str]:
    """It refuses to run as root; the embedded server's socket is for its owner alone."""
    if os.geteuid() != 0:
        return []
    owner = Path(host).resolve().stat().st_uid if host.startswith("/") else 65534
    return ["-u", pwd.getpwuid(owner).pw_name]


async def accepts(url: str) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def test_the_main_job_revocation_and_maintenance_work_through_it(
    empty_database: str, tmp_path: Path
) -> None:
    with pgbouncer(empty_database, tmp_path) as (bouncer, pooled):
        await eventually(lambda: accepts(pooled))
        urls = {"DATABASE_URL": pooled, "DATABASE_DIRECT_URL": empty_database}
        with serving(PROJECT_ROOT, "--wc", "2", **urls) as server:
            direct = await asyncpg.connect(empty_database)
            await every_part_is_ok(server)
            assert await crowd_wins_the_stock(server, direct) == {201: STOCK, 400: CROWD - STOCK}
            await a_revoked_token_is_refused_everywhere(server)
            await eventually(lambda: every_job_ran(direct))
            await direct.close()
            bouncer.kill()
            await eventually(lambda: answers_503(server))


async def answers_503(server: Server) -> bool:
    """Tell whether the service misses the pooler: its queries really go there."""
    async with httpx.AsyncClient(timeout=60) as client:
        return (await client.get(f"{server.url}/api/v1/rooms")).status_code == 503


async def every_part_is_ok(server: Server) -> None:
    async def is_ok() -> bool:
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.get(f"{server.url}/health/ready")
        # A worker that has just started may not hear yet.
        return answer.is_success and b"degraded" not in answer.content

    await eventually(is_ok)


async def crowd_wins_the_stock(server: Server, direct: asyncpg.Connection) -> Counter[int]:
    """Award a prize to more people than there are pieces, all at once; return the statuses."""
    api = f"{server.url}/api/v1"
    async with httpx.AsyncClient(timeout=60) as client:
        client.headers["Authorization"] = f"Bearer {await sign_in(client, server)}"
        opening = {"name": "Raffle", "appId": "app_lottery_v1", "appSettings": SETTINGS}
        room = (await client.post(f"{api}/rooms", json=opening)).json()["data"]["id"]
        await client.patch(f"{api}/rooms/{room}", json={"status": "ACTIVE"})
        piece = {"name": "Sticker", "quantity": STOCK}
        prize = (await client.post(f"{api}/rooms/{room}/prizes", json=piece)).json()["data"]["id"]
        await add_crowd(direct, room)
        answers = await asyncio.gather(
            *(
                client.post(
                    f"{api}/rooms/{room}/winners",
                    json={"participantId": f"member{n}", "prizeId": prize},
                )
                for n in range(CROWD)
            )
        )
        lists = await asyncio.gather(*(client.get(f"{api}/rooms") for _ in range(CROWD)))
        assert {answer.status_code for answer in lists} == {200}
        left = (await client.get(f"{api}/rooms/{room}/prizes/{prize}")).json()["data"]
        winners = (await client.get(f"{api}/rooms/{room}")).json()["data"]["_count"]["winners"]
    assert (left["quantityRemaining"], winners) == (0, STOCK)
    return Counter(answer.status_code for answer in answers)


async def add_crowd(direct: asyncpg.Connection, room: str) -> None:
    await direct.execute(
        'INSERT INTO users (id, email, "updatedAt")'
        " SELECT 'crowd' || n, 'crowd' || n || '@example.com', now()"
        " FROM generate_series(0, $1::int - 1) n",
        CROWD,
    )
    await direct.execute(
        'INSERT INTO participants (id, "userId", "roomId", "updatedAt")'
        " SELECT 'member' || n, 'crowd' || n, $1, now() FROM generate_series(0, $2::int - 1) n",
        room,
        CROWD,
    )


async def sign_in(client: httpx.AsyncClient, server: Server) -> str:
    answer = await client.post(f"{server.url}/api/v1/auth/login", json=SIGN_IN)
    token: str = answer.json()["data"]["accessToken"]
    return token


async def a_revoked_token_is_refused_everywhere(server: Server) -> None:
    """Every request is a new connection, so that both workers get some."""
    me = f"{server.url}/api/v1/auth/me"

    async def statuses(headers: dict[str, str]) -> set[int]:
        async with httpx.AsyncClient(headers={**headers, "Connection": "close"}) as client:
            return {(await client.get(me, timeout=60)).status_code for _ in range(16)}

    async with httpx.AsyncClient(timeout=60) as client:
        headers = {"Authorization": f"Bearer {await sign_in(client, server)}"}
        assert await statuses(headers) == {200}
        await client.post(f"{server.url}/api/v1/auth/logout", headers=headers)

    async def are_refused() -> bool:
        return await statuses(headers) == {401}

    await eventually(are_refused)


async def every_job_ran(direct: asyncpg.Connection) -> bool:
    """Tell whether both workers together did the missed slot of each job, and none twice."""
    done = Counter(
        (row["job"], row["slot"])
        for row in await direct.fetch("SELECT job, slot FROM task_runs WHERE outcome = 'SUCCEEDED'")
    )
    assert set(done.values()) <= {1}
    return {job for job, _ in done} == {job.name for job in jobs("") if job.cron != NEVER}
