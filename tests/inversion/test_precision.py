"""Half-precision weights with embeddings, loss and optimiser in float32."""

import pytest
import torch

import nulltext
from nulltext import NullText

CAPTION = "a red ball on grass"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_no_numbers_lost_and_no_black_picture(folder, photo, prediction, dtype):
    model = nulltext.load(folder(prediction), device="cpu", dtype=dtype)
    inversion = NullText(steps=5, inner_steps=5)(model, photo, CAPTION)
    assert inversion.nulls.dtype == inversion.pivot.dtype == torch.float32
    assert inversion.nulls.isfinite().all()
    moved = (inversion.nulls - model.embed([""]).cpu()).abs().amax((1, 2))
    assert (moved > 1e-3).all(), "a gradient was flushed to zero"
    picture = nulltext.reconstruct(model, inversion)
    assert picture.isfinite().all()
    assert picture.std() > 0.05


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_optimises_about_as_well_as_in_float32(folder, photo, dtype):
    scores, losses = [], []
    for precision in ("float32", dtype):
        model = nulltext.load(folder("epsilon"), device="cpu", dtype=precision)
        events = []
        scores.append(NullText(steps=5, inner_steps=5)(model, photo, CAPTION, events.append).scores.psnr)
        losses.append([event.loss for event in events if event.phase == "optimise"])
    assert scores[1] == pytest.approx(scores[0], abs=0.3)
    assert sum(losses[1]) <= 1.5 * sum(losses[0])
