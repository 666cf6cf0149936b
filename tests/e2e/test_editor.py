"""The page in a browser: whole visits, at three sizes, by mouse, touch and keyboard."""

import gzip
import hashlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect
from tests.e2e.editor import begin, edit, nodes, nothing_sticks_out, paint, pixels, replace, seen
from tests.e2e.serving import CHROMIUM, HUGE, NARROW, WIDE, serving, visit
from tests.hub import Hub, files_of, serving_hub

import nulltext

expect.set_options(timeout=60_000)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium-headless-shell")

AXE = Path(__file__).parent / "axe" / "axe.min.js.gz"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
"""Of npm's axe-core 4.14.1."""
ANSWERED = """() => new Promise((done) => {
    const start = performance.now(), channel = new MessageChannel(), field = document.querySelector("#prompt");
    channel.port1.onmessage = () => done(performance.now() - start);
    field.value += " ";
    field.dispatchEvent(new Event("input", { bubbles: true }));
    requestAnimationFrame(() => channel.port2.postMessage(0));
})"""
"""The milliseconds from a key to the frame that shows it."""


@pytest.mark.parametrize(
    ("size", "theme"), [(WIDE, "light"), (NARROW, "dark"), (HUGE, "dark")], ids=["desktop", "phone", "4K"]
)
def test_a_whole_visit(server: str, browser: Browser, size: tuple[int, int], theme: Any) -> None:
    with visit(browser, server, size, color_scheme=theme, has_touch=size == NARROW) as page:
        prompt = begin(page)
        replace(page, "house", "mug")
        page.locator("#preset-thing").scroll_into_view_if_needed()
        page.locator("#preset-thing").click()
        expect(page.locator("#local")).to_be_checked()
        edit(page, 1)
        seen(page.locator("#picture"))
        seen(page.locator(".node button[aria-current=true]"))
        first = pixels(page)
        nothing_sticks_out(page)
        target = page.locator("#target").input_value()
        assert target == prompt.replace("house", "mug")

        paint(page)
        edit(page, 2)
        painted = pixels(page)
        assert np.abs(painted - first).max() > 20

        page.get_by_role("button", name="Before and after").click()
        handle = page.get_by_role("slider", name="Line between before and after")
        seen(handle)
        for _ in range(5):
            handle.press("ArrowRight")
        expect(handle).to_have_attribute("aria-valuenow", "60")
        page.get_by_role("button", name="One image").click()

        nodes(page, "edit").first.get_by_role("button").click()
        expect(page.locator("#target")).to_have_value(target)
        expect(page.locator("#mask-share")).to_contain_text("Where the words look")
        edit(page, 3)
        assert np.array_equal(pixels(page), first)

        page.reload()
        expect(nodes(page, "edit")).to_have_count(3)
        expect(page.locator("#target")).to_have_value(target)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= size[0]
        assert page.evaluate("() => document.documentElement.scrollHeight") <= size[1]


def test_by_the_keyboard_alone(server: str, browser: Browser) -> None:
    with visit(browser, server) as page:
        page.locator(".sample").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#prompt")).not_to_have_value("")
        page.locator("#steps").focus()
        page.keyboard.press("Home")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#verdict")).to_be_visible()
        page.locator(".chip", has_text=re.compile("^cyan$")).focus()
        page.keyboard.press("Enter")
        expect(page.locator("#replacement")).to_be_focused()
        page.keyboard.type("red")
        page.keyboard.press("Enter")
        expect(page.locator(".chip.changed")).to_have_count(1)
        page.locator(".chip").first.focus()
        page.keyboard.press("Control+z")
        expect(page.locator(".chip.changed")).to_have_count(0)
        page.keyboard.press("Control+Shift+z")
        expect(page.locator(".chip.changed")).to_have_count(1)
        page.keyboard.press("Control+Enter")
        expect(nodes(page, "edit")).to_have_count(1)
        page.locator(".node button[aria-current=true]").focus()
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#verdict")).to_be_visible()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#verdict")).to_have_count(0)


def test_a_photograph_never_seen_is_not_praised(server: str, browser: Browser, tmp_path: Path) -> None:
    rough = np.random.default_rng(3).normal(size=(40, 60, 3)).cumsum(0).cumsum(1)
    data = np.clip(128 + 9 * rough, 0, 255).astype(np.uint8)
    Image.fromarray(data).resize((900, 600)).save(tmp_path / "mine.jpg")
    with visit(browser, server) as page:
        page.set_input_files("#file", tmp_path / "mine.jpg")
        page.locator("#prompt").fill("a photo of a tiger on grass")
        expect(page.locator("#remarks mark")).to_have_text("tiger")
        page.locator("#prompt").fill("a photo of a house on grass")
        expect(page.locator("#remarks")).to_have_count(0)
        page.locator("#steps").fill("4")
        page.locator("#go").click()
        expect(page.locator("#verdict")).not_to_contain_text("Ready to edit")


@pytest.mark.alone
def test_cancelling_is_at_once(server: str, browser: Browser) -> None:
    with visit(browser, server) as page:
        page.locator(".sample").nth(1).click()
        page.locator("#method").select_option("null-text")
        page.locator("#go").click()
        expect(page.locator("#progress")).to_contain_text("Fitting")
        expect(page.locator(".preview")).to_be_visible()
        assert median(page.evaluate(ANSWERED) for _ in range(5)) <= 100
        place = page.locator("#progress").bounding_box()
        start = time.monotonic()
        page.locator("#cancel").click()
        expect(page.locator("#go")).to_be_visible()
        assert time.monotonic() - start < 1
        button = page.locator("#go").bounding_box()
        assert place is not None
        assert button is not None
        assert (place["x"], place["height"]) == (button["x"], button["height"])  # the button is where the bar was
        page.locator("#method").select_option("direct")
        page.locator("#steps").fill("2")
        page.locator("#go").click()
        expect(page.locator("#verdict")).to_be_visible()


def test_variants_a_chain_and_what_was_made_opens_again(server: str, browser: Browser, tmp_path: Path) -> None:
    with visit(browser, server) as page:
        begin(page, 2, "4")
        page.locator("#target").fill(page.locator("#target").input_value().replace("purple", "green"))
        page.locator("#vary").select_option("layout")
        page.locator("#go").click()
        expect(nodes(page, "edit")).to_have_count(4)
        expect(page.locator("#variants .tag")).to_have_text(["layout 0", "layout 0.4", "layout 0.8", "layout 1"])
        seen(page.locator("#variants"))
        page.locator("#variants button").nth(2).click()
        page.get_by_role("button", name="One image").click()
        page.locator("#go-on").click()
        page.locator("#target").fill(page.locator("#target").input_value().replace("brick", "sand"))
        edit(page, 5)
        expect(page.locator(".node.depth-3")).to_have_count(1)
        page.get_by_role("button", name="The same as code").click()
        expect(page.locator("dialog .code")).to_contain_text("import nulltext")
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).to_be_hidden()
        for words, name in (("Image", "edit.png"), ("Inversion file", "kept.safetensors")):
            page.locator(".menu summary").click()
            with page.expect_download() as download:
                page.get_by_role("link", name=words, exact=True).click()
            download.value.save_as(tmp_path / name)
        assert "purple" in nulltext.Inversion.load(tmp_path / "kept.safetensors").prompt
        page.set_input_files("#file", tmp_path / "edit.png")
        expect(page.locator(".panel-body")).to_contain_text("This picture was made here")
        page.set_input_files("#file", tmp_path / "kept.safetensors")
        expect(page.locator("#verdict")).to_be_visible()


def test_two_people_wait_for_each_other(server: str, browser: Browser) -> None:
    with visit(browser, server) as one, visit(browser, server) as other:
        one.locator(".sample").nth(3).click()
        one.locator("#method").select_option("null-text")
        one.locator("#go").click()
        expect(one.locator("#progress")).to_contain_text("Finding the noise")
        other.locator(".sample").nth(3).click()
        other.locator("#steps").fill("3")
        other.locator("#go").click()
        expect(other.locator("#progress")).to_contain_text("Waiting: one job before yours")
        one.keyboard.press("Escape")
        expect(other.locator("#verdict")).to_be_visible()
        expect(nodes(one, "inversion")).to_have_count(0)


def test_a_restart_loses_nothing_and_a_model_is_fetched_where_one_asks_for_it(
    browser: Browser, tmp_path: Path, folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    options = ("--model", "scenes", "--model", "nobody/nothing", "--model", "somebody/small")
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    with serving_hub(Hub("somebody/small", files_of(folder("epsilon")))) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with serving(tmp_path / "kept", *options) as (url, _):
            page.goto(url)
            begin(page, 1, "3")
            page.get_by_role("button", name="Favourite").click()
            expect(page.locator(".node .mark")).to_have_count(1)
            nodes(page, "image").get_by_role("button").click()
            start = time.monotonic()
            page.locator("#model").select_option("nobody/nothing")
            expect(page.locator("#download-error")).to_contain_text("from the hub")
            assert time.monotonic() - start < 3
            expect(page.locator("#go")).to_be_disabled()
            page.locator("#model").select_option("somebody/small")
            seen(page.get_by_role("button", name=re.compile(r"Download \(\d+ MB\)")))
            page.locator("#fetch").click()
            expect(page.locator("#download")).to_contain_text(re.compile(r"kB of \d+ MB"))
            nothing_sticks_out(page)
            hub.gate.set()
            expect(page.locator("#download")).to_have_count(0)
            expect(page.locator("#model option:checked")).to_have_text("somebody/small")
            expect(page.locator("#go")).to_be_enabled()
    cookies = context.cookies()
    with serving(tmp_path / "kept", *options) as (url, _):
        context.add_cookies([{**one, "domain": "127.0.0.1"} for one in cookies])  # pyright: ignore[reportArgumentType]
        page.goto(url)
        expect(nodes(page, "inversion")).to_have_count(1)
        expect(page.locator(".node .mark")).to_have_count(1)
        nodes(page, "inversion").get_by_role("button").click()
        expect(page.locator("#verdict")).to_be_visible()
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_serious_keeps_anybody_out(server: str, browser: Browser, theme: Any) -> None:
    """As axe-core finds it, which is no part of the package."""
    data = gzip.decompress(AXE.read_bytes())
    assert hashlib.sha256(data).hexdigest() == AXE_SHA256
    context = browser.new_context(color_scheme=theme, bypass_csp=True, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(server)
    page.wait_for_selector(".sample img")

    def check(where: str) -> None:
        page.evaluate(data.decode())
        found = page.evaluate("() => axe.run()")
        serious = [one for one in found["violations"] if one["impact"] in {"serious", "critical"}]
        assert not serious, (
            where,
            [(one["id"], [each["html"][:200] for each in one["nodes"]]) for one in serious],
        )

    check("the first screen")
    begin(page, 0, "2")
    check("an inversion")
    page.locator(".chip", has_text=re.compile("^cyan$")).click()
    page.locator("#paint").click()
    check("a word and the brush")
    page.locator("#target").fill(page.locator("#target").input_value().replace("cyan", "red"))
    page.locator("#paint").click()
    edit(page, 1)
    page.get_by_role("button", name="Before and after").click()
    check("an edit")
    page.get_by_role("button", name="Help").click()
    check("the help")
    context.close()


@pytest.mark.alone
def test_an_edit_is_there_in_six_seconds(served: tuple[str, int], browser: Browser) -> None:
    """From the click to its image, at the steps that the page begins with; a busy machine's waiting does not count."""
    url, pid = served
    server = psutil.Process(pid)

    def busy() -> float:
        return sum(server.cpu_times()[:2])

    with visit(browser, url) as page:
        page.locator(".sample").first.click()
        expect(page.locator("#steps")).to_have_value("50")
        page.locator("#go").click()
        expect(page.locator("#verdict")).to_be_visible()
        replace(page, "house", "mug")
        before, start, spent = page.locator("#picture").get_attribute("src"), time.monotonic(), busy()
        page.locator("#go").click()
        expect(page.locator(".node.edit button[aria-current=true]")).to_be_visible()
        page.wait_for_function(
            "(before) => { const one = document.querySelector('#picture');"
            " return one.src !== before && one.complete && one.naturalWidth > 0; }",
            arg=before,
        )
        seen(page.locator("#picture"))
        assert min(time.monotonic() - start, busy() - spent) <= 6


@pytest.mark.alone
def test_the_page_is_there_at_once(server: str, browser: Browser) -> None:
    with visit(browser, server) as page:
        page.reload()
        page.wait_for_selector(".sample img")
        painted, html = page.evaluate(
            "() => [performance.getEntriesByName('first-contentful-paint')[0].startTime,"
            " performance.getEntriesByType('navigation')[0].responseEnd]"
        )
        assert painted - html <= 500
        sent = page.evaluate(
            "() => performance.getEntriesByType('resource').filter((one) => one.name.includes('/page/'))"
            ".reduce((sum, one) => sum + one.encodedBodySize, 0)"
        )
        assert sent <= 150_000


def test_a_script_that_got_into_the_page_does_not_run(server: str, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(server)
    page.wait_for_selector(".sample img")
    page.evaluate("""() => {
        document.querySelector("#app").innerHTML = '<img src="data:," onerror="window.ran = true">';
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
    }""")
    page.wait_for_timeout(300)
    assert page.evaluate("() => window.ran") is None
    context.close()


def test_another_language(server: str, browser: Browser) -> None:
    with visit(browser, server, locale="de-DE") as page:
        expect(page.locator(".start h2")).to_have_text("Ein Foto mit Worten ändern")
        page.get_by_label("Sprache").select_option("en")
        expect(page.locator(".start h2")).to_have_text("Change a photograph with words")
