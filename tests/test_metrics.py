import math

import pytest
import torch

from nulltext.metrics import psnr


def test_against_the_formula_for_peak_two():
    a = torch.zeros(1, 3, 4, 4)
    assert psnr(a, a + 0.2) == pytest.approx(20.0, abs=1e-5)
    assert psnr(a, a + 2) == pytest.approx(0.0)


def test_equal_pictures():
    a = torch.rand(1, 3, 4, 4)
    assert psnr(a, a) == math.inf


def test_agrees_with_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    a, b = torch.rand(2, 1, 3, 8, 8) * 2 - 1
    assert psnr(a, b) == pytest.approx(metrics.peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=2), abs=1e-4)
