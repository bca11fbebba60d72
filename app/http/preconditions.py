"""Single resources: their `ETag`, and the `If-Match` that refuses what has changed since."""

import hashlib
import re
from typing import Any, TypeVar

from litestar import Litestar, Request, Response
from litestar.response.base import ASGIResponse
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_304_NOT_MODIFIED

from app.database.versions import Precondition
from app.http.public_path import public

T = TypeVar("T")

_COMPRESSED = re.compile(r'("[0-9]+-[0-9a-f]{16})"?[-;].*')
"""Our tag, and what a proxy added."""


class Resource(Response[T]):
    """A single resource with its `ETag`.

    The tag is the row's version, which `If-Match` compares, and a digest of the answer, which
    `If-None-Match` compares too: what a room counts may change without its row.
    """

    def __init__(self, content: T, version: str, *, created: str | None = None) -> None:
        """Take the answer.

        Args:
            content: What is shown.
            version: The version of its row.
            created: Its name below the address that it was posted to, if it is new.
        """
        super().__init__(content, status_code=HTTP_200_OK if created is None else HTTP_201_CREATED)
        self.version = version
        self.created = created

    def to_asgi_response(
        self, app: Litestar | None, request: Request[Any, Any, Any], **options: Any
    ) -> ASGIResponse:
        """Write the answer; 304 without it when the client has it already."""
        written = super().to_asgi_response(app, request, **options)
        tag = f'"{self.version}-{hashlib.sha256(written.body).hexdigest()[:16]}"'
        known = _tags(request, "if-none-match")
        if request.method == "GET" and any(each in {tag, "*"} for each in known):
            return ASGIResponse(status_code=HTTP_304_NOT_MODIFIED, headers={"ETag": tag})
        written.headers["ETag"] = tag
        if self.created is not None:
            written.headers["Location"] = location(request, self.created)
        return written


def location(request: Request[Any, Any, Any], name: str) -> str:
    """Return the address of what was made just now by a POST to the address above it."""
    return public(f"{request.url.path.rstrip('/')}/{name}")


def _tags(request: Request[Any, Any, Any], header: str) -> list[str]:
    """Read the entity tags of a header as we wrote them.

    A proxy that compresses an answer weakens its tag (`W/"12-ab"`) or adds how it is compressed
    (`"12-ab-gzip"`, `"12-ab;br"`), and hands on what the client sends back as it is.
    """
    lines = request.headers.getall(header, [])
    tags = (tag.strip().removeprefix("W/") for line in lines for tag in line.split(","))
    return [_COMPRESSED.sub(r'\1"', tag) for tag in tags if tag]


async def provide_precondition(request: Request[Any, Any, Any]) -> Precondition:
    """Read `If-Match`: the versions of the resource that the client accepts to change.

    Weak tags count, unlike RFC 9110 (13.1.1) has it: all of ours are strong, and only a proxy
    weakens them, of which the client knows nothing.
    """
    if "if-match" not in request.headers:
        return Precondition()
    tags = _tags(request, "if-match")
    if tags == ["*"]:
        return Precondition()
    return Precondition(frozenset(tag.strip('"').partition("-")[0] for tag in tags))
