"""What has to hold on a GPU as well. Nothing here runs without one."""

from pathlib import Path
from typing import Any

import pytest
import torch

import nulltext
from nulltext import NullText
from nulltext.bench.cases.scenes import held_out_scenes, scene_image
from nulltext.models.loading import load
from nulltext.scenes.renderer import render
from nulltext.training.checkpoint import read_stamp
from nulltext.training.recipe import STAGES, Recipe, run

pytestmark = pytest.mark.cuda


def test_the_renderer_draws_the_same_image() -> None:
    scenes = held_out_scenes(16)
    here, there = render(scenes), render(scenes, device="cuda")
    for a, b in ((here.pixels, there.pixels.cpu()), (here.masks, there.masks.cpu())):
        assert (a - b).abs().mean() < 1e-3
    # Where a ray only just meets an edge, the last bit of a product decides whether it does.
    assert ((here.pixels - there.pixels.cpu()).abs() > 1e-2).float().mean() < 1e-3


def test_null_text_inversion_in_half_precision_loses_no_numbers() -> None:
    model = load(device="cuda")
    source_image, prompt = scene_image(held_out_scenes(1)[0], model)
    inversion = NullText(steps=10, inner_steps=5)(model, source_image, prompt)
    assert inversion.replay.nulls is not None
    assert inversion.replay.nulls.dtype == inversion.pivot.dtype == torch.float32
    assert inversion.replay.nulls.isfinite().all()
    assert inversion.pivot.isfinite().all()
    image = nulltext.reconstruct(model, inversion)
    assert image.isfinite().all()
    on_the_cpu = NullText(steps=10, inner_steps=5)(load(device="cpu"), source_image, prompt)
    assert inversion.scores.psnr == pytest.approx(on_the_cpu.scores.psnr, abs=0.5)


def test_a_recipe_trains_there_and_goes_on_here(tmp_path: Path) -> None:
    there = Recipe(images=128, seconds=dict.fromkeys(STAGES, 1.0), device="cuda")
    run(there, tmp_path / "model", work=tmp_path / "work")
    stamped: Any = read_stamp(tmp_path / "model")
    assert stamped["recipe"]["device"] == "cuda"
    for device in ("cuda", "cpu"):
        images = nulltext.generate(load(tmp_path / "model", device=device), ["a photo of a red ball"], steps=2)
        assert images.isfinite().all()
    here = Recipe(images=128, seconds=dict.fromkeys(STAGES, 1.5))
    run(here, tmp_path / "further", work=tmp_path / "work")
    further: Any = read_stamp(tmp_path / "further")
    assert further["recipe"]["device"] == "cpu"
