"""The figures of PIE-Bench as its published evaluation computes them.

Ju et al., "PnP Inversion: Boosting Diffusion-based Editing with 3 Lines of Code", ICLR 2024, arXiv 2310.01506, and the
evaluation code published with it. For comparing with its tables only; it differs from the definitions beside it in
this: pixels that do not count are black in both images and still have a part in every mean, so that a small mask
makes every figure look better; LPIPS is SqueezeNet's; and DINO is given pixels from 0 to 255 where it expects 0 to 1.

What should not change is measured where the mask of the edit is not, the prompt both on the whole image and on the
masked part, and structure on the whole image. The published code reads images from 8-bit files.
"""

from collections.abc import Mapping
from typing import Final

from nulltext.metrics import perceptual, pixels
from nulltext.metrics.clip import ImagesAndTexts, clip_text_similarity
from nulltext.metrics.masks import NO_PIXEL, Counted, black_elsewhere
from nulltext.metrics.missing import Missing
from nulltext.metrics.structure import ImageKeys
from nulltext.metrics.structure import structure_distance as distance_of_structure
from nulltext.types import OnePixels

SCALES: Final[Mapping[str, float]] = {
    "structure_distance": 1e3,
    "psnr": 1,
    "lpips": 1e3,
    "mse": 1e4,
    "ssim": 1e2,
    "clip_similarity": 1,
}
"""What the published tables multiply each figure by."""

LPIPS_NETWORK: Final = "squeeze"


def mse(a: OnePixels, b: OnePixels, mask: Counted) -> float | Missing:
    """Mean squared error, of values from 0 to 1, over the whole image, black where the mask is not.

    Args:
        a: [1, 3, H, W] in [-1, 1].
        b: The same shape.
        mask: [H, W] the pixels that count.

    Returns:
        0 to 1; missing if no pixel counts.
    """
    return pixels.mse(black_elsewhere(a, mask), black_elsewhere(b, mask)) if mask.any() else NO_PIXEL


def psnr(a: OnePixels, b: OnePixels, mask: Counted) -> float | Missing:
    """Peak signal-to-noise ratio over the whole image, black where the mask is not, in decibels.

    Args:
        a: [1, 3, H, W] in [-1, 1].
        b: The same shape.
        mask: [H, W] the pixels that count.

    Returns:
        Decibels; infinity for equal images; missing if no pixel counts.
    """
    return pixels.psnr(black_elsewhere(a, mask), black_elsewhere(b, mask)) if mask.any() else NO_PIXEL


def ssim(a: OnePixels, b: OnePixels, mask: Counted) -> float | Missing:
    """SSIM over the whole image, black where the mask is not.

    torchmetrics of that time left a border of 5 pixels out of the mean, as scikit-image does; later ones do not.

    Args:
        a: [1, 3, H, W] in [-1, 1], 11 or more pixels high and wide.
        b: The same shape.
        mask: [H, W] the pixels that count.

    Returns:
        -1 to 1; missing if no pixel counts.

    Raises:
        SettingError: scikit-image, which computes it, is not installed.
    """
    if not mask.any():
        return NO_PIXEL
    return pixels.structural_similarity(black_elsewhere(a, mask), black_elsewhere(b, mask))


def lpips(a: OnePixels, b: OnePixels, mask: Counted) -> float | Missing:
    """LPIPS by SqueezeNet over the whole image, black where the mask is not; see `nulltext.metrics.lpips`.

    Args:
        a: [1, 3, H, W] in [-1, 1].
        b: The same shape.
        mask: [H, W] the pixels that count.

    Returns:
        0 or more; missing if no pixel counts, or if a library or weights are not on this machine.
    """
    return perceptual.lpips(a, b, mask, network=LPIPS_NETWORK)


def clip_similarity(
    image: OnePixels, prompt: str, mask: Counted | None = None, *, clip: ImagesAndTexts
) -> float | Missing:
    """CLIPScore, as torchmetrics has it: a hundred times the cosine of image and prompt, or 0 if that is negative.

    Args:
        image: [1, 3, H, W] in [-1, 1].
        prompt: The prompt, without its brackets.
        mask: [H, W] the edited part, all else black; None for the whole image.
        clip: The CLIP to ask; the published tables are of ViT-L/14.

    Returns:
        0 to 100; missing if the mask is empty.
    """
    cosine = clip_text_similarity(image, prompt, mask, clip=clip)
    return cosine if isinstance(cosine, Missing) else max(100 * cosine, 0.0)


def structure_distance(a: OnePixels, b: OnePixels, *, dino: ImageKeys | Missing) -> float | Missing:
    """Structure distance of the whole images, DINO being given their pixels from 0 to 255.

    Args:
        a: [1, 3, H, W] in [-1, 1].
        b: The same shape.
        dino: What shows the keys.

    Returns:
        0 to 4; missing if `dino` is.
    """
    return distance_of_structure(_as_bytes(a), _as_bytes(b), dino=dino)


def _as_bytes(image: OnePixels) -> OnePixels:
    """An image whose values are those of its bytes once [-1, 1] has been mapped to [0, 1]."""
    return 255 * (image + 1) - 1
