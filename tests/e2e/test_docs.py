"""The pages of docs/ are made by their own commands and code."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.e2e.reading import ROOT, parse

from nulltext.models.families import FAMILIES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FAMILY_PAGES = sorted((DOCS / "families").glob("*.md"))
WORDS_ALONE = {
    "api.md", "batch.md", "changes.md", "checkpoints.md", "extending.md", "glossary.md", "model-card.md",
    "photograph.md", "troubleshooting.md",
}  # fmt: skip
"""Pages about what cannot be seen."""
REASONS = {
    "",
    "installs packages",
    "needs photographs, and for some of them a bucket or a cluster",
    "needs real weights",
    "serves until it is stopped",
}
"""Why a block of a page is not run."""


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


@pytest.fixture(scope="module")
def builder() -> Any:
    """docs/build.py, which runs what stands in the pages."""
    found = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["docs_build"] = module  # where its dataclass looks for its names
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", [*PAGES, *FAMILY_PAGES], ids=lambda page: page.name)
def test_what_stands_in_the_pages_runs_and_makes_their_images(page: Path, builder, here, loaded_once):
    for path in builder.build(page, here, steps=2):
        Image.open(path).load()


@pytest.mark.parametrize("page", [*PAGES, *FAMILY_PAGES], ids=lambda page: page.name)
def test_every_block_that_is_not_run_says_why(page: Path, builder):
    text = page.read_text(encoding="utf-8")
    found = list(builder.blocks(text))
    assert len(found) == len(re.findall("^```", text, re.MULTILINE)) / 2, "each fence is seen"
    for block in found:
        assert block.language in {"", "bash", "python", "text", "json", "nginx"}
        assert block.left_out in REASONS, block.left_out
        if block.language == "bash" and not block.left_out:
            assert block.commands, "what is not ours is not run"


def test_every_command_of_the_pages_is_one(builder):
    """Those that are not run as well: their options are there."""
    lines = {
        line for page in [*PAGES, *FAMILY_PAGES] for block in builder.blocks(page.read_text("utf-8"))
        if block.left_out for line in block.commands
    }  # fmt: skip
    assert len(lines) > 20
    for line in lines:
        parse(ROOT, shlex.split(line))


def test_code_that_is_not_run_is_python_all_the_same(builder):
    for page in [*PAGES, *FAMILY_PAGES]:
        for block in builder.blocks(page.read_text(encoding="utf-8")):
            compile(block.code, page.name, "exec")
