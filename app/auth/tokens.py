"""Access and refresh tokens: minted, checked and compared here, without a clock, a query or a draw.

An access token is a JWT (RFC 9068, RFC 8725) of which exactly one spelling is accepted: the
header is compared with the text that we write ourselves, the signature with the text that we
would write, and the claims are written again and compared. Whoever finds a second spelling of
a token would have a second SHA-256, and so a way around the blacklist.

A refresh token is opaque. Only hashes of refresh tokens are stored.
"""

import base64
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
from jwt.algorithms import HMACAlgorithm

from app.errors import InvalidToken

ACCESS_TOKEN_TTL_SECONDS: Final = 3600
"""A token that claims to live longer is refused, whoever signed it."""

CLOCK_LEEWAY_SECONDS: Final = 30
"""How far ahead of ours the clock of the issuing server may be. Expiry has no leeway."""

MAX_TOKEN_LENGTH: Final = 4096
"""Characters. With the longest e-mail address there is, a token of ours has half as many."""

REFRESH_TOKEN_BYTES: Final = 32

REMEMBERED_GENERATIONS: Final = 720
"""Of refresh tokens: a month of a client that refreshes every hour."""

UnixSeconds = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""Whole seconds since 1970, within what every JSON reader holds exactly."""

_ALGORITHM = "HS256"
_TYPE = "at+jwt"
_HS256 = HMACAlgorithm(HMACAlgorithm.SHA256)
_COMPACT_FORM = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


class AccessClaims(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """What an access token says, in the order in which it says it."""

    sub: str
    """The user's id, as RFC 9068 names it; always equal to ``userId``."""
    userId: str
    """The user's id, as the migration plan's clients read it."""
    email: str
    sid: str
    """The session that the token belongs to and dies with."""
    jti: str
    iss: str
    aud: str
    iat: UnixSeconds
    exp: UnixSeconds
    """The first second in which the token is no longer accepted."""
    guestOf: str | None = None
    """The only room that a guest is in. What else a guest may do is told by the handlers."""


_CLAIMS_DECODER = msgspec.json.Decoder(AccessClaims)


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One secret, and what is derived from it once so that no request has to."""

    kid: str
    """Tells which secret signed, and nothing about the secret."""
    header: str
    """The only header that a token signed with this secret may have, as it stands in the token."""
    signing: bytes = field(repr=False)
    successor: bytes = field(repr=False)
    """Derives refresh tokens, and nothing else."""
    browser: bytes = field(repr=False)
    """Signs what a browser keeps while its person is at a sign-in provider, and nothing else."""
    code: bytes = field(repr=False)
    """Derives the codes that are sent by mail, and nothing else."""
    invitation: bytes = field(repr=False)
    """Hashes the codes of invitations, and nothing else."""

    @classmethod
    def of(cls, secret: str) -> "TokenKey":
        """Derive the key.

        Raises:
            jwt.InvalidKeyError: The secret is empty, or is itself a PEM, SSH or JSON Web Key.
        """
        signing = _HS256.prepare_key(secret)
        kid = _derive(signing, b"event-platform/kid/1")[:8].hex()
        header = msgspec.json.encode({"alg": _ALGORITHM, "kid": kid, "typ": _TYPE})
        successor_key = _derive(signing, b"event-platform/refresh-successor/1")
        browser_key = _derive(signing, b"event-platform/browser/1")
        code_key = _derive(signing, b"event-platform/code/1")
        invitation_key = _derive(signing, b"event-platform/invitation/1")
        return cls(
            kid,
            _base64url(header),
            signing,
            successor_key,
            browser_key,
            code_key,
            invitation_key,
        )


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """Who issues access tokens, for whom, and the secrets: the first signs, all verify.

    A new secret is first listed last, on every server, and then moved to the front: then no
    server meets a token, or a predecessor of a refresh token, whose secret it doesn't know.
    """

    issuer: str
    audience: str
    keys: tuple[TokenKey, ...]

    @classmethod
    def of(cls, secrets: tuple[str, ...], *, issuer: str, audience: str) -> "TokenPolicy":
        """Build it once, at start.

        Raises:
            ValueError: There is no secret.
            jwt.InvalidKeyError: A secret is unfit, see ``TokenKey.of``.
        """
        if not secrets:
            raise ValueError("Tokens need at least one secret.")
        return cls(issuer, audience, tuple(TokenKey.of(secret) for secret in secrets))


def mint_access_token(
    user_id: str,
    email: str,
    session_id: str,
    *,
    guest_of: str | None = None,
    policy: TokenPolicy,
    now: datetime,
    jti: str,
) -> str:
    """Sign an access token with the first secret.

    Args:
        user_id: Whom the token speaks for.
        email: The person's address, for clients that show it.
        session_id: The session that the token dies with.
        guest_of: The only room of a guest.
        policy: The issuer, the audience and the secrets.
        now: Cut to the second.
        jti: Unique to this token: two tokens minted in one second must differ in their hashes.
    """
    issued_at = _seconds(now)
    claims = AccessClaims(
        sub=user_id,
        userId=user_id,
        email=email,
        sid=session_id,
        jti=jti,
        iss=policy.issuer,
        aud=policy.audience,
        iat=issued_at,
        exp=issued_at + ACCESS_TOKEN_TTL_SECONDS,
        guestOf=guest_of,
    )
    key = policy.keys[0]
    signing_input = f"{key.header}.{_base64url(msgspec.json.encode(claims))}"
    return f"{signing_input}.{_signature(signing_input, key)}"


def decode_access_token(token: str, *, policy: TokenPolicy, now: datetime) -> AccessClaims:
    """Read the claims of a token that we signed, spelled as we spell it, and that is in force.

    In force is ``iat - CLOCK_LEEWAY_SECONDS <= now < exp``. Whether the token was revoked is
    not asked here.

    Raises:
        InvalidToken: In every other case; the private cause says which.
    """
    claims = _canonical_claims(_signed_payload(token, policy))
    _check_parties(claims, policy)
    _check_times(claims, _seconds(now))
    return claims


def _signed_payload(token: str, policy: TokenPolicy) -> str:
    """Nothing of the token is parsed before its signature is known to be ours."""
    if not isinstance(token, str):
        raise InvalidToken(private="the token is not text")
    if len(token) > MAX_TOKEN_LENGTH:
        raise InvalidToken(private=f"the token has {len(token)} characters")
    if _COMPACT_FORM.fullmatch(token) is None:
        raise InvalidToken(private="the token is not three parts of unpadded base64url")
    header, payload, signature = token.split(".")
    key = next((key for key in policy.keys if key.header == header), None)
    if key is None:
        raise InvalidToken(private=_foreign_header_cause(header, policy))
    if not hmac.compare_digest(_signature(f"{header}.{payload}", key), signature):
        raise InvalidToken(private=f"the signature is not that of secret {key.kid}")
    return payload


def _foreign_header_cause(segment: str, policy: TokenPolicy) -> str:
    """Say for the log how a header differs from ours; it has been refused already."""
    try:
        header = msgspec.json.decode(_unbase64url(segment))
    except (ValueError, RecursionError):
        return "the header is not JSON in base64url"
    if not isinstance(header, dict):
        return "the header is not a JSON object"
    accepted = {"alg": [_ALGORITHM], "typ": [_TYPE], "kid": [key.kid for key in policy.keys]}
    for name, values in accepted.items():
        if header.get(name) not in values:
            return f"the header's {name} is {header.get(name)!r:.60}"
    if further := sorted(header.keys() - accepted):
        return f"the header has further members: {further!r:.60}"
    return "the header is not spelled as ours (order, space, repeated members, spare bits)"


def _canonical_claims(payload: str) -> AccessClaims:
    """A repeated claim, another order, a space or an escape would not survive the rewriting."""
    try:
        claims = _CLAIMS_DECODER.decode(_unbase64url(payload))
    except ValueError as error:
        raise InvalidToken(private=f"the claims are unfit: {error}") from error
    if _base64url(msgspec.json.encode(claims)) != payload:
        raise InvalidToken(private="the claims are not spelled as ours")
    return claims


def _check_parties(claims: AccessClaims, policy: TokenPolicy) -> None:
    if claims.iss != policy.issuer:
        raise InvalidToken(private=f"iss is {claims.iss!r:.60}")
    if claims.aud != policy.audience:
        raise InvalidToken(private=f"aud is {claims.aud!r:.60}")
    if claims.sub != claims.userId:
        raise InvalidToken(private="sub and userId differ")


def _check_times(claims: AccessClaims, now_seconds: int) -> None:
    if not 0 < claims.exp - claims.iat <= ACCESS_TOKEN_TTL_SECONDS:
        raise InvalidToken(private=f"exp - iat is {claims.exp - claims.iat} s")
    if claims.iat > now_seconds + CLOCK_LEEWAY_SECONDS:
        raise InvalidToken(private=f"issued {claims.iat - now_seconds} s in the future")
    if claims.exp <= now_seconds:
        raise InvalidToken(private=f"expired {now_seconds - claims.exp} s ago", was="expired")


class VerifiedToken(msgspec.Struct, frozen=True, gc=False):
    """A token that was decoded, with what each of its requests and its revocation need."""

    claims: AccessClaims
    tokenHash: str
    sessionHash: str
    expiresAt: datetime

    @property
    def hashes(self) -> tuple[str, str]:
        """What the blacklist may have of it: the token's own, and its session's."""
        return (self.tokenHash, self.sessionHash)


class VerifiedTokens:
    """Remembers tokens that were decoded, so that each is decoded and hashed once.

    It answers until a token expires; whether the token was revoked must be asked on each
    request as before. When it is full the token that came first goes, which is also about the
    one that expires first. For one policy and one event loop.
    """

    def __init__(self, capacity: int) -> None:
        """Start empty.

        Args:
            capacity: Tokens; each takes about 1.7 kB.
        """
        self._capacity = capacity
        self._tokens: OrderedDict[str, VerifiedToken] = OrderedDict()

    def __len__(self) -> int:
        """Tokens held, expired ones that were not asked for again included."""
        return len(self._tokens)

    def get(self, token: str, now: datetime) -> VerifiedToken | None:
        """Return a token that was added, in the same spelling, and has not expired."""
        verified = self._tokens.get(token)
        if verified is None:
            return None
        if verified.expiresAt <= now:
            del self._tokens[token]
            return None
        return verified

    def add(self, token: str, claims: AccessClaims) -> VerifiedToken:
        """Remember a token with the claims that ``decode_access_token`` returned for it."""
        expires_at = datetime.fromtimestamp(claims.exp, UTC)
        verified = VerifiedToken(claims, token_hash(token), session_hash(claims.sid), expires_at)
        self._tokens[token] = verified
        if len(self._tokens) > self._capacity:
            self._tokens.popitem(last=False)
        return verified


def token_hash(token: str) -> str:
    """SHA-256 in hexadecimal: what the blacklist and the sessions hold in place of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def session_hash(session_id: str) -> str:
    """What the blacklist holds in place of every access token of a session.

    No token has this hash: a token has no colon.
    """
    return token_hash(f"session:{session_id}")


def new_refresh_token(random_bytes: bytes) -> str:
    """Begin a chain of refresh tokens.

    Raises:
        ValueError: Not ``REFRESH_TOKEN_BYTES`` many.
    """
    if len(random_bytes) != REFRESH_TOKEN_BYTES:
        raise ValueError(f"A refresh token takes {REFRESH_TOKEN_BYTES} random bytes.")
    return _base64url(random_bytes)


def successor(predecessor: str, key: bytes) -> str:
    """Derive the refresh token that follows: the same one, however often it is asked for.

    Args:
        predecessor: As the client sent it; tokens from before the redesign have successors too.
        key: ``TokenKey.successor`` of the first secret.
    """
    return _base64url(_derive(key, predecessor.encode()))


def issued_successor(predecessor: str, issued_hash: str, keys: Sequence[TokenKey]) -> str | None:
    """Find the successor that was issued already, whichever secret was the first at that time.

    None when that secret is not listed any more. The token can't be told again then; its loss
    is no sign of theft, so the session should live on for whoever received it.

    Args:
        predecessor: As the client sent it.
        issued_hash: The session's present ``refreshToken``.
        keys: All of the policy's.
    """
    candidates = (successor(predecessor, key.successor) for key in keys)
    return next((token for token in candidates if token_hash(token) == issued_hash), None)


def descendants(ancestor: str, key: bytes) -> Iterator[str]:
    """Derive the refresh tokens that followed one of our own, the next one first.

    How a session is found by a token of its past, of which it keeps only the last. It ends after
    ``REMEMBERED_GENERATIONS``, and a change of the first secret breaks it off.

    Args:
        ancestor: As the client sent it.
        key: ``TokenKey.successor`` of the secret that was the first at that time.
    """
    for _ in range(REMEMBERED_GENERATIONS):
        ancestor = successor(ancestor, key)
        yield ancestor


def _signature(signing_input: str, key: TokenKey) -> str:
    return _base64url(_HS256.sign(signing_input.encode(), key.signing))


def _derive(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _unbase64url(text: str) -> bytes:
    """Lenient, as base64 is in Python: compare with what ``_base64url`` makes of the value."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _seconds(now: datetime) -> int:
    """Whole seconds since 1970; a time without a zone is a TypeError."""
    return (now - _EPOCH) // _SECOND
