import math
import sys

import pytest
import torch

from nulltext.errors import SettingError
from nulltext.metrics import Missing, mse, psnr, structural_similarity


@pytest.fixture
def pair():
    torch.manual_seed(0)
    a = torch.rand(1, 3, 32, 40) * 2 - 1
    return a, (a + 0.3 * torch.randn_like(a)).clamp(-1, 1)


def left_half(height=4, width=4):
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[:, : width // 2] = True
    return mask


def test_psnr_against_the_formula_for_peak_two():
    a = torch.zeros(1, 3, 4, 4)
    assert psnr(a, a + 0.2) == pytest.approx(20.0, abs=1e-5)
    assert psnr(a, a + 2) == pytest.approx(0.0)


def test_mse_is_of_values_from_0_to_1():
    black, white = torch.full((1, 3, 4, 4), -1.0), torch.ones(1, 3, 4, 4)
    assert mse(black, white) == 1
    assert mse(black, black + 0.2) == pytest.approx(0.01)


def test_equal_images(pair):
    a, _ = pair
    assert psnr(a, a) == math.inf
    assert mse(a, a) == 0
    assert structural_similarity(a, a) == 1


def test_psnr_agrees_with_scikit_image(pair):
    metrics = pytest.importorskip("skimage.metrics")
    a, b = pair
    assert psnr(a, b) == pytest.approx(metrics.peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=2), abs=1e-4)
    assert mse(a, b) == pytest.approx(metrics.mean_squared_error(a.numpy(), b.numpy()) / 4)


def test_only_pixels_that_count_have_a_part():
    a, mask = torch.zeros(2, 3, 4, 4), left_half()
    b = torch.where(mask, a + 0.2, a + 1)
    assert psnr(a, b, mask) == pytest.approx(20.0, abs=1e-5)
    assert mse(a, b, mask) == pytest.approx(0.01)
    assert psnr(a, b, ~mask) == pytest.approx(10 * math.log10(4))
    assert mse(a, b, ~mask) == pytest.approx(0.25)
    assert mse(a, b) == pytest.approx((0.01 + 0.25) / 2)


@pytest.mark.parametrize("metric", [mse, psnr, structural_similarity])
def test_a_mask_of_every_pixel_is_no_mask_and_one_of_none_is_missing(metric, pair):
    a, b = pair
    every = torch.ones(32, 40, dtype=torch.bool)
    assert metric(a, b, every) == pytest.approx(metric(a, b), rel=1e-12)
    assert isinstance(metric(a, b, ~every), Missing)


def test_structural_similarity_of_flat_images():
    """Without variance SSIM is its comparison of means alone, (2 x y + 0.01²) / (x² + y² + 0.01²)."""
    flat = {value: torch.full((1, 3, 16, 16), 2 * value - 1) for value in (0.0, 0.5, 1.0)}
    assert structural_similarity(flat[0.5], flat[1.0]) == pytest.approx((1 + 1e-4) / (1.25 + 1e-4))
    assert structural_similarity(flat[0.0], flat[1.0]) == pytest.approx(1e-4 / (1 + 1e-4))


def test_structural_similarity_agrees_with_torchmetrics(pair):
    functional = pytest.importorskip("torchmetrics.functional.image")
    a, b = ((image + 1) / 2 for image in pair)
    _, each = functional.structural_similarity_index_measure(a, b, data_range=1.0, return_full_image=True)
    inner = each[0, :, 5:-5, 5:-5]
    assert structural_similarity(*pair) == pytest.approx(inner.mean().item(), abs=1e-5)
    mask = left_half(32, 40)
    first, second = pair
    assert structural_similarity(first, second, mask) == pytest.approx(
        inner[:, mask[5:-5, 5:-5]].mean().item(), abs=1e-5
    )


def test_structural_similarity_looks_where_the_mask_is(pair):
    a, b = pair
    mask = left_half(32, 40)
    changed = torch.where(mask, a, b)
    far = mask.clone()
    far[:, 14:] = False  # whose windows end before the change begins
    assert structural_similarity(a, changed, far) == 1
    beyond = structural_similarity(a, changed, ~mask)
    assert isinstance(beyond, float)
    assert beyond < 0.95
    assert isinstance(structural_similarity(a, changed, mask & ~torch.roll(mask, 3, 1)), Missing), "edge alone"


def test_structural_similarity_without_scikit_image(pair, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(SettingError, match="bench"):
        structural_similarity(*pair)
