"""The project file, the settings and the documents say the same as the code."""

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

from app.settings import Settings

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = (ROOT / "README.md").read_text()
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
    ci = (ROOT / ".ci" / "run").read_text()
    commands = [line.strip() for line in ci.splitlines() if line.strip().startswith("uv run ")]
    assert commands
    for command in commands:
        assert command in README, f"{command} is not in the README"
