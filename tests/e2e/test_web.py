"""The server as people start it: what is described, a program of one's own, and an end that comes."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from tests.e2e.serving import CHROMIUM, WIDE, serving, visit

import nulltext
from nulltext.scenes.renderer import render
from nulltext.scenes.world import Scene, Thing

ROOT = Path(__file__).parents[2]
BALL = Scene(things=(Thing(shape="ball", color="red"),), ground="grass", time="sunny")
RED, BLUE = "a photo of a red ball on grass on a sunny day", "a photo of a blue ball on grass on a sunny day"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("web") / "kept") as (url, _):
        yield url


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium-headless-shell")
def test_the_description_of_the_api(server):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        with visit(browser, server, WIDE, "/v1/docs", ".opblock") as page:
            page.get_by_text("/v1/models", exact=True).click()
            page.get_by_role("button", name="Try it out").click()
            page.get_by_role("button", name="Execute").click()
            expect(page.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")
        browser.close()


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

    def ask(client: httpx.Client, **settings: Any) -> str:
        node = client.post("/v1/images", files={"image": ("ball.png", image.getvalue())}).json()["node"]
        response = client.post("/v1/inversions", json={"image": node["id"], "prompt": RED, "steps": 8, **settings})
        assert response.status_code == 202, response.text
        return response.json()["job"]

    def state(client: httpx.Client, job: str) -> dict[str, Any]:
        return client.get(f"/v1/jobs/{job}").json()

    def until(client: httpx.Client, job: str, states: set[str]) -> dict[str, Any]:
        while (now := state(client, job))["state"] not in states:
            time.sleep(0.1)
        return now

    with serving(folder) as (url, process), httpx.Client(base_url=url, timeout=30) as client:
        until(client, ask(client), {"done"})
        job = ask(client, method="null-text", steps=100, settings={"inner_steps": 50})
        until(client, job, {"running"})
        time.sleep(1)
        start = time.monotonic()
        with client.stream("GET", f"/v1/jobs/{job}/events") as events:  # as a page that is open
            process.send_signal(signal.SIGTERM)
            assert any("running" in line for line in events.iter_lines())
        process.wait(timeout=10)
        assert time.monotonic() - start < 5
        assert "Traceback" not in "".join(log.read_text() for log in tmp_path.glob("*.log"))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix == ".part"]
    for path in files:
        if path.suffix == ".safetensors":
            nulltext.Inversion.load(path)
    # Started again, it asks for a password; who has it finds what was there.
    with serving(folder, "--auth", "ada:lovelace") as (url, process):
        for path in ("/", "/v1/models", "/v1/docs", "/metrics"):
            assert httpx.get(url + path).status_code == 401
            assert httpx.get(url + path, auth=("ada", "byron")).status_code == 401
            assert httpx.get(url + path, auth=("ada", "lovelace")).status_code == 200
        with httpx.Client(base_url=url, timeout=30, auth=("ada", "lovelace")) as client:
            found = until(client, ask(client), {"done"})
            assert found["result"]["seconds"] == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
