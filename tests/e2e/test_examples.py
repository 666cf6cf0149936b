"""The examples and the README do what they say."""

import re
import shlex
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
    assert sorted(path.name for path in here.iterdir()) == ["cat-1.png", "cat-2.png", "cat.png", "cat.safetensors"]
    assert Image.open("cat-2.png").size == (96, 80)


def test_the_six_lines_of_the_readme(red_ball, here):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(code.replace("NullText()", "NullText(steps=2)"), {})  # noqa: S102  our own page
    assert Image.open("edited.png").size == (128, 128)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_readme_is_one(line, run):
    result = run(*shlex.split(line)[1:], "--help")
    assert result.exit_code == 0, result.output


def test_the_first_commands_of_the_readme_work_in_order(red_ball, run):
    for line in COMMANDS[:4]:
        words = shlex.split(line)[1:]
        quick = ["--steps", "2"] if words[0] in ("invert", "generate") else []
        result = run(*words, *quick)
        assert result.exit_code == 0, result.output
