"""No module and no function is too long to be read at once, and no method is built on another."""

import ast
from pathlib import Path
from statistics import median

import grimp
import pytest

import nulltext

PACKAGE = Path(nulltext.__file__).parent
MODULE, TYPICAL_MODULE, FUNCTION = 400, 150, 60
"""Most lines of a module, of the median module, and of a function with its docstring."""


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    found = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    assert "inversion/methods/null_text.py" in found
    return found


def long_functions(name: str, source: str) -> list[str]:
    """The functions of a module that are too long, with their lines."""
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lines = [(node, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions]
    return [f"{name}: {node.name} has {count} lines" for node, count in lines if count > FUNCTION]


def test_no_module_is_too_long(sources):
    lines = {name: len(source.splitlines()) for name, source in sources.items()}
    too_long = [f"{name} has {count} lines" for name, count in lines.items() if count > MODULE]
    assert not too_long, f"expected at most {MODULE} lines; move one idea of each out: {too_long}"
    assert median(lines.values()) <= TYPICAL_MODULE


def test_no_function_is_too_long(sources):
    too_long = [found for name, source in sources.items() for found in long_functions(name, source)]
    assert not too_long, f"expected at most {FUNCTION} lines; give a part of each a name of its own: {too_long}"


@pytest.mark.parametrize(("lines", "found"), [(60, []), (61, ["a.py: inner has 61 lines"])])
def test_a_long_function_is_found_wherever_it_stands(lines, found):
    body = "\n".join(["    async def inner():", *["        ..."] * (lines - 1)])
    assert long_functions("a.py", f"class Outer:\n{body}\n") == found


@pytest.mark.parametrize("folder", ["nulltext.inversion.methods", "nulltext.editing.methods"])
def test_no_method_imports_another(folder):
    graph = grimp.build_graph("nulltext", cache_dir=None)
    methods = graph.find_children(folder)
    assert len(methods) > 4
    known = {(name, other) for name in methods for other in graph.find_modules_directly_imported_by(name)}
    among = sorted(f"{name} imports {other}" for name, other in known if other in methods or other == folder)
    assert not among, f"expected methods that can be read alone; move what they share one folder up: {among}"
