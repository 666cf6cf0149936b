"""What people do without thinking: look elsewhere, load the page again, swipe over it, press Escape."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e.editor import begin, edit, nodes, replace, seen
from tests.e2e.serving import CHROMIUM, HUGE, NARROW, WIDE, visit
from tests.e2e.test_editor_hands import touch

expect.set_options(timeout=60_000)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium-headless-shell")


def width(page: Page, place: str) -> float:
    box = page.locator(place).bounding_box()
    assert box is not None
    return box["width"]


@pytest.mark.parametrize("size", [WIDE, NARROW, HUGE], ids=["desktop", "phone", "4K"])
def test_the_first_screen_is_whole_where_there_is_a_history(
    server: str, browser: Browser, size: tuple[int, int]
) -> None:
    with visit(browser, server, size) as page:
        page.locator(".sample").first.click()
        expect(page.locator("#prompt")).not_to_have_value("")
        page.locator(".brand").click()
        seen(page.locator(".drop"))
        seen(page.locator(".history"))
        assert width(page, ".start") == width(page, ".history") == size[0]


def test_a_job_outlives_a_reload_and_leaves_alone_who_looks_elsewhere(server: str, browser: Browser) -> None:
    with visit(browser, server) as page:
        page.locator(".sample").first.click()
        page.locator("#method").select_option("null-text")
        page.locator("#steps").fill("8")
        page.locator("#go").click()
        expect(page.locator("#progress")).to_contain_text("Fitting")
        page.reload()
        expect(page.locator("#progress")).to_contain_text("Fitting")
        expect(page.locator("#verdict")).to_be_visible()

        nodes(page, "image").get_by_role("button").click()
        page.locator("#steps").fill("9")
        page.locator("#go").click()
        expect(page.locator(".preview")).to_be_visible()
        nodes(page, "inversion").get_by_role("button").click()
        expect(page.locator(".preview")).to_have_count(0)
        expect(page.locator("#progress")).to_be_visible()
        expect(nodes(page, "inversion")).to_have_count(2)
        expect(page.locator("#verdict")).to_be_visible()
        expect(nodes(page, "inversion").first.locator("[aria-current=true]")).to_be_visible()
        expect(page.get_by_role("status").filter(has_text="strip below")).to_be_visible()


def test_names_menus_and_the_focus(server: str, browser: Browser) -> None:
    with visit(browser, server) as page:
        begin(page, 0, "2")
        page.locator(".name").click()
        page.keyboard.type("mine")
        page.keyboard.press("Enter")
        expect(page.locator(".name span")).to_have_text("mine")
        menu = page.locator("details.menu")
        for leave in (lambda: page.keyboard.press("Escape"), lambda: page.locator("#picture").click()):
            menu.locator("summary").click()
            expect(menu).to_have_attribute("open", "")
            leave()
            expect(menu).not_to_have_attribute("open", "")
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_role("button", name="Delete with all edits of it")).to_be_visible()
        page.get_by_role("button", name="Keep it").focus()
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Delete with all edits of it")).to_have_count(0)
        chip = page.locator(".chip", has_text=re.compile("^house$"))
        chip.click()
        page.keyboard.press("Escape")
        expect(chip).to_be_focused()
        replace(page, "house", "mug")
        expect(page.locator(".chip.changed")).to_be_focused()
        for count in (1, 2):
            edit(page, count)
        expect(nodes(page, "edit").locator(".caption")).to_have_text(["mug", "mug 2"])


def test_a_swipe_over_a_slider_moves_the_page_alone(server: str, browser: Browser) -> None:
    with visit(browser, server, NARROW, has_touch=True) as page:
        begin(page, 0, "2")
        slider = page.locator("#layout")
        slider.scroll_into_view_if_needed()
        before, box = slider.input_value(), slider.bounding_box()
        assert box is not None
        x, y = box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2
        top = "() => document.querySelector('.panel-body').scrollTop"
        scrolled = page.evaluate(top)
        session = page.context.new_cdp_session(page)
        touch(session, *([(x, y + by)] for by in (0, 10, 25, 45, 70)))
        page.wait_for_function(f"(before) => ({top})() !== before", arg=scrolled)
        expect(slider).to_have_js_property("value", before)
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        assert box is not None
        y = box["y"] + box["height"] / 2
        touch(session, *([(x + by, y)] for by in (0, 10, 25, 45, 70)))  # along it, it moves
        expect(slider).not_to_have_js_property("value", before)
