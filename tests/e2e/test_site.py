"""The site: pages that are made of the code, and what a reader's browser makes of all of them."""

import functools
import gzip
import http.server
import importlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.e2e.serving import CHROMIUM

import nulltext
from nulltext.diffusion.table import GUIDANCE
from nulltext.editing.table import EDITORS, MASKS
from nulltext.inversion.table import INVERTERS
from nulltext.spelling.fields import fields_of

ROOT = Path(__file__).parents[2]
AXE = Path(__file__).parent / "axe" / "axe.min.js.gz"
TABLES = {"inversion": INVERTERS, "editing": EDITORS, "mask": MASKS, "guidance": GUIDANCE}
SIZES = {"phone": (390, 844), "desktop": (1440, 900)}
LOOKED_AT = ("index.html", "how.html", "methods/inversion-null-text.html", "benchmarks.html", "api.html")


@pytest.fixture(scope="module")
def hooks() -> Iterator[Any]:
    sys.path.insert(0, str(ROOT / "docs" / "site"))
    yield importlib.import_module("hooks")
    sys.path.pop(0)


def test_every_method_has_a_page_by_its_row(hooks):
    pages, listed = dict(hooks.methods.pages()), hooks.MADE["methods"]()
    rows = {f"{kind}-{word}.md": entry for kind, table in TABLES.items() for word, entry in table.items()}
    assert set(pages) == {f"methods/{name}" for name in rows}
    for name, entry in rows.items():
        page, cls = pages[f"methods/{name}"], entry.load()
        assert f"]({name})" in listed
        assert page.startswith(f"# {cls.__name__}\n")
        assert "\n```python\ndef " in page
        assert "Raises:" not in page, "docstrings are prose on the page"
        for field in fields_of(cls):
            assert field.about, (name, field.name)
            assert field.name == "scale" or f"| `{field.name}` |" in page


def test_an_equation_stands_above_the_code_that_is_it(hooks):
    page = dict(hooks.methods.pages())["methods/inversion-null-text.md"]
    equation, solve, algorithm = (page.index(each) for each in ("min over ∅_t", "def solve(", "def optimise_each("))
    assert equation < solve < algorithm
    assert "[arXiv 2211.09794](https://arxiv.org/abs/2211.09794)" in page
    assert "--method null-text" in page
    assert f"**{sum(nulltext.NullText().evaluations().values())} times**" in page
    assert "Equation:" not in page


def test_names_card_changes_and_notebooks_are_made(hooks):
    names = hooks.MADE["names"]()
    for name in nulltext.__all__:
        assert name.startswith("__") or re.search(rf"^::: nulltext\.[\w.]+\.{name}$", names, re.MULTILINE), name
    card = hooks.MADE["card"]()
    assert all(title in card for title in ("## Parts", "## Data", "## Recipe", "## Scores", "## Limits"))
    assert "{" not in card
    assert "## [Unreleased]" in hooks.MADE["changes"]()
    for path in (ROOT / "docs" / "notebooks").glob("*.ipynb"):
        assert f"]({path.stem}.md)" in hooks.MADE["notebooks"]()
    marks = {
        name for page in (ROOT / "docs").rglob("*.md") for name in re.findall("<!-- made: (.+) -->", page.read_text())
    }
    assert marks == set(hooks.MADE)
    assert hooks.on_page_markdown("a <!-- made: methods --> b").startswith("a \n## Inversion")


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"[\w/.-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert listed == {page for page in pages if not page.startswith("site/")}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make site` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    paths = os.pathsep.join(each for each in sys.path if each)
    environment = {**os.environ, "PYTHONPATH": paths, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    handler = functools.partial(_Silent, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as it is called there
        """Says nothing."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: `make browser` installs one")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM)


@pytest.mark.slow
def test_the_site_asks_nothing_of_anybody_else(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        text = page.read_text(encoding="utf-8")
        asked = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?(?:https?:)?//[^\"' >]+", text)
        asked += re.findall(r"<link[^>]*rel=[\"']?(?:stylesheet|preconnect|icon)[^>]*href=[\"']?(?:https?:)?//", text)
        assert not asked, page
    for path in ("search/search_index.json", "notebooks/first-edit.ipynb", "methods/editing-masactrl.html"):
        assert (site / path).exists()
    assert not list(site.rglob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_the_site_fits_and_keeps_nobody_out(size: str, site, address, browser, tmp_path):
    """As axe-core finds it; screenshots lie in the test's folder, or in NULLTEXT_SCREENSHOTS."""
    width, height = SIZES[size]
    shots = Path(os.environ.get("NULLTEXT_SCREENSHOTS") or tmp_path)
    axe = gzip.decompress(AXE.read_bytes()).decode()
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        page, asked = context.new_page(), list[str]()
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("pageerror", lambda error, asked=asked: asked.append(f"error: {error}"))
        for path in LOOKED_AT:
            page.goto(f"{address}/{path}")
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            page.evaluate(axe)
            found = page.evaluate("() => axe.run()")
            serious = [one for one in found["violations"] if one["impact"] in {"serious", "critical"}]
            assert not serious, (path, [(one["id"], [each["html"][:160] for each in one["nodes"]]) for one in serious])
            page.screenshot(path=shots / f"{size}-{scheme}-{path.replace('/', '-')}.png")
        assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))], asked
        context.close()
