"""What signing in costs: ``python -m tests.benchmarks.guards`` (about a minute).

On an embedded PostgreSQL of its own. All kinds take turns in one run, because only ratios hold from
machine to machine.
"""

import asyncio
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import psutil

from app.auth import revocation, service, sessions
from app.auth.tokens import token_hash
from app.database import migrations, seed
from app.database.embedded.server import EmbeddedServer
from app.database.engine import DB, fetch, fetchrow
from app.database.listener import APPLICATION_NAME
from app.settings import settings
from tests.server import serving

ROUNDS = 15
CALLS = 200
ENTRIES = 100_000
LOAD_SECONDS = 3.0
CLIENTS = 16
REVOCATIONS = 50
SHARED_URL = "http://shared.example"
DEVICE = sessions.Device("benchmark", "127.0.0.1")

Call = Callable[[], Awaitable[Any]]


async def main() -> None:
    """Print all figures."""
    with tempfile.TemporaryDirectory() as directory:
        server = EmbeddedServer(Path(directory) / "postgres", durable=False)
        server.join()
        DB.connect_to(server.dsn("postgres"))
        await migrations.upgrade()
        await DB.start_connection_pool()
        try:
            await seed.seed()
            await guards()
            await session_work()
            await blacklist()
            await over_http(server.dsn("postgres"))
            await between_servers(server.dsn("postgres"))
        finally:
            await DB.close_connection_pool()
            server.leave()


async def guards() -> None:
    """Compare what each guard does before a handler runs."""
    person = await alice()
    pair = await sessions.open_session(person["id"], person["email"], DEVICE, now())
    token = pair.accessToken
    await fetch('CREATE TABLE old_sessions ("accessToken" TEXT UNIQUE, "userId" TEXT)')
    await fetch("INSERT INTO old_sessions VALUES ($1, $2)", token, person["id"])
    secret, url = settings().JWT_SECRET[0], settings().PUBLIC_URL

    async def lookup() -> None:
        await fetchrow(
            'SELECT u.* FROM old_sessions s JOIN users u ON u.id = s."userId" '
            'WHERE s."accessToken" = $1',
            token,
        )

    async def seen() -> None:
        await service.identify(token, now())

    async def new() -> None:
        service._verified_tokens._tokens.clear()
        await service.identify(token, now())

    async def strict() -> None:
        await service.confirm(await service.identify(token, now()))

    async def bare() -> None:
        jwt.decode(token, secret, algorithms=["HS256"], audience=url, issuer=url)

    async with revocation.hearing():
        costs = await compare(
            {
                "the plan's old lookup": lookup,
                "ours, a token seen before": seen,
                "ours, a new token": new,
                "ours, strict": strict,
                "PyJWT's decode alone": bare,
            }
        )
    first = next(iter(costs.values()))
    for name, cost in costs.items():
        tell(name, f"{cost * 1e6:9.1f} µs", f"1/{first / cost:.1f} of the lookup")


async def compare(calls: Mapping[str, Call]) -> dict[str, float]:
    """Return the median seconds of one call of each."""
    rounds = [{name: await timed(call) for name, call in calls.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(each[name] for each in rounds) for name in calls}


async def timed(call: Call) -> float:
    """Return the seconds of one call."""
    started = time.perf_counter()
    for _ in range(CALLS):
        await call()
    return (time.perf_counter() - started) / CALLS


async def session_work() -> None:
    """Count the statements of signing in, refreshing and signing out, and time each."""
    person = await alice()
    tokens: dict[str, sessions.TokenPair] = {}

    async def sign_in() -> None:
        password = settings().demo_password
        tokens["pair"], _ = await service.sign_in_demo(person["email"], password, DEVICE, now())

    async def refresh() -> None:
        tokens["pair"] = await sessions.refresh(tokens["pair"].refreshToken, DEVICE, now())

    async def sign_out() -> None:
        verified = await service.identify(others.pop().accessToken, now())
        await service.confirm(verified)
        await sessions.log_out(verified)

    others = [
        await sessions.open_session(person["id"], person["email"], DEVICE, now())
        for _ in range(CALLS + 1)
    ]
    async with revocation.hearing():
        for name, call in (("sign in", sign_in), ("refresh", refresh), ("sign out", sign_out)):
            statements = await counted(call)
            tell(name, f"{1 / await timed(call):9,.0f} /s", f"{statements} statements, one client")


async def counted(call: Call) -> int:
    """Return how many statements a call makes, BEGIN and COMMIT included."""
    statements: list[str] = []
    pool: Any = DB.pool
    connections = [holder._con for holder in pool._holders if holder._con is not None]

    def log(record: Any) -> None:
        statements.append(record.query)

    for connection in connections:
        connection.add_query_logger(log)
    await call()
    await asyncio.sleep(0)  # asyncpg tells of the last one in the loop's next turn
    for connection in connections:
        connection.remove_query_logger(log)
    return len(statements)


async def blacklist() -> None:
    """Load many live entries, and weigh them."""
    expiry = now() + timedelta(hours=1)
    await fetch(
        'INSERT INTO token_blacklist (id, "tokenHash", "expiresAt", "userId") '
        "SELECT 'b' || n, encode(sha256(n::text::bytea), 'hex'), $2, 'nobody' "
        "FROM generate_series(1, $1::int) n",
        ENTRIES,
        expiry,
    )
    revocation.revoked_hashes._expiry.clear()
    started = time.perf_counter()
    async with revocation.hearing():
        seconds = time.perf_counter() - started
    tell(f"{ENTRIES:,} live entries, loading", f"{seconds:9.2f} s", "connecting included")
    memory = revocation.RevokedHashes()
    tracemalloc.start()
    for number in range(ENTRIES):
        memory.add((token_hash(str(number)),), number + 1_000_000)
    weight, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    tell(f"{ENTRIES:,} live entries, memory", f"{weight / 2**20:9.1f} MiB", "")
    await fetch("DELETE FROM token_blacklist")


async def over_http(dsn: str) -> None:
    """Compare GET /auth/me with a handler that returns a constant, on the same server."""
    async with AsyncExitStack() as stack:
        url = stack.enter_context(serving(DATABASE_URL=dsn)).url
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url))
        body = {"email": "alice@example.com", "password": "password123"}
        answer = await client.post("/api/v1/auth/login", json=body)
        token = answer.json()["data"]["accessToken"]
        plain = await rate(url, "/health/live", "")
        me = await rate(url, "/api/v1/auth/me", f"Authorization: Bearer {token}\r\n")
        again = await rate(url, "/health/live", "")
        constant = (plain + again) / 2
        tell("GET /health/live, a constant", f"{constant:9,.0f} /s", "")
        tell("GET /auth/me", f"{me:9,.0f} /s", f"{me / constant:.2f} of the constant")


async def between_servers(dsn: str) -> None:
    """Revoke tokens on one server, and tell how long another one takes them afterwards."""
    async with AsyncExitStack() as stack:
        here, there = (
            stack.enter_context(serving(DATABASE_URL=dsn, PUBLIC_URL=SHARED_URL)).url
            for _ in range(2)
        )
        client = await stack.enter_async_context(httpx.AsyncClient())
        promptly = [await until_refused(client, here, there) for _ in range(REVOCATIONS)]
        hung = [psutil.Process(pid) for pid in await listeners()]
        for process in hung:
            process.suspend()
        slowly = await until_refused(client, here, there)
        for process in hung:
            process.resume()
    middle, worst = statistics.median(promptly), max(promptly)
    tell("revoked elsewhere", f"{middle * 1e3:9.1f} ms", f"{worst * 1e3:.1f} ms at worst")
    tell("while the listener hangs", f"{slowly * 1e3:9.1f} ms", "")


async def listeners() -> list[int]:
    """Return the processes of PostgreSQL that servers hear."""
    rows = await fetch(
        "SELECT pid FROM pg_stat_activity WHERE application_name = $1", APPLICATION_NAME
    )
    return [row["pid"] for row in rows]


async def until_refused(client: httpx.AsyncClient, here: str, there: str) -> float:
    """Log out on one server; return the seconds from its answer to another's first refusal."""
    body = {"email": "alice@example.com", "password": settings().demo_password}
    answer = await client.post(f"{here}/api/v1/auth/login", json=body)
    headers = {"Authorization": f"Bearer {answer.json()['data']['accessToken']}"}
    me = f"{there}/api/v1/auth/me"
    (await client.get(me, headers=headers)).raise_for_status()
    (await client.post(f"{here}/api/v1/auth/logout", headers=headers)).raise_for_status()
    started = time.perf_counter()
    while (await client.get(me, headers=headers)).is_success:
        pass
    return time.perf_counter() - started


async def rate(url: str, path: str, header: str) -> float:
    """Return the answers per second that a few keep-alive connections get."""
    host, port = url.removeprefix("http://").split(":")
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\n".encode()
    deadline = time.perf_counter() + LOAD_SECONDS
    counts = await asyncio.gather(
        *(requests_until(deadline, host, int(port), request) for _ in range(CLIENTS))
    )
    return sum(counts) / LOAD_SECONDS


async def requests_until(deadline: float, host: str, port: int, request: bytes) -> int:
    """Ask again and again on one connection; an httpx client would be the slower part."""
    reader, writer = await asyncio.open_connection(host, port)
    count = 0
    while time.perf_counter() < deadline:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        await reader.readexactly(length)
        count += 1
    writer.close()
    return count


async def alice() -> Any:
    """Return a demo person."""
    return await fetchrow("SELECT id, email FROM users WHERE email = 'alice@example.com'")


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def tell(name: str, figure: str, remark: str) -> None:
    """Print a figure."""
    sys.stdout.write(f"{name:<36}{figure:>16}  {remark}\n")


if __name__ == "__main__":
    asyncio.run(main())
