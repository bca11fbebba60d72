"""The page at `/`: says what this is, and leads on."""

import functools
import re
from pathlib import Path
from typing import Any

from litestar import Request, Response, get

from app.errors import NotFound
from app.http.pages import page_of
from app.settings import DEFAULT_ADMIN_PATH, Settings, settings

PAGE = Path(__file__).with_name("front.html")
ANYTHING = "*/*"
_TO_ADMINISTRATORS = re.compile(r"<li class=\"admin\">.*?</li>\n", re.DOTALL)


@get("/", include_in_schema=False, sync_to_thread=False)
def front_page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Send the page to browsers, and to who takes anything.

    Raises:
        NotFound: The client wants something else, such as JSON: a program has the wrong address.
    """
    accepted = request.headers.get("Accept", ANYTHING).strip().lower()
    if accepted != ANYTHING and "text/html" not in accepted:
        raise NotFound("There is nothing at this address.")
    page = page_of(_written(_text(), settings()))
    page.headers["Vary"] = "Accept"
    return page


@functools.cache
def _text() -> str:
    return PAGE.read_text(encoding="utf-8")


def _written(text: str, current: Settings) -> str:
    """Let the links lead below PUBLIC_URL; a page for administrators that was moved is not told."""
    if current.ADMIN_PATH != DEFAULT_ADMIN_PATH:
        text = _TO_ADMINISTRATORS.sub("", text)
    return text.replace('href="/', f'href="{current.public_path}/')
