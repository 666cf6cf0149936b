"""The checkpoint folder: put in place whole or not at all, and what is stamped on it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nulltext.training.checkpoint import digest, read_stamp, replacing, stamp


def test_a_new_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with replacing(tmp_path / "made" / "model") as new:
            (new / content).write_text(content)
        assert [path.name for path in (tmp_path / "made" / "model").iterdir()] == [content]
        assert [path.name for path in (tmp_path / "made").iterdir()] == ["model"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_what_fails_leaves_the_old_folder_and_nothing_else(tmp_path: Path, stop: type[BaseException]) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("old")
    (tmp_path / "model.part").mkdir()  # somebody's

    def fail() -> None:
        with replacing(tmp_path / "model") as new:
            (new / "half").write_text("")
            raise stop

    with pytest.raises(stop):
        fail()
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert left == ["model", "model.part", "model/old"]


def test_the_old_folder_comes_back_if_the_new_one_cannot_take_its_place(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("old")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "model") as new:
        new.rmdir()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["model", "model/old"]


def test_facts_are_stamped_beside_each_other(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({"w": torch.ones(2)}, weights, metadata={"format": "pt", "recipe_of": "somebody else"})
    assert read_stamp(tmp_path) == {}
    before = digest(tmp_path)
    stamp(tmp_path, {"recipe": {"seed": 1}})
    stamp(tmp_path, {"scores": {"psnr": 12.5}})
    assert read_stamp(tmp_path) == {"recipe": {"seed": 1}, "scores": {"psnr": 12.5}}
    assert digest(tmp_path) != before


def test_what_is_no_checkpoint_has_no_facts(tmp_path: Path) -> None:
    assert read_stamp(tmp_path) == {}
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"half a fi")
    assert read_stamp(tmp_path) == {}
