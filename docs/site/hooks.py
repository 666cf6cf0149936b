"""Pages of the site that are made of what they are about, when mkdocs builds it: methods, names, notebooks, changes.

A method has its page by its row in one of the tables, a notebook by lying in `notebooks/`: nobody lists them twice.
Where a page says `<!-- made: NAME -->`, what is made stands there on the site.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import card
import methods
import names
import notebooks
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "docs" / "notebooks"


def changes() -> str:
    """CHANGELOG.md, but for its title; its links are of the root's."""
    _, _, text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("\n")
    return text.replace("](docs/", "](")


MADE: Mapping[str, Callable[[], str]] = {
    "methods": methods.index,
    "names": names.listed,
    "notebooks": lambda: notebooks.index(NOTEBOOKS),
    "card": card.facts,
    "changes": changes,
}
"""What stands in the place of each mark."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages, and lists them in the navigation behind the page of their own kind."""
    lists: Mapping[str, list[Any]] = {"Methods": ["methods/index.md"], "Notebooks": ["notebooks/index.md"]}
    made = [*methods.pages(), *notebooks.pages(NOTEBOOKS, execute=bool(config.extra.get("execute")))]
    for path, content in made:
        files.append(File.generated(config, path, content=content))
        if path.endswith(".md"):
            lists[path.partition("/")[0].title()].append(path)
    assert config.nav is not None
    for entry in config.nav:
        name = next(iter(entry))
        if name in lists:
            entry[name] = lists[name]
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Puts what is made in its place."""
    return re.sub(r"<!-- made: (\w+) -->", lambda name: MADE[name[1]](), markdown)


def on_post_page(output: str, **_: object) -> str:
    """Names the search for those who do not see it, which the theme leaves out."""
    return output.replace(
        'data-md-component="search" role="dialog">', 'data-md-component="search" role="dialog" aria-label="Search">'
    )
