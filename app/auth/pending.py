"""Sign-ins that have begun: what a browser keeps of each until it comes back from the provider.

Each has a cookie of its own, named by the beginning of its state, so that two tabs that sign in at
once both arrive. With HTTPS its name begins with `__Host-`, so that no subdomain can plant one (RFC
6265bis, 4.1.3.2); for that it must be sent to the whole host.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime

import msgspec

from app.auth.providers import Provider
from app.auth.sessions import token_policy
from app.auth.tokens import TokenKey
from app.errors import InvalidToken
from app.http.public_path import public
from app.settings import settings

COOKIE = "sign_in_"
HOST_ONLY = "__Host-"
NAMED_CHARACTERS = 16
"""Of a state, which has 43."""
MOST_PENDING = 8
LARGEST_BYTES = 4096
"""Of all the cookies together: a server in front may refuse headers of twice that."""


class ProviderAnswer(msgspec.Struct, frozen=True):
    """What a provider has the browser bring back."""

    state: str = ""
    code: str | None = None
    iss: str | None = None
    """Who answers (RFC 9207)."""
    error: str | None = None
    user: str | None = None
    """JSON that Apple adds when somebody signs in for the first time."""


class Pending(msgspec.Struct, frozen=True, array_like=True):
    """What a cookie says."""

    provider: str
    state: str
    redirect_url: str
    expires_at: float


def cookie_name(state: str) -> str:
    """Name the cookie of a sign-in."""
    return f"{_prefix()}{state[:NAMED_CHARACTERS]}"


def cookie_path(provider: Provider) -> str:
    """Say where the cookies of a provider's sign-ins are sent."""
    return "/" if settings().serves_https else public(provider.path)


def _prefix() -> str:
    return f"{HOST_ONLY}{COOKIE}" if settings().serves_https else COOKIE


def sealed(pending: Pending, key: TokenKey) -> str:
    """Write a cookie."""
    content = text_of(msgspec.json.encode(pending))
    return f"{content}.{derived(key, 'cookie', content)}"


def opened(
    provider: Provider, state: str, cookies: Mapping[str, str], now: datetime
) -> tuple[Pending, TokenKey]:
    """Read the cookie of a sign-in, and say with which secret it began.

    Raises:
        InvalidToken: This browser did not begin it, not with this provider, or too long ago.
    """
    content, _, seal = cookies.get(cookie_name(state), "").partition(".")
    for key in token_policy().keys:
        if hmac.compare_digest(derived(key, "cookie", content).encode(), seal.encode()):
            pending = msgspec.json.decode(bytes_of(content), type=Pending)
            if not hmac.compare_digest(state.encode(), pending.state.encode()):
                raise InvalidToken(private="the state is not that of this browser")
            if pending.provider != provider.name or pending.expires_at <= now.timestamp():
                raise InvalidToken(private="the sign-in began too long ago, or elsewhere")
            return pending, key
    raise InvalidToken(private="the browser did not begin this sign-in")


def superfluous(cookies: Mapping[str, str], added: str, now: datetime) -> list[str]:
    """Choose what a browser forgets when it begins one more sign-in, so that it sends little.

    Args:
        cookies: All that it sends.
        added: The cookie of the new sign-in.
        now: The time.

    Returns:
        Names of cookies: of sign-ins that are over, and of the oldest of too many.
    """
    ends = {name: _end(cookies[name]) for name in cookies if name.startswith(_prefix())}
    room = LARGEST_BYTES - len(added)
    forgotten = []
    for position, name in enumerate(sorted(ends, key=ends.__getitem__, reverse=True), start=1):
        room -= len(name) + len(cookies[name])
        if position >= MOST_PENDING or room < 0 or ends[name] <= now.timestamp():
            forgotten.append(name)
    return forgotten


def _end(cookie: str) -> float:
    """Read until when a cookie is good; the beginning of time for what is none of ours."""
    try:
        content = bytes_of(cookie.partition(".")[0])
        return msgspec.json.decode(content, type=Pending).expires_at
    except ValueError:
        return 0


def derived(key: TokenKey, purpose: str, value: str) -> str:
    """Derive a text of 43 characters that only we can derive."""
    return text_of(hmac.digest(key.browser, f"{purpose}:{value}".encode(), "sha256"))


def text_of(value: bytes) -> str:
    """Write bytes in characters that cookies and addresses take."""
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def bytes_of(text: str) -> bytes:
    """Read what `text_of` writes.

    Raises:
        ValueError: It is something else.
    """
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
