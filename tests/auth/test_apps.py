"""Apps that identify themselves: counted by themselves, with the rights of anyone."""

import asyncio
import base64

import httpx
import pytest

from app.applications import publishing
from app.auth import apps, revocation
from app.auth.apps import AppCredentials, KnownApps, confirm_app, known_apps
from app.auth.tokens import token_hash
from app.database.engine import fetch, fetchval, transaction
from app.database.listener import Listener
from app.errors import InvalidCredentials
from app.invitations.codes import new_code
from tests import factories
from tests.auth.conftest import ADMIN, Configure, SignIn, bearer, counted_statements
from tests.waiting import eventually

APPS, ROOMS, ME = "/api/v1/apps", "/api/v1/rooms", "/api/v1/auth/me"
APP, SECRET = "app_raffle", "a-secret-of-this-test-that-is-long-enough-too"
CREDENTIALS = AppCredentials(APP, token_hash(SECRET))
WRONG = AppCredentials(APP, token_hash("wrong"))


def basic(app_id: str = APP, secret: str = SECRET) -> dict[str, str]:
    encoded = base64.b64encode(f"{app_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


@pytest.fixture(autouse=True)
async def app(database: str) -> None:  # noqa: ARG001 - bound there
    known_apps._hashes.clear()
    await factories.app(appId=APP, appSecret=token_hash(SECRET))


async def assert_refused(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    answer = await client.get(APPS, headers=raw)
    assert answer.status_code == 401, answer.text
    assert answer.json()["error"]["code"] == "INVALID_CREDENTIALS"
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


# Rights


async def test_app_reads_what_anyone_may_read(client: httpx.AsyncClient) -> None:
    public, private = await factories.room(), await factories.room(isPublic=False)
    assert (await client.get(APPS, headers=basic())).status_code == 200
    rooms = (await client.get(ROOMS, headers=basic())).json()["data"]
    assert [room["id"] for room in rooms] == [public["id"]]
    hidden = await client.get(f"{ROOMS}/{private['id']}", headers=basic())
    assert hidden.status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", ROOMS),
        ("POST", APPS),
        ("DELETE", f"{APPS}/{APP}"),
        ("POST", f"{APPS}/{APP}/secret"),
        ("GET", ME),
        ("POST", "/api/v1/auth/logout"),
        ("POST", f"{ROOMS}/{{room}}/winners"),
        ("POST", f"{ROOMS}/{{room}}/participants"),
    ],
)
async def test_app_may_do_nothing_else(client: httpx.AsyncClient, method: str, path: str) -> None:
    room = await factories.room()
    answer = await client.request(method, path.format(room=room["id"]), headers=basic())
    assert answer.status_code in {401, 403}
    assert answer.json()["error"]["code"] in {"UNAUTHORIZED", "FORBIDDEN"}


# Refusals


@pytest.mark.parametrize(
    "headers",
    [
        basic(secret="wrong"),
        basic(secret=""),
        basic(secret=token_hash(SECRET)),
        basic(secret=SECRET + " "),
        basic(app_id="app_of_nobody"),
        basic(app_id=""),
        basic(app_id="a\x00b"),
        basic(app_id="' OR true --"),
        basic(secret="x" * 2_000),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !"},
        {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"app:\xff").decode()},
        {"Authorization": "Basic é"},
    ],
)
async def test_other_credentials_are_refused(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    await assert_refused(client, headers)
    assert not known_apps.has(CREDENTIALS)


async def test_two_authorizations_are_none(client: httpx.AsyncClient) -> None:
    value = basic()["Authorization"]
    answer = await client.get(APPS, headers=[("Authorization", value), ("Authorization", value)])
    assert answer.json()["error"]["code"] == "INVALID_TOKEN"


@pytest.mark.parametrize(
    "change",
    [
        'UPDATE apps SET "isActive" = false',
        'UPDATE apps SET "deletedAt" = now()',
        "UPDATE apps SET \"appId\" = 'another'",
        "UPDATE apps SET \"appSecret\" = 'another'",
        "DELETE FROM apps",
    ],
)
@pytest.mark.usefixtures("hearing")
async def test_app_that_changes_is_forgotten_wherever_it_is_known(
    client: httpx.AsyncClient, change: str
) -> None:
    assert (await client.get(APPS, headers=basic())).status_code == 200
    assert known_apps.has(CREDENTIALS)
    await fetch(change)
    await eventually(is_forgotten)
    await assert_refused(client, basic())


async def is_forgotten() -> bool:
    return not known_apps.has(CREDENTIALS)


@pytest.mark.usefixtures("hearing")
async def test_replaced_secret_is_worth_nothing_and_the_new_one_everything(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get(APPS, headers=basic())).status_code == 200
    new = await publishing.replace_secret(APP)
    await eventually(is_forgotten)
    await assert_refused(client, basic())
    assert (await client.get(APPS, headers=basic(secret=new))).status_code == 200


@pytest.mark.usefixtures("hearing")
async def test_registered_app_identifies_itself_with_the_secret_that_it_was_given(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    manifest = (await client.get(f"{APPS}/{APP}")).json()["data"]["manifest"]
    registered = await client.post(
        APPS,
        headers=bearer(await sign_in(ADMIN)),
        json={"appId": "app_new", "manifest": manifest},
    )
    headers = basic("app_new", registered.json()["data"]["appSecret"])
    assert (await client.get(APPS, headers=headers)).status_code == 200


# Without a query


@pytest.mark.usefixtures("hearing")
async def test_app_that_was_seen_costs_no_query(client: httpx.AsyncClient) -> None:
    await client.get(APPS, headers=basic())
    async with counted_statements() as anonymous:
        await client.get(APPS)
    async with counted_statements() as identified:
        await client.get(APPS, headers=basic())
    assert anonymous
    assert identified == anonymous


@pytest.mark.usefixtures("hearing")
async def test_wrong_secret_is_refused_though_the_app_is_known() -> None:
    await confirm_app(CREDENTIALS)
    with pytest.raises(InvalidCredentials):
        await confirm_app(WRONG)
    assert known_apps.has(CREDENTIALS)


async def test_process_that_does_not_hear_asks_each_time() -> None:
    for _ in range(2):
        async with counted_statements() as statements:
            await confirm_app(CREDENTIALS)
        assert len(statements) == 1
    await fetch('UPDATE apps SET "isActive" = false')
    with pytest.raises(InvalidCredentials):
        await confirm_app(CREDENTIALS)


async def test_what_changed_while_nobody_heard_is_forgotten_before_anybody_hears() -> None:
    await factories.app(appId="app_still", appSecret=token_hash("still"))
    still = AppCredentials("app_still", token_hash("still"))
    await confirm_app(CREDENTIALS)
    await confirm_app(still)
    await fetch('UPDATE apps SET "appSecret" = \'another\' WHERE "appId" = $1', APP)
    async with revocation.hearing():
        assert known_apps.has(still)
        assert not known_apps.has(CREDENTIALS)


async def test_what_is_rolled_back_is_not_announced(hearing: Listener) -> None:
    await confirm_app(CREDENTIALS)

    async def close_and_fail() -> None:
        async with transaction():
            await fetch('UPDATE apps SET "isActive" = false')
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await close_and_fail()
    await factories.app(appId="app_later", appSecret="later")
    changes = known_apps.changes
    await fetch('UPDATE apps SET "isActive" = false WHERE "appId" = \'app_later\'')

    async def later_is_heard() -> bool:
        return known_apps.changes > changes

    await eventually(later_is_heard)
    assert known_apps.has(CREDENTIALS)
    assert hearing.is_hearing


async def test_secret_that_changes_while_it_is_read_is_not_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = fetchval

    async def read_and_change(statement: str, *arguments: object) -> object:
        found = await read(statement, *arguments)
        known_apps.forget(APP)
        return found

    monkeypatch.setattr(apps, "fetchval", read_and_change)
    await confirm_app(CREDENTIALS)
    assert not known_apps.has(CREDENTIALS)


@pytest.mark.usefixtures("hearing")
async def test_other_changes_of_an_app_are_not_announced() -> None:
    changes = known_apps.changes
    await fetch('UPDATE apps SET "updatedAt" = now()')
    await fetch('UPDATE apps SET "isActive" = "isActive"')

    async def second_is_heard() -> bool:
        return known_apps.changes > changes

    await eventually(second_is_heard)
    assert known_apps.changes == changes + 1


def test_memory_is_bounded() -> None:
    known = KnownApps(2)
    for number in range(3):
        known.add(AppCredentials(f"app {number}", "hash"), read_at=0)
    assert len(known) == 2
    assert not known.has(AppCredentials("app 0", "hash"))


# Limits


async def test_app_has_a_thousand_requests_a_minute_of_its_own(
    client: httpx.AsyncClient, configure: Configure
) -> None:
    configure(RATE_LIMITS=True)
    answer = await client.get(APPS, headers=basic())
    assert '"apps";q=1000;w=60' in answer.headers["RateLimit-Policy"]
    configure(RATE_LIMITS=True, RATE_LIMIT_APPS="3/minute")
    await factories.app(appId="app_other", appSecret=token_hash("other"))
    codes = [(await client.get(APPS, headers=basic())).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    assert (await client.get(APPS, headers=basic("app_other", "other"))).status_code == 200
    assert (await client.get(APPS)).status_code == 200


@pytest.mark.usefixtures("hearing")
async def test_guesses_are_limited_by_address_and_by_app(
    client: httpx.AsyncClient, configure: Configure
) -> None:
    configure(RATE_LIMITS=True, RATE_LIMIT_SIGN_IN="3/minute", TRUSTED_PROXIES=1)
    assert (await client.get(APPS, headers=basic())).status_code == 200

    async def guess(app_id: str, address: str) -> int:
        headers = {**basic(app_id, "wrong"), "X-Forwarded-For": address}
        return (await client.get(APPS, headers=headers)).status_code

    by_address = [await guess(f"app_{number}", "192.0.2.1") for number in range(4)]
    assert by_address == [401, 401, 401, 429]
    by_app = [await guess(APP, f"192.0.2.{number}") for number in range(2, 6)]
    assert by_app == [401, 401, 401, 429]
    # The app itself is known, and goes on.
    assert (await client.get(APPS, headers=basic())).status_code == 200


async def test_guesses_of_others_keep_no_app_out_of_a_server_that_does_not_know_it_yet(
    client: httpx.AsyncClient, configure: Configure
) -> None:
    configure(RATE_LIMITS=True, RATE_LIMIT_SIGN_IN="2/minute", TRUSTED_PROXIES=1)
    for number in range(5):
        guess = {**basic(secret="wrong"), "X-Forwarded-For": f"192.0.2.{number}"}
        assert (await client.get(APPS, headers=guess)).status_code in {401, 429}
    known_apps._hashes.clear()

    own = {**basic(), "X-Forwarded-For": "198.51.100.1"}
    assert (await client.get(APPS, headers=own)).status_code == 200


async def test_right_secret_counts_as_no_guess_on_however_many_servers(
    client: httpx.AsyncClient, configure: Configure
) -> None:
    configure(RATE_LIMITS=True, RATE_LIMIT_SIGN_IN="2/minute")
    for _ in range(5):
        known_apps._hashes.clear()
        assert (await client.get(APPS, headers=basic())).status_code == 200
    for _ in range(2):
        await assert_refused(client, basic(secret="wrong"))
    # Nobody can guess on, not even rightly, where the app is not known.
    known_apps._hashes.clear()
    refused = await client.get(APPS, headers=basic())
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60


async def test_credentials_that_can_not_be_read_are_limited_too(
    client: httpx.AsyncClient, configure: Configure
) -> None:
    configure(RATE_LIMITS=True, RATE_LIMIT_SIGN_IN="2/minute")
    answers = [await client.get(APPS, headers={"Authorization": "Basic ?"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]


async def test_many_at_once_are_all_identified(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.get(APPS, headers=basic()) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}


async def test_tries_of_a_rooms_code_count_by_app_from_wherever(
    client: httpx.AsyncClient, configure: Configure
) -> None:
    configure(RATE_LIMITS=True, RATE_LIMIT_INVITATIONS="2/minute", TRUSTED_PROXIES=1)

    async def try_from(number: int, headers: dict[str, str]) -> int:
        there = {**headers, "X-Forwarded-For": f"192.0.2.{number}"}
        body = {"code": new_code()}
        answer = await client.post("/api/v1/invitations/find", json=body, headers=there)
        return answer.status_code

    assert [await try_from(number, basic()) for number in range(3)] == [404, 404, 429]
    assert await try_from(3, {}) == 404
