"""`Idempotency-Key`: a POST that is sent again is done once and answered as the first time.

The request runs inside one transaction together with the record of its answer, so both are there
or neither: a server that dies half-way leaves nothing behind, and who asks again is served.
"""

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

import asyncpg
import msgspec
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.status_codes import HTTP_400_BAD_REQUEST, HTTP_500_INTERNAL_SERVER_ERROR
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.utils.scope.state import ScopeState

from app.auth.tokens import AccessClaims
from app.database.engine import fetch, fetchrow, fetchval, jsonb, transaction
from app.errors import Conflict, ValidationFailed
from app.http.bodies import ApiRequest

AUTH_PATH = "/api/v1/auth/"
KEPT_FOR = timedelta(hours=24)
KEY_FORM = re.compile(r"[!-~]{1,255}")
KEPT_HEADERS = ("content-type", "etag", "location")
NOT_AN_ANSWER = frozenset({401, 429})
"""Refusals that say nothing of what was asked for. Nor do failures of ours, from 500."""


class Idempotency(ASGIMiddleware):
    """Answers a POST with an `Idempotency-Key` as the caller's first one with it was answered.

    Not below /auth: what is signed in is not kept in a table, and refreshing repeats itself safely.
    """

    scopes = (ScopeType.HTTP,)
    should_bypass_for_scope = staticmethod(lambda scope: scope["path"].startswith(AUTH_PATH))

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Find the kept answer, or make it and keep it.

        Raises:
            ValidationFailed: The key does not have the form of one.
            Conflict: The key came with another request, or one with it is under way.
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
        digest = await _digest(request)
        answer = Answer()
        with suppress(_Undone):
            async with transaction():
                kept_id = hashlib.sha256(f"{caller.sub} {key}".encode()).hexdigest()
                kept = await _lock(kept_id)
                if kept is not None:
                    answer = _again(kept, digest)
                else:
                    await fetch("SAVEPOINT before_request")
                    await next_app(scope, receive, answer.take)
                    # Nothing is sent so far: whatever fails from here on can still be answered.
                    ScopeState.from_scope(scope).response_started = False
                    await _keep(kept_id, caller.sub, digest, answer)
        await answer.give(send)


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
    def is_kept(self) -> bool:
        """Whether who asks again gets it: it says what became of the request."""
        return self.status < HTTP_500_INTERNAL_SERVER_ERROR and self.status not in NOT_AN_ANSWER

    @property
    def is_secret(self) -> bool:
        """Whether it must not be kept as it is."""
        return "no-store" in self.headers.get("cache-control", "")


async def _digest(request: ApiRequest) -> str:
    """Read the request, which stays readable, and return what tells it from another."""
    place = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}\n"
    return hashlib.sha256(place.encode() + await request.body()).hexdigest()


async def _lock(kept_id: str) -> asyncpg.Record | None:
    """Keep others with this key out until the transaction ends; return what is kept of it.

    Raises:
        Conflict: Somebody is in.
    """
    if not await fetchval("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", kept_id):
        raise Conflict("A request with this Idempotency-Key is under way.")
    return await fetchrow(
        "SELECT request, status, headers, body FROM idempotency_keys "
        'WHERE id = $1 AND "expiresAt" > now()',
        kept_id,
    )


def _again(kept: asyncpg.Record, request: str) -> Answer:
    if kept["request"] != request:
        raise Conflict("This Idempotency-Key came with another request before.")
    if kept["body"] is None:
        raise Conflict("This was done. Its answer held a secret, which is shown only once.")
    headers = msgspec.json.decode(kept["headers"], type=dict[str, str])
    return Answer(kept["status"], {**headers, "idempotency-replayed": "true"}, kept["body"])


async def _keep(kept_id: str, user_id: str, request: str, answer: Answer) -> None:
    if not answer.is_kept:
        raise _Undone
    if answer.status >= HTTP_400_BAD_REQUEST:
        await fetch("ROLLBACK TO SAVEPOINT before_request")
    headers = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
    await fetch(
        """
        INSERT INTO idempotency_keys
            (id, "userId", request, status, headers, body, "createdAt", "expiresAt")
        VALUES ($1, $2, $3, $4, $5, $6, now(), now() + $7)
        ON CONFLICT (id) DO UPDATE SET request = $3, status = $4, headers = $5, body = $6,
            "createdAt" = now(), "expiresAt" = now() + $7
        """,
        kept_id,
        user_id,
        request,
        answer.status,
        jsonb(headers),
        None if answer.is_secret else answer.body.decode(),
        KEPT_FOR,
    )
