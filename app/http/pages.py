"""Pages of ours: each is one file without anything from elsewhere.

What may run in one is said by its own hashes.
"""

import base64
import functools
import hashlib
import re
from collections.abc import Mapping

from litestar import Response

HTML = "text/html"
NOTHING = "'none'"
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def takes_page(headers: Mapping[str, str]) -> bool:
    """Whether a client asks for a page: a browser that shows what it gets, and no program."""
    return HTML in headers.get("accept", "").lower()


def page_of(text: str, *, form: str = NOTHING) -> Response[bytes]:
    """Send a page with the policy that lets its own styles and scripts run, and nothing else.

    Args:
        text: All of the page.
        form: Where its forms may lead.
    """
    return Response(text.encode(), media_type=HTML, headers=dict(_headers_of(text, form)))


@functools.cache
def _headers_of(text: str, form: str) -> dict[str, str]:
    return policy_headers(_hashes(_STYLE, text), _hashes(_SCRIPT, text), form)


def _hashes(pattern: re.Pattern[str], text: str) -> str:
    digests = (hashlib.sha256(part.encode()).digest() for part in pattern.findall(text))
    hashes = (f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return " ".join(hashes) or NOTHING


def policy_headers(
    style: str, script: str, form: str = NOTHING, *, images: str = "'self' data:"
) -> dict[str, str]:
    """Write what a browser may do with an answer.

    Args:
        style: Which styles may be applied.
        script: Which scripts may run.
        form: Where forms may lead.
        images: Where pictures may come from.
    """
    policy = [
        "default-src 'none'",
        f"style-src {style}",
        f"script-src {script}",
        f"img-src {images}",
        "connect-src 'self'",
        "base-uri 'none'",
        f"form-action {form}",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
