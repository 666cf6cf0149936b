"""The notebooks as pages: their cells, and where they are run, what these print and show."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

OPEN = (
    "[Download]({name}.ipynb) this notebook, then `pip install jupyterlab ipywidgets` and `jupyter lab {name}.ipynb`."
)


def pages(folder: Path, *, execute: bool) -> Iterator[tuple[str, str | bytes]]:
    """A page for each notebook, and the images that it shows.

    Args:
        folder: Where they are.
        execute: Whether they are run, so that the page shows what comes out of them.
    """
    for path in sorted(folder.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        if execute:
            NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
            for cell in notebook.cells:
                cell.outputs = [each for each in cell.get("outputs", ()) if each.get("name") != "stderr"]  # bars
        text, shown = MarkdownExporter().from_notebook_node(notebook)
        title, _, rest = text.strip().partition("\n")
        yield f"notebooks/{path.stem}.md", f"{title}\n\n{OPEN.format(name=path.stem)}\n{rest}\n"
        for name, content in shown["outputs"].items():
            yield f"notebooks/{name}", content


def index(folder: Path) -> str:
    """The list of all notebooks."""
    lines: list[str] = []
    for path in sorted(folder.glob("*.ipynb")):
        first = nbformat.read(path, as_version=4).cells[0].source
        title, _, about = first.partition("\n")
        lines.append(
            f"- [{title.removeprefix('# ')}]({path.stem}.md): {' '.join(about.split()).partition('. ')[0].strip('.')}."
        )
    return "\n".join(lines).replace("\n- ", "\n\n- ")
