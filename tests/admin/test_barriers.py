"""axe-core on the steps of setting up an authenticator, on a phone, light and dark."""

from typing import Any, Literal

import pytest
from playwright.async_api import async_playwright

from app.admin.page import STATIC
from app.admin.pages import templates
from tests.axe import WITHOUT_AXE, axe, barriers_on
from tests.chromium import CHROMIUM

__all__ = ["axe"]

STEPS: dict[str, dict[str, Any]] = {
    "start": {},
    "scan": {"uri": "otpauth:", "secret": "A" * 32, "picture": "data:,"},
    "mistyped": {"begun": True, "error": "The code is wrong."},
    "codes": {"recovery_codes": ["aaaaaaaa-bbbbbbbb"]},
    "remove": {"enrolled": True},
}


@WITHOUT_AXE
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_keeps_people_from_setting_up_an_authenticator(
    scheme: Literal["light", "dark"],
    axe: str,
) -> None:
    style = f"<style>{(STATIC / 'pages.css').read_text()}</style></head>"
    found: dict[str, list[str]] = {}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
        for name, shown in STEPS.items():
            content = templates.get_template("second_factor.html").render(csrftoken="t", **shown)
            await page.set_content(content.replace("</head>", style))
            found[name] = await barriers_on(page, axe)
        await browser.close()

    assert found == {name: [] for name in STEPS}
