"""The page by hand: two fingers on the image, a brush, and what can be undone, also after the tab was loaded again."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect
from tests.e2e.editor import begin, replace
from tests.e2e.serving import CHROMIUM, NARROW, visit

expect.set_options(timeout=60_000)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium-headless-shell")

Fingers = Sequence[tuple[float, float]]


def zoom_of(page: Page) -> tuple[float, float, float]:
    """How the image is moved, in pixels, and how many times larger it is."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")  # until it is drawn
    style = page.locator(".sheet").get_attribute("style") or ""
    found = re.search(r"translate\(([-\d.e]+)px, ([-\d.e]+)px\) scale\(([\d.e]+)\)", style)
    assert found is not None, style
    return float(found[1]), float(found[2]), float(found[3])


def touch(session: CDPSession, *frames: Fingers) -> None:
    """Puts fingers down, moves them from frame to frame, and lifts them; places in pixels of the window."""
    down = 0
    for fingers in frames:
        points: list[dict[str, Any]] = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(fingers)]
        kind, down = "touchStart" if len(fingers) > down else "touchMove", len(fingers)
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def middle(page: Page) -> tuple[float, float]:
    box = page.locator(".pane").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def apart(page: Page, *distances: float, at: tuple[float, float] = (0, 0)) -> list[Fingers]:
    """Two fingers side by side around a place, seen from the middle of the image."""
    x, y = (sum(pair) for pair in zip(middle(page), at, strict=True))
    return [[(x - distance / 2, y), (x + distance / 2, y)] for distance in distances]


def test_two_fingers_a_brush_and_a_reload(server: str, browser: Browser) -> None:
    with visit(browser, server, NARROW, has_touch=True) as page:
        begin(page, 0, "2")
        session = page.context.new_cdp_session(page)
        touch(session, *apart(page, 60, 80, 100, 120))
        x, y, scale = zoom_of(page)
        assert scale == pytest.approx(2, abs=0.1)
        assert (x, y) == pytest.approx((0, 0), abs=3)
        touch(session, *(pair for shift in (0, 10, 20, 30) for pair in apart(page, 100, at=(shift, -shift))))
        moved = zoom_of(page)
        assert moved[2] == pytest.approx(scale, abs=0.1)
        assert moved[:2] == pytest.approx((30, -30), abs=4)
        for _ in range(3):
            touch(session, *(pair for shift in range(90, -91, -10) for pair in apart(page, 100, at=(shift, 0))))
        width = page.locator(".sheet").evaluate("(sheet) => parseFloat(sheet.style.width)")
        assert zoom_of(page)[0] == pytest.approx(-width * (zoom_of(page)[2] - 1) / 2, abs=1)  # and no further

        replace(page, "house", "mug")
        page.locator("#paint").scroll_into_view_if_needed()
        page.locator("#paint").click()
        share = page.locator("#mask-share")
        x, y = middle(page)
        touch(session, [(x - 40, y)], [(x, y)], [(x + 40, y)])
        expect(share).to_contain_text("Inside the mask")
        painted, before = share.text_content(), zoom_of(page)
        second = [[(x + by, y), (x + 60 - by, y)] for by in (0, 10, 15)]
        touch(session, [(x, y)], *second)  # one finger began to paint, another joined it: they zoom
        assert zoom_of(page)[2] < before[2]
        assert share.text_content() == painted
        page.locator("#paint").click()

        page.reload()
        expect(page.locator(".chip.changed")).to_have_count(1)
        expect(share).to_have_text(painted or "")
        undo, redo = (page.get_by_role("button", name=name, exact=True) for name in ("Undo", "Redo"))
        undo.click()
        expect(share).to_contain_text("Everywhere")
        undo.click()
        expect(page.locator(".chip.changed")).to_have_count(0)
        expect(undo).to_be_disabled()
        page.reload()
        expect(redo).to_be_enabled()
        redo.click()
        redo.click()
        expect(share).to_have_text(painted or "")
        expect(redo).to_be_disabled()


def test_what_a_tab_keeps_is_bounded_and_may_be_anything(server: str, browser: Browser) -> None:
    with visit(browser, server) as page:
        begin(page, 0, "2")
        for number in range(70):
            page.locator("#target").evaluate(
                "(field, text) => { field.value = text; field.dispatchEvent(new Event('input', { bubbles: true })); }",
                f"a photo of {number}",
            )
        page.wait_for_function("() => JSON.parse(sessionStorage['nulltext-undo'] ?? '{}').draft?.text.endsWith('69')")
        kept = page.evaluate("() => sessionStorage['nulltext-undo']")
        assert kept.count('"text"') == 51
        for wrong in (
            "{",
            kept.replace('"parent":"', '"parent":"x'),
            kept.replace('"masks":[]', '"masks":["data:,"]'),
        ):
            page.evaluate(
                "(text) => addEventListener('pagehide', () => { sessionStorage['nulltext-undo'] = text; })",
                wrong,
            )
            page.reload()
            expect(page.locator("#verdict")).to_be_visible()
            expect(page.get_by_role("button", name="Undo", exact=True)).to_be_disabled()


def test_a_method_that_draws_at_random_has_its_seed_beside_the_plain_settings(server: str, browser: Browser) -> None:
    with visit(browser, server) as page:
        begin(page, 0, "2")
        page.locator(".node.image button").click()
        expect(page.locator("#seed")).to_have_count(0)
        page.locator("#method").select_option("edit-friendly")
        page.locator("#seed").fill("7")
        page.locator("#go").click()
        expect(page.locator("#verdict")).to_be_visible()
        number = page.locator(".node.inversion button[aria-current=true]")
        expect(number).to_be_visible()
        made = page.evaluate("() => fetch(`v1/history/${location.hash.slice(1)}`).then((answer) => answer.json())")
        assert made["request"]["settings"] == {"seed": 7}
        page.locator(".panel details.expert summary").click()
        page.locator("#editor").select_option("sdedit")
        page.get_by_role("button", name="Another").click()
        expect(page.locator("#seed")).to_have_value(re.compile(r"^[1-9]\d*$"))
