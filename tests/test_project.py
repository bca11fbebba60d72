"""The project file, the settings and the documents say the same as the code."""

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

from app.settings import Settings

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CI = ROOT / ".ci"
README = (ROOT / "README.md").read_text()
EXPORTS = ("requirements.txt", "requirements-dev.txt", "uv.txt")
# What uv or a bare virtual environment brings by itself.
NOT_OURS = {"pip", "setuptools", "wheel", "event-platform"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for pin in PYPROJECT["tool"]["uv"]["constraint-dependencies"]:
        requirement = pin.split(";")[0].strip()
        name, operator, version = requirement.partition("==")
        assert operator, f"{pin} is not exact"
        found.setdefault(canonical(name), set()).add(version)
    return found


def test_everything_that_is_installed_is_pinned_to_its_version() -> None:
    pinned = pins()
    for distribution in distributions():
        name = canonical(distribution.metadata["Name"])
        if name not in NOT_OURS:
            assert distribution.version in pinned.get(name, set()), f"{name} is not pinned"


@pytest.mark.parametrize("file", EXPORTS)
def test_an_export_has_exact_versions_with_hashes_and_no_address(file: str) -> None:
    entry = r"[\w.-]+(\[[\w,]+\])?==[\w.]+( ; .+)? \\\n( {4}--hash=sha256:[0-9a-f]{64}( \\)?\n)+"
    assert re.fullmatch(f"({entry})+", (CI / file).read_text())


def test_the_exports_and_the_pins_agree() -> None:
    exported: dict[str, set[str]] = {}
    for file in EXPORTS:
        for name, version in re.findall(
            r"^([\w.-]+).*?==(\S+)", (CI / file).read_text(), re.MULTILINE
        ):
            exported.setdefault(canonical(name), set()).add(version)
    assert exported.pop("uv")
    assert exported == pins()


def test_direct_dependencies_have_no_bounds_of_their_own() -> None:
    direct = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["dependency-groups"]["dev"]]
    assert not [each for each in direct if re.search(r"[<>=~!]=?", each.split(";")[0])]


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_every_setting_is_in_the_example_and_in_the_readme(name: str) -> None:
    assert re.search(rf"^#? ?{name}=", (ROOT / ".env.example").read_text(), re.MULTILINE), name
    assert f"`{name}`" in README


def test_the_example_names_no_setting_that_is_gone() -> None:
    named = re.findall(r"^#? ?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set(named) == set(Settings.__struct_fields__)


def test_the_readme_tells_what_ci_runs() -> None:
    ci = (CI / "run").read_text()
    commands = re.findall(r"^uv (?:run|venv|pip) .+", ci, re.MULTILINE)
    assert len(commands) > len(["uv venv", "uv pip sync"])
    for command in commands:
        assert command in README, f"{command} is not in the README"
