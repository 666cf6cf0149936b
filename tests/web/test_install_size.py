"""What `pip install 'nulltext[web]'` adds to the core: little."""

import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MOST = 15_000_000
"""So many bytes the app may add."""
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def closure(wanted: Iterable[str]) -> set[str]:
    """The distributions that requirements bring with them."""
    found: dict[str, frozenset[str]] = {}
    left = [Requirement(each) for each in wanted]
    while left:
        each = left.pop()
        name, extras = canonicalize_name(each.name), frozenset(each.extras)
        if name in found and extras <= found[name]:
            continue
        found[name] = found.get(name, frozenset()) | extras
        left += [
            inner
            for inner in map(Requirement, requires(name) or ())
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in found[name] | {""})
        ]
    return set(found)


def size_of(name: str) -> int:
    """Bytes of all files that a distribution's RECORD lists, with what Python has compiled of them."""
    files = distribution(name).files
    assert files, f"{name} has no RECORD"
    paths = {Path(str(file.locate())) for file in files}
    return sum(path.stat().st_size for path in paths if path.is_file())


def test_the_app_adds_little() -> None:
    core = closure(PROJECT["dependencies"])
    added = closure([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["web"]]) - core
    assert {"fastapi", "starlette", "uvicorn", "python-multipart", "prometheus-client"} <= added | core
    assert not added & {"gradio", "pandas", "torch"}
    sizes = {name: size_of(name) for name in added}
    assert sum(sizes.values()) <= MOST, sizes
    assert min(sizes.values()) > 0
