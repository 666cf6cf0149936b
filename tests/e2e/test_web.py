"""The app as people meet it: a server of its own, and a real browser before it."""

import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

import nulltext
from nulltext.inversion.table import INVERTERS
from nulltext.scenes.captions import caption
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, Scene, Thing, sample_scene

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
BALL = Scene(things=(Thing(shape="ball", color="red"),), ground="grass", time="sunny")
RED, BLUE = "a photo of a red ball on grass on a sunny day", "a photo of a blue ball on grass on a sunny day"
WIDE, NARROW = (1440, 900), (390, 844)

expect.set_options(timeout=60_000)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium-headless-shell")


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`nulltext web` on a port of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "nulltext", "web", "--port", str(port), "--folder", str(folder), *options]
    with (folder.parent / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    httpx.get(url)
                    break
                except httpx.TransportError:
                    assert process.poll() is None, (folder.parent / f"{port}.log").read_text()
                    time.sleep(0.1)
            yield url, process
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("web") / "kept") as (url, _):
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def held_out(tmp_path_factory) -> tuple[Path, str]:
    """An image no model was trained on, wider than it is high, and its prompt."""
    scene = sample_scene(HELD_OUT_SEEDS[77_123], things=1)
    path = tmp_path_factory.mktemp("images") / "mine.png"
    nulltext.to_image(render([scene], height=150, width=200).pixels).save(path)
    return path, caption(scene)


@contextmanager
def visit(browser: Browser, url: str, size: tuple[int, int], path: str = "/", shows: str = "#invert") -> Iterator[Page]:
    """A visitor with a browser window of their own; what the page complains of, or asks of others, fails the test."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
    context.set_default_timeout(60_000)
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: complaints.append(request.url) if elsewhere(request.url, url) else None)
    page.goto(f"{url}{path}")
    page.wait_for_selector(shows)
    yield page
    context.close()
    assert not complaints, complaints


def elsewhere(asked: str, url: str) -> bool:
    """Whether a request leaves the server."""
    return not asked.startswith((f"{url}/", f"blob:{url}/", "data:"))


def open_upload(page: Page, path: Path, prompt: str) -> None:
    page.set_input_files("#upload input[type=file]", path)
    page.wait_for_selector("#preview img")
    page.fill("#prompt textarea", prompt)


def invert(page: Page) -> list[str]:
    """Clicks, waits, and returns all that was told on the way."""
    messages: list[str] = []
    page.click("#invert")
    while page.locator("#below").is_hidden():
        messages.append(page.inner_text("#progress"))
        assert "expected" not in page.inner_text("#message"), page.inner_text("#message")
        page.wait_for_timeout(100)
    # the section is shown before its fields have their values, and what is typed until then is overwritten
    expect(page.locator("#highlight")).to_contain_text("Nothing has changed yet")
    expect(page.locator("#target textarea")).to_have_value(page.input_value("#prompt textarea"))
    return list(dict.fromkeys(messages))


def edit(page: Page, prompt: str | None = None) -> tuple[Image.Image, float]:
    """Clicks, waits for a new image, downloads it; and the seconds from the click."""
    if prompt is not None:
        page.fill("#target textarea", prompt)
        expect(page.locator("#highlight mark")).to_be_visible()
    link = page.locator("#downloads a").first
    before = link.get_attribute("href") if link.count() else ""
    start = time.monotonic()
    page.click("#edit")
    expect(link).to_be_visible()
    expect(link).not_to_have_attribute("href", before or "none yet")
    seconds = time.monotonic() - start
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename.endswith("-edited.png")
    return Image.open(download.value.path()).convert("RGB"), seconds


def paint(page: Page) -> None:
    """Over the left half of the image."""
    page.click("#paint-part > button")
    canvas = page.locator("#paint canvas").first
    expect(canvas).to_be_visible()
    page.wait_for_timeout(1500)  # until the image is drawn into it
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    middle, top, side = box["x"] + box["width"] / 2, box["y"], box["height"]
    page.mouse.move(middle - 0.3 * side, top + 0.3 * side)
    page.mouse.down()
    for step in range(12):
        page.mouse.move(middle - 0.3 * side + step % 2 * 0.1 * side, top + (0.3 + 0.03 * step) * side, steps=3)
    page.mouse.up()
    page.wait_for_timeout(500)


def apart(one: Image.Image, other: Image.Image) -> np.ndarray:
    """Where two images differ, by the largest difference of a column's pixels."""
    return np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max(axis=(0, 2))


@pytest.mark.alone
@needs_browser
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_whole_visit(server, browser, held_out, size, tmp_path):
    path, prompt = held_out
    with visit(browser, server, size) as page:
        open_upload(page, path, prompt.replace("night", "nihgt"))
        expect(page.locator("#checked mark")).to_have_text("nihgt")
        page.fill("#prompt textarea", prompt)
        expect(page.locator("#checked mark")).to_have_count(0)
        messages = invert(page)
        if size == WIDE:  # the second visit finds it in the cache
            steps = [int(step) for one in messages for step in re.findall(r"step (\d+) of 50", one)]
            assert len(set(steps)) > 2
            assert steps == sorted(steps)
        expect(page.locator("#verdict")).to_contain_text("Very good")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]

        other = prompt.replace("night", "sunset")
        edited, seconds = edit(page, other)
        assert edited.size == (200, 150)
        assert seconds <= 8
        paint(page)
        painted, _ = edit(page)
        assert apart(painted, edited)[150:].max() > 20  # outside of the paint the source is back
        source = Image.open(path).convert("RGB")
        assert apart(painted, source)[160:].mean() < apart(edited, source)[160:].mean()

        with page.expect_download() as download:
            page.click("#verdict a")
        kept = tmp_path / "mine.safetensors"
        download.value.save_as(kept)
        assert nulltext.Inversion.load(kept).prompt == prompt
        page.click("#upload button[aria-label*=Clear], #upload button[aria-label*=emove]")
        expect(page.locator("#below")).to_be_hidden()
        page.set_input_files("#upload input[type=file]", kept)
        expect(page.locator("#below")).to_be_visible()
        expect(page.locator("#prompt textarea")).to_have_value(prompt)


@pytest.mark.alone
@needs_browser
def test_the_first_page_load(server, browser):
    start = time.monotonic()
    with visit(browser, server, WIDE):
        assert time.monotonic() - start <= 3


@needs_browser
def test_the_description_of_the_api(server, browser):
    with visit(browser, server, WIDE, "/api/docs", ".opblock") as page:
        page.get_by_text("/api/models").click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        expect(page.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")


@needs_browser
def test_a_script_that_got_into_the_page_does_not_run(server, browser):
    context = browser.new_context()
    page = context.new_page()
    page.goto(server)
    page.wait_for_selector("#invert")
    page.evaluate("""() => {
        document.querySelector("#message").innerHTML = '<img src="data:," onerror="window.ran = true">';
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
    }""")
    page.wait_for_timeout(300)
    assert page.evaluate("window.ran") is None
    context.close()


BAD = {
    "text.png": b"no image at all",
    "script.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "wide.png": Image.new("L", (30_000, 1)),
    "bomb.png": Image.new("L", (10_000, 9_000)),
    "code.safetensors": pickle.dumps({"a": 1}),
}


@needs_browser
def test_bad_files_get_a_sentence_each(server, browser, held_out, tmp_path):
    with visit(browser, server, WIDE) as page:
        for name, content in BAD.items():
            if isinstance(content, bytes):
                (tmp_path / name).write_bytes(content)
            else:
                content.save(tmp_path / name)
            page.set_input_files("#upload input[type=file]", tmp_path / name)
            alert = page.locator("#message [role=alert]")
            expect(alert).to_have_text(re.compile(r"\w.+\.\s*$"))
            assert "Traceback" not in page.content()
            page.click("#upload button[aria-label*=Clear], #upload button[aria-label*=emove]")
            expect(alert).to_have_count(0)
        open_upload(page, *held_out)  # the server lives
        invert(page)


def choose(page, method: str):
    """Takes a method of inversion, by the label that its row makes."""
    page.locator("#method input").click()
    page.get_by_role("option", name=f"{method}: {INVERTERS[method].summary}", exact=True).click()


@pytest.mark.alone
@needs_browser
def test_cancelling_is_at_once(server, browser, held_out):
    path, prompt = held_out
    with visit(browser, server, WIDE) as page:
        open_upload(page, path, prompt)
        page.get_by_role("button", name="Model and settings").click()
        choose(page, "null-text")
        page.click("#invert")
        expect(page.locator("#progress")).to_contain_text("Fitting the null embeddings")
        start = time.monotonic()
        page.click("#cancel")
        expect(page.locator("#message")).to_contain_text("Cancelled")
        assert time.monotonic() - start < 2
        expect(page.locator("#progress")).not_to_contain_text("step")
        choose(page, "direct")
        invert(page)  # the device is free again


@needs_browser
def test_earlier_edits_variants_and_a_chain(server, browser, held_out):
    path, prompt = held_out
    with visit(browser, server, WIDE) as page:
        open_upload(page, path, prompt)
        invert(page)
        first, second = prompt.replace("night", "sunset"), prompt.replace("grass", "snow").replace("night", "sunset")
        edit(page, first)
        page.get_by_label("Go on from the edit that is shown").check()
        edit(page, second)
        page.click("#code > button")
        expect(page.locator("#shell")).to_contain_text("--chain")
        page.get_by_label("Go on from the edit that is shown").uncheck()
        page.locator("#vary input").click()
        page.get_by_role("option", name="four, by how much of the layout is kept").click()
        edit(page)
        images = page.locator("#edits .grid-wrap button img")
        expect(images).to_have_count(6)
        images.nth(0).click()
        expect(page.locator("#target textarea")).to_have_value(first)
        page.click("#look")
        expect(page.locator("#maps img").first).to_be_visible()
        expect(page.locator("#strip img")).to_be_visible()


@needs_browser
def test_two_people_at_once(server, browser, held_out, tmp_path):
    path, prompt = held_out
    ball = tmp_path / "ball.png"
    nulltext.to_image(render([BALL]).pixels).save(ball)
    with visit(browser, server, WIDE) as one, visit(browser, server, WIDE) as other:
        open_upload(one, path, prompt)
        open_upload(other, ball, RED)
        one.click("#invert")
        other.click("#invert")
        for page in (one, other):
            expect(page.locator("#below")).to_be_visible()
            expect(page.locator("#verdict")).to_contain_text("Very good")
        assert one.input_value("#target textarea") == prompt
        assert other.input_value("#target textarea") == RED
        edited, _ = edit(other, BLUE)
        assert edited.size == (128, 128)
        for mine in (
            other.locator("#downloads a").first.get_attribute("href"),
            other.locator("#verdict a").get_attribute("href"),
            other.locator("#result img").first.get_attribute("src"),
        ):
            assert other.request.get(urljoin(f"{server}/", mine)).status == 200
            assert one.request.get(urljoin(f"{server}/", mine)).status in (403, 404)


def test_a_program_of_ones_own(server, here, environment):
    nulltext.to_image(render([BALL]).pixels).save("ball.png")
    script = [sys.executable, ROOT / "examples" / "web_client.py", "ball.png", RED, BLUE]
    subprocess.run([*script, "--server", server, "--steps", "10"], check=True, env=environment)
    red, blue = (np.asarray(Image.open("edited.png"), dtype=int)[56:88, 56:88, channel].mean() for channel in (0, 2))
    assert blue > red
    result = subprocess.run(
        [*script[:3], "a red unicorn", BLUE, "--server", server, "--output", "unicorn.png"],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert result.returncode == 1
    assert "unicorn" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.alone
def test_told_to_stop_it_ends_soon_and_cleanly_and_starts_again_with_what_it_had(tmp_path):
    folder, image = tmp_path / "kept", BytesIO()
    nulltext.to_image(render([BALL]).pixels).save(image, "PNG")

    def ask(client: httpx.Client, **settings: str) -> str:
        files = {"image": ("ball.png", image.getvalue())}
        response = client.post("/api/inversions", files=files, data={"prompt": RED, "steps": "8", **settings})
        assert response.status_code == 202, response.text
        return response.json()["job"]

    def state(client: httpx.Client, job: str) -> dict[str, Any]:
        return client.get(f"/api/jobs/{job}").json()

    def until(client: httpx.Client, job: str, states: set[str]) -> dict[str, Any]:
        while (now := state(client, job))["state"] not in states:
            time.sleep(0.1)
        return now

    with serving(folder) as (url, process), httpx.Client(base_url=url, timeout=30) as client:
        until(client, ask(client), {"done"})
        job = ask(client, method="null-text", steps="100", settings='{"inner_steps": 50}')
        until(client, job, {"running"})
        time.sleep(1)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)
        assert time.monotonic() - start < 5
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix == ".part"]
    for path in files:
        if path.suffix == ".safetensors":
            nulltext.Inversion.load(path)
    # Started again, it asks for a password; who has it finds what was there.
    with serving(folder, "--auth", "ada:lovelace") as (url, _):
        for path in ("/", "/api/models", "/api/docs"):
            assert httpx.get(url + path).status_code == 401
            assert httpx.get(url + path, auth=("ada", "byron")).status_code == 401
            assert httpx.get(url + path, auth=("ada", "lovelace")).status_code == 200
        with httpx.Client(base_url=url, timeout=30, auth=("ada", "lovelace")) as client:
            found = until(client, ask(client), {"done"})
            assert found["result"]["seconds"] == 0
