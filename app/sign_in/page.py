"""The page on which one signs in with a code, and to which the link of the mail leads."""

from typing import Annotated

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
) -> Response[bytes]:
    """Send the page. The code stands in the fragment, which the page alone reads."""
    spoken = language or settings().MAIL_LANGUAGE
    page = templates(spoken).get_template("sign_in.html")
    there = f"{settings().FRONTEND_URL}/auth/callback"
    return page_of(page.render(language=spoken, api=public("/api/v1/auth/email"), there=there))
