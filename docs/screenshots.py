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
SHOTS = {"app.png": (1280, 720, "light"), "app-narrow.png": (390, 844, "dark")}
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
    page.locator("#samples button img").nth(2).click()
    prompt = page.locator("#prompt textarea")
    expect(prompt).not_to_have_value("")
    page.click("#invert")
    expect(page.locator("#below")).to_be_visible()
    page.fill("#target textarea", prompt.input_value().replace(OLD, NEW))
    expect(page.locator("#highlight mark")).to_be_visible()
    page.click("#edit")
    expect(page.locator("#downloads a")).to_be_visible()
    page.wait_for_timeout(1000)  # until the image is drawn
    width, height = page.evaluate(
        "[innerWidth, scrollY + document.querySelector('#code').getBoundingClientRect().bottom]"
    )
    page.screenshot(path=output, full_page=True, clip={"x": 0, "y": 0, "width": width, "height": height})


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
