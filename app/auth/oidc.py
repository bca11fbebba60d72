"""Signing in with an OpenID Connect provider: the authorization code flow with PKCE.

The browser is sent away with a state, a nonce and a code challenge, and keeps a signed cookie that
binds them to it. The nonce and the code verifier are derived from the state: the cookie tells
nobody what the provider has to be told. What the provider answers is believed when its signature,
issuer, audience, time and nonce are right (OpenID Connect Core 3.1.3.7, RFC 9700).
"""

import asyncio
import functools
import hmac
import math
import ssl
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app.auth.people import SIGN_IN_TTL, Arrival, Identity
from app.auth.sessions import token_policy
from app.auth.tokens import CLOCK_LEEWAY_SECONDS, TokenKey
from app.errors import (
    InvalidToken,
    NotFound,
    OAuthNotConfigured,
    ServiceUnavailable,
    ValidationFailed,
)
from app.settings import OidcProvider, settings

GOOGLE = "google"
GOOGLE_ISSUER = "https://accounts.google.com"
SCOPE = "openid email profile"
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"})
"""Of signatures with a public key. With HS256 a public key could be taken for the secret."""

PROVIDER_TIMEOUT_SECONDS = 5.0
"""For everything that one of our requests asks of a provider."""
METADATA_TTL_SECONDS = 3600.0
KEYS_PAUSE_SECONDS = 60.0
"""A signature by an unknown key makes us read the keys again, but not more often than this."""
STATE_BYTES = 32
LONGEST_CLAIM = 2048
LONGEST_SUBJECT = 255

FAULTS = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    OAuthError,
    JoseError,
    ValueError,
    TypeError,
    KeyError,
)
"""What the libraries raise about an answer that makes no sense."""


class Provider(msgspec.Struct, frozen=True):
    """A provider that people may sign in with."""

    name: str
    issuer: str
    client_id: str
    client_secret: str

    @property
    def path(self) -> str:
        """Where its sign-in begins here."""
        return f"/api/v1/auth/{self.name}"

    @property
    def redirect_uri(self) -> str:
        """Where it sends the browser back to; registered there exactly so."""
        return f"{settings().PUBLIC_URL}{self.path}/callback"


class Metadata(msgspec.Struct, frozen=True):
    """What a provider says of itself (OpenID Connect Discovery)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] = ()
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Departure(msgspec.Struct, frozen=True):
    """A browser on its way to a provider."""

    url: str
    cookie: str


class Pending(msgspec.Struct, frozen=True, array_like=True):
    """What the browser's cookie says about a sign-in that has begun."""

    provider: str
    state: str
    redirect_url: str
    expires_at: int


@functools.cache
def providers() -> Mapping[str, Provider]:
    """Return the configured providers by name."""
    current = settings()
    configured = dict(current.OIDC_PROVIDERS)
    if current.GOOGLE_CLIENT_ID and current.GOOGLE_CLIENT_SECRET and GOOGLE not in configured:
        configured[GOOGLE] = OidcProvider(
            GOOGLE_ISSUER, current.GOOGLE_CLIENT_ID, current.GOOGLE_CLIENT_SECRET
        )
    return {
        name: Provider(name, each.issuer, each.client_id, each.client_secret)
        for name, each in configured.items()
    }


def provider_named(name: str) -> Provider:
    """Find a provider.

    Raises:
        OAuthNotConfigured: It is Google, and has no credentials here.
        NotFound: There is none of this name.
    """
    provider = providers().get(name)
    if provider is None:
        raise OAuthNotConfigured if name == GOOGLE else NotFound
    return provider


async def depart(
    provider: Provider, redirect_url: str, random_bytes: bytes, now: datetime
) -> Departure:
    """Send a browser to a provider.

    Args:
        provider: Where to.
        redirect_url: Where the front-end goes on afterwards; checked already.
        random_bytes: `STATE_BYTES` many.
        now: The time.

    Raises:
        ServiceUnavailable: The provider does not answer, or not as one.
    """
    metadata = await _metadata(provider)
    key = token_policy().keys[0]
    state = _text(random_bytes)
    async with _client(provider, metadata) as client:
        url, _ = client.create_authorization_url(
            metadata.authorization_endpoint,
            state=state,
            nonce=_derived(key, "nonce", state),
            code_verifier=_derived(key, "verifier", state),
        )
    expires_at = int((now + SIGN_IN_TTL).timestamp())
    return Departure(url, _sealed(Pending(provider.name, state, redirect_url, expires_at), key))


async def arrive(
    provider: Provider, query: Mapping[str, str], cookie: str | None, now: datetime
) -> Arrival:
    """Learn who came back with a browser.

    Args:
        provider: Where from.
        query: What the provider had the browser bring.
        cookie: What the browser kept.
        now: The time.

    Raises:
        InvalidToken: The browser did not begin this, or the provider says nothing to believe.
        ServiceUnavailable: The provider does not answer.
    """
    pending, key = _opened(provider, cookie, now)
    if not hmac.compare_digest(query.get("state", "").encode(), pending.state.encode()):
        raise InvalidToken(private="the state is not that of this browser")
    if "error" in query:
        raise InvalidToken(private=f"the provider answered with the error {query['error']!r:.80}")
    try:
        async with asyncio.timeout(PROVIDER_TIMEOUT_SECONDS):
            claims = await _learned(provider, query, pending.state, key, now)
    except TimeoutError as error:
        raise _unavailable(provider, error) from error
    return Arrival(_identity(provider, claims), pending.redirect_url, pending.state)


async def _learned(
    provider: Provider, query: Mapping[str, str], state: str, key: TokenKey, now: datetime
) -> dict[str, Any]:
    """Check that the provider answers, and ask it who came."""
    metadata = await _metadata(provider)
    issuer = query.get("iss")
    if issuer not in {metadata.issuer, None} or (
        issuer is None and metadata.authorization_response_iss_parameter_supported
    ):
        raise InvalidToken(private="the answer is another issuer's (RFC 9207)")
    code = query.get("code")
    if not code:
        raise InvalidToken(private="the provider sent no code")
    return await _claims(provider, metadata, code, state, key, now)


async def _claims(
    provider: Provider, metadata: Metadata, code: str, state: str, key: TokenKey, now: datetime
) -> dict[str, Any]:
    """Exchange the code, and check the ID token; ask for the e-mail address where it is missing."""
    try:
        async with _client(provider, metadata) as client:
            answer = await client.fetch_token(
                metadata.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=_derived(key, "verifier", state),
            )
            claims = await _verified_claims(
                provider, metadata, answer, _derived(key, "nonce", state), now
            )
            if "email" not in claims and metadata.userinfo_endpoint is not None:
                claims = await _with_userinfo(client, metadata.userinfo_endpoint, claims)
            return claims
    except httpx2.TransportError as error:
        raise _unavailable(provider, error) from error
    except FAULTS as error:
        raise InvalidToken(
            private=f"{provider.name}: {type(error).__name__}: {error!s:.200}"
        ) from error


async def _verified_claims(
    provider: Provider, metadata: Metadata, answer: Mapping[str, Any], nonce: str, now: datetime
) -> dict[str, Any]:
    id_token = answer.get("id_token")
    if not isinstance(id_token, str):
        raise InvalidToken(private="the provider sent no ID token")
    supported = ALGORITHMS.intersection(metadata.id_token_signing_alg_values_supported or ["RS256"])
    token = await _decoded(metadata, id_token, sorted(supported))
    claims = CodeIDToken(
        token.claims,
        token.header,
        options={
            "iss": {"essential": True, "value": provider.issuer},
            "aud": {"essential": True, "value": provider.client_id},
        },
        params={
            "nonce": nonce,
            "client_id": provider.client_id,
            "access_token": answer.get("access_token"),
        },
    )
    claims.validate(int(now.timestamp()), CLOCK_LEEWAY_SECONDS)
    return dict(claims)


async def _decoded(metadata: Metadata, id_token: str, algorithms: list[str]) -> jwt.Token:
    """Check the signature; a key that we don't know may be a new one."""
    try:
        return jwt.decode(id_token, await _keys(metadata), algorithms)
    except (JoseError, ValueError):
        keys = await _keys(metadata, older_than_seconds=KEYS_PAUSE_SECONDS)
        return jwt.decode(id_token, keys, algorithms)


async def _with_userinfo(
    client: AsyncOAuth2Client, endpoint: str, claims: dict[str, Any]
) -> dict[str, Any]:
    response = await client.get(endpoint)
    userinfo = response.raise_for_status().json()
    if not isinstance(userinfo, dict) or userinfo.get("sub") != claims["sub"]:
        raise InvalidToken(private="the user info is somebody else's")
    names = ("email", "email_verified", "name", "picture")
    return claims | {name: userinfo[name] for name in names if name in userinfo}


def _identity(provider: Provider, claims: Mapping[str, Any]) -> Identity:
    subject, email = claims["sub"], _optional_text(claims.get("email"))
    if _optional_text(subject) != subject or len(subject) > LONGEST_SUBJECT:
        raise InvalidToken(private="sub is not an id")
    return Identity(
        provider=provider.name,
        subject=subject,
        email=email and email.strip().lower(),
        is_email_verified=claims.get("email_verified") is True,
        name=_optional_text(claims.get("name")),
        picture=_optional_text(claims.get("picture")),
    )


def _optional_text(value: object) -> str | None:
    """Take a claim that we may keep: text of a sane length."""
    is_sane = isinstance(value, str) and 0 < len(value) <= LONGEST_CLAIM and "\x00" not in value
    return str(value) if is_sane else None


def checked_redirect_url(url: str) -> str:
    """Return where the front-end may go on after signing in.

    That is a path of the front-end's own, or an address at FRONTEND_URL or one of CORS_ORIGINS.

    Raises:
        ValidationFailed: It is anything else.
    """
    is_plain = url.isascii() and url.isprintable() and not set(url) & {"\\", " "}
    is_path = url.startswith("/") and not url.startswith("//")
    if is_plain and (is_path or _origin(url) in _trusted_origins()):
        return url
    raise ValidationFailed.at({"redirect_url": "Neither a path nor at a configured origin."})


def _trusted_origins() -> set[str | None]:
    current = settings()
    return {_origin(url) for url in (current.FRONTEND_URL, *current.CORS_ORIGINS)} - {None}


def _origin(url: str) -> str | None:
    """Return scheme, host and port; None for what a browser might read in another way."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        return None
    return f"{parts.scheme}://{parts.hostname}:{port or {'http': 80, 'https': 443}[parts.scheme]}"


def _sealed(pending: Pending, key: TokenKey) -> str:
    content = _text(msgspec.json.encode(pending))
    return f"{content}.{_derived(key, 'cookie', content)}"


def _opened(provider: Provider, cookie: str | None, now: datetime) -> tuple[Pending, TokenKey]:
    """Read a cookie, and say with which secret its sign-in began."""
    content, _, seal = (cookie or "").partition(".")
    for key in token_policy().keys:
        if hmac.compare_digest(_derived(key, "cookie", content).encode(), seal.encode()):
            pending = msgspec.json.decode(_bytes(content), type=Pending)
            if pending.provider != provider.name or pending.expires_at <= now.timestamp():
                raise InvalidToken(private="the sign-in began too long ago, or elsewhere")
            return pending, key
    raise InvalidToken(private="the browser did not begin this sign-in")


async def _metadata(provider: Provider) -> Metadata:
    """Read what the provider says of itself, or remember it."""
    url = f"{provider.issuer.removesuffix('/')}/.well-known/openid-configuration"
    try:
        metadata = msgspec.convert(await _document(url, METADATA_TTL_SECONDS), Metadata)
    except (TimeoutError, *FAULTS) as error:
        raise _unavailable(provider, error) from error
    endpoints = (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri)
    scheme = urlsplit(provider.issuer).scheme
    if metadata.issuer != provider.issuer or {urlsplit(each).scheme for each in endpoints} != {
        scheme
    }:
        raise InvalidToken(private=f"{provider.name}: the discovery document is another issuer's")
    return metadata


async def _keys(metadata: Metadata, *, older_than_seconds: float = METADATA_TTL_SECONDS) -> KeySet:
    return KeySet.import_key_set(await _document(metadata.jwks_uri, older_than_seconds))


_documents: dict[str, tuple[float, Any]] = {}


async def _document(url: str, max_age_seconds: float) -> Any:
    """Read a JSON document of a provider, unless what we have of it is young enough."""
    read_at, document = _documents.get(url, (-math.inf, None))
    if time.monotonic() - read_at > max_age_seconds:
        async with (
            asyncio.timeout(PROVIDER_TIMEOUT_SECONDS),
            httpx2.AsyncClient(verify=_tls(), timeout=PROVIDER_TIMEOUT_SECONDS) as client,
        ):
            response = await client.get(url)
        document = response.raise_for_status().json()
        _documents[url] = (time.monotonic(), document)
    return document


def _client(provider: Provider, metadata: Metadata) -> AsyncOAuth2Client:
    methods = metadata.token_endpoint_auth_methods_supported
    return AsyncOAuth2Client(
        provider.client_id,
        provider.client_secret,
        token_endpoint_auth_method=next(
            (
                method
                for method in ("client_secret_basic", "client_secret_post")
                if method in methods
            ),
            "client_secret_basic",
        ),
        scope=SCOPE,
        redirect_uri=provider.redirect_uri,
        code_challenge_method="S256",
        timeout=PROVIDER_TIMEOUT_SECONDS,
        verify=_tls(),
    )


@functools.cache
def _tls() -> ssl.SSLContext:
    """Make it once: it reads all of the machine's certificates."""
    return ssl.create_default_context()


def _unavailable(provider: Provider, error: Exception) -> ServiceUnavailable:
    cause = f"{provider.name} does not answer: {type(error).__name__}: {error!s:.200}"
    return ServiceUnavailable("The sign-in provider does not answer.", private=cause)


def _derived(key: TokenKey, purpose: str, value: str) -> str:
    """Derive a text of 43 characters that only we can derive."""
    return _text(hmac.digest(key.browser, f"{purpose}:{value}".encode(), "sha256"))


def _text(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
