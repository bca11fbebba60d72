"""Rate limits: counted exactly, by person, address and account, in memory and in Redis."""

import asyncio

import asyncpg
import httpx
import pytest

from app.auth import addresses
from app.auth.limits import Limiter, MovingWindows, Policy
from app.database.engine import fetchval
from app.database.redis import OptionalRedis
from app.settings import SettingsError, load
from tests import factories
from tests.answers import Headers
from tests.auth.conftest import (
    ADMIN,
    ALICE,
    BOB,
    DEAD_REDIS_URL,
    PASSWORD,
    REDIS_URL,
    Configure,
    SignIn,
    bearer,
)
from tests.server import PRODUCTION

LOGIN, REFRESH, APPS = "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/apps"


@pytest.fixture
def limited(configure: Configure) -> None:
    configure(RATE_LIMITS=True)


# Windows in memory


def test_window_allows_its_quota_and_not_one_more() -> None:
    windows = MovingWindows()
    spent = [windows.spend("a", 3, 60, now) for now in (0.0, 10.0, 20.0, 30.0)]
    assert spent == [(True, 2, 60.0), (True, 1, 60.0), (True, 0, 60.0), (False, 0, 60.0)]
    assert windows.spend("b", 3, 60, 30.0)[0]


def test_window_moves() -> None:
    windows = MovingWindows()
    for now in (0.0, 10.0, 20.0):
        windows.spend("a", 3, 60, now)
    assert not windows.spend("a", 3, 60, 59.9)[0]
    assert windows.spend("a", 3, 60, 60.0) == (True, 0, 70.0)
    assert not windows.spend("a", 3, 60, 69.9)[0]


def test_keys_without_requests_that_count_are_forgotten() -> None:
    windows = MovingWindows()
    for number in range(100):
        windows.spend(f"old {number}", 3, 60, 0.0)
    windows.spend("present", 3, 60, 30.0)
    windows.spend("present", 3, 60, 61.0)
    assert len(windows) == 1


def test_asking_does_not_count() -> None:
    windows = MovingWindows()
    assert windows.allows("a", 1, 60, 0.0)
    assert windows.spend("a", 1, 60, 0.0)[0]
    assert not windows.allows("a", 1, 60, 59.9)
    assert windows.allows("a", 1, 60, 60.0)
    assert windows.allows("b", 1, 60, 0.0)


def test_refused_requests_do_not_count() -> None:
    windows = MovingWindows()
    for now in (0.0, 30.0, 59.0):
        windows.spend("a", 1, 60, now)
    assert windows.spend("a", 1, 60, 60.0)[0]


# Over HTTP


@pytest.mark.usefixtures("people", "limited")
async def test_anonymous_callers_have_twenty_requests_a_minute(client: httpx.AsyncClient) -> None:
    answers = [await client.get(APPS) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429]
    assert answers[0].headers["RateLimit-Policy"] == '"anonymous";q=20;w=60'
    assert answers[0].headers["RateLimit"] == '"anonymous";r=19;t=60'
    assert answers[20].json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert answers[20].headers["RateLimit"].startswith('"anonymous";r=0;t=')
    assert 1 <= int(answers[20].headers["Retry-After"]) <= 60


@pytest.mark.usefixtures("limited")
async def test_person_has_a_hundred_requests_a_minute_whatever_the_token(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    phone, laptop, bob = await sign_in(), await sign_in(), await sign_in(BOB)
    for tokens in [phone, laptop] * 50:
        assert (await client.get(APPS, headers=bearer(tokens))).status_code == 200
    refused = await client.get(APPS, headers=bearer(laptop))
    assert refused.status_code == 429
    assert refused.headers["RateLimit-Policy"] == '"people";q=100;w=60'
    assert (await client.get(APPS, headers=bearer(bob))).status_code == 200
    assert (await client.get(APPS)).status_code == 200


@pytest.mark.usefixtures("people", "limited")
async def test_invalid_tokens_count_as_anonymous(client: httpx.AsyncClient) -> None:
    headers = {"Authorization": "Bearer nonsense"}
    codes = [(await client.get(APPS, headers=headers)).status_code for _ in range(21)]
    assert codes == [401] * 20 + [429]
    assert (await client.get(APPS)).status_code == 429


@pytest.mark.usefixtures("people", "limited")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/nowhere", 404),
        ("HEAD", "/nowhere", 404),
        ("OPTIONS", "/nowhere", 404),
        ("PUT", APPS, 405),
        ("TRACE", "/health/live", 405),
        ("GET", "/api/v1/apps/x/y/z?cursor=%00", 404),
    ],
)
async def test_what_nobody_serves_counts_as_well(
    client: httpx.AsyncClient, configure: Configure, method: str, path: str, status: int
) -> None:
    configure(RATE_LIMITS=True, RATE_LIMIT_ANONYMOUS="3/minute", RATE_LIMIT_PREFLIGHTS="3/minute")

    answers = [await client.request(method, path) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [status] * 3 + [429]
    assert answers[0].headers["RateLimit"].endswith(";r=2;t=60")
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 60
    assert answers[3].headers["x-request-id"]
    if method != "HEAD":
        assert answers[3].json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    others = (await client.get(APPS)).status_code
    assert others == (200 if method == "OPTIONS" else 429)


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://elsewhere.example"])
async def test_preflights_count_apart_whether_they_are_granted_or_not(
    client: httpx.AsyncClient, configure: Configure, origin: str
) -> None:
    configure(RATE_LIMITS=True, RATE_LIMIT_ANONYMOUS="1/minute", RATE_LIMIT_PREFLIGHTS="3/minute")
    asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}

    answers = [await client.options(APPS, headers=asked) for _ in range(4)]

    status = 204 if "localhost" in origin else 400
    assert [answer.status_code for answer in answers] == [status] * 3 + [429]
    assert answers[0].headers["RateLimit-Policy"] == '"preflight";q=3;w=60'
    assert answers[3].json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert (await client.get(APPS)).status_code == 200


@pytest.mark.usefixtures("limited")
async def test_a_person_is_not_kept_from_working_by_preflights(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
    headers = bearer(await sign_in())

    for _ in range(60):
        assert (await client.options(APPS, headers=asked)).status_code == 204
        assert (await client.get(APPS, headers=headers)).status_code == 200


@pytest.mark.usefixtures("people", "limited")
async def test_health_is_not_limited(client: httpx.AsyncClient) -> None:
    codes = {(await client.get("/health/live")).status_code for _ in range(30)}
    assert codes == {200}


@pytest.mark.usefixtures("people")
async def test_development_limits_nothing(client: httpx.AsyncClient) -> None:
    answers = [await client.get(APPS) for _ in range(30)]
    assert {answer.status_code for answer in answers} == {200}
    assert "RateLimit" not in answers[0].headers


async def login(client: httpx.AsyncClient, email: str, address: str) -> httpx.Response:
    return await client.post(
        LOGIN,
        json={"email": email, "password": PASSWORD},
        headers={"X-Forwarded-For": address},
    )


@pytest.mark.usefixtures("people")
async def test_sign_in_is_limited_by_address_and_by_account(
    client: httpx.AsyncClient, configure: Configure
) -> None:
    configure(RATE_LIMITS=True, RATE_LIMIT_SIGN_IN="3/minute", TRUSTED_PROXIES=1)
    by_address = [await login(client, email, "192.0.2.1") for email in (ALICE, BOB, ADMIN, ALICE)]
    assert [answer.status_code for answer in by_address] == [200, 200, 200, 429]
    by_account = [await login(client, f" {BOB.upper()}", f"192.0.2.{n}") for n in (2, 3, 4)]
    assert [answer.status_code for answer in by_account] == [200, 200, 429]
    assert by_account[1].headers["RateLimit"].startswith('"sign-in";r=0;')
    assert (await login(client, ALICE, "192.0.2.5")).status_code == 200


async def test_refresh_is_limited_by_account(
    client: httpx.AsyncClient, sign_in: SignIn, configure: Configure
) -> None:
    tokens = [await sign_in(), await sign_in(), await sign_in(BOB)]
    configure(RATE_LIMITS=True, RATE_LIMIT_REFRESH="1/minute", TRUSTED_PROXIES=1)
    codes = [
        (
            await client.post(
                REFRESH,
                json={"refreshToken": each["refreshToken"]},
                headers={"X-Forwarded-For": f"192.0.2.{number}"},
            )
        ).status_code
        for number, each in enumerate(tokens)
    ]
    assert codes == [200, 429, 200]


# With Redis


async def test_processes_share_a_count_in_redis(redis: OptionalRedis) -> None:
    other = OptionalRedis(REDIS_URL)
    here, there = Limiter(redis), Limiter(other)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(each.spend(Policy.ANONYMOUS, "somebody"))
            for _ in range(15)
            for each in (here, there)
        ]
    assert sum(task.result().is_allowed for task in tasks) == 20
    assert (await here.spend(Policy.ANONYMOUS, "another")).remaining == 19
    assert not await there.allows(Policy.ANONYMOUS, "somebody")
    assert await there.allows(Policy.ANONYMOUS, "another")
    for key in await redis.client.keys():
        assert await redis.client.ttl(key) > 0
    await other.close()


async def test_each_process_counts_for_itself_while_redis_is_dead(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.database.redis.PAUSE_SECONDS", 60.0)
    limiter = Limiter(OptionalRedis(DEAD_REDIS_URL))
    allowed = [(await limiter.spend(Policy.ANONYMOUS, "somebody")).is_allowed for _ in range(21)]
    assert allowed == [True] * 20 + [False]
    assert caplog.text.count("Redis does not answer") == 1


async def test_redis_is_asked_again_after_a_pause(
    redis: OptionalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> str:
        raise TimeoutError

    async def answer() -> str:
        return "an answer"

    monkeypatch.setattr("app.database.redis.PAUSE_SECONDS", 60.0)
    assert await redis.ask(fail) is None
    assert await redis.ask(answer) is None
    monkeypatch.setattr(redis, "_resume_at", 0.0)
    assert await redis.ask(answer) == "an answer"


@pytest.mark.usefixtures("people")
async def test_dead_redis_takes_down_no_request(
    client: httpx.AsyncClient, configure: Configure
) -> None:
    configure(RATE_LIMITS=True, REDIS_URL=DEAD_REDIS_URL)
    codes = [(await client.get(APPS)).status_code for _ in range(21)]
    assert codes == [200] * 20 + [429]


# Addresses


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "proxies", "expected"),
    [
        ("192.0.2.1", [], 0, "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.7"], 0, "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.7"], 1, "203.0.113.7"),
        ("192.0.2.1", ["6.6.6.6, 203.0.113.7"], 1, "203.0.113.7"),
        ("192.0.2.1", ["6.6.6.6", "203.0.113.7"], 1, "203.0.113.7"),
        ("192.0.2.1", ["6.6.6.6, 203.0.113.7, 192.0.2.2"], 2, "203.0.113.7"),
        ("192.0.2.1", ["203.0.113.7"], 5, "203.0.113.7"),
        ("192.0.2.1", ["made up"], 1, "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.7:4711"], 1, "203.0.113.7"),
        ("192.0.2.1", ["[2001:DB8::1]:4711"], 1, "2001:db8::1"),
        ("192.0.2.1", ["2001:db8::1"], 1, "2001:db8::1"),
        ("::ffff:192.0.2.1", [], 0, "192.0.2.1"),
        ("a socket", [], 0, "a socket"),
        (None, [], 0, "unknown"),
    ],
)
def test_forwarded_address_is_believed_as_far_as_our_proxies(
    peer: str | None, forwarded_for: list[str], proxies: int, expected: str
) -> None:
    assert addresses.client_address(peer, forwarded_for, proxies) == expected


def test_ipv6_network_counts_as_one_place() -> None:
    assert addresses.subscriber("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert addresses.subscriber("192.0.2.1") == "192.0.2.1"
    assert addresses.subscriber("unknown") == "unknown"


# Settings


def test_limits_are_on_in_production_and_off_in_development() -> None:
    production = {**PRODUCTION, "DATABASE_URL": "postgresql://localhost/x"}
    assert not load({}).limits_rates
    assert load({"RATE_LIMITS": "on"}).limits_rates
    assert load(production).limits_rates
    assert not load({**production, "RATE_LIMITS": "off"}).limits_rates


@pytest.mark.parametrize("text", ["many", "0/minute", "10", "10/fortnight", "-1/minute"])
def test_limit_of_another_form_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(SettingsError):
        load({"RATE_LIMIT_PEOPLE": text})


def test_what_costs_several_counts_as_several_or_not_at_all() -> None:
    windows = MovingWindows()
    assert windows.spend("a", 3, 60, 0.0, 4) == (False, 3, 60.0)
    assert len(windows) == 0
    assert windows.spend("a", 3, 60, 1.0, 2) == (True, 1, 61.0)
    assert windows.spend("a", 3, 60, 2.0, 2) == (False, 1, 61.0)
    assert windows.spend("a", 3, 60, 3.0) == (True, 0, 61.0)


async def test_codes_are_counted_by_the_address_that_asks(
    client: httpx.AsyncClient, configure: Configure
) -> None:
    configure(RATE_LIMITS=True, RATE_LIMIT_CODES="2/hour")
    answers = [
        await client.post("/api/v1/auth/email/code", json={"email": f"p{number}@example.org"})
        for number in range(3)
    ]
    assert [each.status_code for each in answers] == [202, 202, 429]
    assert int(answers[-1].headers["retry-after"]) > 3_000
    assert await fetchval("SELECT count(*) FROM mails") == 2


async def test_addresses_are_counted_and_too_many_refused_whole(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    headers: Headers,
    configure: Configure,
) -> None:
    path = f"/api/v1/rooms/{room['id']}/participants"
    configure(RATE_LIMITS=True, RATE_LIMIT_ADDRESSES="3/minute")
    lines = [{"email": f"p{number}@example.org"} for number in range(4)]

    refused = await client.post(f"{path}/bulk", json={"participants": lines}, headers=headers)
    allowed = await client.post(f"{path}/bulk", json={"participants": lines[:2]}, headers=headers)
    one = await client.post(path, json=lines[2], headers=headers)
    another = await client.post(path, json=lines[3], headers=headers)
    by_id = await client.post(
        path, json={"userId": (await factories.user())["id"]}, headers=headers
    )

    answers = (refused, allowed, one, another, by_id)
    assert [each.status_code for each in answers] == [429, 200, 201, 429, 201]
    assert int(another.headers["retry-after"]) > 0
