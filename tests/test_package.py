import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import nulltext

PATHS = {"PYTHONPATH": os.pathsep.join(str(path) for path in sys.path if path and Path(path).is_dir())}


def test_every_public_name_is_there():
    for name in nulltext.__all__:
        assert getattr(nulltext, name) is not None
    assert set(dir(nulltext)) == set(nulltext.__all__)


def test_a_name_that_is_not():
    with pytest.raises(AttributeError, match="nonsense"):
        nulltext.nonsense  # noqa: B018 - the look-up is the test


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, time; start = time.perf_counter(); import nulltext; spent = time.perf_counter() - start;"
        "print(spent, [name for name in ('torch', 'numpy', 'PIL', 'diffusers', 'transformers') if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | PATHS
    ).stdout
    spent, heavy = output.split(maxsplit=1)
    assert heavy.strip() == "[]"
    assert float(spent) <= 0.3


def test_the_core_is_silent(folder, tmp_path):
    code = (
        "import sys, nulltext; from PIL import Image; model = nulltext.load(sys.argv[1], device='cpu');"
        "image = nulltext.open_image(Image.new('RGB', (50, 40), 'red'), model);"
        "inversion = nulltext.NullText(steps=1, inner_steps=1)(model, image, 'a red ball');"
        "inversion.save(sys.argv[2] + '/a.safetensors');"
        "nulltext.PromptSwap()(model, nulltext.Inversion.load(sys.argv[2] + '/a.safetensors'), 'a cat').image"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, folder("epsilon"), tmp_path],
        capture_output=True, text=True, check=False, env=os.environ | PATHS,
    )  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_what_a_package_index_shows_points_to_no_file_beside_it():
    root = Path(__file__).parents[1]
    readme, shown = (root / "README.md").read_text(), WheelBuilder(str(root)).metadata.core.readme
    targets = re.findall(r"\]\(([^)]*)\)", shown)
    assert targets
    assert all(target.startswith("https://") for target in targets)
    assert not re.search(r"<img|<a |\]\[|^\[[^\]]*\]:", shown, re.MULTILINE)
    assert [line for line in shown.splitlines() if line.startswith("#")] == [
        line for line in readme.splitlines() if line.startswith("#")
    ]
