"""Sessions over HTTP, with the rows read again afterwards."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

import asyncpg
import httpx
import pytest

from app.auth import sessions
from app.auth.tokens import TokenPolicy, session_hash, successor, token_hash
from app.database.engine import fetch, fetchrow, fetchval
from app.errors import AccountDeleted
from app.settings import settings
from tests.auth.conftest import ADMIN, ALICE, BOB, Configure, SignIn, Tokens, bearer
from tests.server import PRODUCTION

pytestmark = pytest.mark.usefixtures("people")

ME, REFRESH = "/api/v1/auth/me", "/api/v1/auth/refresh"


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post(REFRESH, json={"refreshToken": token})


async def next_pair(client: httpx.AsyncClient, token: str) -> Tokens:
    answer = await refresh(client, token)
    assert answer.status_code == 200, answer.text
    pair: Tokens = answer.json()["data"]
    return pair


async def rows() -> Sequence[asyncpg.Record]:
    return await fetch('SELECT * FROM sessions ORDER BY "createdAt", id')


async def assert_refused(answer: httpx.Response, code: str = "INVALID_TOKEN") -> None:
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == code
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def make_replaced_long_ago(seconds: float = 11) -> None:
    ago = timedelta(seconds=seconds)
    await fetch('UPDATE sessions SET "rotatedAt" = now() - $1::interval', ago)


# Opening


async def test_sign_in_stores_only_the_hash_of_the_refresh_token(sign_in: SignIn) -> None:
    tokens = await sign_in(device="Firefox on a fridge")
    row = (await rows())[0]
    assert row["refreshToken"] == token_hash(tokens["refreshToken"])
    assert not {tokens["refreshToken"], tokens["accessToken"]} & {str(value) for value in row}
    assert row["deviceInfo"] == "Firefox on a fridge"
    assert row["ipAddress"] == "127.0.0.1"
    remaining = await fetchval('SELECT "expiresAt" - now() FROM sessions')
    assert 29.99 < remaining.total_seconds() / 86_400 <= 30


async def test_device_of_unreasonable_length_is_cut(sign_in: SignIn) -> None:
    await sign_in(device="x" * 5000)
    assert (await rows())[0]["deviceInfo"] == "x" * sessions.LONGEST_DEVICE


async def test_who_signs_in_is_told_who_they_are(client: httpx.AsyncClient) -> None:
    body = {"email": ALICE, "password": "password123"}
    answer = (await client.post("/api/v1/auth/login", json=body)).json()["data"]
    me = await client.get(
        "/api/v1/auth/me", headers={"Authorization": f"Bearer {answer['accessToken']}"}
    )
    assert answer["user"] == me.json()["data"]


async def test_deleted_person_is_told_so_at_sign_in(client: httpx.AsyncClient) -> None:
    await fetch('UPDATE users SET "deletedAt" = now() WHERE id = $1', ALICE)
    answer = await client.post(
        "/api/v1/auth/login", json={"email": ALICE, "password": "password123"}
    )
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "ACCOUNT_DELETED"
    wrong = await client.post("/api/v1/auth/login", json={"email": ALICE, "password": "guess"})
    await assert_refused(wrong, "INVALID_CREDENTIALS")
    assert not await rows()


async def test_person_deleted_between_the_password_and_the_session_gets_none() -> None:
    await fetch('UPDATE users SET "deletedAt" = now() WHERE id = $1', ALICE)
    device = sessions.Device(None, None)
    with pytest.raises(AccountDeleted):
        await sessions.open_session(ALICE, ALICE, device, await fetchval("SELECT now()"))
    assert not await rows()


# Refreshing


async def test_refresh_replaces_the_token_and_keeps_the_session(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    first = await sign_in()
    await fetch(
        "UPDATE sessions SET \"expiresAt\" = now() + interval '1 day', "
        "\"lastUsedAt\" = now() - interval '1 day'"
    )
    before = (await rows())[0]
    second = await next_pair(client, first["refreshToken"])
    after = (await rows())[0]
    assert after["id"] == before["id"]
    assert after["refreshToken"] == token_hash(second["refreshToken"])
    assert after["previousRefreshToken"] == token_hash(first["refreshToken"])
    assert (after["expiresAt"] - before["expiresAt"]).days >= 28
    assert after["lastUsedAt"] > before["lastUsedAt"]
    assert second["expiresIn"] == 3600
    assert (await client.get(ME, headers=bearer(second))).status_code == 200
    assert (await client.get(ME, headers=bearer(first))).status_code == 200


async def test_refresh_keeps_where_the_session_was_used_last(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    tokens = await sign_in(device="an old browser")
    await client.post(
        REFRESH,
        json={"refreshToken": tokens["refreshToken"]},
        headers={"User-Agent": "a new browser"},
    )
    assert (await rows())[0]["deviceInfo"] == "a new browser"


async def test_token_answers_are_not_to_be_stored(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    tokens = await sign_in()
    answer = await refresh(client, tokens["refreshToken"])
    assert answer.headers["Cache-Control"] == "no-store"


async def test_lost_answer_is_given_again(client: httpx.AsyncClient, sign_in: SignIn) -> None:
    tokens = await sign_in()
    lost = await next_pair(client, tokens["refreshToken"])
    again = await next_pair(client, tokens["refreshToken"])
    assert again["refreshToken"] == lost["refreshToken"]
    assert (await client.get(ME, headers=bearer(again))).status_code == 200
    assert (await refresh(client, again["refreshToken"])).status_code == 200


@pytest.mark.parametrize(
    ("grace", "seconds_ago", "is_given"),
    [
        (None, 5, True),
        (None, 10, False),
        ("60", 50, True),
        ("60", 60, False),
        ("0.5", 1, False),
        ("0", 0, False),
    ],
)
async def test_answer_is_given_again_for_as_long_as_the_setting_says(
    client: httpx.AsyncClient,
    sign_in: SignIn,
    configure: Configure,
    grace: str | None,
    seconds_ago: float,
    *,
    is_given: bool,
) -> None:
    configure(**({} if grace is None else {"REFRESH_GRACE_SECONDS": grace}))
    tokens = await sign_in()
    await next_pair(client, tokens["refreshToken"])
    await make_replaced_long_ago(seconds_ago)
    again = await refresh(client, tokens["refreshToken"])
    assert again.status_code == (200 if is_given else 401)
    assert len(await rows()) == (1 if is_given else 0), "who comes later has stolen it"


async def test_of_twenty_clients_with_one_token_one_is_served_where_there_is_no_grace(
    client: httpx.AsyncClient, sign_in: SignIn, configure: Configure
) -> None:
    configure(REFRESH_GRACE_SECONDS="0")
    for _ in range(5):
        tokens = await sign_in()
        answers = await asyncio.gather(
            *(refresh(client, tokens["refreshToken"]) for _ in range(20))
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19
        assert not await rows()


async def test_twenty_clients_with_one_token_end_with_one_pair_and_one_session(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    tokens = await sign_in()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(next_pair(client, tokens["refreshToken"])) for _ in range(20)]
    pairs = [task.result() for task in tasks]
    assert len({pair["refreshToken"] for pair in pairs}) == 1
    assert len(await rows()) == 1
    for pair in pairs:
        assert (await client.get(ME, headers=bearer(pair))).status_code == 200
    assert (await refresh(client, pairs[0]["refreshToken"])).status_code == 200


async def test_reused_refresh_token_ends_the_session(
    client: httpx.AsyncClient, sign_in: SignIn, caplog: pytest.LogCaptureFixture
) -> None:
    first, other = await sign_in(), await sign_in()
    second = await next_pair(client, first["refreshToken"])
    session = (await rows())[0]
    await make_replaced_long_ago()
    with caplog.at_level(logging.WARNING):
        await assert_refused(await refresh(client, first["refreshToken"]))
    assert f"Session {session['id']} of user {ALICE} was ended" in caplog.text
    assert [row["refreshToken"] for row in await rows()] == [token_hash(other["refreshToken"])]
    row = await fetchrow("SELECT * FROM token_blacklist")
    assert row is not None
    assert row["tokenHash"] == session_hash(session["id"])
    assert (row["userId"], row["reason"]) == (ALICE, "refresh token reused")
    await assert_refused(await client.get(ME, headers=bearer(first)))
    await assert_refused(await client.get(ME, headers=bearer(second)))
    await assert_refused(await refresh(client, second["refreshToken"]))
    assert (await client.get(ME, headers=bearer(other))).status_code == 200


async def test_token_replaced_several_times_ends_the_session_at_once(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    first = await sign_in()
    latest = first
    for _ in range(4):
        latest = await next_pair(client, latest["refreshToken"])
    await assert_refused(await refresh(client, first["refreshToken"]))
    assert not await rows()
    await assert_refused(await client.get(ME, headers=bearer(latest)))


async def test_refresh_token_that_an_older_version_issued_is_good(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    legacy = "zoë's token of 2024/25 + more"
    await sign_in()
    await fetch('UPDATE sessions SET "refreshToken" = $1', token_hash(legacy))
    pair = await next_pair(client, legacy)
    assert (await next_pair(client, legacy))["refreshToken"] == pair["refreshToken"]
    latest = await next_pair(client, pair["refreshToken"])
    await assert_refused(await refresh(client, legacy))
    await assert_refused(await client.get(ME, headers=bearer(latest)))


async def test_successor_whose_secret_is_gone_costs_the_answer_and_not_the_session(
    client: httpx.AsyncClient, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await sign_in()
    received = await next_pair(client, tokens["refreshToken"])
    url = settings().PUBLIC_URL
    renewed = TokenPolicy.of(("another-secret-that-is-long-enough",), issuer=url, audience=url)
    monkeypatch.setattr(sessions, "token_policy", lambda: renewed)
    await assert_refused(await refresh(client, tokens["refreshToken"]))
    assert len(await rows()) == 1
    assert (await refresh(client, received["refreshToken"])).status_code == 200


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token + "=",
        lambda token: token[:-1],
        lambda token: f" {token}",
        lambda token: token.swapcase(),
        token_hash,
        lambda _: "nonsense",
        lambda _: "x" * 4096,
        lambda _: "zoë\u2028\U0001f600",
    ],
)
async def test_malformed_refresh_token_changes_nothing(
    client: httpx.AsyncClient, sign_in: SignIn, spoil: Callable[[str], str]
) -> None:
    tokens = await sign_in()
    await next_pair(client, tokens["refreshToken"])
    before = await rows()
    await assert_refused(await refresh(client, spoil(tokens["refreshToken"])))
    assert await rows() == before
    assert not await fetchval("SELECT count(*) FROM token_blacklist")


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sessions SET \"expiresAt\" = now() - interval '1 second'",
        'UPDATE users SET "deletedAt" = now()',
    ],
)
async def test_refresh_token_of_an_expired_session_or_deleted_person_changes_nothing(
    client: httpx.AsyncClient, sign_in: SignIn, statement: str, *, replaced: bool
) -> None:
    tokens = await sign_in()
    if replaced:
        await next_pair(client, tokens["refreshToken"])
        await make_replaced_long_ago()
    await fetch(statement)
    before = await rows()
    await assert_refused(await refresh(client, tokens["refreshToken"]))
    assert await rows() == before
    assert not await fetchval("SELECT count(*) FROM token_blacklist")


@pytest.mark.parametrize("body", [{}, {"refreshToken": ""}, {"refreshToken": None}, []])
async def test_refresh_without_a_token_is_a_faulty_request(
    client: httpx.AsyncClient, body: object
) -> None:
    assert (await client.post(REFRESH, json=body)).status_code == 400


async def test_lone_surrogate_is_a_faulty_request(client: httpx.AsyncClient) -> None:
    body = b'{"refreshToken": "\\ud800"}'
    assert (await client.post(REFRESH, content=body)).status_code in {400, 401}


# Ending


async def test_logout_ends_its_session_and_its_access_token(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    tokens, other = await sign_in(), await sign_in()
    refreshed = await next_pair(client, tokens["refreshToken"])
    ended = (await rows())[0]["id"]
    answer = await client.post("/api/v1/auth/logout", headers=bearer(refreshed))
    assert (answer.status_code, answer.json()) == (200, {"data": {"success": True}})
    for dead in (tokens, refreshed):
        await assert_refused(await client.get(ME, headers=bearer(dead)))
        await assert_refused(await refresh(client, dead["refreshToken"]))
    assert (await client.get(ME, headers=bearer(other))).status_code == 200
    listed = await fetch("SELECT * FROM token_blacklist")
    assert {row["tokenHash"] for row in listed} == {
        token_hash(refreshed["accessToken"]),
        session_hash(ended),
    }
    assert {(row["userId"], row["reason"], row["revokedBy"]) for row in listed} == {
        (ALICE, "logout", ALICE)
    }


async def test_revocation_outlives_every_access_token_it_covers(sign_in: SignIn) -> None:
    await sign_in()
    await sessions.end_sessions(ALICE, reason="test")
    remaining = await fetchval('SELECT "expiresAt" - now() FROM token_blacklist')
    assert remaining.total_seconds() > 3600 + 30


async def test_sessions_are_listed_newest_first_with_the_present_one_marked(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    await sign_in(BOB)
    await sign_in(device="expired")
    await fetch('UPDATE sessions SET "expiresAt" = now() WHERE "deviceInfo" = \'expired\'')
    await sign_in(device="a phone")
    tokens = await sign_in(device="a laptop")
    answer = await client.get("/api/v1/auth/sessions", headers=bearer(tokens))
    listed = answer.json()["data"]
    assert [(each["deviceInfo"], each["current"]) for each in listed] == [
        ("a laptop", True),
        ("a phone", False),
    ]
    assert set(listed[0]) == {
        "id",
        "deviceInfo",
        "ipAddress",
        "lastUsedAt",
        "createdAt",
        "expiresAt",
        "current",
    }
    assert answer.json()["meta"]["total"] == 2


async def test_one_session_is_ended_and_the_others_live(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    phone, laptop = await sign_in(device="a phone"), await sign_in(device="a laptop")
    session_id = await fetchval("SELECT id FROM sessions WHERE \"deviceInfo\" = 'a phone'")
    address = f"/api/v1/auth/sessions/{session_id}"
    assert (await client.delete(address, headers=bearer(laptop))).status_code == 200
    await assert_refused(await client.get(ME, headers=bearer(phone)))
    await assert_refused(await refresh(client, phone["refreshToken"]))
    assert (await client.get(ME, headers=bearer(laptop))).status_code == 200
    assert (await client.delete(address, headers=bearer(laptop))).status_code == 404


async def test_nobody_ends_the_session_of_another(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    await sign_in()
    stranger = await sign_in(BOB)
    session_id = await fetchval('SELECT id FROM sessions WHERE "userId" = $1', ALICE)
    before = await rows()
    address = f"/api/v1/auth/sessions/{session_id}"
    assert (await client.delete(address, headers=bearer(stranger))).status_code == 404
    assert await rows() == before


async def test_all_sessions_are_ended_at_once(client: httpx.AsyncClient, sign_in: SignIn) -> None:
    phone, laptop, bobs = await sign_in(), await sign_in(), await sign_in(BOB)
    assert (await client.delete("/api/v1/auth/sessions", headers=bearer(laptop))).status_code == 200
    for dead in (phone, laptop):
        await assert_refused(await client.get(ME, headers=bearer(dead)))
    assert (await client.get(ME, headers=bearer(bobs))).status_code == 200


async def test_hundreds_of_sessions_are_ended_at_once() -> None:
    for _ in range(250):
        device = sessions.Device(None, None)
        await sessions.open_session(ALICE, ALICE, device, await fetchval("SELECT now()"))
    assert await sessions.end_sessions(ALICE, reason="test") == 250
    assert await fetchval("SELECT count(*) FROM token_blacklist") == 250


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/auth/logout"),
        ("GET", "/api/v1/auth/sessions"),
        ("DELETE", "/api/v1/auth/sessions"),
        ("DELETE", "/api/v1/auth/sessions/any"),
        ("POST", "/api/v1/auth/revocations"),
    ],
)
async def test_anonymous_callers_are_refused(
    client: httpx.AsyncClient, sign_in: SignIn, method: str, path: str
) -> None:
    await sign_in()
    await assert_refused(await client.request(method, path), "UNAUTHORIZED")
    assert len(await rows()) == 1


async def test_deleted_persons_tokens_stop_working_at_once(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    phone, laptop = await sign_in(), await sign_in()
    answer = await client.delete(f"/api/v1/users/{ALICE}", headers=bearer(laptop))
    assert answer.status_code == 200
    for dead in (phone, laptop):
        await assert_refused(await client.get("/api/v1/rooms", headers=bearer(dead)))
        await assert_refused(await refresh(client, dead["refreshToken"]))


# Administrators


async def test_administrator_ends_somebodys_sessions(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    tokens, administrator = [await sign_in(), await sign_in()], await sign_in(ADMIN)
    answer = await client.post(
        "/api/v1/auth/revocations",
        json={"userId": ALICE, "reason": "stolen laptop"},
        headers=bearer(administrator),
    )
    assert (answer.status_code, answer.json()) == (201, {"data": {"sessions": 2}})
    for dead in tokens:
        await assert_refused(await client.get(ME, headers=bearer(dead)))
    listed = await fetch('SELECT "userId", reason, "revokedBy" FROM token_blacklist')
    assert [tuple(row) for row in listed] == [(ALICE, "stolen laptop", ADMIN)] * 2
    assert (await client.get(ME, headers=bearer(administrator))).status_code == 200


async def test_revoking_an_unknown_person_is_not_found(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    administrator = await sign_in(ADMIN)
    body = {"userId": "nobody", "reason": "test"}
    answer = await client.post("/api/v1/auth/revocations", json=body, headers=bearer(administrator))
    assert answer.status_code == 404


@pytest.mark.parametrize("demoted", [False, True])
async def test_others_end_nobodys_sessions(
    client: httpx.AsyncClient, sign_in: SignIn, *, demoted: bool
) -> None:
    await sign_in()
    caller = await sign_in(ADMIN if demoted else BOB)
    await fetch('UPDATE users SET "isAdmin" = false')
    before = await rows()
    body = {"userId": ALICE, "reason": "spite"}
    answer = await client.post("/api/v1/auth/revocations", json=body, headers=bearer(caller))
    assert answer.status_code == 403
    assert await rows() == before
    assert not await fetchval("SELECT count(*) FROM token_blacklist")


# The chain of an ancestor


async def test_chain_of_refresh_tokens_is_derived(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    tokens = await sign_in()
    pair = await next_pair(client, tokens["refreshToken"])
    key = sessions.token_policy().keys[0].successor
    assert pair["refreshToken"] == successor(tokens["refreshToken"], key)


# The demo people, and headers that are not one token


async def test_production_has_no_demo_people(
    client: httpx.AsyncClient, configure: Configure
) -> None:
    configure(DATABASE_URL="postgresql://localhost/any", RATE_LIMITS="off", **PRODUCTION)
    body = {"email": ALICE, "password": "password123"}
    assert (await client.post("/api/v1/auth/login", json=body)).status_code == 404
    assert not await rows()


@pytest.mark.parametrize("header", ["Digest YTpi", "Bearer", "Bearer ", "Bearer a b", "bearer\ta"])
async def test_header_that_is_not_a_bearer_token_is_refused(
    client: httpx.AsyncClient, header: str
) -> None:
    await assert_refused(await client.get("/api/v1/rooms", headers={"Authorization": header}))


async def test_two_tokens_at_once_are_refused(client: httpx.AsyncClient, sign_in: SignIn) -> None:
    value = bearer(await sign_in())["Authorization"]
    headers = [("Authorization", value), ("Authorization", value)]
    await assert_refused(await client.get(ME, headers=headers))


async def test_person_who_is_gone_has_no_profile(
    client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    tokens = await sign_in()
    await fetch('UPDATE users SET "deletedAt" = now()')
    await assert_refused(await client.get(ME, headers=bearer(tokens)))


async def test_every_answer_has_the_security_headers(
    client: httpx.AsyncClient, sign_in: SignIn, configure: Configure
) -> None:
    tokens = await sign_in()
    answers = [
        await client.get(ME, headers=bearer(tokens)),
        await client.get(ME),
        await client.get("/api/v1/nothing"),
        await client.get("/schema"),
    ]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in answer.headers
    configure(PUBLIC_URL="https://events.example/")
    answer = await client.get("/api/v1/apps")
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
