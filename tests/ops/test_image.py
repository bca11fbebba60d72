"""The container image holds all that the service needs, and nothing of a developer's."""

import re
import shutil
from pathlib import Path

import httpx
import pytest

from app import ops
from app.settings import PROJECT_ROOT
from tests.server import PRODUCTION, run, serving

CONTAINERFILE = (Path(ops.__file__).parent / "Containerfile").read_text()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Make what the COPY lines would."""
    for line in re.findall(r"^COPY (.+)$", CONTAINERFILE, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            assert "." not in sources, "a checkout may hold secrets and data"
            if (PROJECT_ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(PROJECT_ROOT / source, tmp_path / target, ignore=ignored)
            else:
                shutil.copy(PROJECT_ROOT / source, tmp_path / target)
    return tmp_path


@pytest.mark.timeout(180)
def test_the_image_holds_all_that_the_service_needs(image: Path, empty_database: str) -> None:
    settings = {"DATABASE_URL": empty_database, **PRODUCTION}
    upgraded = run("uv", "run", "litestar", "database", "upgrade", cwd=image, **settings)
    assert upgraded.returncode == 0, upgraded.stderr
    with serving(image, **settings) as server:
        for path in ("/health/ready", "/admin/", "/schema", "/verify"):
            assert httpx.get(f"{server.url}{path}", timeout=60).status_code == 200
    listed = run("uv", "run", "litestar", "tasks", "list", cwd=image, **settings)
    assert listed.returncode == 0, listed.stderr
