"""Signing in with an OpenID Connect provider: the authorization code flow with PKCE.

The browser is sent away with a state, a nonce and a code challenge, and keeps a signed cookie that
binds them to it. The nonce and the code verifier are derived from the state: the cookie tells
nobody what the provider has to be told. What the provider answers is believed when its signature,
issuer, audience, time and nonce are right (OpenID Connect Core 3.1.3.7, RFC 9700).
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken

from app.auth import discovery
from app.auth.discovery import FAULTS, Metadata, tls, unavailable, without_nulls
from app.auth.pending import (
    Pending,
    ProviderAnswer,
    cookie_name,
    derived,
    opened,
    sealed,
    superfluous,
    text_of,
)
from app.auth.people import SIGN_IN_TTL, Arrival, Identity
from app.auth.providers import Provider
from app.auth.sessions import token_policy
from app.auth.tokens import CLOCK_LEEWAY_SECONDS, TokenKey
from app.email_addresses import NotAnAddress, canonical_address
from app.errors import AccessDenied, InvalidToken, ValidationFailed
from app.settings import settings
from app.visible_text import cleaned_line

STATE_BYTES = 32
LONGEST_CLAIM = 2048
LONGEST_SUBJECT = 255
ASKED = ("email", "email_verified", "name", "picture")
REFUSED_BY_PERSON = {"access_denied", "user_cancelled_authorize"}
"""As RFC 6749 (4.1.2.1) has it, and Apple."""
SIGNED = "application/jwt"


class Departure(msgspec.Struct, frozen=True):
    """A browser on its way to a provider."""

    url: str
    cookie: str
    """The name of what it keeps."""
    value: str
    forgotten: list[str]
    """Names of cookies that it needs no longer."""


class AppleName(msgspec.Struct, frozen=True):
    """A name in its parts."""

    firstName: str | None = None
    lastName: str | None = None


class AppleUser(msgspec.Struct, frozen=True):
    """What Apple tells of a person through the browser."""

    name: AppleName


async def depart(
    provider: Provider,
    redirect_url: str,
    random_bytes: bytes,
    cookies: Mapping[str, str],
    now: datetime,
) -> Departure:
    """Send a browser to a provider.

    Args:
        provider: Where to.
        redirect_url: Where the front-end goes on afterwards; checked already.
        random_bytes: `STATE_BYTES` many.
        cookies: What the browser keeps of other sign-ins, among others.
        now: The time.

    Raises:
        ServiceUnavailable: The provider does not answer, or not as one.
    """
    metadata = await discovery.metadata_of(provider)
    key = token_policy().keys[0]
    state = text_of(random_bytes)
    async with _client(provider, metadata) as client:
        url, _ = client.create_authorization_url(
            metadata.authorization_endpoint,
            state=state,
            nonce=derived(key, "nonce", state),
            code_verifier=derived(key, "verifier", state),
            **({"response_mode": provider.configured.response_mode} if provider.posts else {}),
        )
    expires_at = (now + SIGN_IN_TTL).timestamp()
    value = sealed(Pending(provider.name, state, redirect_url, expires_at), key)
    return Departure(url, cookie_name(state), value, superfluous(cookies, value, now))


async def arrive(
    provider: Provider, answer: ProviderAnswer, cookies: Mapping[str, str], now: datetime
) -> Arrival:
    """Learn who came back with a browser.

    Args:
        provider: Where from.
        answer: What the provider had the browser bring.
        cookies: What the browser kept.
        now: The time.

    Raises:
        InvalidToken: The browser did not begin this, or the provider says nothing to believe.
        AccessDenied: The person would not.
        ServiceUnavailable: The provider does not answer.
    """
    pending, key = opened(provider, answer.state, cookies, now)
    if answer.error in REFUSED_BY_PERSON:
        raise AccessDenied(private=f"the provider answered with {answer.error}")
    if answer.error is not None:
        raise InvalidToken(private=f"the provider answered with the error {answer.error!r:.80}")
    try:
        async with asyncio.timeout(discovery.PROVIDER_TIMEOUT_SECONDS):
            claims = await _learned(provider, answer, key, now)
    except TimeoutError as error:
        raise unavailable(provider, error) from error
    if provider.posts:
        claims = {"name": _posted_name(answer.user), **claims}
    return Arrival(_identity(provider, claims), pending.redirect_url, pending.state)


async def _learned(
    provider: Provider, answer: ProviderAnswer, key: TokenKey, now: datetime
) -> dict[str, Any]:
    """Check that the provider answers, and ask it who came."""
    metadata = await discovery.metadata_of(provider)
    if answer.iss not in {*provider.issuers, None} or (
        answer.iss is None and metadata.authorization_response_iss_parameter_supported
    ):
        raise InvalidToken(private="the answer is another issuer's (RFC 9207)")
    if not answer.code:
        raise InvalidToken(private="the provider sent no code")
    claims = await _claims(provider, metadata, answer.code, answer.state, key, now)
    if answer.iss not in {claims["iss"], None}:
        raise InvalidToken(private="the answer is another tenant's (RFC 9207)")
    return claims


async def _claims(
    provider: Provider, metadata: Metadata, code: str, state: str, key: TokenKey, now: datetime
) -> dict[str, Any]:
    """Exchange the code, and check the ID token; ask what it does not say of the address."""
    try:
        async with _client(provider, metadata) as client:
            granted = await client.fetch_token(
                metadata.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=derived(key, "verifier", state),
            )
            nonce = derived(key, "nonce", state)
            claims = await _verified_claims(provider, metadata, granted, nonce, now)
            if metadata.userinfo_endpoint is not None and _lacks_address(provider, claims):
                claims = await _with_userinfo(client, metadata.userinfo_endpoint, claims)
            return claims
    except httpx2.TransportError as error:
        raise unavailable(provider, error) from error
    except FAULTS as error:
        raise InvalidToken(
            private=f"{provider.name}: {type(error).__name__}: {error!s:.200}"
        ) from error


async def _verified_claims(
    provider: Provider, metadata: Metadata, granted: Mapping[str, Any], nonce: str, now: datetime
) -> dict[str, Any]:
    id_token = granted.get("id_token")
    if not isinstance(id_token, str):
        raise InvalidToken(private="the provider sent no ID token")
    token = await discovery.decoded(provider, metadata, id_token)
    client_id = provider.configured.client_id
    claims = CodeIDToken(
        without_nulls(token.claims),
        token.header,
        options={
            "iss": {"essential": True, "values": sorted(provider.issuers)},
            "aud": {"essential": True, "value": client_id},
        },
        params={
            "nonce": nonce,
            "client_id": client_id,
            "access_token": granted.get("access_token"),
        },
    )
    claims.validate(int(now.timestamp()), CLOCK_LEEWAY_SECONDS)
    if provider.configured.tenants and claims["iss"] != provider.issuer_of(claims["tid"]):
        raise InvalidToken(private="the issuer is not that of the tenant")
    return dict(claims)


def _lacks_address(provider: Provider, claims: Mapping[str, Any]) -> bool:
    is_vouched_for = "email_verified" in claims or provider.configured.trusts_email
    return "email" not in claims or not is_vouched_for


async def _with_userinfo(
    client: AsyncOAuth2Client, endpoint: str, claims: dict[str, Any]
) -> dict[str, Any]:
    """Ask about the person whom the ID token names.

    An address and whether it is verified are taken from the same place: the one says nothing of the
    other's.
    """
    response = (await client.get(endpoint)).raise_for_status()
    if response.headers.get("content-type", "").lower().startswith(SIGNED):
        raise InvalidToken(private="the user info is a signed JWT; have the provider send JSON")
    userinfo = without_nulls(response.json())
    if userinfo.get("sub") != claims["sub"]:
        raise InvalidToken(private="the user info is somebody else's")
    if "email" in userinfo:
        claims = {name: claims[name] for name in claims if name != "email_verified"}
    else:
        userinfo.pop("email_verified", None)
    return claims | {name: userinfo[name] for name in ASKED if name in userinfo}


def _posted_name(user: str | None) -> str | None:
    """Read the name that Apple has the browser bring, once, and whose word it is: the person's.

    The address beside it is not looked at: anybody could write it.
    """
    with suppress(ValueError):
        name = msgspec.json.decode(user or "", type=AppleUser).name
        return " ".join(part for part in (name.firstName, name.lastName) if part)
    return None


def _identity(provider: Provider, claims: Mapping[str, Any]) -> Identity:
    """Take what we may keep.

    Of an issuer that many tenants share, a subject is somebody only together with the tenant.
    """
    subject, email, name = (_optional_text(claims.get(each)) for each in ("sub", "email", "name"))
    if subject is None or len(subject) > LONGEST_SUBJECT:
        raise InvalidToken(private="sub is not an id")
    return Identity(
        provider=provider.name,
        subject=f"{claims['tid']}:{subject}" if provider.configured.tenants else subject,
        email=email and _address(email),
        is_email_verified=_is_verified(provider, claims),
        name=name and cleaned_line(name),
        picture=_optional_text(claims.get("picture")),
    )


def _address(text: str) -> str | None:
    """Take an address that can be nobody else's; without one only a known identity comes in."""
    with suppress(NotAnAddress):
        return canonical_address(text)
    return None


def _is_verified(provider: Provider, claims: Mapping[str, Any]) -> bool:
    """Tell whether the provider vouches for the address; some write it as a text."""
    said = claims.get("email_verified")
    return provider.configured.trusts_email if said is None else said is True or said == "true"


def _optional_text(value: object) -> str | None:
    """Take a claim that we may keep: text of a sane length."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_CLAIM:
        return None
    is_sound = "\x00" not in value and not any("\ud800" <= each <= "\udfff" for each in value)
    return value if is_sound else None


def checked_redirect_url(url: str) -> str:
    """Return where the front-end may go on after signing in.

    That is a path of the front-end's own, an address at FRONTEND_URL or one of CORS_ORIGINS, or our
    page on which one joins a room.

    Raises:
        ValidationFailed: It is anything else.
    """
    is_plain = url.isascii() and url.isprintable() and not set(url) & {"\\", " "}
    is_path = url.startswith("/") and not url.startswith("//")
    if is_plain and (is_path or is_own_page(url) or _origin(url) in _trusted_origins()):
        return url
    raise ValidationFailed.at({"redirect_url": "Neither a path nor at a configured origin."})


def is_own_page(url: str) -> bool:
    """Tell whether it is our page on which one joins a room, to which tokens are given itself."""
    return "#" not in url and url.partition("?")[0] == settings().join_url


def _trusted_origins() -> set[str | None]:
    current = settings()
    return {_origin(url) for url in (current.front_end_url, *current.CORS_ORIGINS)} - {None}


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


def _client(provider: Provider, metadata: Metadata) -> AsyncOAuth2Client:
    methods = metadata.token_endpoint_auth_methods_supported
    return AsyncOAuth2Client(
        provider.configured.client_id,
        provider.configured.client_secret,
        token_endpoint_auth_method=next(
            (
                method
                for method in ("client_secret_basic", "client_secret_post")
                if method in methods
            ),
            "client_secret_basic",
        ),
        scope=provider.configured.scope,
        redirect_uri=provider.redirect_uri,
        code_challenge_method="S256",
        timeout=discovery.PROVIDER_TIMEOUT_SECONDS,
        verify=tls(),
    )
