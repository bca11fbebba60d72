"""Where the page is, and what it costs a server that nobody administrates."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app import settings
from app.admin.mount import admin_page
from app.asgi import create_app
from app.settings import PROJECT_ROOT, SettingsError
from tests import factories
from tests.admin.staff import PASSWORD
from tests.server import RANDOM_SECRET

SLOW = ("fastapi", "pydantic", "piccolo_admin", "piccolo_api")
CODE = f"""
import sys
from app.asgi import create_app
create_app()
print([name for name in {SLOW} if name in sys.modules])
"""


def test_a_server_that_nobody_administrates_does_not_import_the_page() -> None:
    said = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout.strip() == "[]"


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    settings.settings.cache_clear()
    yield monkeypatch
    settings.settings.cache_clear()


async def test_the_page_is_where_the_setting_says(at: pytest.MonkeyPatch) -> None:
    at.setenv("ADMIN_PATH", "/staff/only")
    app: Any = create_app()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        assert (await client.get("/admin/")).status_code == 404
        bare = await client.get("/staff/only")
        assert (bare.status_code, bare.headers["location"]) == (302, "/staff/only/")
        html = (await client.get("/staff/only/")).text
        script = html.partition('src="./')[2].partition('"')[0]
        files = (script, "platform/page.js", "platform/page.css")
        for file in files:
            assert (await client.get(f"/staff/only/{file}")).status_code == 200, file
        assert (await client.get("/health/live")).status_code == 200


async def test_all_of_the_page_works_under_another_path(
    at: pytest.MonkeyPatch,
    administrator: str,
) -> None:
    at.setenv("ADMIN_PATH", "/staff/only")
    settings.settings.cache_clear()
    app: Any = create_app()
    root = "/staff/only"
    room = await factories.room()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        led = await client.get(f"{root}/api/dashboard/", headers={"Accept": "text/html"})
        assert led.headers["location"] == f"{root}/"
        await client.get(f"{root}/")
        client.headers["X-CSRFToken"] = client.cookies["csrftoken"]
        body = {"username": administrator, "password": PASSWORD}
        signed_in = await client.post(f"{root}/public/login/", json=body)
        assert "; Path=/staff/only; " in signed_in.headers["set-cookie"]
        row = f"{root}/api/tables/rooms/{room['id']}/"
        assert (await client.patch(row, json={"name": "moved"})).json()["name"] == "moved"
        assert "active rooms" in (await client.get(f"{root}/api/dashboard/")).text
        job = {"job": "cleanup-tokens"}
        assert (await client.post(f"{root}/api/forms/run-a-job-now/", json=job)).is_success
        assert (await client.post(f"{root}/public/logout/")).is_success
        assert (await client.get(row)).status_code == 401


async def test_the_page_can_be_switched_off(at: pytest.MonkeyPatch) -> None:
    at.setenv("ADMIN_PATH", "off")

    assert admin_page() == []
    app: Any = create_app()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver"
    ) as client:
        for path in ("/admin", "/admin/", "/off/", "/admin/public/login/", "/admin/api/user/"):
            assert (await client.get(path)).status_code == 404, path
        assert (await client.post("/admin/public/login/", json={})).status_code == 404


@pytest.mark.parametrize("path", ["admin", "/", "/admin/", "/api/admin", "/health", "/a b", "/é"])
def test_a_path_that_is_none_or_is_taken_is_refused(path: str) -> None:
    with pytest.raises(SettingsError, match="ADMIN_PATH"):
        settings.load({"ADMIN_PATH": path})


@pytest.mark.parametrize("path", ["/admin", "/staff/only", "/apidocs", "off"])
def test_any_other_path_will_do(path: str) -> None:
    assert path == settings.load({"ADMIN_PATH": path}).ADMIN_PATH


async def test_cookies_are_secure_in_production(at: pytest.MonkeyPatch) -> None:
    at.setenv("ENVIRONMENT", "production")
    at.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    at.setenv("JWT_SECRET", RANDOM_SECRET)
    at.setenv("PUBLIC_URL", "https://events.example")
    [handler] = admin_page()
    app: Any = handler.fn
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        answer = await client.get("/admin/")

    assert answer.headers["set-cookie"].endswith("; Path=/admin; SameSite=Strict; Secure")
