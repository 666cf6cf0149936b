"""Makes the images of this folder's pages again, by running the commands that stand in them.

    python docs/build.py            # all pages
    python docs/build.py --steps 3  # quick, to see whether the commands still work

Every line of a page that begins with `nulltext` is run, in order, in an empty folder that holds `image.png`, a render
that the embedded model was not trained on. Images that the page shows are then copied beside it.
"""

import argparse
import contextlib
import re
import shlex
import shutil
import tempfile
from pathlib import Path

from typer.testing import CliRunner

import nulltext
from nulltext.cli.app import app
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene

DOCS = Path(__file__).parent
IMAGE = 19
"""Which of the held-out scenes the pages are about."""
APP = ("app.png", "app-narrow.png")
"""Images of the app, which `screenshots.py` makes."""


def commands(page: str) -> list[list[str]]:
    """The commands of a page, as words."""
    return [shlex.split(line.split("  #")[0])[1:] for line in page.splitlines() if line.startswith("nulltext ")]


def build(page: Path, output: Path, *, steps: int | None = None) -> list[Path]:
    """Runs a page's commands and copies the images that it shows.

    Args:
        page: A Markdown file.
        output: The folder for its images.
        steps: Of the inversion; the command's own if None.

    Returns:
        The images.
    """
    text = page.read_text(encoding="utf-8")
    shown = [name for name in re.findall(r"!\[[^\]]*\]\(([^)]+\.png)\)", text) if name not in APP]
    if not shown:  # its commands make nothing to look at; some of them serve until they are stopped
        return []
    with tempfile.TemporaryDirectory() as folder:
        scene = sample_scene(HELD_OUT_SEEDS[IMAGE], things=1, style="photo")
        nulltext.to_image(render([scene]).pixels).save(Path(folder) / "image.png")
        for words in commands(text):
            quick = ["--steps", str(steps), "--inner-steps", "1"] if steps and words[0] == "invert" else []
            with contextlib.chdir(folder):
                result = CliRunner().invoke(app, [*words, *quick])
            if result.exit_code:
                raise SystemExit(f"{shlex.join(['nulltext', *words])}\n{result.output}")
        for name in shown:
            shutil.copy(Path(folder) / name, output / name)
    return [output / name for name in shown]


def main() -> None:
    """Builds every page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--steps", type=int, help="of the inversion, to be quick")
    parser.add_argument("--output", type=Path, default=DOCS)
    arguments = parser.parse_args()
    for page in sorted(DOCS.glob("*.md")):
        for image in build(page, arguments.output, steps=arguments.steps):
            print(image)


if __name__ == "__main__":
    main()
