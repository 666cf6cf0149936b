"""The examples and the README do what they say."""

import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from nulltext.cli.app import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OWN_IMAGE = "own_photo_stable_diffusion.py"
COMMANDS = [line.split("  #")[0].strip() for line in README.splitlines() if line.startswith("nulltext ")]


@pytest.fixture
def example(here, loaded_once, monkeypatch):
    """Runs an example in this process, which has loaded everything."""

    def call(name, *args):
        monkeypatch.setattr(sys, "argv", [name, *map(str, args)])
        runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")

    return call


def test_invert_and_edit(here, example, capsys):
    example("invert_and_edit.py", "--steps", 2, "--output", "blue.png")
    assert "blue.png" in capsys.readouterr().out
    assert Image.open("blue.png").copy().size == (128, 128)


def test_own_image_stable_diffusion(here, image, tiny, example):
    image.save("cat.png")
    prompts = ("a cat", "a dog", "a red cat")
    for _ in range(2):  # the second time from the file kept by the first
        example(OWN_IMAGE, "cat.png", *prompts, "--model", tiny, "--device", "cpu", "--steps", 2)
    written = ["cat-a-dog.png", "cat-a-red-cat.png", "cat.png", "cat.safetensors"]
    assert sorted(path.name for path in here.iterdir()) == written
    assert Image.open("cat-a-red-cat.png").copy().size == (96, 80)


@pytest.mark.parametrize("other", ["image", "prompt"])
def test_own_image_stable_diffusion_keeps_to_the_image_and_prompt_it_inverted(
    other, here, image, inverted, tiny, example, capsys
):
    (image.rotate(90) if other == "image" else image).save("cat.png")
    shutil.copy(inverted, "cat.safetensors")
    prompts = ["a red ball" if other == "image" else "a cat", "a blue ball"]
    with pytest.raises(SystemExit) as ended:
        example(OWN_IMAGE, "cat.png", *prompts, "--model", tiny, "--device", "cpu")
    assert ended.value.code == 2
    assert "cat.safetensors is of another image or prompt" in capsys.readouterr().err
    assert len(list(here.iterdir())) == 2


def quickly(line: str) -> list[str]:
    """A command of the README with as few steps as there can be."""
    words = shlex.split(line)[1:]
    return [*words, "--steps", "2"] if words[0] in {"invert", "generate"} else words


def test_the_first_lines_of_the_readme_run_in_an_empty_folder(here):
    """The six lines, as they stand but for the steps."""
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    for given, quick in (("DirectInversion()", "DirectInversion(steps=2)"), ("seed=3", "seed=3, steps=2")):
        assert given in code
        code = code.replace(given, quick)
    exec(code, {})  # noqa: S102  our own page
    assert Image.open("edited.png").copy().size == (128, 128)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_readme_is_one(line, run):
    result = run(*shlex.split(line)[1:], "--help")
    assert result.exit_code == 0, result.output


def test_the_first_commands_of_the_readme_work_in_order(here, run):
    """From an empty folder: the first of them makes the image."""
    own = [line for line in COMMANDS if "image." in line]
    assert len(own) == 5
    for line in own:
        result = run(*quickly(line))
        assert result.exit_code == 0, result.output


def leaves(command: Any, *names: str) -> Iterator[tuple[str, Any]]:
    inside = getattr(command, "commands", None)
    if inside is None:
        yield " ".join(names), command
    else:
        for name, each in inside.items():
            yield from leaves(each, *names, name)


def test_every_command_prints_for_machines_as_the_readme_says():
    options = {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in leaves(typer.main.get_command(app))
    }
    assert len(options) > 15
    assert [name for name, each in options.items() if "--json" not in each] == []
