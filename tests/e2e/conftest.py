"""The command line as its user meets it: run from an empty folder, in this process unless a test needs another."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from tests.e2e.serving import CHROMIUM, serving
from typer.testing import CliRunner, Result

from nulltext.cli.app import app
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The app on the embedded model: its address, and its process."""
    with serving(tmp_path_factory.mktemp("web") / "kept") as (url, process):
        yield url, process.pid


@pytest.fixture(scope="session")
def server(served: tuple[str, int]) -> str:
    """Its address."""
    return served[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(here: Path, loaded_once: None) -> Run:
    """Runs the command line in this process, on an embedded model that is loaded once for all commands."""

    def call(*args: object) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args], env={"COLUMNS": "120"})

    return call


@pytest.fixture
def run_json(run: Run) -> Callable[..., Mapping[str, Any]]:
    """Runs it with --json and reads what it prints: one object, and nothing beside it."""

    def call(*args: object) -> Mapping[str, Any]:
        result = run(*args, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return call


@pytest.fixture
def measured_once(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Lets a command print again what it has measured with the same settings, without measuring it twice."""

    def remember(module: str, name: str) -> None:
        measure, kept = getattr(import_module(module), name), list[tuple[object, object]]()

        def known(*args: object, **settings: object) -> object:
            asked = args, {setting: value for setting, value in settings.items() if setting != "on_progress"}
            for before, figures in kept:
                if before == asked:
                    return figures
            kept.append((asked, measure(*args, **settings)))
            return kept[-1][1]

        monkeypatch.setattr(f"{module}.{name}", known)

    return remember


@pytest.fixture(scope="session")
def tiny(folder: Callable[[str], Path]) -> Path:
    """The folder of a tiny pipeline."""
    return folder("epsilon")


@pytest.fixture(scope="session")
def image_file(tmp_path_factory: pytest.TempPathFactory, image: Image.Image) -> Path:
    """An image file, 96 wide and 80 high."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    image.save(path)
    return path


@pytest.fixture(scope="session")
def inverted(tmp_path_factory: pytest.TempPathFactory, image_file: Path, tiny: Path) -> Path:
    """An inversion file of the photo by the tiny pipeline."""
    path = tmp_path_factory.mktemp("inverted") / "photo.safetensors"
    args = ["invert", image_file, "a red ball", "-o", path, "--model", tiny, "--method", "null-text"]
    args += ["--steps", 2, "--inner-steps", 1]
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="session")
def program() -> tuple[str, ...]:
    """The command line in a process of its own."""
    return sys.executable, "-m", "nulltext"


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """For another process: this one's, with no network and one thread."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def cat(tmp_path_factory: pytest.TempPathFactory, image_file: Path, tiny: Path) -> Path:
    """An inversion file of three steps, for edits of one word."""
    path = tmp_path_factory.mktemp("cat") / "photo.safetensors"
    arguments = ["invert", str(image_file), "a red cat", "--model", str(tiny), "--steps", "3", "-o", str(path)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    return path


@pytest.fixture
def editors(monkeypatch: pytest.MonkeyPatch) -> list[PromptToPrompt]:
    """The settings that reach the sampler, of every image drawn while the test runs."""
    used = list[PromptToPrompt]()
    each = PromptToPrompt.each

    def spy(editor: Any, model: Any, inversion: Any, changes: Any, *rest: Any) -> Any:
        used.extend(change for _, change in changes)
        return each(editor, model, inversion, changes, *rest)

    monkeypatch.setattr(PromptToPrompt, "each", spy)
    return used
