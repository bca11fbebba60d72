"""The page on which one signs in and joins a room, to which invitations lead."""

from typing import Annotated

from litestar import Response, get
from litestar.params import QueryParameter

from app.auth.providers import providers
from app.http.pages import page_of
from app.http.public_path import public
from app.mails.languages import templates
from app.mails.queueing import status_of_new
from app.mails.reading import SIGN_IN_PATH
from app.settings import settings


@get("/join", include_in_schema=False, sync_to_thread=False)
def join_page(
    room: Annotated[str | None, QueryParameter(name="room")] = None,  # noqa: ARG001 - the page reads it
) -> Response[bytes]:
    """Send the page; it asks for the rest itself, with the token of who has signed in.

    A code stands in the fragment, which the page alone reads.
    """
    current = settings()
    page = templates(current.MAIL_LANGUAGE).get_template("join.html")
    text = page.render(
        language=current.MAIL_LANGUAGE,
        api=public("/api/v1"),
        page=current.join_url,
        front_end=f"{current.front_end_url}/auth/callback",
        ways={name: each.title for name, each in providers().items()},
        by_mail=None if status_of_new(current) is None else public(SIGN_IN_PATH),
    )
    return page_of(text)
