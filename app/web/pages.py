"""HTTP of our own page. What it shows and does it asks of the public API, as any client does."""

from typing import Any, Final

from litestar import Request, Response, get
from litestar.params import FromPath
from litestar.status_codes import HTTP_304_NOT_MODIFIED

from app.errors import NOTHING_HERE, NotFound
from app.http.pages import HTML, policy_headers, takes_page
from app.web.files import digest, document, files

FRONT: Final = "/"
TABS: Final = ("people", "prizes", "draw", "winners")
"""What there is of a room, beside its overview."""
PATHS: Final = (
    *("/auth/callback", "/login", "/rooms/new", "/rooms/{room_id:str}"),
    *(f"/rooms/{{room_id:str}}/{tab}" for tab in TABS),
)
"""Where the page shows something else than at the front; `router.js` reads them too."""
ANYTHING: Final = "*/*"
FOR_GOOD: Final = "public, max-age=31536000, immutable"
PICTURES: Final = "'self' data: https:"
"""Prizes have pictures, at whatever address their organizers say."""


async def accept_any_query(_: Request[Any, Any, Any]) -> None:
    """Let whoever links here add what they like; the page reads it, or does not."""


@get(FRONT, include_in_schema=False, before_request=accept_any_query, sync_to_thread=False)
def front_page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Send the page to browsers, and to who takes anything.

    Raises:
        NotFound: The client wants something else, such as JSON: a program has the wrong address.
    """
    takes_anything = request.headers.get("Accept", ANYTHING).strip() == ANYTHING
    if not takes_anything and not takes_page(request.headers):
        raise NotFound(NOTHING_HERE)
    return _document(request)


@get([*PATHS], include_in_schema=False, before_request=accept_any_query, sync_to_thread=False)
def inner_page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Send the page to browsers, whatever it is going to show at this address.

    Raises:
        NotFound: The client asks for something else than a page.
    """
    if not takes_page(request.headers):
        raise NotFound(NOTHING_HERE)
    return _document(request)


@get(
    "/web/{version:str}/{folder:str}/{name:str}",
    include_in_schema=False,
    before_request=accept_any_query,
    sync_to_thread=False,
)
def page_file(
    request: Request[Any, Any, Any],
    version: FromPath[str],
    folder: FromPath[str],
    name: FromPath[str],
) -> Response[bytes]:
    """Send a file of the page; of another version than this one it is not to be kept.

    Raises:
        NotFound: There is no such file.
    """
    found = files().get(f"{folder}/{name}")
    if found is None:
        raise NotFound(NOTHING_HERE)
    kept = FOR_GOOD if version == digest() else "no-store"
    return _sent(
        request, found.content, found.compressed, found.media_type, {"Cache-Control": kept}
    )


web_pages = (front_page, inner_page, page_file)


def _document(request: Request[Any, Any, Any]) -> Response[bytes]:
    page = document()
    headers = {
        **policy_headers("'self'", f"'self' {page.import_map}", images=PICTURES),
        "Cache-Control": "no-cache",
        "ETag": page.tag,
    }
    if request.headers.get("if-none-match") == page.tag:
        return Response(b"", status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    return _sent(request, page.content, page.compressed, HTML, headers)


def _sent(
    request: Request[Any, Any, Any],
    content: bytes,
    compressed: bytes,
    media_type: str,
    headers: dict[str, str],
) -> Response[bytes]:
    """Send something, compressed to whoever takes that."""
    headers["Vary"] = "Accept, Accept-Encoding"
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        content = compressed
    return Response(content, media_type=media_type, headers=headers)
