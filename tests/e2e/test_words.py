"""One word for each thing (docs/glossary.md): those that stood for it before are gone from what people read.

Of the help `test_help` says so.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.reading import found

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")} - {ROOT / "CHANGELOG.md"})
TEXT_OF_OLD_FILES = {"inversion/file.py"}
"""Where entries of files of older versions are named."""


def messages(path: Path) -> Iterator[str]:
    """The texts in what a module raises."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise):
            yield from (
                each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_has_a_word_of_the_old_dialect(page: Path):
    assert found(page.read_text(encoding="utf-8").replace("run.pictures", "").replace("measured.pictures", "")) == []


def test_no_message_and_no_public_docstring_has_one():
    for path in sorted((ROOT / "src" / "nulltext").rglob("*.py")):
        if str(path.relative_to(ROOT / "src" / "nulltext")) in TEXT_OF_OLD_FILES:
            continue
        texts = "\n".join(messages(path))
        assert found(texts) == [], path


def test_the_list_is_of_words_that_are_seen():
    said = "A picture of the source caption; the told is held_out, and the held, not a told story: the CaptionSwap."
    assert found(said) == ["picture", "CaptionSwap", "source caption", "the told", "the held"]
