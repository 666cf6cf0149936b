"""The wheel is what people install, so it is the wheel that is tested."""

import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built here and now with the build backend that is installed."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_has_the_embedded_model(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    folder = "nulltext/models/scenes"
    assert f"{folder}/model_index.json" in names
    assert f"{folder}/words.txt" in names
    for part in ("unet", "vae", "text_encoder"):
        assert f"{folder}/{part}/config.json" in names
        assert any(name.startswith(f"{folder}/{part}/") and name.endswith(".safetensors") for name in names)
    assert f"{folder}/scheduler/scheduler_config.json" in names
    assert any(name.startswith(f"{folder}/tokenizer/") for name in names)
    assert "nulltext/py.typed" in names


def test_the_wheel_has_nothing_that_is_not_the_package(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"nulltext"}
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel_in_an_empty_environment_with_no_network(wheel, tmp_path):
    venv, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin/python", "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    # As every install of the Makefile: `make wheel-test PIP_ARGS=...` chooses the build of torch.
    subprocess.run([*pip, *shlex.split(os.environ.get("PIP_ARGS", "")), wheel], check=True)
    hidden = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "HF_"))}
    result = subprocess.run(
        [venv / "bin/nulltext", "demo", "--images", "1", "--steps", "4", "--inner-steps", "1", "--json"],
        check=False,
        capture_output=True,
        text=True,
        cwd=elsewhere,
        env={**hidden, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub"), "https_proxy": "http://127.0.0.1:9"},
    )
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert (elsewhere / record["contact_sheet"]).is_file()
    assert (elsewhere / record["images"][0]["file"]).is_file()
