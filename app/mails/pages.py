"""The page on which the reader of a mail stops further ones."""

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK

from app.http.pages import page_of
from app.mails import stops
from app.mails.languages import templates
from app.mails.stops import PATH, Stop, read_token

ITSELF = "'self'"


@get(f"{PATH}/{{token:str}}", include_in_schema=False, sync_to_thread=False)
def stop_page(token: FromPath[str]) -> Response[bytes]:
    """Ask whether that is wanted: programs that look at links stop nothing."""
    return _page(read_token(token), is_done=False)


@post(f"{PATH}/{{token:str}}", include_in_schema=False, status_code=HTTP_200_OK)
async def stop_mails(token: FromPath[str]) -> Response[bytes]:
    """Stop them, for the page's button and for mail programs that have one of their own."""
    wish = read_token(token)
    await stops.stop(wish)
    return _page(wish, is_done=True)


def _page(wish: Stop, *, is_done: bool) -> Response[bytes]:
    shown: dict[str, Any] = {
        "language": wish.language,
        "kind": wish.kind,
        "is_done": is_done,
    }
    return page_of(templates(wish.language).get_template("stop.html").render(shown), form=ITSELF)
