"""The two pages of draws: one to check a draw with, one to put on a screen."""

import functools
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from litestar import Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter
from litestar.status_codes import HTTP_404_NOT_FOUND

from app.draws.guards import may_read, provide_draws
from app.draws.reading import Readable, require_draw
from app.errors import NotFound
from app.http.pages import NOTHING, page_of, policy_headers, takes_page
from app.http.qr_codes import paint, painted
from app.settings import PUBLIC_URL_FORM, settings

LONGEST_ID = 100
LONGEST_HOST = 100
LARGEST_NUMBER = 2**31 - 1
KEPT_CODES = 500
"""Each of some kilobytes."""
PAGES = Path(__file__).with_name("pages")


@get("/verify", include_in_schema=False, sync_to_thread=False)
def verify_page(
    draw: Annotated[str | None, QueryParameter(name="draw")] = None,  # noqa: ARG001 - the page reads it
) -> Response[bytes]:
    """Send the page that recomputes a draw in the browser."""
    return _page("verify")


@get("/rooms/{room_id:str}/draws/{number:int}", include_in_schema=False, sync_to_thread=False)
def draw_page(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    number: FromPath[int],
    language: Annotated[str | None, QueryParameter(name="language")] = None,  # noqa: ARG001 - the page reads it
) -> Response[bytes]:
    """Send the page that shows a draw to an audience; the page asks whether there is one.

    Where there can be none, browsers get the page as well, which leads on.

    Raises:
        NotFound: There can be no such draw, and the client wants no page.
    """
    try:
        _require_sense(room_id, number)
    except NotFound:
        if not takes_page(request.headers):
            raise
        page = _page("draw")
        page.status_code = HTTP_404_NOT_FOUND
        return page
    return _page("draw")


@get(
    "/rooms/{room_id:str}/draws/{number:int}/code.svg",
    guards=[may_read],
    dependencies={"draws": Provide(provide_draws)},
    include_in_schema=False,
)
async def draw_code(
    request: Request[Any, Any, Any], draws: NamedDependency[Readable], number: FromPath[int]
) -> Response[bytes]:
    """Draw the code to scan that leads to the check of a draw, where anybody may see the draw.

    A page's images are asked for without a token, so that a private room's is not there.
    """
    _require_sense(draws.room_id, number)
    await require_draw(draws, number)
    address = quote(f"/rooms/{draws.room_id}/draws/{number}", safe="")
    leads_to = f"{_reached_at(request)}/verify?draw={address}"
    image = await painted(leads_to, _paint)
    headers = {**policy_headers(NOTHING, NOTHING), "Cache-Control": "private, max-age=86400"}
    return Response(image, media_type="image/svg+xml", headers=headers)


def _require_sense(room_id: str, number: int) -> None:
    """Refuse what no room and no draw can be called, without asking anybody."""
    if len(room_id) > LONGEST_ID or not 1 <= number <= LARGEST_NUMBER:
        raise NotFound("There is no such draw.")


def _reached_at(request: Request[Any, Any, Any]) -> str:
    """Tell where others reach us: in development, unless PUBLIC_URL says it, where this one did.

    So the code is right on another port, and for the phones of a network.
    """
    current = settings()
    if not current.follows_host:
        return current.PUBLIC_URL
    here = f"{request.scope['scheme']}://{request.headers.get('host', '')}"
    is_sound = len(here) <= LONGEST_HOST and PUBLIC_URL_FORM.fullmatch(here)
    return here if is_sound else current.PUBLIC_URL


_paint = functools.lru_cache(maxsize=KEPT_CODES)(paint)


def _page(name: str) -> Response[bytes]:
    return page_of(_read(name))


@functools.cache
def _read(name: str) -> str:
    return (PAGES / f"{name}.html").read_text(encoding="utf-8")
