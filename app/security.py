"""Headers that tell browsers and caches what not to do; on every answer, refusals included."""

from litestar.datastructures import MutableScopeHeaders
from litestar.types import Message, Scope

from app.settings import settings

AUTH_PATH = "/api/v1/auth"
API_PATH = "/api/"

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = "object-src 'none'; base-uri 'self'; frame-ancestors 'none'"
"""For pages of ours that bring scripts: the API page, whose own script is inline."""
ONE_YEAR_OF_HTTPS = "max-age=31536000"


async def add_security_headers(message: Message, scope: Scope) -> None:
    """Add what an answer doesn't set itself. An answer about tokens is never stored."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    path = scope["path"]
    headers.setdefault(
        "Content-Security-Policy", API_POLICY if path.startswith(API_PATH) else PAGE_POLICY
    )
    if settings().PUBLIC_URL.startswith("https://"):
        headers.setdefault("Strict-Transport-Security", ONE_YEAR_OF_HTTPS)
    if path.startswith(AUTH_PATH):
        headers["Cache-Control"] = "no-store"
