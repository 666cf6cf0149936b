"""The examples and the README do what they say."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from nulltext import to_image
from nulltext.scenes.renderer import render
from nulltext.scenes.world import Scene, Thing

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line.split("  #")[0].strip() for line in README.splitlines() if line.startswith("nulltext ")]


@pytest.fixture
def red_ball(here: Path) -> Path:
    """`picture.png`, which the README begins with."""
    scene = Scene(things=(Thing(shape="ball", color="red"),), ground="grass", time="sunny")
    to_image(render([scene]).pixels).save("picture.png")
    return here / "picture.png"


def test_invert_and_edit(here, environment):
    script = [sys.executable, ROOT / "examples/invert_and_edit.py", "--steps", "2", "--output", "blue.png"]
    result = subprocess.run(script, check=True, capture_output=True, text=True, env=environment)
    assert "blue.png" in result.stdout
    assert Image.open("blue.png").size == (128, 128)


def test_own_photo_stable_diffusion(here, picture, tiny, environment):
    picture.save("cat.png")
    script = [sys.executable, ROOT / "examples/own_photo_stable_diffusion.py", "cat.png", "a cat", "a dog", "a red cat"]
    settings = ["--model", tiny, "--device", "cpu", "--steps", "2"]
    for _ in range(2):  # the second time from the file kept by the first
        subprocess.run([*script, *settings], check=True, capture_output=True, env=environment)
    written = ["cat-a-dog.png", "cat-a-red-cat.png", "cat.png", "cat.safetensors"]
    assert sorted(path.name for path in here.iterdir()) == written
    assert Image.open("cat-a-red-cat.png").size == (96, 80)


@pytest.mark.parametrize("other", ["picture", "caption"])
def test_own_photo_stable_diffusion_keeps_to_the_picture_and_caption_it_inverted(
    other, here, picture, inverted, tiny, environment
):
    (picture.rotate(90) if other == "picture" else picture).save("cat.png")
    shutil.copy(inverted, "cat.safetensors")
    script = [sys.executable, ROOT / "examples/own_photo_stable_diffusion.py", "cat.png"]
    captions = ["a red ball" if other == "picture" else "a cat", "a blue ball"]
    result = subprocess.run(
        [*script, *captions, "--model", tiny, "--device", "cpu"],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert result.returncode == 2
    assert "cat.safetensors is of another picture or caption" in result.stderr
    assert len(list(here.iterdir())) == 2


def test_the_six_lines_of_the_readme(red_ball, here):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(code.replace("DirectInversion()", "DirectInversion(steps=2)"), {})  # noqa: S102  our own page
    assert Image.open("edited.png").size == (128, 128)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_readme_is_one(line, run):
    result = run(*shlex.split(line)[1:], "--help")
    assert result.exit_code == 0, result.output


def test_the_first_commands_of_the_readme_work_in_order(red_ball, run):
    for line in COMMANDS[:6]:
        words = shlex.split(line)[1:]
        quick = ["--steps", "2"] if words[0] in ("invert", "generate") else []
        result = run(*words, *quick)
        assert result.exit_code == 0, result.output
