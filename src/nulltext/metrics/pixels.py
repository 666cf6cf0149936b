"""Distances between images, pixel by pixel."""

import math
from collections.abc import Callable
from typing import Any, Final, cast, overload

import torch

from nulltext.errors import SettingError
from nulltext.metrics.masks import NO_PIXEL, Counted
from nulltext.metrics.missing import Missing
from nulltext.types import OnePixels, Pixels

REACH: Final = 5
"""How far SSIM's window of 11 x 11 pixels reaches from its middle."""


@overload
def mse(a: Pixels, b: Pixels, mask: None = None) -> float: ...
@overload
def mse(a: Pixels, b: Pixels, mask: Counted | None) -> float | Missing: ...
def mse(a: Pixels, b: Pixels, mask: Counted | None = None) -> float | Missing:
    """Mean squared error over all channels of all pixels that count, of values from 0 to 1; lower is closer.

    ``mean(((a - b) / 2)²)``, since pixels lie in [-1, 1].

    Args:
        a: [B, 3, H, W] in [-1, 1], on any device.
        b: The same shape.
        mask: [H, W] the pixels that count; all of them if None. The others have no part in the mean.

    Returns:
        0 to 1; missing if no pixel counts.
    """
    # On the CPU, since not every device has double precision (Apple's has none).
    error = ((a.cpu().double() - b.cpu().double()) / 2).square()
    if mask is not None:
        error = error[..., mask.cpu()]
    return error.mean().item() if error.numel() else NO_PIXEL


@overload
def psnr(a: Pixels, b: Pixels, mask: None = None) -> float: ...
@overload
def psnr(a: Pixels, b: Pixels, mask: Counted | None) -> float | Missing: ...
def psnr(a: Pixels, b: Pixels, mask: Counted | None = None) -> float | Missing:
    """Peak signal-to-noise ratio over all channels of all pixels that count, in decibels; higher is closer.

    ``10 log10(peak² / mean((a - b)²))`` with peak 2, since pixels lie in [-1, 1].

    Args:
        a: [B, 3, H, W] in [-1, 1], on any device.
        b: The same shape.
        mask: [H, W] the pixels that count; all of them if None. The others have no part in the mean.

    Returns:
        Decibels; infinity for equal images; missing if no pixel counts.
    """
    error = mse(a, b, mask)
    if isinstance(error, Missing):
        return error
    return math.inf if error == 0 else 10 * math.log10(1 / error)


@overload
def structural_similarity(a: OnePixels, b: OnePixels, mask: None = None) -> float: ...
@overload
def structural_similarity(a: OnePixels, b: OnePixels, mask: Counted | None) -> float | Missing: ...
def structural_similarity(a: OnePixels, b: OnePixels, mask: Counted | None = None) -> float | Missing:
    """SSIM: Wang et al., 2004, eq. 13, with its Gaussian window of sigma 1.5; up to 1, higher is closer.

    The mean (eq. 17) is over the colours and over the windows that lie within the image, so none is centred nearer
    than 5 pixels to its edge. With a mask it is over those of them that are centred on a pixel that counts; a window
    there also sees what lies up to 5 pixels beyond the mask.

    Args:
        a: [1, 3, H, W] in [-1, 1], 11 or more pixels high and wide.
        b: The same shape.
        mask: [H, W] the pixels that count; all of them if None.

    Returns:
        -1 to 1; missing if no pixel that counts is 5 pixels or more from the edge.

    Raises:
        SettingError: scikit-image, which computes it, is not installed.
    """
    try:
        from skimage import metrics  # noqa: PLC0415  only who measures needs scikit-image
    except ImportError as error:
        raise SettingError("SSIM needs scikit-image. Run: pip install 'nulltext[bench]'.") from error
    # From 0 to 1: the comparison of means (eq. 6) is made for values that are never negative.
    ours, theirs = (((image[0].cpu().double() + 1) / 2).numpy() for image in (a, b))
    ssim = cast("Callable[..., tuple[float, Any]]", metrics.structural_similarity)
    mean, each = ssim(
        ours,
        theirs,
        data_range=1,
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    if mask is None:
        return float(mean)
    inner = (slice(REACH, -REACH), slice(REACH, -REACH))
    counted = torch.from_numpy(each)[:, *inner][:, mask.cpu()[inner]]
    return counted.mean().item() if counted.numel() else NO_PIXEL
