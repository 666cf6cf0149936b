"""What CLIP says of pictures and captions, as cosines of their vectors (Radford et al., 2021, arXiv 2103.00020)."""

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
class PicturesAndTexts(Protocol):
    """Anything that puts pictures and captions into one space."""

    def images(self, pixels: Tensor, /) -> Tensor:
        """Pictures [n, 3, H, W] in [-1, 1] as unit vectors, [n, D]."""
        ...

    def texts(self, captions: Sequence[str], /) -> Tensor:
        """Captions as unit vectors, [n, D]."""
        ...


def clip_image_similarity(
    a: OnePixels, b: OnePixels, mask: Counted | None = None, *, clip: PicturesAndTexts
) -> float | Missing:
    """How alike two pictures are to CLIP: the cosine of their vectors; higher is closer.

    Args:
        a: [1, 3, H, W] in [-1, 1].
        b: The same shape.
        mask: [H, W] the pixels that count; all of them if None. The others are black in both pictures.
        clip: The CLIP to ask.

    Returns:
        -1 to 1; missing if no pixel counts.
    """
    if mask is not None and not mask.any():
        return NO_PIXEL
    return _cosine(_seen(clip, a, mask), _seen(clip, b, mask))


def clip_text_similarity(
    pixels: OnePixels, caption: str, mask: Counted | None = None, *, clip: PicturesAndTexts
) -> float | Missing:
    """How well a caption describes a picture to CLIP: the cosine of their vectors; higher is better.

    CLIPScore (Hessel et al., 2021, arXiv 2104.08718) as torchmetrics has it is a hundred times this where it is
    positive.

    Args:
        pixels: [1, 3, H, W] in [-1, 1].
        caption: The caption.
        mask: [H, W] the pixels that count; all of them if None. The others are black.
        clip: The CLIP to ask.

    Returns:
        -1 to 1; missing if no pixel counts.
    """
    if mask is not None and not mask.any():
        return NO_PIXEL
    return _cosine(_seen(clip, pixels, mask), clip.texts([caption])[0])


def clip_directional_similarity(
    source: OnePixels,
    target: OnePixels,
    source_caption: str,
    target_caption: str,
    mask: Counted | None = None,
    *,
    clip: PicturesAndTexts,
) -> float | Missing:
    """Whether a picture changed as its caption did: Gal et al., StyleGAN-NADA, arXiv 2108.00946.

    ``cos(I(target) - I(source), T(target_caption) - T(source_caption))`` with the unit vectors I and T of pictures and
    captions; one minus the paper's directional CLIP loss.

    Args:
        source: [1, 3, H, W] in [-1, 1] the picture before the edit.
        target: The same shape, the picture after it.
        source_caption: What `source` shows.
        target_caption: What `target` should show.
        mask: [H, W] the pixels that count; all of them if None. The others are black in both pictures.
        clip: The CLIP to ask.

    Returns:
        -1 to 1, higher is better; missing if no pixel counts, or if the pictures or the captions are the same to CLIP,
        so that there is no direction.
    """
    if mask is not None and not mask.any():
        return NO_PIXEL
    before, after = clip.texts([source_caption])[0], clip.texts([target_caption])[0]
    seen, said = _seen(clip, target, mask) - _seen(clip, source, mask), after - before
    for what, direction in (("pictures", seen), ("captions", said)):
        if direction.norm() < _SAME:
            return Missing(f"the two {what} are the same to CLIP: there is no direction between them to compare.")
    return _cosine(seen, said)


def _seen(clip: PicturesAndTexts, pixels: OnePixels, mask: Counted | None) -> Tensor:
    return clip.images(pixels if mask is None else black_elsewhere(pixels, mask))[0]


def _cosine(a: Tensor, b: Tensor) -> float:
    return functional.cosine_similarity(a.cpu().double(), b.cpu().double(), dim=0).item()
