"""Mails to be looked at, in development."""

from typing import Any

import asyncpg
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from app.database.engine import fetch, fetchrow
from app.errors import NotFound
from app.http.pages import NOTHING, policy_headers
from app.http.public_path import public
from app.mails.composing import compose
from app.mails.languages import templates
from app.mails.reading import CONTENTS, Letter, letters_of
from app.settings import Language, Settings

PATH = "/dev/mails"
LISTED = 200
INLINE = "'unsafe-inline'"
"""Mails have their styles in their elements."""


def previews(current: Settings) -> list[HTTPRouteHandler]:
    """Return the pages that there are: none in production."""
    return [] if current.in_production else [list_mails, show_html, show_text]


@get(PATH, include_in_schema=False)
async def list_mails() -> Response[str]:
    """List the newest mails."""
    rows = await fetch(f'{CONTENTS} ORDER BY m."createdAt" DESC, m.id LIMIT {LISTED}')
    page = templates(Language.EN).get_template("previews.html")
    return _html(page.render(mails=[_listed(row) for row in rows], path=public(PATH)))


@get(f"{PATH}/{{mail_id:str}}", include_in_schema=False)
async def show_html(mail_id: FromPath[str]) -> Response[str]:
    """Show a mail as mail programs do."""
    part = compose(await _letter(mail_id)).get_body(("html",))
    return _html("" if part is None else part.get_content())


@get(f"{PATH}/{{mail_id:str}}/text", include_in_schema=False)
async def show_text(mail_id: FromPath[str]) -> Response[str]:
    """Show the headers of a mail, and its text part."""
    message = compose(await _letter(mail_id))
    part = message.get_body(("plain",))
    headers = "".join(f"{name}: {value}\n" for name, value in message.items())
    text = "" if part is None else part.get_content()
    return Response(f"{headers}\n{text}", media_type="text/plain")


async def _letter(mail_id: str) -> Letter:
    row = await fetchrow(f"{CONTENTS} WHERE m.id = $1", mail_id)
    if row is None:
        raise NotFound("There is no such mail.")
    letter = letters_of([row])[row["id"]]
    if not isinstance(letter, Letter):
        raise NotFound(letter)
    return letter


def _listed(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "id": row["id"],
        "address": row["address"],
        "about": ", ".join(filter(None, (row["prize"] or row["kind"], row["room"]))),
        "status": row["status"],
        "reason": row["needless"] or row["lastError"],
        "created_at": row["createdAt"],
    }


def _html(text: str) -> Response[str]:
    return Response(text, media_type="text/html", headers=policy_headers(INLINE, NOTHING))
