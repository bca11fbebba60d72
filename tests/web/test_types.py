"""The page's modules: their types, and their words in every language."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.web.files import HERE, libraries
from tests.npm import NPM

SECONDS = 110
WORD = re.compile(r"^\s*\"?([A-Za-z_]+)\"?:", re.MULTILINE)

WITH_NPM = pytest.mark.skipif(NPM is None and "CI" not in os.environ, reason="no npm here")


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@WITH_NPM
def test_types_are_right_and_the_libraries_are_those_of_npm(tmp_path: Path) -> None:
    for path in (Path(__file__).parent / "npm").iterdir():
        shutil.copy(path, tmp_path)
    shutil.copytree(HERE / "page", tmp_path / "page")
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=tmp_path)
    for name, library in libraries().items():
        theirs = tmp_path / "node_modules" / library.package / library.file
        assert theirs.read_bytes() == (HERE / "vendor" / name).read_bytes(), name
    run("npx", "--no-install", "tsc", "-p", ".", cwd=tmp_path)


def test_every_language_has_all_words() -> None:
    english, russian = ((HERE / f"page/words.{each}.js").read_text() for each in ("en", "ru"))
    assert WORD.findall(english) == WORD.findall(russian)
