"""The import contracts hold for modules that nobody has listed anywhere."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

import nulltext

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
ROOMS = {
    "accelerate": {"models", "training"},
    "diffusers": {"models", "training"},
    "peft": {"models"},
    "tokenizers": {"models", "training"},
    "transformers": {"models", "training"},
    "click": {"cli"},
    "rich": {"cli"},
    "typer": {"cli"},
    "prometheus_client": {"batch", "web"},
    "ray": {"batch"},
    "fastapi": {"web"},
    "starlette": {"web"},
    "uvicorn": {"web"},
}
"""Who may import what."""

PLANTED = [
    ("text/words.py", "import rich.table", "terminal"),
    ("text/unlisted.py", "from rich import table", "terminal"),
    ("unlisted.py", "import rich.table", "terminal"),
    ("__init__.py", "import typer", "terminal"),
    ("web/unlisted.py", "import click", "terminal"),
    ("unlisted.py", "import diffusers", "adapters"),
    ("editing/unlisted.py", "import transformers", "adapters"),
    ("bench/unlisted.py", "import fastapi", "page"),
    ("unlisted.py", "import fastapi", "page"),
    ("bench/unlisted.py", "import ray", "cluster"),
    ("diffusion/unlisted.py", "import numpy", "mathematics"),
    ("files.py", "from nulltext import editing", "layers"),
    ("unlisted.py", "", "layers"),
]
"""Where in the package, a line, and the contract that it breaks."""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("nulltext", include_external_packages=True, cache_dir=None)


@pytest.mark.parametrize(("library", "rooms"), ROOMS.items())
def test_a_library_is_known_to_its_rooms_alone(library, rooms, graph):
    importers = graph.find_modules_that_directly_import(library) if library in graph.modules else set()
    assert {name.split(".")[1] for name in importers} <= rooms


def test_the_mathematics_knows_torch_alone(graph):
    inside = {name for name in graph.modules if name.startswith("nulltext.diffusion")}
    known = {each for name in inside for each in graph.find_modules_directly_imported_by(name)}
    outside = {name for name in known if not name.startswith("nulltext.") and name not in sys.stdlib_module_names}
    assert outside <= {"torch", "jaxtyping", "greenlet"}  # the last switches between methods that share a batch


def test_every_contract_about_a_library_is_of_the_whole_package_but_its_rooms():
    found = {
        library: {allowed.split(".")[1] for allowed in contract["ignore_imports"] if allowed.endswith(f"-> {library}")}
        for contract in CONTRACTS
        if contract["type"] == "forbidden" and contract["source_modules"] == ["nulltext"]
        for library in contract["forbidden_modules"]
    }
    assert found == ROOMS


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the linter says of a copy of the package in which everything of `PLANTED` stands."""
    folder = tmp_path_factory.mktemp("planted")
    shutil.copy(ROOT / "pyproject.toml", folder)
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.json", "*.png")
    shutil.copytree(Path(nulltext.__file__).parent, folder / "nulltext", ignore=ignored)
    for name, line, _ in PLANTED:
        with (folder / "nulltext" / name).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    program = Path(sys.executable).parent / "lint-imports"
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "300"}
    result = subprocess.run(
        [program, "--no-cache"], cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    assert result.returncode == 1, result.stderr
    return result.stdout


@pytest.mark.parametrize(("file", "line", "contract"), PLANTED)
def test_the_linter_finds_what_is_planted(file, line, contract, broken):
    (name,) = (each["name"] for each in CONTRACTS if each["id"] == contract)
    assert f"{name} BROKEN" in broken
    module = ".".join(("nulltext", *file.removesuffix(".py").removesuffix("__init__").strip("/").split("/"))).strip(".")
    if line:
        library = line.split()[1].split(".")[0] if "nulltext" not in line else "nulltext.editing"
        assert f"{module} -> {library}" in broken
    else:
        assert f"- {module}" in broken or f"Undeclared modules in layers contract: {module}" in broken
