"""The two pages of draws: one to check a draw with, one to put on a screen.

Each is one file without anything from elsewhere. What may run in it is said by its own hashes.
"""

import base64
import functools
import hashlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from litestar import Response, get
from litestar.params import FromPath, QueryParameter

from app.deferred import deferred
from app.settings import settings

if TYPE_CHECKING:
    import segno
else:
    segno = deferred("segno")

NOTHING = "'none'"
PAGES = Path(__file__).with_name("pages")
STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@get("/verify", include_in_schema=False, sync_to_thread=False)
def verify_page(
    draw: Annotated[str | None, QueryParameter(name="draw")] = None,  # noqa: ARG001 - the page reads it
) -> Response[bytes]:
    """Send the page that recomputes a draw in the browser."""
    return _page("verify")


@get("/rooms/{room_id:str}/draws/{number:int}", include_in_schema=False, sync_to_thread=False)
def draw_page(room_id: FromPath[str], number: FromPath[int]) -> Response[bytes]:  # noqa: ARG001 - as above
    """Send the page that shows a draw to an audience."""
    return _page("draw")


@get(
    "/rooms/{room_id:str}/draws/{number:int}/code.svg",
    include_in_schema=False,
    sync_to_thread=False,
)
def draw_code(room_id: FromPath[str], number: FromPath[int]) -> Response[bytes]:
    """Draw the code to scan that leads to the check of a draw."""
    address = quote(f"/rooms/{room_id}/draws/{number}", safe="")
    image = io.BytesIO()
    segno.make(f"{settings().PUBLIC_URL}/verify?draw={address}", micro=False).save(
        image, kind="svg", scale=8, border=2
    )
    return Response(
        image.getvalue(), media_type="image/svg+xml", headers=_headers(NOTHING, NOTHING)
    )


def _page(name: str) -> Response[bytes]:
    content, headers = _read(name)
    return Response(content, media_type="text/html; charset=utf-8", headers=dict(headers))


@functools.cache
def _read(name: str) -> tuple[bytes, dict[str, str]]:
    text = (PAGES / f"{name}.html").read_text(encoding="utf-8")
    return text.encode(), _headers(_hashes(STYLE, text), _hashes(SCRIPT, text))


def _hashes(pattern: re.Pattern[str], text: str) -> str:
    digests = (hashlib.sha256(part.encode()).digest() for part in pattern.findall(text))
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _headers(style: str, script: str) -> dict[str, str]:
    policy = [
        "default-src 'none'",
        f"style-src {style}",
        f"script-src {script}",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
