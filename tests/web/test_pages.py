"""The page as it is sent: the document at all its addresses, its files, and what may run on it."""

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from app.settings import ADMIN_OFF, settings
from app.web import files
from app.web.files import HERE, digest, libraries
from app.web.pages import PATHS, TABS

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
LINK = re.compile('<a href="([^"]+)">')
FILE = re.compile(r'(?:src|href)="(/web/[^"]+)"')
LARGEST_BYTES = 100_000


@pytest.mark.parametrize("accept", [BROWSER, "*/*", "Text/HTML", "text/html;q=inf"])
async def test_who_takes_a_page_finds_what_leads_on(client: httpx.AsyncClient, accept: str) -> None:
    answer = await client.get("/", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    links = LINK.findall(answer.text)
    assert links == ["/schema", "/verify", "/admin/", "/health/ready"]
    for link in links:
        assert (await client.get(link)).status_code in {200, 503}, link


@pytest.mark.parametrize(
    "accept", ["application/json", "application/json, text/plain, */*", "image/*", ""]
)
@pytest.mark.parametrize("path", ["/", "/rooms/abc", "/login"])
async def test_a_program_is_told_that_there_is_nothing(
    client: httpx.AsyncClient, path: str, accept: str
) -> None:
    answer = await client.get(path, headers={"Accept": accept})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")
    elsewhere = await client.get("/nowhere", headers={"Accept": accept})
    assert answer.json()["error"]["message"] == elsewhere.json()["error"]["message"]


async def test_head_has_no_body(client: httpx.AsyncClient) -> None:
    answer = await client.head("/", headers={"Accept": BROWSER})
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("path", [path.replace("{room_id:str}", "abc") for path in PATHS])
async def test_every_address_of_the_page_is_the_same_document(
    client: httpx.AsyncClient, path: str
) -> None:
    front = await client.get("/", headers={"Accept": BROWSER})
    answer = await client.get(f"{path}?next=/", headers={"Accept": BROWSER})
    assert (answer.status_code, answer.text) == (200, front.text)


def test_the_page_knows_the_tabs_that_are_served() -> None:
    [listed] = re.findall(r"export const TABS = (\[.+?\]);", _text("page/router.js"))
    assert tuple(json.loads(listed)) == TABS


async def test_only_our_own_modules_run(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    [import_map] = re.findall(r'<script type="importmap">(.+?)</script>', answer.text)
    known = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"].split("; ")
    assert f"script-src 'self' 'sha256-{known}'" in policy
    assert {"default-src 'none'", "style-src 'self'", "connect-src 'self'"} <= set(policy)
    assert {"frame-ancestors 'none'", "require-trusted-types-for 'script'"} <= set(policy)
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "//" not in answer.text


async def test_the_document_is_asked_for_anew_and_its_files_never(
    client: httpx.AsyncClient,
) -> None:
    document = await client.get("/", headers={"Accept-Encoding": "identity"})
    assert document.headers["cache-control"] == "no-cache"
    again = await client.get("/", headers={"If-None-Match": document.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "content-security-policy" in again.headers
    for path in FILE.findall(document.text):
        plain = await client.get(path, headers={"Accept-Encoding": "identity"})
        assert plain.status_code == 200, path
        assert "immutable" in plain.headers["cache-control"]
        assert plain.headers["content-type"].startswith(("text/javascript", "text/css"))
        assert plain.headers["x-content-type-options"] == "nosniff"
        zipped = await client.get(path)
        assert zipped.headers["content-encoding"] == "gzip"
        assert zipped.content == plain.content


async def test_what_another_version_asks_for_is_not_kept(client: httpx.AsyncClient) -> None:
    answer = await client.get("/web/0123456789abcdef/page/main.js")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "path", ["page/none.js", "page/..%2Findex.html", "vendor/vendor.json", "page/__init__.py"]
)
async def test_nothing_else_of_the_folder_is_sent(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/web/{digest()}/{path}")).status_code == 404


async def test_all_that_is_loaded_weighs_less_than_a_picture(client: httpx.AsyncClient) -> None:
    document = await client.get("/")
    sent = [document.content, *(files.files()[p].content for p in files.loaded_first())]
    sent += [_file("page/style.css"), _file("page/words.en.js"), _file("page/words.ru.js")]
    assert sum(len(gzip.compress(each)) for each in sent) < LARGEST_BYTES


def test_every_module_is_loaded_with_the_document_but_the_words() -> None:
    modules = {path for path in files.files() if not path.endswith(".css")}
    assert modules - set(files.loaded_first()) == {"page/words.en.js", "page/words.ru.js"}


def test_libraries_are_as_their_packages_have_them() -> None:
    listed = {path.name for path in (HERE / "vendor").iterdir()} - {"vendor.json"}
    assert listed == libraries().keys()
    locked = json.loads((Path(__file__).parent / "npm/package-lock.json").read_text())["packages"]
    for name, library in libraries().items():
        assert hashlib.sha256(_file(f"vendor/{name}")).hexdigest() == library.sha256, name
        assert locked[f"node_modules/{library.package}"]["version"] == library.version


@pytest.mark.parametrize("path", ["/staff", ADMIN_OFF])
def test_a_page_for_administrators_that_was_moved_or_switched_off_is_not_told(path: str) -> None:
    text = (HERE / "index.html").read_text()
    links = LINK.findall(files._written(text, replace(settings(), ADMIN_PATH=path)))
    assert links == ["/schema", "/verify", "/health/ready"]


def _file(path: str) -> bytes:
    return (HERE / path).read_bytes()


def _text(path: str) -> str:
    return _file(path).decode()
