"""The pages of docs/ are made by their own commands."""

import re
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

import nulltext
from nulltext.models.families import FAMILIES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FAMILY_PAGES = sorted((DOCS / "families").glob("*.md"))
WORDS_ALONE = ("batch.md", "checkpoints.md", "extending.md", "glossary.md")
"""Pages about what cannot be seen."""


def test_every_family_has_a_page():
    pages = {page: page.read_text(encoding="utf-8") for page in FAMILY_PAGES}
    for pipeline in FAMILIES:
        assert any(f"`{pipeline}`" in text for text in pages.values()), pipeline


@pytest.mark.parametrize("page", FAMILY_PAGES, ids=lambda page: page.name)
def test_the_page_of_a_family_says_what_it_needs(page: Path):
    text = page.read_text(encoding="utf-8")
    assert re.search(r"```(?:bash)?\nnulltext ", text), "a command"
    assert "**Memory" in text
    assert "**Not there:**" in text
    assert f"(families/{page.name})" in (DOCS / "checkpoints.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [*PAGES, *FAMILY_PAGES, DOCS.parent / "README.md"], ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        name, _, section = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if section:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert section in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_image_of_a_page_is_there(page: Path):
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert len(shown) == text.count("![")
    assert shown or page.name in WORDS_ALONE, "a page shows what it speaks of"
    for name in shown:
        if name.endswith(".svg"):
            assert (DOCS / name).read_text(encoding="utf-8").rstrip().endswith("</svg>")
        else:
            Image.open(DOCS / name).load()


def test_the_commands_of_the_pages_make_their_images(here: Path, loaded_once, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["build.py", "--steps", "2", "--output", str(here)])
    runpy.run_path(str(DOCS / "build.py"), run_name="__main__")
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert len(written) >= 5
    assert {path.suffix for path in written} == {".png"}
    for path in written:
        Image.open(path).load()


def test_the_code_of_the_page_on_extending_runs(here: Path, embedded):
    """Block after block, in one namespace."""
    nulltext.to_image(nulltext.generate(embedded, "a photo of a red ball on grass on a sunny day", steps=2)).save(
        "image.png"
    )
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "extending.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {"__name__": "extending"}
    for block in blocks:
        exec(block, names)  # noqa: S102  our own page
    with Image.open("edited.png") as made:
        assert made.size == (128, 128)
