"""What is built of the sources: the same bytes twice, and other recipes that say what pyproject.toml says."""

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import griffe
import pytest
import yaml
from packaging.requirements import Requirement

import nulltext

ROOT = Path(__file__).parents[1]
PROJECT: Any = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = {"torch": "pytorch"}
"""Names that conda-forge has for packages of another name."""


@pytest.mark.slow
def test_two_builds_are_the_same_bytes(tmp_path):
    digests: list[dict[str, str]] = []
    for name in ("a", "b"):
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / name), str(ROOT)]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
        files = sorted((tmp_path / name).iterdir())
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    assert len(digests[0]) == 2
    assert digests[0] == digests[1]


def test_the_conda_recipe_says_what_pyproject_says():
    text = (ROOT / "packaging" / "conda" / "meta.yaml").read_text(encoding="utf-8")
    version = re.search(r'{% set version = "(.+)" %}', text)
    assert version is not None
    assert version[1] == nulltext.__version__
    recipe = yaml.safe_load(re.sub(r"{{ (\w+) }}", r"\1", re.sub(r"{%.*%}", "", text)))
    wanted = {f"python {PROJECT['requires-python']}"}
    for each in map(Requirement, PROJECT["dependencies"]):
        bounds = ",".join(sorted(map(str, each.specifier), key=lambda one: "!" in one))
        wanted.add(f"{CONDA.get(each.name, each.name)} {bounds}")
    assert set(recipe["requirements"]["run"]) == wanted
    (point,) = recipe["build"]["entry_points"]
    assert point == f"nulltext = {PROJECT['scripts']['nulltext']}"


def test_classifiers_name_the_versions_of_python_that_are_tested():
    named = {
        each.rpartition(" ")[2]
        for each in PROJECT["classifiers"]
        if each.startswith("Programming Language :: Python :: 3.")
    }
    assert named == {"3.11", "3.12", "3.13", "3.14"}
    oldest, newest = re.findall(r'"(3\.\d+)"', (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert {oldest, newest} <= named


def test_issue_forms_are_forms():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.name != "config.yml":
            assert {"name", "description", "body"} <= set(form)
            for part in form["body"]:
                assert part["type"] in {"markdown", "input", "textarea"}
                assert "label" in part["attributes"] or part["type"] == "markdown"


def documented(value: Any, name: str) -> list[str]:
    """The public members of a class that griffe finds without a docstring, and itself."""
    bare = [] if value.docstring else [name]
    for member in value.members.values():
        if member.name.startswith("_") or member.is_alias or not (member.is_function or member.is_class):
            continue
        bare += [] if member.docstring else [f"{name}.{member.name}"]
    return bare


def test_every_public_name_has_a_docstring():
    """As the site shows them, which reads the sources and does not run them."""
    homes: dict[str, str] = vars(nulltext)["_HOMES"] | vars(nulltext)["_METHODS"]
    modules: dict[str, Any] = {}
    for home in set(homes.values()):
        path = ROOT.joinpath("src", *home.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        modules[home] = griffe.visit(home, path, path.read_text(encoding="utf-8"))
    assert len(homes) > 45
    members = {name: modules[home].members.get(name) for name, home in homes.items()}
    assert [
        bare for name, value in members.items() if value and not value.is_alias for bare in documented(value, name)
    ] == []
    assert [name for name, value in members.items() if value is None or value.is_alias] == ["psnr"], "of another module"


def test_tests_that_run_alone_are_where_make_looks_for_them():
    """All others would be read for nothing."""
    root = Path(__file__).parents[1]
    where = re.search(r"^ALONE +:= (\S+)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert where is not None
    marked = [
        path
        for path in (root / "tests").rglob("test_*.py")
        if re.search(r"^@pytest.mark.alone$", path.read_text(), re.MULTILINE)
    ]
    assert marked
    assert all(path.is_relative_to(root / where[1]) for path in marked)
