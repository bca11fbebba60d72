"""What a provider publishes that we don't know, or that makes no sense, spoils nothing."""

from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from app.auth import discovery
from tests.auth.conftest import Configure
from tests.auth.journeys import FAILED, START, come_back, counts, leave, sign_in, tokens_in
from tests.auth.provider import CLIENT_ID, CLIENT_SECRET, KEY, TestProvider

GOOD = KEY.as_dict(private=False)
EC_KEY = ECKey.generate_key("P-256", {"kid": "one"})
EC = EC_KEY.as_dict(private=False)
PRIVATE = RSAKey.generate_key(2048, {"kid": "private"})
SECRET = OctKey.import_key("a secret that everybody can read, of sane length", {"kid": "secret"})
SHORT = {"kty": "RSA", "kid": "short", "e": "AQAB", "n": "u" * 171}

ODD_KEYS: dict[str, Any] = {
    "kty of tomorrow": {"kty": "AKP", "kid": "one", "alg": "ML-DSA-65", "pub": "AAAA"},
    "kty that is no text": {"kty": ["RSA"], "kid": "one", "n": "AAAA", "e": "AQAB"},
    "no kty": {"kid": "one", "n": GOOD["n"], "e": GOOD["e"]},
    "curve of tomorrow": {**EC, "crv": "brainpoolP256r1"},
    "curve that signs nothing": OKPKey.generate_key("X25519").as_dict(private=False),
    "curve of coins": ECKey.generate_key("secp256k1").as_dict(private=False),
    "point off its curve": {**EC, "x": "AAAA"},
    "member that is missing": {"kty": "RSA", "kid": "one", "n": GOOD["n"]},
    "member that is no text": {**GOOD, "e": 65537},
    "member that is no base64": {**GOOD, "n": "é" * 400},
    "modulus that is null": {**GOOD, "n": None},
    "algorithm of tomorrow": {**GOOD, "alg": "RS257"},
    "algorithm that is no text": {**GOOD, "alg": ["RS256"]},
    "for encryption": {**GOOD, "use": "enc"},
    "for signing alone": {**GOOD, "key_ops": ["sign"]},
    "short": SHORT,
    "short, and written long": {**SHORT, "n": "A" * 200 + "u" * 171},
    "private": PRIVATE.as_dict(private=True),
    "secret": SECRET.as_dict(),
    "no object": "key",
    "null": None,
}


@pytest.mark.parametrize("odd", ODD_KEYS.values(), ids=ODD_KEYS)
@pytest.mark.parametrize("comes_first", [True, False])
async def test_key_that_we_do_not_know_is_skipped(
    browser: httpx.AsyncClient, provider: TestProvider, odd: Any, *, comes_first: bool
) -> None:
    provider.published = [odd, GOOD] if comes_first else [GOOD, odd]
    tokens_in(await sign_in(browser, provider))


@pytest.mark.parametrize("key", [PRIVATE, SECRET], ids=["private", "secret"])
async def test_key_that_everybody_can_sign_with_is_not_used(
    browser: httpx.AsyncClient, provider: TestProvider, key: RSAKey | OctKey
) -> None:
    provider.key, provider.algorithm = key, "RS256" if isinstance(key, RSAKey) else "HS256"
    provider.published = [GOOD, key.as_dict(private=True)]
    assert await sign_in(browser, provider) == FAILED
    assert await counts() == (0, 0)


@pytest.mark.parametrize("odd", [{"use": "enc"}, {"alg": "PS256"}, {"key_ops": ["sign"]}])
async def test_key_for_something_else_is_not_used(
    browser: httpx.AsyncClient, provider: TestProvider, odd: dict[str, Any]
) -> None:
    provider.published = [{**GOOD, **odd}]
    assert await sign_in(browser, provider) == FAILED


@pytest.mark.parametrize(
    "members",
    [
        {"use": None, "alg": None, "key_ops": None, "x5c": None, "issuer": None},
        {"x5u": "not an address", "x5t": 7, "anything": {"at": "all"}},
        {"kid": None},
        {"kid": 7},
        {"key_ops": ["verify"], "use": "sig", "alg": "RS256"},
    ],
)
async def test_what_a_good_key_has_besides_does_not_matter(
    browser: httpx.AsyncClient, provider: TestProvider, members: dict[str, Any]
) -> None:
    provider.published = [{**GOOD, **members}]
    tokens_in(await sign_in(browser, provider))


@pytest.mark.parametrize("first", [EC, GOOD], ids=["EC", "RSA"])
async def test_keys_of_two_kinds_may_share_an_id(
    browser: httpx.AsyncClient, provider: TestProvider, first: Any
) -> None:
    provider.published = [first, GOOD if first is EC else EC]
    tokens_in(await sign_in(browser, provider))
    provider.key, provider.algorithm = EC_KEY, "ES256"
    tokens_in(await sign_in(browser, provider))


@pytest.mark.parametrize("keys", [[], {}, "keys", 7, {"a": GOOD}])
async def test_no_key_signs_nobody_in(
    browser: httpx.AsyncClient, provider: TestProvider, keys: Any
) -> None:
    provider.published = keys
    assert await sign_in(browser, provider) == FAILED
    assert await counts() == (0, 0)


OPTIONAL = {
    "userinfo_endpoint": None,
    "id_token_signing_alg_values_supported": None,
    "token_endpoint_auth_methods_supported": None,
    "authorization_response_iss_parameter_supported": None,
    "registration_endpoint": None,
}


async def test_member_that_is_null_is_absent(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    provider.metadata = OPTIONAL
    tokens_in(await sign_in(browser, provider))
    assert provider.token_requests[0]["auth"].startswith("Basic ")


async def test_claim_that_is_null_is_absent(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    told = await leave(browser)
    provider.identify(told["nonce"])
    names = ("nbf", "azp", "at_hash", "auth_time", "amr", "name", "picture")
    provider.claims |= dict.fromkeys(names)
    tokens_in(await come_back(browser, state=told["state"]))


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "iat", "exp", "nonce"])
async def test_claim_that_is_needed_and_null_is_missing(
    browser: httpx.AsyncClient, provider: TestProvider, name: str
) -> None:
    told = await leave(browser)
    provider.identify(told["nonce"])
    provider.claims[name] = None
    assert await come_back(browser, state=told["state"]) == FAILED


@pytest.mark.parametrize("name", ["issuer", "token_endpoint", "authorization_endpoint", "jwks_uri"])
async def test_member_that_is_needed_and_null_is_missing(
    browser: httpx.AsyncClient, provider: TestProvider, name: str
) -> None:
    provider.metadata = {name: None}
    assert (await browser.get(START)).headers["Location"] == FAILED


async def test_access_token_is_not_sent_in_the_clear(
    browser: httpx.AsyncClient, provider: TestProvider
) -> None:
    provider.metadata = {"userinfo_endpoint": "https://evil.example/userinfo"}
    assert (await browser.get(START)).headers["Location"] == FAILED


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys"])
async def test_nonsense_is_not_remembered(
    browser: httpx.AsyncClient, provider: TestProvider, path: str
) -> None:
    provider.raw[path] = b"{}"
    answer = await browser.get(START)
    if answer.headers["Location"] != FAILED:
        assert await sign_in(browser, provider) == FAILED
    provider.raw.clear()
    tokens_in(await sign_in(browser, provider))


async def test_issuer_that_ends_with_a_slash_is_another(
    browser: httpx.AsyncClient, provider: TestProvider, configure: Configure
) -> None:
    assert await sign_in(browser, provider, iss=f"{provider.issuer}/") == FAILED
    slashed = f"{provider.issuer}/"
    client = {"issuer": slashed, "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET}
    configure(OIDC_PROVIDERS={"acme": client})
    discovery._documents.clear()
    assert (await browser.get(START)).headers["Location"] == FAILED
    provider.metadata = {"issuer": slashed}
    tokens_in(await sign_in(browser, provider, iss=slashed))
    assert await sign_in(browser, provider, iss=provider.issuer) == FAILED
