"""The clients that generators make of the API's description: complete, and they do the main job."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.settings import PROJECT_ROOT
from tests.npm import NPM
from tests.server import Server, serving

HERE = Path(__file__).parent
INSTALL_SECONDS = 120
PYTHON_TOOLS = PROJECT_ROOT / ".ci" / "clients.txt"
CONFIG = "openapi-python-client.yml"
WALKED = "2 Headphones 3"


@pytest.fixture(scope="module")
def server(module_database: str) -> Iterator[Server]:
    with serving(DATABASE_URL=module_database) as running:
        yield running


@pytest.fixture
def described(server: Server, tmp_path: Path) -> Path:
    """Keep the description beside what a client needs."""
    kept = tmp_path / "openapi.json"
    kept.write_text(json.dumps(httpx.get(f"{server.url}/schema/openapi.json").json()))
    for name in (CONFIG, "walk.py", "walk.ts", "package.json", "package-lock.json"):
        shutil.copy(HERE / name, tmp_path)
    return kept


def run(*command: str, cwd: Path, **variables: str) -> str:
    """Run a command to its end; return what it printed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "NO_PROXY": "127.0.0.1", "NO_COLOR": "1", **variables},
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def install(*command: str, cwd: Path) -> None:
    """Install the pinned tools; skip where the registry can't be reached, but not in CI."""
    try:
        run(*command, cwd=cwd)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        if "CI" in os.environ:
            raise
        pytest.skip(f"not installed: {error}")


def test_a_client_in_python_is_whole_and_does_the_main_job(
    server: Server, described: Path, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    pip = ("uv", "pip", "install", "--quiet", "--require-hashes", "--python", sys.executable)
    install(*pip, "--target", str(tools), "-r", str(PYTHON_TOOLS), cwd=tmp_path)
    variables = {"PYTHONPATH": str(tools), "PATH": f"{tools / 'bin'}:{os.environ['PATH']}"}

    told = run(
        *(sys.executable, "-m", "openapi_python_client", "generate", "--path", str(described)),
        *("--meta", "none", "--output-path", "event_platform_client", "--config", CONFIG),
        cwd=tmp_path,
        **variables,
    )

    assert told.split() == ["Generating", "event_platform_client"]
    assert run(sys.executable, "walk.py", server.url, cwd=tmp_path, **variables).strip() == WALKED


@pytest.mark.skipif(NPM is None and "CI" not in os.environ, reason="no npm here")
def test_a_client_in_typescript_is_whole_and_does_the_main_job(
    server: Server, described: Path, tmp_path: Path
) -> None:
    install("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=tmp_path)
    bin_ = tmp_path / "node_modules" / ".bin"

    told = run(str(bin_ / "openapi-typescript"), str(described), "-o", "api.ts", cwd=tmp_path)
    strict = ("--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck")
    run(str(bin_ / "tsc"), *strict, "--lib", "es2022,dom", "walk.ts", cwd=tmp_path)

    assert "warn" not in told.lower()
    assert run("node", "walk.js", server.url, cwd=tmp_path).strip() == WALKED


def test_the_readme_shows_the_tools_and_what_they_are_told() -> None:
    readme = (PROJECT_ROOT / "README.md").read_text()
    assert (HERE / CONFIG).read_text() in readme
    assert "openapi-python-client generate" in readme
    assert "openapi-typescript" in readme
