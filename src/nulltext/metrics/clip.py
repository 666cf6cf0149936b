"""What CLIP says of images and prompts, as cosines of their vectors (Radford et al., 2021, arXiv 2103.00020)."""

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

from torch import Tensor
from torch.nn import functional

from nulltext.metrics.masks import NO_PIXEL, Counted, black_elsewhere
from nulltext.metrics.missing import Missing
from nulltext.types import OnePixels

_SAME: Final = 1e-6
"""Two unit vectors nearer than this are one, but for rounding."""


@runtime_checkable
class ImagesAndTexts(Protocol):
    """Anything that puts images and prompts into one space."""

    def images(self, pixels: Tensor, /) -> Tensor:
        """Images [n, 3, H, W] in [-1, 1] as unit vectors, [n, D]."""
        ...

    def texts(self, prompts: Sequence[str], /) -> Tensor:
        """Prompts as unit vectors, [n, D]."""
        ...


def clip_image_similarity(
    a: OnePixels, b: OnePixels, mask: Counted | None = None, *, clip: ImagesAndTexts
) -> float | Missing:
    """How alike two images are to CLIP: the cosine of their vectors; higher is closer.

    Args:
        a: [1, 3, H, W] in [-1, 1].
        b: The same shape.
        mask: [H, W] the pixels that count; all of them if None. The others are black in both images.
        clip: The CLIP to ask.

    Returns:
        -1 to 1; missing if no pixel counts.
    """
    if mask is not None and not mask.any():
        return NO_PIXEL
    return _cosine(_embedded(clip, a, mask), _embedded(clip, b, mask))


def clip_text_similarity(
    pixels: OnePixels, prompt: str, mask: Counted | None = None, *, clip: ImagesAndTexts
) -> float | Missing:
    """How well a prompt describes an image to CLIP: the cosine of their vectors; higher is better.

    CLIPScore (Hessel et al., 2021, arXiv 2104.08718) as torchmetrics has it is a hundred times this where it is
    positive.

    Args:
        pixels: [1, 3, H, W] in [-1, 1].
        prompt: The prompt.
        mask: [H, W] the pixels that count; all of them if None. The others are black.
        clip: The CLIP to ask.

    Returns:
        -1 to 1; missing if no pixel counts.
    """
    if mask is not None and not mask.any():
        return NO_PIXEL
    return _cosine(_embedded(clip, pixels, mask), clip.texts([prompt])[0])


def clip_directional_similarity(
    source: OnePixels,
    target: OnePixels,
    source_prompt: str,
    target_prompt: str,
    mask: Counted | None = None,
    *,
    clip: ImagesAndTexts,
) -> float | Missing:
    """Whether an image changed as its prompt did: Gal et al., StyleGAN-NADA, arXiv 2108.00946.

    ``cos(I(target) - I(source), T(target_prompt) - T(source_prompt))`` with the unit vectors I and T of images and
    prompts; one minus the paper's directional CLIP loss.

    Args:
        source: [1, 3, H, W] in [-1, 1] the image before the edit.
        target: The same shape, the image after it.
        source_prompt: What `source` shows.
        target_prompt: What `target` should show.
        mask: [H, W] the pixels that count; all of them if None. The others are black in both images.
        clip: The CLIP to ask.

    Returns:
        -1 to 1, higher is better; missing if no pixel counts, or if the images or the prompts are the same to CLIP,
        so that there is no direction.
    """
    if mask is not None and not mask.any():
        return NO_PIXEL
    before, after = clip.texts([source_prompt])[0], clip.texts([target_prompt])[0]
    image_direction, text_direction = _embedded(clip, target, mask) - _embedded(clip, source, mask), after - before
    for what, direction in (("images", image_direction), ("prompts", text_direction)):
        if direction.norm() < _SAME:
            return Missing(f"the two {what} are the same to CLIP: there is no direction between them to compare.")
    return _cosine(image_direction, text_direction)


def _embedded(clip: ImagesAndTexts, pixels: OnePixels, mask: Counted | None) -> Tensor:
    return clip.images(pixels if mask is None else black_elsewhere(pixels, mask))[0]


def _cosine(a: Tensor, b: Tensor) -> float:
    return functional.cosine_similarity(a.cpu().double(), b.cpu().double(), dim=0).item()
