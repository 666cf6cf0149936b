"""The app as people meet it: a server of its own, and a real browser before it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
WIDE, NARROW, HUGE = (1440, 900), (390, 844), (3840, 2160)


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """`nulltext web` on a port of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "nulltext", "web", "--port", str(port), "--folder", str(folder), *options]
    log_path = folder.parent / f"{port}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(1200):
                try:
                    httpx.get(f"{url}/health")
                    break
                except httpx.TransportError:
                    assert process.poll() is None, log_path.read_text()
                    time.sleep(0.1)
            yield url, process
        finally:
            process.kill()
            process.wait()


def elsewhere(asked: str, url: str) -> bool:
    """Whether a request leaves the server."""
    return not asked.startswith((f"{url}/", f"blob:{url}/", "data:"))


@contextmanager
def visit(
    browser: Browser,
    url: str,
    size: tuple[int, int] = WIDE,
    path: str = "/",
    shows: str = ".sample img",
    **options: object,
) -> Iterator[Page]:
    """A visitor with a browser window of their own; what the page complains of, or asks of others, fails the test."""
    shape = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=shape, accept_downloads=True, **options)  # pyright: ignore[reportArgumentType]
    context.set_default_timeout(60_000)
    page, complaints = context.new_page(), list[str]()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: complaints.append(request.url) if elsewhere(request.url, url) else None)
    page.goto(f"{url}{path}")
    page.wait_for_selector(shows)
    yield page
    context.close()
    # A browser writes every answer that refuses something to its console.
    assert not [one for one in complaints if "Failed to load resource" not in one], complaints
