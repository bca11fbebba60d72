"""The page of the API, to read and to try, and beside it what holds for all operations."""

import functools
import html
import re
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.openapi.plugins import SwaggerRenderPlugin

from app.http.openapi import ABOUT_KEYS, ABOUT_TAGS, CODES, CONVENTIONS_PATH, MEANINGS
from app.http.pages import page_of
from app.settings import settings

PAGE = Path(__file__).with_name("conventions.html")
STYLE = """<style>
.swagger-ui .btn.authorize { border-color: #1a6b43; color: #1a6b43; }
.swagger-ui .btn.authorize svg { fill: #1a6b43; }
.swagger-ui .info .title small { background-color: #5b6270; }
.swagger-ui .info a, .swagger-ui .markdown a, .swagger-ui .renderedMarkdown a { color: #1c5fa8; }
.swagger-ui .info .title small.version-stamp { background-color: #4a6900; }
.swagger-ui .opblock.opblock-get .opblock-summary-method { background: #1c5fa8; }
.swagger-ui .opblock.opblock-post .opblock-summary-method { background: #1a6b43; }
.swagger-ui .opblock.opblock-patch .opblock-summary-method { background: #0b6660; }
.swagger-ui .opblock.opblock-delete .opblock-summary-method { background: #b3261e; }
.swagger-ui .json-schema-2020-12-expand-deep-button { color: #595959; }
.swagger-ui .btn.execute { background-color: #1c5fa8; border-color: #1c5fa8; }
.swagger-ui .btn.cancel { border-color: #b3261e; color: #b3261e; }
.swagger-ui .response-control-media-type__accept-message, .swagger-ui .parameter__in,
.swagger-ui .parameter__type { color: #1a5c38; }
.swagger-ui .parameter__name.required span, .swagger-ui .parameter__name.required::after {
  color: #b3261e;
}
.swagger-ui .response-col_links { display: none; }
.swagger-ui .info { margin: 1.5rem 0 0.5rem; }
@media (max-width: 40rem) {
  .swagger-ui .parameters-col_name, .swagger-ui .parameters-col_description { display: block; }
  .swagger-ui table.parameters thead { display: none; }
}
</style>"""
"""What the page's own colours lack in contrast, and what does not fit on a phone."""
_CODE = re.compile("`([^`]+)`")


class ApiPage(SwaggerRenderPlugin):
    """Swagger's page, in the language that it is written in, and with colours that can be read."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Write the page."""
        page = super().render(request, openapi_schema)
        return page.replace(b"<html>", b'<html lang="en">', 1).replace(
            b"</head>", STYLE.encode() + b"</head>", 1
        )


@get(CONVENTIONS_PATH, include_in_schema=False, sync_to_thread=False)
def conventions_page() -> Response[bytes]:
    """Send what holds for all operations."""
    return page_of(_text().replace('href="/', f'href="{settings().public_path}/'))


@functools.cache
def _text() -> str:
    rows = "\n".join(
        f"<tr><td><code>{code}</code></td><td>{status}</td><td>{_in_html(MEANINGS[code])}</td></tr>"
        for code, status in sorted(CODES.items(), key=lambda item: (item[1], item[0]))
    )
    told = {"ERRORS": rows, "KEYS": _in_html(ABOUT_KEYS), "TAGS": _in_html(ABOUT_TAGS)}
    page = PAGE.read_text(encoding="utf-8")
    return re.sub(r"<!--(\w+)-->", lambda found: told[found[1]], page)


def _in_html(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", html.escape(text, quote=False))
