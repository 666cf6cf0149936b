from typing import Any

import pytest
import torch

import nulltext
from nulltext.models.layout import layout_for
from nulltext.models.memory import ON_A_CPU, images_at_once, predicted_peak, saved_bytes


def test_what_is_saved_grows_with_the_image_and_not_with_the_weights(model):
    small, large = saved_bytes(model), saved_bytes(model, (128, 128))
    assert 3 * small < large < 5 * small
    weights = sum(weight.nbytes for weight in model.denoiser.parameters())
    assert weights < predicted_peak(model, 1) < predicted_peak(model, 2)
    assert predicted_peak(model, 2) - predicted_peak(model, 1) == pytest.approx(1.5 * small, rel=0.01)


def test_half_precision_saves_half(folder, model):
    half = nulltext.load(folder("epsilon"), device="cpu", dtype="bfloat16")
    assert saved_bytes(half) == pytest.approx(saved_bytes(model) / 2, rel=0.15)


def test_low_memory_saves_less_and_changes_nothing(folder, model, source_image):
    frugal = nulltext.load(folder("epsilon"), device="cpu", low_memory=True)
    assert saved_bytes(frugal) < saved_bytes(model) / 2
    x, text = torch.randn(2, 4, 8, 8), model.embed(["a red ball", "a cat"])
    gradients = []
    for each in (model, frugal):
        asked = text.with_text(text.text.clone().requires_grad_())
        each.predict(x, 500.0, asked).square().mean().backward()
        gradients.append(asked.text.grad)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(
        frugal.decode(frugal.encode(source_image.pixels)), model.decode(model.encode(source_image.pixels))
    )


def test_images_at_once(model):
    assert images_at_once(model) == ON_A_CPU


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_layout_is_chosen_without_a_clock(dtype, monkeypatch):
    """What the clock chooses differs from run to run, and so would the last digits of every result."""
    monkeypatch.setattr("time.perf_counter", lambda: pytest.fail("timed"))
    assert layout_for(torch.device("cpu"), dtype) == torch.channels_last
    on_cuda = torch.contiguous_format if dtype == torch.float32 else torch.channels_last
    assert layout_for(torch.device("cuda"), dtype) == on_cuda
    assert layout_for(torch.device("mps"), dtype) == torch.contiguous_format


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_layout_changes_nothing(folder, model, layout):
    import dataclasses

    other: Any = nulltext.load(folder("epsilon"), device="cpu")
    unet, autoencoder = (dataclasses.replace(part, layout=layout) for part in (other.unet, other.autoencoder))
    other = dataclasses.replace(other, unet=unet, autoencoder=autoencoder)
    other.denoiser.to(memory_format=layout)
    x, text = torch.randn(2, 4, 8, 8), model.embed(["a red ball", "a cat"])
    with torch.no_grad():
        torch.testing.assert_close(other.predict(x, 500.0, text), model.predict(x, 500.0, text), rtol=1e-4, atol=1e-5)
