"""The published evaluation of PIE-Bench written out: bytes, times the mask, then the libraries' means over it all."""

import math

import numpy as np
import pytest
import torch

from nulltext.metrics import Missing, pie, psnr


@pytest.fixture
def pair():
    torch.manual_seed(0)
    a = torch.randint(0, 256, (1, 3, 32, 32))
    b = (a + torch.randint(-40, 41, a.shape)).clamp(0, 255)
    return a, b


@pytest.fixture
def mask():
    counted = torch.zeros(32, 32, dtype=torch.bool)
    counted[4:20, 8:30] = True
    return counted


def times_mask(image, mask):
    array = image[0].permute(1, 2, 0).numpy().astype(np.float32) / 255
    array = array * mask[:, :, None].numpy().astype(np.float32)
    return torch.tensor(array).permute(2, 0, 1)[None]


def ours(pair) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = pair
    return first / 127.5 - 1, second / 127.5 - 1


def test_psnr_and_mse(pair, mask):
    image = pytest.importorskip("torchmetrics.functional.image")
    regression = pytest.importorskip("torchmetrics.functional.regression")
    a, b = (times_mask(image, mask) for image in pair)
    expected = image.peak_signal_noise_ratio(a, b, data_range=1.0).item()
    assert pie.psnr(*ours(pair), mask) == pytest.approx(expected, abs=1e-4)
    assert pie.mse(*ours(pair), mask) == pytest.approx(regression.mean_squared_error(a, b).item(), rel=1e-4)
    # Twice as many pixels that are black in both halve the error.
    share = mask.float().mean().item()
    within = psnr(*ours(pair), mask)
    assert isinstance(within, float)
    assert pie.psnr(*ours(pair), mask) == pytest.approx(within - 10 * math.log10(share), abs=1e-4)


def test_ssim(pair, mask):
    image = pytest.importorskip("torchmetrics.functional.image")
    a, b = (times_mask(image, mask) for image in pair)
    _, each = image.structural_similarity_index_measure(a, b, data_range=1.0, return_full_image=True)
    assert pie.ssim(*ours(pair), mask) == pytest.approx(each[..., 5:-5, 5:-5].mean().item(), abs=1e-5)


class Brightness:
    """A space of one axis and a half: bright images and "light" point one way, "dark" the other."""

    def images(self, pixels):
        bright = (pixels.mean((1, 2, 3)) + 1) / 2
        return torch.stack([bright, (1 - bright**2).sqrt()], dim=1)

    def texts(self, prompts):
        return torch.tensor([[1.0, 0.0] if prompt == "light" else [-1.0, 0.0] for prompt in prompts])


def test_clip_similarity_is_a_hundred_times_the_cosine_and_never_negative(mask):
    white = torch.ones(1, 3, 32, 32)
    assert pie.clip_similarity(white, "light", clip=Brightness()) == pytest.approx(100)
    assert pie.clip_similarity(white, "dark", clip=Brightness()) == 0
    share = mask.float().mean().item()
    assert pie.clip_similarity(white, "light", mask, clip=Brightness()) == pytest.approx(100 * share, rel=1e-5)


def test_an_empty_mask_is_missing(pair, mask):
    none = torch.zeros_like(mask)
    for figure in (pie.mse, pie.psnr, pie.ssim, pie.lpips):
        assert isinstance(figure(*ours(pair), none), Missing)
    assert isinstance(pie.clip_similarity(ours(pair)[0], "light", none, clip=Brightness()), Missing)


def test_every_figure_has_its_scale():
    figures = {name for name in vars(pie) if getattr(vars(pie)[name], "__module__", "") == pie.__name__}
    assert set(pie.SCALES) == {name for name in figures if not name.startswith("_")}
