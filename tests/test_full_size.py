"""The full-size architectures with random weights, on the CPU: gigabytes and minutes, so marked slow."""

import gc
from typing import Any

import pytest
import torch
from PIL import Image

import nulltext
from nulltext import Inversion, NullText, PromptSwap
from nulltext.models.architectures import ARCHITECTURES, Name
from nulltext.models.random_weights import random_pipeline

SIZES: dict[Name, tuple[int, str, int]] = {
    "sd15": (512, "epsilon", 256), "sd21": (768, "v_prediction", 384), "sdxl": (1024, "epsilon", 256)}  # fmt: skip
"""Pixels on a side, what is predicted, and the pixels that are taken here: the network is the same, and the test takes
minutes rather than an hour."""


@pytest.mark.filterwarnings("ignore:the model was made for images")
@pytest.mark.slow
@pytest.mark.parametrize("family", SIZES)
def test_a_full_size_architecture_goes_through_everything(family, tmp_path):
    torch.manual_seed(0)
    pipeline: Any = random_pipeline(family)
    assert sum(weight.numel() for weight in pipeline.unet.parameters()) == ARCHITECTURES[family].parameters
    pipeline.save_pretrained(tmp_path / "model")
    del pipeline
    gc.collect()

    model = nulltext.load(tmp_path / "model", device="cpu", dtype=torch.bfloat16)
    whole, prediction, side = SIZES[family]
    assert (model.default_size, model.prediction) == ((whole, whole), prediction)
    source_image = nulltext.open_image(Image.effect_noise((300, 200), 60).convert("RGB"), model, size=(side, side))
    inversion = NullText(steps=2, inner_steps=1)(model, source_image, "a red ball on grass")
    assert inversion.pivot.shape == (3, 4, side // 8, side // 8)
    assert inversion.replay.nulls is not None
    assert inversion.replay.nulls.shape == (2, 77, ARCHITECTURES[family].at("unet")["cross_attention_dim"])
    assert inversion.replay.nulls.isfinite().all()
    assert not torch.equal(inversion.replay.nulls[0], inversion.replay.nulls[1])
    path = inversion.save(tmp_path / "a.safetensors")
    edit = PromptSwap()(model, Inversion.load(path), "a blue ball on grass")
    assert edit.image.size == (300, 200)
    assert edit.pixels.isfinite().all()
