"""The notebooks run, and what they show can be shown."""

import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
QUICK = {"STEPS, SCENES": "2, 1", "STEPS": "2", "T, N, W": "4, 2, 7.5"}
"""What is set at the top of a notebook, and what it is here."""


def cells(path: Path) -> Iterator[str]:
    """The code of a notebook, with as few steps as there can be."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        code = "".join(cell["source"])
        for names, values in QUICK.items():
            code = re.sub(rf"^{names} = [\d., ]+", f"{names} = {values}  ", code, flags=re.MULTILINE)
        if cell["cell_type"] == "code":
            yield code.replace("NullText(steps=STEPS)", "NullText(steps=STEPS, inner_steps=1)")


def run(code: str, names: dict[str, Any]) -> Any:
    """Runs a cell; what stands in its last line is what it shows."""
    parsed = ast.parse(code)
    last = parsed.body.pop() if parsed.body and isinstance(parsed.body[-1], ast.Expr) else None
    exec(compile(parsed, "cell", "exec"), names)  # noqa: S102  our own notebook
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None  # noqa: S307  our own notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows(path: Path, here, loaded_once, monkeypatch):
    module = type(sys)("notebook")
    monkeypatch.setitem(sys.modules, "notebook", module)  # where dataclasses look for their names
    shown = [run(code, vars(module)) for code in cells(path)]
    rich = [value for value in shown if hasattr(value, "_repr_html_") or hasattr(value, "_repr_png_")]
    assert rich
    for value in rich:
        assert value._repr_html_() if hasattr(value, "_repr_html_") else value._repr_png_()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_what_it_printed(path: Path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    first = notebook["cells"][0]
    assert first["cell_type"] == "markdown"
    assert "".join(first["source"]).startswith("# ")
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_a_kernel(path: Path, tmp_path, monkeypatch):
    """With its bars, in a process of its own."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook: Any = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells(path)])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(each for each in sys.path if each))
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) or "text/html" in output.get("data", {}) for output in outputs)
    printed = "".join(output.get("text", "") for output in outputs)
    assert "Warning" not in printed.replace("TqdmWarning: IProgress not found", ""), "but for want of ipywidgets"
    assert path.stem != "first-edit" or "100%" in printed
