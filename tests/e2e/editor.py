"""What visits to the app do again and again, and what has to hold wherever they go."""

import re
from io import BytesIO

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

STEPS = "6"


def seen(place: Locator) -> None:
    """Asserts that something is within the window, whole or by its larger part."""
    expect(place).to_be_visible()
    box, window = place.bounding_box(), place.page.viewport_size
    assert box is not None
    assert window is not None
    wide = min(box["x"] + box["width"], window["width"]) - max(box["x"], 0)
    high = min(box["y"] + box["height"], window["height"]) - max(box["y"], 0)
    assert min(wide, high) > 0, box
    assert wide * high > 0.5 * box["width"] * box["height"], box


def nothing_sticks_out(page: Page) -> None:
    """Asserts that the panel is as wide as what is in it."""
    for details in page.locator(".panel details").all():
        details.evaluate("(one) => { one.open = true; }")
    wide = page.locator(".panel-body").evaluate("(panel) => [panel.scrollWidth, panel.clientWidth]")
    assert wide[0] <= wide[1]
    for details in page.locator(".panel details").all():
        details.evaluate("(one) => { one.open = false; }")


def nodes(page: Page, kind: str) -> Locator:
    return page.locator(f".node.{kind}")


def begin(page: Page, sample: int = 0, steps: str = STEPS) -> str:
    """Opens a sample and inverts it; its prompt."""
    page.locator(".sample").nth(sample).click()
    prompt = page.locator("#prompt")
    expect(prompt).not_to_have_value("")
    seen(page.locator("#picture"))
    page.locator("#steps").fill(steps)
    nothing_sticks_out(page)
    seen(page.locator("#go"))
    page.locator("#go").click()
    expect(page.locator("#verdict")).to_be_visible()
    seen(page.locator("#verdict h2"))
    return page.locator("#target").input_value()


def edit(page: Page, count: int) -> None:
    """Presses the button, and waits until there are so many edits."""
    page.locator("#go").click()
    expect(nodes(page, "edit")).to_have_count(count)
    expect(page.locator("#go")).to_be_visible()
    expect(page.locator(".node button[aria-current=true]")).to_be_visible()


def replace(page: Page, word: str, other: str) -> None:
    chip = page.locator(".chip", has_text=re.compile(rf"^{word}$"))
    chip.first.scroll_into_view_if_needed()
    chip.first.click()
    seen(page.locator("#replacement"))
    page.locator("#replacement").fill(other)
    page.locator("#replacement").press("Enter")
    changed = page.locator(".chip.changed", has_text=other)
    seen(changed)


def pixels(page: Page) -> np.ndarray:
    """The image that is shown, as its file has it."""
    address = page.locator("#picture").get_attribute("src")
    assert address is not None
    return np.asarray(Image.open(BytesIO(page.request.get(address).body())).convert("RGB"), dtype=int)


def paint(page: Page) -> None:
    """A stroke over the left half."""
    page.locator("#paint").scroll_into_view_if_needed()
    page.locator("#paint").click()
    seen(page.get_by_role("toolbar", name="Brush"))
    box = page.locator("#picture").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    for step in range(10):
        page.mouse.move(
            box["x"] + (0.2 + step % 2 * 0.2) * box["width"], box["y"] + (0.3 + 0.05 * step) * box["height"], steps=4
        )
    page.mouse.up()
    expect(page.locator("#mask-share")).to_contain_text("Inside the mask")
    page.locator("#paint").click()
