"""axe-core: what keeps people from using a page, as far as a program can find it.

from tests.axe import WITHOUT_AXE, axe, barriers_on

@WITHOUT_AXE
async def test_…(page: Page, axe: str) -> None:
    await page.goto(…)
    assert await barriers_on(page, axe) == []
"""

import os
from typing import Any

import pytest
from playwright.async_api import Page

from tests.chromium import CHROMIUM
from tests.npm import NPM, file_of

VERSION = "4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="

WITHOUT_AXE = pytest.mark.skipif(
    (CHROMIUM is None or NPM is None) and "CI" not in os.environ, reason="no Chromium or npm here"
)
"""Skips where there is nothing to look with."""


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fetch its script."""
    folder = tmp_path_factory.mktemp("axe")
    return file_of("axe-core", VERSION, "axe.min.js", sha512=SHA512, folder=folder)


async def barriers_on(page: Page, axe: str) -> list[str]:
    """List what is wrong on a page as it is shown now: which rule, where, and how.

    The page's own policy stays: the script comes by the browser's tools, not through the page.
    """
    await page.evaluate(axe)
    found: dict[str, Any] = await page.evaluate("axe.run(document)")
    return [
        f"{rule['id']} at {' '.join(map(str, node['target']))}: {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
