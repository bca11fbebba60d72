"""The page on which one signs in with a code, and to which the link of the mail leads."""

from typing import Annotated
from urllib.parse import urlencode

from litestar import Response, get
from litestar.params import QueryParameter

from app.http.pages import page_of
from app.http.public_path import public
from app.mails.languages import templates
from app.mails.reading import SIGN_IN_PATH
from app.settings import Language, settings


@get(SIGN_IN_PATH, include_in_schema=False, sync_to_thread=False)
def sign_in_page(
    language: Annotated[Language | None, QueryParameter(name="language")] = None,
    join: Annotated[str | None, QueryParameter(name="join")] = None,
) -> Response[bytes]:
    """Send the page. The code stands in the fragment, which the page alone reads.

    With `join` it leads on to the page on which one joins a room, which may be named; else to the
    front-end.
    """
    spoken = language or settings().MAIL_LANGUAGE
    page = templates(spoken).get_template("sign_in.html")
    there = f"{settings().front_end_url}/auth/callback"
    if join is not None:
        there = (
            f"{settings().join_url}?{urlencode({'room': join})}" if join else settings().join_url
        )
    return page_of(page.render(language=spoken, api=public("/api/v1/auth/email"), there=there))
