"""Makes the images of this folder's pages again, by running the commands and the code that stand in them.

    python docs/build.py                # all pages
    python docs/build.py how.md         # some
    python docs/build.py --steps 3      # quick, to see whether they still work

Blocks of a page are run in order, in an empty folder that holds `image.png`, a render that the embedded model was not
trained on: of a block of Python all of it, of others every line that begins with `nulltext`. A block below a comment
`<!-- not run: WHY -->` is left out. Images that the page shows are then copied beside it.
"""

import argparse
import contextlib
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

import nulltext
from nulltext.cli.app import app
from nulltext.inversion.table import INVERTERS
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, sample_scene

DOCS = Path(__file__).parent
IMAGE = 19
"""Which of the held-out scenes the pages are about."""
MADE_ELSEWHERE = ("app.png", "app-narrow.png", "compare.png", "contact-sheet.png")
"""Images of the app, which `screenshots.py` makes, of `nulltext bench compare` and of `nulltext demo`."""
BLOCK = re.compile(r"^(?:<!-- not run: ([^\n]+) -->\n)?```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of a page.

    Attributes:
        language: As it says, "" if it does not.
        text: What stands in it.
        left_out: Why it is not run; "" if it is.
    """

    language: str
    text: str
    left_out: str

    @property
    def commands(self) -> list[str]:
        """Its lines that are commands of ours, without their comments."""
        if self.language not in {"", "bash"}:
            return []
        joined = self.text.replace("\\\n", " ")
        return [line.split("  #")[0].strip() for line in joined.splitlines() if line.startswith("nulltext ")]

    @property
    def code(self) -> str:
        """It, if it is Python."""
        return self.text if self.language == "python" else ""


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    for left_out, language, text in BLOCK.findall(page):
        yield Block(language=language, text=text, left_out=left_out)


def quick_command(line: str, steps: int) -> list[str]:
    """A command as words, with so few steps."""
    words = shlex.split(line)[1:]
    if words[0] not in {"invert", "generate"}:
        return words
    optimises = words[0] == "invert" and "--method" in words and "--inner-steps" not in words
    return [*words, "--steps", str(steps), *(["--inner-steps", "1"] if optimises else [])]


def quick_code(code: str, steps: int) -> str:
    """Code with so few steps."""
    code = re.sub(r"steps=\d+", f"steps={steps}", code)
    methods = "|".join(entry.class_name for entry in INVERTERS.values())
    code = re.sub(rf"\b({methods})\(\)", rf"\1(steps={steps})", code)
    return re.sub(rf"\bNullText\(steps={steps}\)", rf"NullText(steps={steps}, inner_steps=1)", code)


def run(page: str, *, steps: int | None = None) -> None:
    """Runs a page's blocks in the current folder.

    Args:
        page: Markdown.
        steps: Of inversions; their own if None.
    """
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if block.left_out:
            continue
        for line in block.commands:
            words = quick_command(line, steps) if steps else shlex.split(line)[1:]
            result = CliRunner().invoke(app, words)
            if result.exit_code:
                raise SystemExit(f"{line}\n{result.output}")
        if block.code:
            exec(quick_code(block.code, steps) if steps else block.code, names)  # noqa: S102  our own page


def build(page: Path, output: Path, *, steps: int | None = None) -> list[Path]:
    """Runs a page's commands and code, and copies the images that it shows.

    Args:
        page: A Markdown file.
        output: The folder for its images.
        steps: Of inversions; their own if None.

    Returns:
        The images.
    """
    text = page.read_text(encoding="utf-8")
    shown = [name for name in re.findall(r"!\[[^\]]*\]\(([^)]+\.png)\)", text) if name not in MADE_ELSEWHERE]
    with tempfile.TemporaryDirectory() as folder:
        scene = sample_scene(HELD_OUT_SEEDS[IMAGE], things=1, style="photo")
        nulltext.to_image(render([scene]).pixels).save(Path(folder) / "image.png")
        with contextlib.chdir(folder):
            run(text, steps=steps)
        for name in shown:
            shutil.copy(Path(folder) / name, output / name)
    return [output / name for name in shown]


def main() -> None:
    """Builds pages."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("pages", nargs="*", help="all of them, if none is named")
    parser.add_argument("--steps", type=int, help="of inversions, to be quick")
    parser.add_argument("--output", type=Path, default=DOCS)
    arguments = parser.parse_args()
    pages = [DOCS / name for name in arguments.pages] or sorted([*DOCS.glob("*.md"), *DOCS.glob("families/*.md")])
    for page in pages:
        for image in build(page, arguments.output, steps=arguments.steps):
            print(image)


if __name__ == "__main__":
    main()
