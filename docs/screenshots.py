"""Makes the images of the app that the README shows: opens it in Chromium, and edits a sample.

nulltext web &
python docs/screenshots.py
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
DOCS = Path(__file__).parent
SHOTS = {"app.png": (1440, 900, "dark"), "app-narrow.png": (390, 844, "light")}
"""File names, each with the window's width and height and the colour scheme."""
OLD, NEW = "purple", "green"
"""What is changed in the third sample."""


def shoot(page: Page, url: str, output: Path) -> None:
    """Inverts the third sample, edits it, and takes the image.

    Args:
        page: A window.
        url: Where the app is.
        output: Where the image goes.
    """
    page.goto(url)
    page.locator(".sample").nth(2).click()
    expect(page.locator("#prompt")).not_to_have_value("")
    page.click("#go")
    expect(page.locator("#verdict")).to_be_visible()
    page.locator(".chip", has_text=OLD).click()
    page.fill("#replacement", NEW)
    page.press("#replacement", "Enter")
    page.click("#preset-colour")
    page.click("#go")
    expect(page.locator(".node.edit")).to_have_count(1)
    page.get_by_role("button", name="Before and after").click()
    page.locator(".panel-body").evaluate("(panel) => panel.scrollTo(0, 0)")
    page.wait_for_timeout(500)  # until the image is drawn
    page.screenshot(path=output)


def main() -> None:
    """Takes all of them."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--server", default="http://127.0.0.1:7860")
    parser.add_argument("--output", type=Path, default=DOCS)
    arguments = parser.parse_args()
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        for name, (width, height, scheme) in SHOTS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            shoot(page, arguments.server, arguments.output / name)
            print(arguments.output / name)


if __name__ == "__main__":
    main()
