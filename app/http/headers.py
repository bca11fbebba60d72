"""Headers of every answer, refusals included: whose it is, what is left, what nobody may do."""

import functools
from collections.abc import Mapping

from litestar.types import Message, Scope

from app.http.envelopes import request_id
from app.settings import settings

_ANSWER_HEADERS = "answer_headers"
"""Where a request's state keeps what whoever handles it wants to tell by headers."""
AUTH_PATH = "/api/v1/auth"
API_PATH = "/api/"

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = "object-src 'none'; base-uri 'self'; frame-ancestors 'none'"
"""For pages of ours that bring scripts: the API page, whose own script is inline."""
ONE_YEAR_OF_HTTPS = "max-age=31536000"


def add_to_answer(scope: Scope, headers: Mapping[bytes, bytes]) -> None:
    """Let the answer to a request, whatever it is, have these headers."""
    scope["state"].setdefault(_ANSWER_HEADERS, {}).update(headers)


async def add_headers(message: Message, scope: Scope) -> None:
    """Add the request's id, what is left of its rate limit, and what the answer doesn't set itself.

    An answer about tokens is never stored.
    """
    if message["type"] != "http.response.start":
        return
    path = scope["path"]
    ours = {b"x-request-id": request_id(scope).encode(), **scope["state"].get(_ANSWER_HEADERS, {})}
    if path.startswith(AUTH_PATH):
        ours[b"cache-control"] = b"no-store"
    own = {name.lower() for name, _ in message["headers"]}
    secure = settings().serves_https
    message["headers"] = [
        *(header for header in message["headers"] if header[0].lower() not in ours),
        *ours.items(),
        *(
            header
            for header in _defaults(is_api=path.startswith(API_PATH), secure=secure)
            if header[0] not in own
        ),
    ]


@functools.cache
def _defaults(*, is_api: bool, secure: bool) -> list[tuple[bytes, bytes]]:
    """Write what browsers and caches are told where the answer doesn't."""
    headers = {**HEADERS, "content-security-policy": API_POLICY if is_api else PAGE_POLICY}
    if secure:
        headers["strict-transport-security"] = ONE_YEAR_OF_HTTPS
    return [(name.encode(), value.encode()) for name, value in headers.items()]
