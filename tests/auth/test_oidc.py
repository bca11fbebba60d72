"""Signing in with a provider that behaves, and with one that does not."""

import asyncio
import base64
import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from app.auth import discovery, oidc, people
from app.auth.providers import provider_named
from app.auth.sessions import Device, TokenPair
from app.database.engine import fetch, fetchrow, fetchval
from app.errors import EmailTaken
from app.settings import SettingsError, load
from app.users.erasing import erase_user
from tests import factories
from tests.auth.conftest import FRONTEND, Configure, bearer
from tests.auth.journeys import (
    CALLBACK,
    FAILED,
    OTHER,
    START,
    come_back,
    counts,
    leave,
    sign_in,
    tokens_in,
)
from tests.auth.provider import CLIENT_ID, TestProvider, half_hash

ASKED = ["/.well-known/openid-configuration", "/keys", "/token", "/userinfo"]


# A provider that behaves


async def test_browser_leaves_with_state_nonce_and_challenge(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    answer = await browser.get(START)
    url = urlsplit(answer.headers["Location"])
    told = dict(parse_qsl(url.query))
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{provider.issuer}/authorize"
    assert told["redirect_uri"] == f"http://127.0.0.1:8000{CALLBACK}"
    assert (told["response_type"], told["client_id"]) == ("code", CLIENT_ID)
    assert (told["scope"], told["code_challenge_method"]) == ("openid email profile", "S256")
    assert len({told["state"], told["nonce"], told["code_challenge"]}) == 3
    cookie = answer.headers["Set-Cookie"]
    for part in ("HttpOnly", "SameSite=lax", "Max-Age=600", f"Path={START}"):
        assert part in cookie
    assert told["nonce"] not in cookie
    again = await leave(browser)
    assert not set(again.values()) & {told["state"], told["nonce"], told["code_challenge"]}


async def test_new_person_signs_in(browser: httpx.AsyncClient, provider: TestProvider) -> None:
    told = await leave(browser, redirect_url="/rooms?page=2")
    provider.identify(told["nonce"])
    tokens = tokens_in(await come_back(browser, state=told["state"], scope="email", authuser="0"))
    assert (tokens["expires_in"], tokens["redirect_url"]) == ("3600", "/rooms?page=2")
    me = (await browser.get("/api/v1/auth/me", headers=bearer(tokens))).json()["data"]
    assert (me["email"], me["name"]) == ("erin@example.com", "Erin")
    row = await fetchrow("SELECT * FROM users")
    assert row is not None
    assert (row["provider"], row["providerId"]) == ("acme", "subject-1")
    assert row["emailVerified"] is not None
    request = provider.token_requests[0]
    challenge = base64.urlsafe_b64encode(hashlib.sha256(request["code_verifier"].encode()).digest())
    assert challenge.rstrip(b"=").decode() == told["code_challenge"]
    assert request["redirect_uri"] == told["redirect_uri"]
    assert request["auth"].startswith("Basic ")
    session = await fetchrow("SELECT * FROM sessions")
    assert session is not None
    assert session["deviceInfo"] == "a browser"


async def test_person_signs_in_again_by_subject_whatever_the_address(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    await sign_in(browser, provider)
    changed = await sign_in(browser, provider, email="other@example.com", email_verified=False)
    tokens_in(changed)
    assert await counts() == (1, 2)


async def test_verified_address_links_a_person_who_has_no_identity_yet(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    person = await factories.user(email="erin@example.com", emailVerified=None)
    tokens_in(await sign_in(browser, provider))
    row = await fetchrow("SELECT * FROM users")
    assert row is not None
    assert (row["id"], row["provider"], row["providerId"]) == (person["id"], "acme", "subject-1")
    assert row["emailVerified"] is not None


async def test_verified_address_of_another_provider_is_another_identity_of_the_same_person(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    await sign_in(browser, provider)
    tokens_in(await sign_in(browser, provider, OTHER, sub="of-other"))
    assert await identities() == {("acme", "subject-1"), ("other", "of-other")}
    assert await fetchval('SELECT "providerId" FROM users') == "subject-1"
    # From then on the identity counts, and the address does not.
    changed = {"email": "changed@example.com", "email_verified": False}
    tokens_in(await sign_in(browser, provider, OTHER, sub="of-other", **changed))
    assert await counts() == (1, 3)


async def test_second_provider_that_gave_the_address_to_somebody_else_is_not_followed(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    await sign_in(browser, provider)
    tokens_in(await sign_in(browser, provider, OTHER, sub="of-other"))
    location = await sign_in(browser, provider, OTHER, sub="successor")
    assert location == f"{FAILED}&reason=EMAIL_TAKEN"
    assert await identities() == {("acme", "subject-1"), ("other", "of-other")}


async def test_identity_that_a_server_of_the_version_before_wrote_down_is_found(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    await factories.user(email="old@example.com", provider="acme", providerId="subject-1")
    tokens_in(await sign_in(browser, provider, email_verified=False))
    assert await counts() == (1, 1)


@pytest.mark.parametrize(
    ("claims", "is_theirs"),
    [({}, True), ({"email_verified": False}, False), ({"email": "other@example.com"}, False)],
)
async def test_an_address_that_nobody_had_vouched_for_is_when_a_provider_does(
    browser: httpx.AsyncClient, provider: TestProvider, claims: dict[str, Any], *, is_theirs: bool
) -> None:
    await factories.user(
        email="erin@example.com", provider="acme", providerId="subject-1", emailVerified=None
    )
    tokens_in(await sign_in(browser, provider, **claims))
    assert (await fetchval('SELECT "emailVerified" FROM users') is not None) == is_theirs


async def identities() -> set[tuple[str, str]]:
    rows = await fetch("SELECT provider, subject FROM identities")
    return {(row["provider"], row["subject"]) for row in rows}


async def test_address_is_asked_for_where_the_id_token_has_none(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    provider.userinfo = {"sub": "subject-1", "email": "e@example.com", "email_verified": True}
    tokens_in(await sign_in(browser, provider, email=None, email_verified=None))
    assert await fetchval("SELECT email FROM users") == "e@example.com"


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic", "tls_client_auth"])
async def test_client_authenticates_as_the_provider_wishes(
    browser: httpx.AsyncClient, provider: TestProvider, method: str
) -> None:
    provider.metadata = {"token_endpoint_auth_methods_supported": [method]}
    tokens_in(await sign_in(browser, provider))
    request = provider.token_requests[0]
    assert ("client_secret" in request) == (method == "client_secret_post")
    assert request["auth"].startswith("Basic ") == (method != "client_secret_post")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": [CLIENT_ID]},
        {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID},
        {"at_hash": half_hash("granted")},
        {"name": None, "picture": "javascript:alert(1)"},
        {"name": "x" * 3000},
    ],
)
async def test_variants_of_a_good_id_token_are_accepted(
    browser: httpx.AsyncClient, provider: TestProvider, claims: dict[str, Any]
) -> None:
    tokens_in(await sign_in(browser, provider, **claims))
    assert await fetchval("SELECT avatar FROM users") in {None, "https://pictures.example/erin.png"}


async def test_new_key_is_read_when_it_is_met(
    browser: httpx.AsyncClient, provider: TestProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_in(browser, provider)
    provider.key, provider.algorithm = ECKey.generate_key("P-256", {"kid": "two"}), "ES256"
    provider.published = [provider.key.as_dict(private=False)]
    assert await sign_in(browser, provider) == FAILED
    monkeypatch.setattr(discovery, "KEYS_PAUSE_SECONDS", -1.0)
    tokens_in(await sign_in(browser, provider))
    assert provider.asked.count("/.well-known/openid-configuration") == 1


def arrival(provider: str, subject: str, state: str) -> people.Arrival:
    identity = people.Identity(
        provider=provider,
        subject=subject,
        email="e@example.com",
        is_email_verified=True,
        name="Erin",
        picture=None,
    )
    return people.Arrival(identity, "/", state)


async def arrive(arrivals: list[people.Arrival]) -> list[object]:
    """Sign all of them in at once."""
    device, now = Device(None, None), factories.now()
    return await asyncio.gather(
        *(people.sign_in(each, device, now) for each in arrivals), return_exceptions=True
    )


def are_tokens(results: list[object]) -> list[bool]:
    return [isinstance(result, TokenPair) for result in results]


@pytest.mark.usefixtures("database")
async def test_twenty_first_sign_ins_at_once_make_one_person() -> None:
    arrivals = [arrival("acme", "subject-1", f"state {number}") for number in range(20)]
    assert are_tokens(await arrive(arrivals)) == [True] * 20
    assert await counts() == (1, 20)
    assert await identities() == {("acme", "subject-1")}


@pytest.mark.usefixtures("database")
async def test_first_sign_ins_at_once_with_many_providers_make_one_person() -> None:
    arrivals = [arrival(f"provider {number}", "one", f"state {number}") for number in range(8)]
    assert are_tokens(await arrive(arrivals)) == [True] * 8
    assert await counts() == (1, 8)
    assert await identities() == {(each.identity.provider, "one") for each in arrivals}


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.usefixtures("database")
async def test_of_many_subjects_at_once_with_one_address_one_is_the_person(
    *, is_known: bool
) -> None:
    if is_known:
        await factories.user(email="e@example.com", provider="google", providerId="g-1")
    arrivals = [arrival("acme", f"subject {number}", f"state {number}") for number in range(8)]
    results = await arrive(arrivals)
    assert sum(are_tokens(results)) == 1
    assert sum(isinstance(result, EmailTaken) for result in results) == 7
    assert await counts() == (1, 1)
    assert len(await identities()) == 1


# A provider, a network or a visitor that does not


HOSTILE_CLAIMS: dict[str, dict[str, Any]] = {
    "another nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "another issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "another audience": {"aud": "another-client"},
    "another audience beside": {"aud": ["another-client", "third"]},
    "two audiences without azp": {"aud": [CLIENT_ID, "another"]},
    "azp of another": {"azp": "another-client"},
    "no audience": {"aud": None},
    "expired": {"exp": 1_000_000_000},
    "no expiry": {"exp": None},
    "expiry as text": {"exp": "tomorrow"},
    "issued in the future": {"iat": 4_000_000_000},
    "no subject": {"sub": None},
    "empty subject": {"sub": ""},
    "long subject": {"sub": "x" * 256},
    "subject with NUL": {"sub": "a\x00b"},
    "subject as a number": {"sub": 7},
    "hash of another access token": {"at_hash": half_hash("another")},
}


@pytest.mark.parametrize("claims", HOSTILE_CLAIMS.values(), ids=HOSTILE_CLAIMS)
async def test_unfit_id_token_signs_nobody_in(
    browser: httpx.AsyncClient, provider: TestProvider, claims: dict[str, Any]
) -> None:
    assert await sign_in(browser, provider, **claims) == FAILED
    assert await counts() == (0, 0)


async def test_signature_of_another_key_signs_nobody_in(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    provider.key = RSAKey.generate_key(2048, {"kid": "one"})
    assert await sign_in(browser, provider) == FAILED
    assert await counts() == (0, 0)


async def test_public_key_is_no_secret(browser: httpx.AsyncClient, provider: TestProvider) -> None:
    assert isinstance(provider.key, RSAKey)
    public = provider.key.as_pem(private=False)
    provider.key, provider.algorithm = OctKey.import_key(public.hex(), {"kid": "one"}), "HS256"
    provider.published.append(provider.key.as_dict())
    assert await sign_in(browser, provider) == FAILED
    assert await counts() == (0, 0)


async def test_unsigned_id_token_signs_nobody_in(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    told = await leave(browser)
    provider.identify(told["nonce"])
    header, payload, _ = provider.token_answer()["id_token"].split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for forged in (f"{none}.{payload}.", f"{header}.{payload}.", "nonsense", ""):
        provider.answer = {"id_token": forged}
        told = await leave(browser)
        assert await come_back(browser, state=told["state"]) == FAILED
    assert await counts() == (0, 0)


@pytest.mark.parametrize(
    "answer",
    [
        {"id_token": None},
        {"id_token": 7},
        {"error": "invalid_grant"},
        {"access_token": None, "id_token": None},
    ],
)
async def test_token_answer_without_an_id_token_signs_nobody_in(
    browser: httpx.AsyncClient, provider: TestProvider, answer: dict[str, Any]
) -> None:
    provider.answer = answer
    assert await sign_in(browser, provider) == FAILED


@pytest.mark.parametrize("status", [400, 401, 500, 302])
async def test_refused_code_signs_nobody_in(
    browser: httpx.AsyncClient, provider: TestProvider, status: int
) -> None:
    provider.status, provider.answer = status, {"id_token": None, "error": "invalid_grant"}
    assert await sign_in(browser, provider) == FAILED


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"[]", b"null", b"{}", b"\xff"])
@pytest.mark.parametrize("path", ASKED)
async def test_answer_that_makes_no_sense_signs_nobody_in(
    browser: httpx.AsyncClient, provider: TestProvider, path: str, raw: bytes
) -> None:
    told = await leave(browser)
    provider.identify(told["nonce"], email=None)
    discovery._documents.clear()
    provider.raw[path] = raw or b" "
    assert (await come_back(browser, state=told["state"])).startswith(FAILED)
    assert await counts() == (0, 0)


async def test_user_info_of_somebody_else_signs_nobody_in(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    provider.userinfo = {"sub": "another", "email": "a@example.com", "email_verified": True}
    assert await sign_in(browser, provider, email=None) == FAILED
    assert await counts() == (0, 0)


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "https://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
    ],
)
async def test_discovery_that_leads_elsewhere_is_not_followed(
    browser: httpx.AsyncClient, provider: TestProvider, metadata: dict[str, str]
) -> None:
    provider.metadata = metadata
    answer = await browser.get(START)
    assert answer.headers["Location"] == FAILED


@pytest.mark.parametrize(
    "query",
    [
        {"state": "another"},
        {"state": ""},
        {"error": "server_error"},
        {"code": ""},
        {"iss": "https://evil.example"},
    ],
)
async def test_answer_that_is_not_to_our_question_signs_nobody_in(
    browser: httpx.AsyncClient, provider: TestProvider, query: dict[str, str]
) -> None:
    told = await leave(browser)
    provider.identify(told["nonce"])
    assert await come_back(browser, **{"state": told["state"], **query}) == FAILED
    assert "/token" not in provider.asked
    assert await counts() == (0, 0)


@pytest.mark.parametrize("end", ["", "x", "%ff", "%ED%A0%80", "%00"])
async def test_state_that_only_begins_like_ours_signs_nobody_in(
    browser: httpx.AsyncClient, provider: TestProvider, end: str
) -> None:
    told = await leave(browser)
    provider.identify(told["nonce"])
    answer = await browser.get(f"{CALLBACK}?code=a-code&state={told['state'][:16]}{end}")
    assert answer.headers["Location"] == FAILED
    assert "/token" not in provider.asked


async def test_issuer_that_promises_its_name_must_say_it(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    assert await sign_in(browser, provider) == FAILED
    told = await leave(browser)
    provider.identify(told["nonce"])
    tokens_in(await come_back(browser, state=told["state"], iss=provider.issuer))


@pytest.mark.parametrize("spoil", ["", "nonsense", "a.b", "drop the seal", "change the content"])
async def test_browser_that_did_not_begin_is_not_signed_in(
    browser: httpx.AsyncClient, provider: TestProvider, spoil: str
) -> None:
    told = await leave(browser)
    provider.identify(told["nonce"])
    [(name, cookie)] = browser.cookies.items()
    content, _, seal = cookie.partition(".")
    forged = {"drop the seal": content, "change the content": f"{content[:-1]}A.{seal}"}
    browser.cookies.clear()
    browser.cookies.set(name, forged.get(spoil, spoil))
    assert await come_back(browser, state=told["state"]) == FAILED
    assert await counts() == (0, 0)


async def test_cookie_of_one_provider_is_not_good_for_another(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    told = await leave(browser, OTHER)
    provider.identify(told["nonce"])
    [(name, cookie)] = browser.cookies.items()
    browser.cookies.clear()
    browser.cookies.set(name, cookie)
    assert await come_back(browser, state=told["state"]) == FAILED


async def test_sign_in_that_took_too_long_is_over(
    browser: httpx.AsyncClient, provider: TestProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "SIGN_IN_TTL", -people.SIGN_IN_TTL)
    told = await leave(browser)
    provider.identify(told["nonce"])
    assert await come_back(browser, state=told["state"]) == FAILED


async def test_replayed_callback_signs_nobody_in_even_if_the_provider_takes_the_code_again(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    told = await leave(browser)
    [(name, cookie)] = browser.cookies.items()
    provider.identify(told["nonce"])
    tokens_in(await come_back(browser, state=told["state"]))
    assert not browser.cookies
    assert await come_back(browser, state=told["state"]) == FAILED
    browser.cookies.set(name, cookie)
    assert await come_back(browser, state=told["state"]) == FAILED
    assert await counts() == (1, 1)


async def test_tabs_that_sign_in_at_once_all_arrive(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    starts = [(START, "/1"), (START, "/2"), (OTHER, "/3")]
    told = [await leave(browser, start, redirect_url=url) for start, url in starts]
    for (start, url), sent in zip(starts, told, strict=True):
        provider.identify(sent["nonce"])
        location = await come_back(browser, f"{start}/callback", state=sent["state"])
        assert tokens_in(location)["redirect_url"] == url
    assert await counts() == (1, 3)
    assert not browser.cookies


async def test_tab_that_fails_takes_no_other_along(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    told, other = await leave(browser), await leave(browser)
    denied = await come_back(browser, state=told["state"], error="access_denied")
    assert denied == f"{FAILED}&reason=ACCESS_DENIED"
    assert len(browser.cookies) == 1
    assert await come_back(browser, state=told["state"]) == FAILED
    provider.identify(other["nonce"])
    tokens_in(await come_back(browser, state=other["state"]))


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("public_url", ["http://127.0.0.1:8000", "https://events.example"])
@pytest.mark.parametrize(("path", "most"), [("/rooms", 8), ("/" + "x" * 1900, 1)])
async def test_browser_keeps_few_sign_ins_and_little_of_them(
    browser: httpx.AsyncClient, configure: Configure, public_url: str, path: str, most: int
) -> None:
    configure(PUBLIC_URL=public_url)
    browser.base_url = public_url
    states = [(await leave(browser, redirect_url=path))["state"][:16] for _ in range(12)]
    kept = [name.rpartition("sign_in_")[2] for name in browser.cookies]
    assert set(kept) == set(states[-most:])
    assert sum(map(len, [*browser.cookies, *browser.cookies.values()])) < 4500


@pytest.mark.usefixtures("provider")
async def test_sign_ins_that_are_over_and_what_is_none_are_forgotten(
    browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(oidc, "SIGN_IN_TTL", -people.SIGN_IN_TTL)
        await leave(browser)
    for name, value in {"a": "", "b": "nonsense", "c": "W10.x", "d": "bnVsbA"}.items():
        browser.cookies.set(f"sign_in_{name}", value, domain="testserver.local", path=START)
    browser.cookies.set("another", "cookie", domain="testserver.local", path="/")
    state = (await leave(browser))["state"]
    assert set(browser.cookies) == {"another", f"sign_in_{state[:16]}"}


@pytest.mark.parametrize("verified", [False, None, "false", "True", "yes", "", 1, [], {}])
@pytest.mark.parametrize("is_known", [False, True])
async def test_unverified_address_neither_links_nor_makes_a_person(
    browser: httpx.AsyncClient, provider: TestProvider, verified: object, *, is_known: bool
) -> None:
    if is_known:
        await factories.user(email="erin@example.com")
    provider.userinfo = {"sub": "subject-1"}
    before = await fetch("SELECT * FROM users")
    location = await sign_in(browser, provider, email_verified=verified)
    assert location == f"{FAILED}&reason=EMAIL_NOT_VERIFIED"
    assert await fetch("SELECT * FROM users") == before


async def test_address_that_the_provider_gave_to_somebody_else_is_not_followed(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    await sign_in(browser, provider)
    location = await sign_in(browser, provider, sub="subject-2")
    assert location == f"{FAILED}&reason=EMAIL_TAKEN"
    assert await counts() == (1, 1)


@pytest.mark.parametrize("known_by", [{"provider": "acme", "providerId": "subject-1"}, {}])
async def test_deleted_person_does_not_come_back(
    browser: httpx.AsyncClient, provider: TestProvider, known_by: dict[str, str]
) -> None:
    await factories.user(email="erin@example.com", deletedAt=factories.now(), **known_by)
    assert await sign_in(browser, provider) == f"{FAILED}&reason=ACCOUNT_DELETED"
    assert await counts() == (1, 0)


@pytest.mark.parametrize("known_by", [{"provider": "acme", "providerId": "subject-1"}, {}])
async def test_who_deleted_themselves_comes_back_and_their_old_tokens_do_not(
    browser: httpx.AsyncClient, provider: TestProvider, known_by: dict[str, str]
) -> None:
    person = await factories.user(email="erin@example.com", isAdmin=True, **known_by)
    headers = await factories.bearer(person)
    path = f"/api/v1/users/{person['id']}"
    assert (await browser.delete(path, headers=headers)).status_code == 200

    assert FAILED not in await sign_in(browser, provider)

    [row] = await fetch("SELECT * FROM users")
    assert (row["id"], row["deletedAt"], row["isAdmin"]) == (person["id"], None, False)
    assert await counts() == (1, 1)
    assert (await browser.get("/api/v1/auth/me", headers=headers)).status_code == 401


async def test_who_was_erased_signs_in_as_somebody_new(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    await sign_in(browser, provider)
    before = await fetchval("SELECT id FROM users")
    await erase_user(before, by="test")
    assert FAILED not in await sign_in(browser, provider)
    assert await fetchval('SELECT id FROM users WHERE "deletedAt" IS NULL') != before
    assert await counts() == (2, 1)


@pytest.mark.parametrize("path", ASKED)
async def test_slow_provider_is_given_up(
    browser: httpx.AsyncClient,
    provider: TestProvider,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    told = await leave(browser)
    provider.identify(told["nonce"], email=None)
    discovery._documents.clear()
    monkeypatch.setattr(discovery, "PROVIDER_TIMEOUT_SECONDS", 0.1)
    provider.delay_seconds[path] = 0.5
    async with asyncio.timeout(30):
        assert await come_back(browser, state=told["state"]) == FAILED


async def test_provider_that_is_slow_again_and_again_is_given_up(
    browser: httpx.AsyncClient, provider: TestProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await leave(browser)
    provider.identify(told["nonce"])
    discovery._documents.clear()
    monkeypatch.setattr(discovery, "PROVIDER_TIMEOUT_SECONDS", 0.3)
    provider.delay_seconds = dict.fromkeys(ASKED[:3], 0.2)
    assert await come_back(browser, state=told["state"]) == FAILED


@pytest.mark.parametrize("endpoint", ["token_endpoint", "jwks_uri", "userinfo_endpoint"])
async def test_dead_endpoint_signs_nobody_in(
    browser: httpx.AsyncClient, provider: TestProvider, endpoint: str
) -> None:
    provider.metadata = {endpoint: "http://127.0.0.1:1/"}
    assert await sign_in(browser, provider, email=None) == FAILED
    assert await counts() == (0, 0)


async def test_dead_provider_sends_the_browser_back(
    browser: httpx.AsyncClient, configure: Configure
) -> None:
    dead = {"issuer": "http://127.0.0.1:1", "clientId": "a", "clientSecret": "b"}
    configure(FRONTEND_URL=FRONTEND, OIDC_PROVIDERS={"acme": dead})
    assert (await browser.get(START)).headers["Location"] == FAILED


# Where the browser may go


@pytest.mark.parametrize(
    "url", ["/", "/rooms/1?tab=2#x", f"{FRONTEND}/x", "https://app.example:8443/y"]
)
async def test_redirect_to_a_path_or_a_configured_origin_is_allowed(
    browser: httpx.AsyncClient, provider: TestProvider, configure: Configure, url: str
) -> None:
    configure(CORS_ORIGINS="https://app.example:8443")
    told = await leave(browser, redirect_url=url)
    provider.identify(told["nonce"])
    tokens = tokens_in(await come_back(browser, state=told["state"]))
    assert tokens["redirect_url"] == url


async def test_our_own_page_on_which_one_joins_gets_the_tokens_itself(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    page = "http://127.0.0.1:8000/join?room=r"
    told = await leave(browser, redirect_url=page)
    provider.identify(told["nonce"])
    location = await come_back(browser, state=told["state"])
    there, _, fragment = location.partition("#")
    assert there == page
    assert "access_token" in fragment


@pytest.mark.parametrize(
    "url",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        " /x",
        "/x y",
        "/\u202eevil",
        "https://evil.example",
        "http://front.example.evil.example/",
        "http://front.example@evil.example/",
        "http://user@front.example/",
        "http://front.example:81/",
        "https://front.example/",
        "http:front.example",
        "http://[::1",
        "http://front.example:port/",
        "http://127.0.0.1:8000/joined",
        "http://127.0.0.1:8000/join#x",
        "http://127.0.0.1:8000/join/../x",
        "http://127.0.0.1:8000@evil.example/join",
        "javascript:alert(1)",
        "data:text/html,x",
        "rooms",
        "",
    ],
)
@pytest.mark.parametrize("place", [START, f"{START}/url"])
async def test_redirect_to_anywhere_else_is_refused_before_anybody_leaves(
    browser: httpx.AsyncClient, provider: TestProvider, url: str, place: str
) -> None:
    answer = await browser.get(place, params={"redirect_url": url})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR"
    assert not provider.asked


@pytest.mark.usefixtures("provider")
async def test_url_of_the_sign_in_is_ours(browser: httpx.AsyncClient) -> None:
    answer = await browser.get(f"{START}/url", params={"redirect_url": "/a?b=c&d"})
    expected = f"http://127.0.0.1:8000{START}?redirect_url=%2Fa%3Fb%3Dc%26d"
    assert answer.json() == {"data": {"url": expected}}


@pytest.mark.parametrize("path", ["google", "google/url", "google/callback"])
async def test_google_without_credentials_is_not_configured(
    browser: httpx.AsyncClient, path: str
) -> None:
    answer = await browser.get(f"/api/v1/auth/{path}")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "OAUTH_NOT_CONFIGURED"


@pytest.mark.parametrize("path", ["google", "google/callback"])
async def test_a_browser_is_led_back_from_what_is_not_configured(
    browser: httpx.AsyncClient, configure: Configure, path: str
) -> None:
    configure(FRONTEND_URL=FRONTEND)
    accepted = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    answer = await browser.get(f"/api/v1/auth/{path}", headers=accepted)
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"{FAILED}&reason=OAUTH_NOT_CONFIGURED"


@pytest.mark.parametrize("error", ["access_denied", "user_cancelled_authorize"])
async def test_who_would_not_is_told_so_if_the_browser_began_it(
    browser: httpx.AsyncClient, provider: TestProvider, error: str
) -> None:
    told = await leave(browser)
    denied = f"{FAILED}&reason=ACCESS_DENIED"
    assert await come_back(browser, state="another", error=error) == FAILED
    assert await come_back(browser, state=told["state"], error=error) == denied
    assert "/token" not in provider.asked


@pytest.mark.parametrize("path", ["nobody", "nobody/url", "nobody/callback"])
async def test_unknown_provider_is_not_found(browser: httpx.AsyncClient, path: str) -> None:
    assert (await browser.get(f"/api/v1/auth/{path}")).status_code == 404


def test_google_is_configured_by_two_settings(configure: Configure) -> None:
    configure(GOOGLE_CLIENT_ID="id", GOOGLE_CLIENT_SECRET="secret")
    google = provider_named("google").configured
    assert (google.issuer, google.client_id) == ("https://accounts.google.com", "id")


@pytest.mark.parametrize("text", ["{", "[]", '{"a": {}}', '{"a": {"issuer": "x"}}'])
def test_unfit_providers_stop_the_start(text: str) -> None:
    with pytest.raises(SettingsError):
        load({"OIDC_PROVIDERS": text})


async def test_sign_in_with_a_provider_is_limited(
    browser: httpx.AsyncClient, provider: TestProvider, configure: Configure
) -> None:
    configure(RATE_LIMITS=True, RATE_LIMIT_OAUTH="3/minute")
    tokens_in(await sign_in(browser, provider))
    assert (await browser.get(START)).status_code == 302
    assert (await browser.get(START)).status_code == 429


@pytest.mark.parametrize("address", ["mi\u212ae@example.com", "\uff4dike@example.com", "mike"])
async def test_address_that_could_be_taken_for_another_is_nobodys(
    browser: httpx.AsyncClient, provider: TestProvider, address: str
) -> None:
    await factories.user(email="mike@example.com")
    before = await fetch("SELECT * FROM users")
    location = await sign_in(browser, provider, email=address)
    assert location == f"{FAILED}&reason=EMAIL_NOT_VERIFIED"
    assert await fetch("SELECT * FROM users") == before


async def test_known_identity_comes_in_whatever_its_address_looks_like(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    await sign_in(browser, provider)
    tokens_in(await sign_in(browser, provider, email="mi\u212ae@example.com"))
    assert await counts() == (1, 2)


async def test_one_domain_in_two_spellings_is_one_person(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    await sign_in(browser, provider, email="Erin@BÜCHER.de")
    tokens_in(await sign_in(browser, provider, OTHER, sub="x", email="erin@xn--bcher-kva.de"))
    assert await fetchval("SELECT email FROM users") == "erin@xn--bcher-kva.de"


@pytest.mark.parametrize(
    ("said", "kept"), [("gpj\u202eexe", "gpj exe"), ("\u3164", None), ("A\nB", "A B")]
)
async def test_name_that_would_mislead_is_cleaned_and_keeps_nobody_out(
    browser: httpx.AsyncClient, provider: TestProvider, said: str, kept: str | None
) -> None:
    tokens_in(await sign_in(browser, provider, name=said))
    assert await fetchval("SELECT name FROM users") == kept
