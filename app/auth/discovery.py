"""What a provider publishes: how it describes itself, and the keys that it signs with."""

import asyncio
import functools
import math
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import httpx2
import msgspec
from authlib.integrations.base_client.errors import OAuthError
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from app.auth.pending import bytes_of
from app.auth.providers import Provider
from app.errors import InvalidToken, ServiceUnavailable

T = TypeVar("T")

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"})
"""Of signatures with a public key. With HS256 a public key could be taken for the secret."""
KEY_MEMBERS = ("kty", "use", "key_ops", "alg", "n", "e", "crv", "x", "y")
"""What of a public key is looked at."""
PRIVATE_MEMBERS = frozenset({"d", "k", "p", "q", "dp", "dq", "qi", "oth"})
SHORTEST_RSA_BITS = 2048
"""RFC 7518, 3.3."""

PROVIDER_TIMEOUT_SECONDS = 5.0
"""For everything that one of our requests asks of a provider."""
METADATA_TTL_SECONDS = 3600.0
KEYS_PAUSE_SECONDS = 60.0
"""A signature by an unknown key makes us read the keys again, but not more often than this."""

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


async def metadata_of(provider: Provider) -> Metadata:
    """Read what a provider says of itself, or remember it.

    Raises:
        ServiceUnavailable: It does not answer, or not as a provider.
        InvalidToken: What it says is another's, or leads to another scheme.
    """
    try:
        return await _published(provider, provider.description_url, METADATA_TTL_SECONDS, _metadata)
    except (TimeoutError, *FAULTS) as error:
        raise unavailable(provider, error) from error


def _metadata(provider: Provider, document: Any) -> Metadata:
    metadata = msgspec.convert(without_nulls(document), Metadata)
    endpoints = (
        metadata.authorization_endpoint,
        metadata.token_endpoint,
        metadata.jwks_uri,
        metadata.userinfo_endpoint or metadata.jwks_uri,
    )
    issuer = provider.configured.issuer
    schemes = {urlsplit(each).scheme for each in (issuer, *endpoints)}
    if metadata.issuer != issuer or len(schemes) > 1:
        raise InvalidToken(private=f"{provider.name}: the discovery document is another issuer's")
    return metadata


async def decoded(provider: Provider, metadata: Metadata, id_token: str) -> jwt.Token:
    """Check the signature; one by a key that we don't know may be by a new one.

    Raises:
        JoseError: No published key made it, or not with an algorithm that the provider has.
    """
    supported = ALGORITHMS.intersection(metadata.id_token_signing_alg_values_supported or ["RS256"])
    keys = await _published(provider, metadata.jwks_uri, METADATA_TTL_SECONDS, _keys)
    with suppress(*FAULTS):
        return _verified(id_token, keys, sorted(supported))
    keys = await _published(provider, metadata.jwks_uri, KEYS_PAUSE_SECONDS, _keys)
    return _verified(id_token, keys, sorted(supported))


def _verified(id_token: str, keys: list[Key], algorithms: list[str]) -> jwt.Token:
    """Try every key: `kid` is a hint that may be missing, and keys of several kinds may share."""
    for key in keys:
        with suppress(*FAULTS):
            return jwt.decode(id_token, key, algorithms)
    raise JoseError(f"none of {len(keys)} published keys signed it")


def _keys(provider: Provider, document: Any) -> list[Key]:
    """Take the keys that verify signatures, and skip all others (RFC 7517, 5)."""
    keys: list[Key] = []
    for jwk in document["keys"]:
        with suppress(UnsupportedAlgorithm, *FAULTS):
            keys.append(_key(provider, jwk))
    return keys


def _key(provider: Provider, jwk: Any) -> Key:
    """Read a key.

    Raises:
        ValueError: It is not for us; what the libraries raise besides, too, if it makes no sense.
    """
    members = without_nulls(jwk)
    issuer = provider.configured.issuer
    if (
        # A key whose private half is published proves nothing.
        PRIVATE_MEMBERS & members.keys()
        or members.get("use", "sig") != "sig"
        or members.get("alg", "RS256") not in ALGORITHMS
        # So Microsoft says whose tokens a key may sign.
        or members.get("issuer", issuer) not in {issuer, *provider.issuers}
    ):
        raise ValueError("not a key for signatures that we know")
    if "n" in members and int.from_bytes(bytes_of(members["n"])).bit_length() < SHORTEST_RSA_BITS:
        raise ValueError("too short")
    known = {name: members[name] for name in KEY_MEMBERS if name in members}
    return JWKRegistry.import_key(known)


def without_nulls(document: Any) -> dict[str, Any]:
    """Read a JSON object: a member that is null is absent (RFC 8414, 3.2).

    Raises:
        ValueError: It is no object.
    """
    members = msgspec.convert(document, dict[str, Any])
    return {name: value for name, value in members.items() if value is not None}


_documents: dict[tuple[str, str], tuple[float, Any]] = {}


async def _published(
    provider: Provider, url: str, max_age_seconds: float, read: Callable[[Provider, Any], T]
) -> T:
    """Read a JSON document of a provider, unless what we have of it is young enough.

    Only what makes sense is kept: a provider that has answered with nonsense is asked again.
    """
    read_at, known = _documents.get((provider.name, url), (-math.inf, None))
    if time.monotonic() - read_at > max_age_seconds:
        async with (
            asyncio.timeout(PROVIDER_TIMEOUT_SECONDS),
            httpx2.AsyncClient(verify=tls(), timeout=PROVIDER_TIMEOUT_SECONDS) as client,
        ):
            response = await client.get(url)
        known = read(provider, response.raise_for_status().json())
        _documents[provider.name, url] = (time.monotonic(), known)
    return cast("T", known)


@functools.cache
def tls() -> ssl.SSLContext:
    """Make it once: it reads all of the machine's certificates."""
    return ssl.create_default_context()


def unavailable(provider: Provider, error: Exception) -> ServiceUnavailable:
    """Say that a provider does not answer; the cause is for the log."""
    cause = f"{provider.name} does not answer: {type(error).__name__}: {error!s:.200}"
    return ServiceUnavailable("The sign-in provider does not answer.", private=cause)
