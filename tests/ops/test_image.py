"""The package that the container image is made of holds all that the service needs."""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest

from app import ops
from app.settings import PROJECT_ROOT
from tests.server import PRODUCTION, Server, run, served

CONTAINERFILE = (Path(ops.__file__).parent / "Containerfile").read_text()
BUILD = CONTAINERFILE.split("\n\n")[0]

pytestmark = pytest.mark.timeout(240)


class Installed(NamedTuple):
    """What the image's first stage makes."""

    command: str
    """The path of `event-platform`."""
    wheel: Path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Do what the COPY and RUN lines say, in a folder; pip's alone is not needed, uv is here."""
    root = tmp_path_factory.mktemp("image")
    (root / "src").mkdir()
    for line in re.findall(r"^COPY (.+)$", BUILD, re.MULTILINE):
        _copy(line, root / "src")
    for line in re.findall(r"^RUN (uv .+)$", BUILD, re.MULTILINE):
        done = run(*re.sub(r"(?<= )/", f"{root}/", line).split(), cwd=root / "src")
        assert done.returncode == 0, done.stderr
    [wheel] = (root / "wheel").glob("*.whl")
    return Installed(str(root / "srv/.venv/bin/event-platform"), wheel)


def _copy(line: str, to: Path) -> None:
    *sources, target = line.split()
    for source in sources:
        assert "." not in sources, "a checkout may hold secrets and data"
        if (PROJECT_ROOT / source).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PROJECT_ROOT / source, to / target, ignore=ignored)
        else:
            shutil.copy(PROJECT_ROOT / source, to / target)


def test_the_image_holds_all_that_the_service_needs(
    installed: Installed, empty_database: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": empty_database, **PRODUCTION}
    refused = run(installed.command, "run", cwd=tmp_path, **settings)
    assert "event-platform database upgrade" in refused.stderr
    upgraded = run(installed.command, "database", "upgrade", cwd=tmp_path, **settings)
    assert upgraded.returncode == 0, upgraded.stderr
    with served(Server(tmp_path, settings, (), (installed.command, "run"))) as server:
        for path in ("/health/live", "/health/ready", "/admin/", "/schema", "/verify"):
            assert httpx.get(f"{server.url}{path}", timeout=60).status_code == 200
        assert "event-platform apps add lottery" in server.log.read_text()
    added = run(installed.command, "apps", "add", "lottery", cwd=tmp_path, **settings)
    assert added.returncode == 0, added.stderr
    listed = run(installed.command, "tasks", "list", cwd=tmp_path, **settings)
    assert listed.returncode == 0, listed.stderr
    assert not list(tmp_path.iterdir()), "the image's file system is read-only"


def test_the_package_serves_from_an_empty_folder(installed: Installed, tmp_path: Path) -> None:
    with served(Server(tmp_path, {}, (), (installed.command, "run"))) as server:
        api = f"{server.url}/api/v1"
        alice = {"email": "alice@example.com", "password": "password123"}
        assert httpx.post(f"{api}/auth/login", json=alice, timeout=60).status_code == 200
        assert httpx.get(f"{api}/rooms", timeout=60).json()["meta"]["total"] == 2
        assert "event-platform" in psutil.Process(server.process.pid).cmdline()[1]
    assert {each.name for each in tmp_path.iterdir()} == {".data"}


def test_a_folder_named_app_is_not_taken_for_ours(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit('another one')")
    shown = run(installed.command, "--help", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "Event Platform" in shown.stdout
    assert "database" in shown.stdout
