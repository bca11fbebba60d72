"""`Idempotency-Key`: a POST that is sent again is done once and answered as the first time.

The request runs inside one transaction together with the record of its answer, so both are there
or neither: a server that dies half-way leaves nothing behind, and who asks again is served.

A handler that is marked with `IN_STEPS` commits what it does step by step, and repeating it goes on
where it stopped. Its key is recorded before, and the answer afterwards, once it has succeeded.
"""

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

import asyncpg
import msgspec
from litestar import Request
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.status_codes import HTTP_400_BAD_REQUEST, HTTP_500_INTERNAL_SERVER_ERROR
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.utils.scope.state import ScopeState

from app.auth.tokens import AccessClaims
from app.database.engine import fetch, fetchval, jsonb, transaction
from app.errors import Conflict, InvalidToken, RateLimitExceeded, ValidationFailed
from app.http.bodies import ApiRequest
from app.settings import settings
from app.tables import User

IN_STEPS = {"in_steps": True}
"""As the `opt` of a handler, which may ask for `idempotency_key_of` to know a request again."""
WITHOUT_KEYS = ("/api/v1/auth/", "/api/v1/invitations/")
LARGEST_KEPT_BYTES = 64 * 1024
"""Of a larger answer only a summary is kept."""
MOST_KEYS = 10_000
"""That one person may have in use; one more is refused before anything is done."""
MOST_KEPT_BYTES = 10_000_000
"""Of all answers that are kept for one person; of what comes on top, a summary."""
KEY_FORM = re.compile(r"[!-~]{1,255}")
KEPT_HEADERS = ("content-type", "etag", "location")
NOT_AN_ANSWER = frozenset({401, 429})
"""Refusals that say nothing of what was asked for. Nor do failures of ours, from 500."""


class Idempotency(ASGIMiddleware):
    """Answers a POST with an `Idempotency-Key` as the caller's first one with it was answered.

    Not below /auth: what is signed in is not kept in a table, and refreshing repeats itself safely.
    Nor where codes of rooms are tried, which repeats itself safely, too: a digest of one tells it.
    """

    scopes = (ScopeType.HTTP,)
    should_bypass_for_scope = staticmethod(lambda scope: scope["path"].startswith(WITHOUT_KEYS))

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Find the kept answer, or make it and keep it.

        Raises:
            ValidationFailed: The key does not have the form of one.
            Conflict: The key came with another request, one with it is under way, or what it was
                answered is not kept.
            RateLimitExceeded: The caller has too many keys in use.
        """
        caller = scope["user"]
        if scope.get("method") != "POST" or not isinstance(caller, AccessClaims):
            await next_app(scope, receive, send)
            return
        request = ApiRequest(scope, receive, send)
        key = request.headers.get("idempotency-key")
        if key is None:
            await next_app(scope, receive, send)
            return
        if not KEY_FORM.fullmatch(key):
            raise ValidationFailed.at({"Idempotency-Key": "1 to 255 visible ASCII characters."})
        kept_id = hashlib.sha256(f"{caller.sub} {key}".encode()).hexdigest()
        this = _Request(kept_id, caller.sub, await _digest(request), scope, receive, next_app)
        in_steps = scope["route_handler"].opt.get("in_steps", False)
        answer = await (_answer_in_steps(this) if in_steps else _answer_at_once(this))
        await answer.give(send)


class _Request(NamedTuple):
    """What came with a key."""

    kept_id: str
    user_id: str
    digest: str
    scope: Scope
    receive: Receive
    next_app: ASGIApp

    async def run(self) -> "Answer":
        """Let the handler answer."""
        answer = Answer()
        await self.next_app(self.scope, self.receive, answer.take)
        # Nothing is sent so far: whatever fails from here on can still be answered.
        ScopeState.from_scope(self.scope).response_started = False
        return answer


async def _answer_at_once(request: _Request) -> "Answer":
    answer = Answer()
    with suppress(_Undone):
        async with transaction():
            kept = await _lock(request)
            if kept["request"] is not None:
                return _again(kept, request)
            _require_key_left(kept)
            await fetch("SAVEPOINT before_request")
            answer = await request.run()
            bytes_left = MOST_KEPT_BYTES - kept["usedBytes"]
            answer.require_final(bytes_left)
            if answer.is_refusal:
                await fetch("ROLLBACK TO SAVEPOINT before_request")
            await _keep(request, answer, bytes_left=bytes_left)
    return answer


async def _answer_in_steps(request: _Request) -> "Answer":
    async with transaction():
        kept = await _lock(request)
        if kept["request"] is None:
            _require_key_left(kept)
            await _keep(request, BEGUN, bytes_left=0)
            kept = await _find(request)
        elif kept["status"] != BEGUN.status or kept["request"] != request.digest:
            return _again(kept, request)
    known_by = f"{request.kept_id} {kept['createdAt'].isoformat()}"
    request.scope["state"]["idempotency_key"] = hashlib.sha256(known_by.encode()).hexdigest()
    answer = await request.run()
    if not answer.is_refusal:
        async with transaction():
            await _lock_person(request.user_id)
            bytes_left = MOST_KEPT_BYTES - (await _find(request))["usedBytes"]
            await _keep(request, answer, bytes_left=bytes_left)
    return answer


async def idempotency_key_of(request: Request[Any, Any, Any]) -> str | None:
    """Return by what a handler in steps knows a caller again who repeats a request, if by anything.

    For as long as the key is in use, it is the same for the same key of the same person.
    """
    found: str | None = request.scope["state"].get("idempotency_key")
    return found


class _Undone(Exception):
    """Rolls back whatever a request began that may be sent again."""


class Answer:
    """What a handler sends, held back until it is certain."""

    def __init__(self, status: int = 500, headers: Mapping[str, str] = {}, body: str = "") -> None:
        """Begin with an answer that is known, or with none."""
        self.status = status
        self.headers = dict(headers)
        self.body = body.encode()

    async def take(self, message: Message) -> None:
        """Be what the handler sends to."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in message["headers"]}
        elif message["type"] == "http.response.body":
            self.body += message["body"]

    async def give(self, send: Send) -> None:
        """Send it on."""
        headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})

    @property
    def is_refusal(self) -> bool:
        """Whether it says that nothing was done."""
        return self.status >= HTTP_400_BAD_REQUEST

    @property
    def is_secret(self) -> bool:
        """Whether it must not be kept as it is."""
        return "no-store" in self.headers.get("cache-control", "")

    def fits(self, bytes_left: int) -> bool:
        """Tell whether so much room is enough to keep it whole."""
        return len(self.body) <= min(LARGEST_KEPT_BYTES, bytes_left)

    def require_final(self, bytes_left: int) -> None:
        """Pass if who asks again is to be told what became of the request.

        A refusal that is too large to be kept is made anew: nothing was done.

        Raises:
            _Undone: It says nothing of it, or that it was not done, at length.
        """
        if self.status >= HTTP_500_INTERNAL_SERVER_ERROR or self.status in NOT_AN_ANSWER:
            raise _Undone
        if self.is_refusal and not self.fits(bytes_left):
            raise _Undone

    def summary(self) -> "Summary":
        """Say what it was like."""
        return Summary(len(self.body), hashlib.sha256(self.body).hexdigest(), _counts(self.body))


BEGUN = Answer(0)
"""What is kept of a request whose steps are under way, or were broken off."""


class Summary(msgspec.Struct):
    """What is kept of an answer that is too large."""

    bytes: int
    sha256: str
    counts: dict[str, int]
    """The numbers that it begins with, as those of a bulk request."""


class _Members(msgspec.Struct):
    data: dict[str, msgspec.Raw]


def _counts(body: bytes) -> dict[str, int]:
    try:
        members = msgspec.json.decode(body, type=_Members).data
    except msgspec.DecodeError:
        return {}
    texts = {name: bytes(member) for name, member in members.items()}
    return {name: int(text) for name, text in texts.items() if text.isdigit()}


async def _digest(request: ApiRequest) -> str:
    """Read the request, which stays readable, and return what tells it from another."""
    place = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}\n"
    return hashlib.sha256(place.encode() + await request.body()).hexdigest()


async def _lock(request: _Request) -> asyncpg.Record:
    """Keep others with this key out until the transaction ends.

    Returns:
        As `_find`.

    Raises:
        Conflict: Somebody is in.
        InvalidToken: The person was deleted.
    """
    lock = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))"
    if not await fetchval(lock, request.kept_id):
        raise Conflict("A request with this Idempotency-Key is under way.")
    await _lock_person(request.user_id)
    return await _find(request)


async def _lock_person(user_id: str) -> None:
    """Keep a person from being erased until what was answered is kept, and erased with them.

    Raises:
        InvalidToken: They were deleted.
    """
    if not await fetchval(f"SELECT true FROM {User.alive()} u WHERE id = $1 FOR SHARE", user_id):
        raise InvalidToken(private="the person was deleted")


async def _find(request: _Request) -> asyncpg.Record:
    """Return what is kept of a key, if anything, and what its person has in use."""
    [row] = await fetch(
        """
        SELECT k.request, k.status, k.headers, k.body, k.summary, k."createdAt", used.*
        FROM (
            SELECT count(*) AS "usedKeys",
                COALESCE(sum(octet_length(body)), 0) AS "usedBytes",
                ceil(extract(epoch FROM min("expiresAt") - now())) AS "nextSeconds"
            FROM idempotency_keys WHERE "userId" = $2 AND "expiresAt" > now()
        ) used
        LEFT JOIN idempotency_keys k ON k.id = $1 AND k."expiresAt" > now()
        """,
        request.kept_id,
        request.user_id,
    )
    return row


def _require_key_left(used: asyncpg.Record) -> None:
    if used["usedKeys"] >= MOST_KEYS:
        raise RateLimitExceeded(
            f"You have {MOST_KEYS:,} Idempotency-Keys in use, each for "
            f"{settings().IDEMPOTENCY_HOURS} hours. Nothing was done.",
            headers={"Retry-After": str(used["nextSeconds"])},
            details={"keys": MOST_KEYS},
        )


def _again(kept: asyncpg.Record, request: _Request) -> Answer:
    if kept["request"] != request.digest:
        raise Conflict("This Idempotency-Key came with another request before.")
    headers = msgspec.json.decode(kept["headers"], type=dict[str, str])
    if kept["body"] is not None:
        return Answer(kept["status"], {**headers, "idempotency-replayed": "true"}, kept["body"])
    done = {
        "done": True,
        "status": kept["status"],
        "read": headers.get("location", request.scope["path"].rpartition("/")[0]),
    }
    if kept["summary"] is None:
        raise Conflict(
            "This was done. Its answer is not kept: it held a secret, which is shown only once, or "
            "somebody who was erased.",
            details=done,
        )
    raise Conflict(
        "This was done. Its answer was too large to be kept.",
        details={**done, **msgspec.json.decode(kept["summary"])},
    )


async def _keep(request: _Request, answer: Answer, *, bytes_left: int) -> None:
    """Record what who asks again is told."""
    headers = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
    is_whole = answer.fits(bytes_left)
    await fetch(
        """
        INSERT INTO idempotency_keys
            (id, "userId", request, status, headers, body, summary, "createdAt", "expiresAt")
        VALUES ($1, $2, $3, $4, $5, $6, $7, now(), now() + $8)
        ON CONFLICT (id) DO UPDATE SET request = $3, status = $4, headers = $5, body = $6,
            summary = $7, "createdAt" = now(), "expiresAt" = now() + $8
        """,
        request.kept_id,
        request.user_id,
        request.digest,
        answer.status,
        jsonb(headers),
        answer.body.decode() if is_whole and not answer.is_secret else None,
        None if is_whole or answer.is_secret else jsonb(answer.summary()),
        timedelta(hours=settings().IDEMPOTENCY_HOURS),
    )
