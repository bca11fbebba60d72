"""What real providers do in ways of their own: Okta, Cognito, Entra, Apple."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.database.engine import fetch, fetchval
from app.settings import SettingsError, load
from tests import factories
from tests.auth.conftest import Configure
from tests.auth.journeys import (
    CALLBACK,
    FAILED,
    OTHER,
    START,
    come_back,
    counts,
    leave,
    post_back,
    sign_in,
    tokens_in,
)
from tests.auth.provider import CLIENT_ID, CLIENT_SECRET, TestProvider

UNVERIFIED = f"{FAILED}&reason=EMAIL_NOT_VERIFIED"
OURS, ALSO_OURS, THEIRS = (f"{digit * 8}-0000-4000-8000-{digit * 12}" for digit in "abc")

Offer = Callable[..., None]


@pytest.fixture
def offer(provider: TestProvider, configure: Configure) -> Offer:
    """Configure the provider in another way."""

    def offer(**members: object) -> None:
        client = {"issuer": provider.issuer, "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET}
        configure(OIDC_PROVIDERS={"acme": {**client, **members}, "other": client})

    return offer


# Whose address is verified


@pytest.mark.parametrize("verified", [True, "true"])
async def test_verification_that_only_the_user_info_tells_counts(
    browser: httpx.AsyncClient, provider: TestProvider, verified: object
) -> None:
    provider.userinfo = {
        "sub": "subject-1",
        "email": "Erin@example.com",
        "email_verified": verified,
    }
    tokens_in(await sign_in(browser, provider, email_verified=None))
    assert await fetchval("SELECT email FROM users") == "erin@example.com"
    assert provider.asked.count("/userinfo") == 1


async def test_verification_that_is_written_as_a_text_counts(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    tokens_in(await sign_in(browser, provider, email_verified="true"))
    assert "/userinfo" not in provider.asked


@pytest.mark.parametrize(
    ("claims", "userinfo"),
    [
        ({"email": None}, {"email": "victim@example.com"}),
        ({"email": None}, {"email": "victim@example.com", "email_verified": None}),
        ({"email_verified": None}, {"email_verified": True}),
        ({"email_verified": None}, {"email": None, "email_verified": True}),
        ({"email_verified": None}, {"email": "victim@example.com", "email_verified": False}),
    ],
    ids=["address alone", "null", "verification alone", "null address", "not verified"],
)
async def test_verification_of_another_address_does_not_count(
    browser: httpx.AsyncClient,
    provider: TestProvider,
    claims: dict[str, Any],
    userinfo: dict[str, Any],
) -> None:
    """Whoever may write the one and not the other could else be anybody."""
    await factories.user(email="victim@example.com")
    provider.userinfo = {"sub": "subject-1", **userinfo}
    assert await sign_in(browser, provider, **claims) == UNVERIFIED
    assert await counts() == (1, 0)


@pytest.mark.parametrize("claims", [{"email_verified": None}, {"email": None}])
async def test_user_info_of_somebody_else_verifies_nothing(
    browser: httpx.AsyncClient, provider: TestProvider, claims: dict[str, Any]
) -> None:
    for sub in ("another", None, 7, ["subject-1"]):
        verified = {"email": "erin@example.com", "email_verified": True}
        provider.userinfo = {"sub": sub, **verified}
        assert await sign_in(browser, provider, **claims) == FAILED
    assert await counts() == (0, 0)


@pytest.mark.parametrize("content_type", ["application/jwt", "Application/JWT; charset=utf-8"])
async def test_signed_user_info_is_refused_and_the_log_says_why(
    browser: httpx.AsyncClient,
    provider: TestProvider,
    caplog: pytest.LogCaptureFixture,
    content_type: str,
) -> None:
    provider.raw["/userinfo"] = b"eyJhbGciOiJub25lIn0.e30."
    provider.content_types["/userinfo"] = content_type
    assert await sign_in(browser, provider, email_verified=None) == FAILED
    assert "the user info is a signed JWT" in caplog.text


async def test_addresses_of_a_trusted_provider_count_without_the_claim(
    browser: httpx.AsyncClient, provider: TestProvider, offer: Offer
) -> None:
    offer(trustsEmail=True)
    tokens_in(await sign_in(browser, provider, email_verified=None))
    assert "/userinfo" not in provider.asked
    for said in (False, "false"):
        location = await sign_in(browser, provider, sub=f"subject {said}", email_verified=said)
        assert location == UNVERIFIED


async def test_trusted_provider_is_asked_for_an_address_that_is_missing(
    browser: httpx.AsyncClient, provider: TestProvider, offer: Offer
) -> None:
    offer(trustsEmail=True)
    provider.userinfo = {"sub": "subject-1", "email": "e@example.com"}
    tokens_in(await sign_in(browser, provider, email=None, email_verified=None))
    assert await fetchval("SELECT email FROM users") == "e@example.com"


async def test_trust_in_one_provider_is_none_in_another(
    browser: httpx.AsyncClient, provider: TestProvider, offer: Offer
) -> None:
    offer(trustsEmail=True)
    provider.userinfo = {"sub": "subject-1"}
    assert await sign_in(browser, provider, OTHER, email_verified=None) == UNVERIFIED


async def test_what_nobody_can_keep_is_left_out(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    odd = {"name": "\ud800", "picture": f"https://pictures.example/{'x' * 3000}"}
    tokens_in(await sign_in(browser, provider, **odd))
    assert tuple((await fetch("SELECT name, avatar FROM users"))[0]) == (None, None)
    assert await sign_in(browser, provider, sub="\udfff") == FAILED
    assert await sign_in(browser, provider, sub="other", email="a\ud800@b.org") == UNVERIFIED


# An issuer that many organizations share (Microsoft Entra)


@pytest.fixture
def entra(provider: TestProvider, configure: Configure) -> TestProvider:
    """It describes itself for everybody, and signs in the name of each tenant."""
    template = f"{provider.issuer}/{{tenantid}}/v2.0"
    client = {"issuer": template, "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET}
    tenants = {"tenants": [OURS, ALSO_OURS], "trustsEmail": True}
    configure(OIDC_PROVIDERS={"acme": {**client, **tenants}})
    described = provider.document("/.well-known/openid-configuration")
    provider.raw["/common/v2.0/.well-known/openid-configuration"] = json.dumps(
        {**described, "issuer": template}
    ).encode()
    return provider


def of_tenant(entra: TestProvider, tenant: str, **changes: Any) -> dict[str, Any]:
    issuer = f"{entra.issuer}/{tenant}/v2.0"
    return {"iss": issuer, "tid": tenant, "email_verified": None, **changes}


async def test_people_of_each_tenant_on_the_list_sign_in(
    browser: httpx.AsyncClient, entra: TestProvider
) -> None:
    tokens_in(await sign_in(browser, entra, **of_tenant(entra, OURS)))
    other = of_tenant(entra, ALSO_OURS, email="another@example.com")
    tokens_in(await sign_in(browser, entra, **other))
    tokens_in(await sign_in(browser, entra, **other))
    assert await counts() == (2, 3), "who has the same subject in two tenants is two people"


async def test_address_in_another_tenant_is_not_followed(
    browser: httpx.AsyncClient, entra: TestProvider
) -> None:
    tokens_in(await sign_in(browser, entra, **of_tenant(entra, OURS)))
    location = await sign_in(browser, entra, **of_tenant(entra, ALSO_OURS))
    assert location == f"{FAILED}&reason=EMAIL_TAKEN"


HOSTILE_TENANTS: dict[str, Callable[[TestProvider], dict[str, Any]]] = {
    "not on the list": lambda entra: of_tenant(entra, THEIRS),
    "names another tenant": lambda entra: of_tenant(entra, THEIRS, tid=OURS),
    "names another issuer": lambda entra: of_tenant(entra, OURS, tid=THEIRS),
    "names another on the list": lambda entra: of_tenant(entra, OURS, tid=ALSO_OURS),
    "no tenant": lambda entra: of_tenant(entra, OURS, tid=None),
    "a list of tenants": lambda entra: of_tenant(entra, OURS, tid=[OURS]),
    "the template": lambda entra: of_tenant(entra, "{tenantid}"),
    "upper case": lambda entra: of_tenant(entra, OURS.upper()),
    "everybody's": lambda entra: of_tenant(entra, "common"),
}


@pytest.mark.parametrize("claims", HOSTILE_TENANTS.values(), ids=HOSTILE_TENANTS)
async def test_tenant_that_is_not_ours_signs_nobody_in(
    browser: httpx.AsyncClient, entra: TestProvider, claims: Callable[..., dict[str, Any]]
) -> None:
    assert await sign_in(browser, entra, **claims(entra)) == FAILED
    assert await counts() == (0, 0)


@pytest.mark.parametrize(
    ("tenant", "arrives"), [(OURS, True), (ALSO_OURS, False), (THEIRS, False), ("common", False)]
)
async def test_answer_and_id_token_are_of_one_tenant(
    browser: httpx.AsyncClient, entra: TestProvider, tenant: str, *, arrives: bool
) -> None:
    told = await leave(browser)
    entra.identify(told["nonce"], **of_tenant(entra, OURS))
    answered_by = f"{entra.issuer}/{tenant}/v2.0"
    location = await come_back(browser, state=told["state"], iss=answered_by)
    assert (location != FAILED) == arrives


@pytest.mark.parametrize(
    ("tenant", "arrives"), [(OURS, True), ("{tenantid}", True), (THEIRS, False)]
)
async def test_key_of_another_tenant_is_not_used(
    browser: httpx.AsyncClient, entra: TestProvider, tenant: str, *, arrives: bool
) -> None:
    entra.published[0]["issuer"] = f"{entra.issuer}/{tenant}/v2.0"
    location = await sign_in(browser, entra, **of_tenant(entra, OURS))
    assert (location != FAILED) == arrives


# A provider that has browsers post its answer (Apple)


@pytest.fixture
def apple(provider: TestProvider, offer: Offer, configure: Configure) -> TestProvider:
    offer(responseMode="form_post", scope="openid email name")
    configure(PUBLIC_URL="https://events.example")
    return provider


def named(first: object, last: object, **more: object) -> str:
    return json.dumps({"name": {"firstName": first, "lastName": last}, **more})


@pytest.fixture
def https(browser: httpx.AsyncClient) -> httpx.AsyncClient:
    """Reach us by HTTPS, as browsers do with PUBLIC_URL like this."""
    browser.base_url = "https://events.example"
    return browser


async def test_answer_that_is_posted_signs_in(
    https: httpx.AsyncClient, apple: TestProvider
) -> None:
    answer = await https.get(START, params={"redirect_url": "/rooms/7"})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-sign_in_")
    for part in ("Secure", "HttpOnly", "SameSite=none", "Path=/;", "Max-Age=600"):
        assert part in cookie, cookie
    assert "Domain" not in cookie

    told = await leave(https, redirect_url="/rooms/7")
    assert (told["response_mode"], told["scope"]) == ("form_post", "openid email name")
    apple.identify(told["nonce"], name=None, email_verified="true")
    form = {"state": told["state"], "user": named("Erin", "Example", email="evil@example.com")}
    tokens = tokens_in(await post_back(https, CALLBACK, **form))
    assert tokens["redirect_url"] == "/rooms/7"
    row = (await fetch("SELECT name, email FROM users"))[0]
    assert tuple(row) == ("Erin Example", "erin@example.com")
    assert cookies_of(https, told["state"]) == []


def cookies_of(browser: httpx.AsyncClient, state: str) -> list[str]:
    return [name for name in browser.cookies if name.endswith(state[:16])]


@pytest.mark.parametrize(
    ("user", "name"),
    [
        (named("Erin", None), "Erin"),
        (named(None, "Example"), "Example"),
        (named("x" * 5000, "y"), None),
        (named("E" * 99, "xample"), "E" * 99),
        (named(" ", "\t"), None),
        (named(None, None), None),
        (named(7, "Example"), None),
        (named("a\x00b", ""), None),
        (named("\ud800", ""), None),
        ('{"name": "Erin"}', None),
        ("[" * 5000, None),
        ("nonsense", None),
        ("null", None),
        ("", None),
        (None, None),
    ],
)
async def test_name_that_is_posted_is_taken_if_it_makes_sense(
    https: httpx.AsyncClient, apple: TestProvider, user: str | None, name: str | None
) -> None:
    told = await leave(https)
    apple.identify(told["nonce"], name=None)
    form = {"state": told["state"]} | ({} if user is None else {"user": user})
    tokens_in(await post_back(https, CALLBACK, **form))
    assert await fetchval("SELECT name FROM users") == name


async def test_name_of_the_id_token_comes_before_the_posted_one(
    https: httpx.AsyncClient, apple: TestProvider
) -> None:
    told = await leave(https)
    apple.identify(told["nonce"])
    await post_back(https, CALLBACK, state=told["state"], user=named("Somebody", "Else"))
    assert await fetchval("SELECT name FROM users") == "Erin"


async def test_provider_that_does_not_post_names_nobody(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    told = await leave(browser)
    provider.identify(told["nonce"], name=None)
    tokens_in(await come_back(browser, state=told["state"], user=named("Somebody", "Else")))
    assert await fetchval("SELECT name FROM users") is None


@pytest.mark.parametrize(
    "form",
    [
        {"state": "another"},
        {"state": ""},
        {"error": "server_error"},
        {"error": ""},
        {"code": ""},
        {"iss": "https://evil.example"},
    ],
)
async def test_posted_answer_that_is_not_to_our_question_signs_nobody_in(
    https: httpx.AsyncClient, apple: TestProvider, form: dict[str, str]
) -> None:
    told = await leave(https)
    apple.identify(told["nonce"])
    assert await post_back(https, CALLBACK, **{"state": told["state"], **form}) == FAILED
    assert "/token" not in apple.asked
    assert await counts() == (0, 0)
    is_known = form.get("state", told["state"]) == told["state"]
    assert cookies_of(https, told["state"]) == ([] if is_known else [https_name(told["state"])])


def https_name(state: str) -> str:
    return f"__Host-sign_in_{state[:16]}"


async def test_form_that_an_attacker_has_a_browser_post_signs_nobody_in(
    https: httpx.AsyncClient, apple: TestProvider
) -> None:
    """With the attacker's own code and state, the victim would go on as the attacker."""
    told = await leave(https)
    apple.identify(told["nonce"])
    https.cookies.clear()
    await leave(https)
    assert await post_back(https, CALLBACK, state=told["state"]) == FAILED
    assert await counts() == (0, 0)


async def test_cookie_that_a_subdomain_plants_is_none_of_ours(
    https: httpx.AsyncClient, apple: TestProvider
) -> None:
    """Browsers let nobody but the host itself set a cookie whose name begins so."""
    told = await leave(https)
    apple.identify(told["nonce"])
    value = https.cookies[https_name(told["state"])]
    https.cookies.clear()
    https.cookies.set(https_name(told["state"]).removeprefix("__Host-"), value)
    assert await post_back(https, CALLBACK, state=told["state"]) == FAILED
    assert "/token" not in apple.asked


async def test_answer_comes_as_it_was_asked_for(
    https: httpx.AsyncClient, apple: TestProvider
) -> None:
    told = await leave(https)
    apple.identify(told["nonce"])
    assert await come_back(https, CALLBACK, state=told["state"]) == FAILED
    other = await leave(https, OTHER)
    apple.identify(other["nonce"])
    assert await post_back(https, f"{OTHER}/callback", state=other["state"]) == FAILED
    assert await counts() == (0, 0)


async def test_form_that_is_no_answer_is_refused(
    https: httpx.AsyncClient, apple: TestProvider
) -> None:
    too_large = await https.post(CALLBACK, data={"state": "x" * 40_000})
    assert too_large.status_code == 413
    twice = await https.post(
        CALLBACK,
        content=b"state=a&state=b",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert twice.status_code == 400
    as_json = await https.post(CALLBACK, json={"state": "a"})
    assert (as_json.status_code, as_json.headers["Location"]) == (303, FAILED)
    assert not apple.asked


# Settings


def provider_settings(name: str = "acme", **members: object) -> str:
    client = {"issuer": "https://id.example", "clientId": "a", "clientSecret": "b"}
    return json.dumps({name: {**client, **members}})


@pytest.mark.parametrize(
    "text",
    [
        provider_settings(issuer="id.example"),
        provider_settings(tenants=[OURS]),
        provider_settings(issuer="https://id.example/{tenantid}"),
        provider_settings(issuer="https://id.example/{tenantid}", tenants=[]),
        provider_settings(issuer="https://id.example/{tenantid}", tenants=["*"]),
        provider_settings(issuer="https://id.example/{tenantid}", tenants=["example.com"]),
        provider_settings(responseMode="fragment"),
        provider_settings(scope="email profile"),
        provider_settings(scope="openidemail"),
        provider_settings(trustsEmail="yes"),
        provider_settings(trustEmail=True),
        provider_settings("me"),
        provider_settings("logout"),
        provider_settings("demo"),
        provider_settings("a/b"),
        provider_settings("a;b"),
        provider_settings(""),
    ],
)
def test_unfit_provider_stops_the_start_in_one_line(text: str) -> None:
    with pytest.raises(SettingsError, match="OIDC_PROVIDERS") as refused:
        load({"OIDC_PROVIDERS": text})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("public_url", "is_fit"),
    [
        ("https://events.example", True),
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("http://events.example", False),
    ],
)
def test_form_that_is_posted_needs_https(public_url: str, *, is_fit: bool) -> None:
    environment = {
        "PUBLIC_URL": public_url,
        "OIDC_PROVIDERS": provider_settings(responseMode="form_post"),
    }
    if is_fit:
        assert load(environment).OIDC_PROVIDERS["acme"].response_mode == "form_post"
        return
    with pytest.raises(SettingsError, match="PUBLIC_URL"):
        load(environment)


async def test_a_page_is_told_how_people_sign_in_here(
    client: httpx.AsyncClient,
    provider: TestProvider,  # noqa: ARG001 - it is configured
) -> None:
    told = (await client.get("/api/v1/auth/ways")).json()["data"]
    named = {each["name"]: each["title"] for each in told["providers"]}
    assert named == {"acme": "Acme", "other": "Other"}
    assert told["demo"] is True
