"""Distances between pictures."""

import math
from collections.abc import Callable
from typing import cast

from nulltext.errors import SettingError
from nulltext.types import Pixels


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, in decibels; higher is closer.

    ``10 log10(peak² / mean((a - b)²))`` with peak 2, since pixels lie in [-1, 1].

    Args:
        a: [B, 3, H, W] in [-1, 1], on any device.
        b: The same shape.

    Returns:
        Decibels; infinity for equal pictures.
    """
    # On the CPU, since not every device has double precision (Apple's has none).
    error = (a.cpu().double() - b.cpu().double()).square().mean().item()
    return math.inf if error == 0 else 10 * math.log10(4 / error)


def structural_similarity(a: Pixels, b: Pixels) -> float:
    """SSIM: Wang et al., 2004, with its Gaussian window of sigma 1.5; up to 1, higher is closer.

    Args:
        a: [1, 3, H, W] in [-1, 1].
        b: The same shape.

    Raises:
        SettingError: scikit-image, which computes it, is not installed.
    """
    try:
        from skimage import metrics  # noqa: PLC0415  only who measures needs scikit-image
    except ImportError as error:
        raise SettingError("SSIM needs scikit-image. Run: pip install 'nulltext[bench]'.") from error
    ours, theirs = (picture[0].cpu().double().numpy() for picture in (a, b))
    ssim = cast("Callable[..., float]", metrics.structural_similarity)  # returns more only if asked for more
    return ssim(
        ours, theirs, data_range=2, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
