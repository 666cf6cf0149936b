"""Where masks come from: an image drawn over the photograph, or a method that finds one."""

import os
from typing import Protocol, runtime_checkable

from PIL import Image
from torch.nn import functional as F

from nulltext.images import Frame, open_mask
from nulltext.inversion.base import Inversion
from nulltext.models.base import Model
from nulltext.types import Mask


@runtime_checkable
class MaskSource(Protocol):
    """A method that finds where an edit may change the image: settings in the constructor, data in the call."""

    def __call__(self, model: Model, inversion: Inversion, prompt: str) -> Mask:
        """The mask of an edit, looked up once before its first step.

        Args:
            model: The model it was inverted with.
            inversion: The inversion.
            prompt: The target prompt.

        Returns:
            [1, 1, h, w] over the latents' cells, 1 where the image may change, on the CPU.

        Raises:
            EmptyMaskError: It would let nothing change.
        """
        ...


AnyMask = Image.Image | str | os.PathLike[str] | MaskSource
"""An image drawn over the photograph, the path of one, or what finds a mask."""


def mask_of(model: Model, inversion: Inversion, mask: AnyMask, prompt: str) -> Mask:
    """A mask over the latents' cells, [1, 1, h, w] in [0, 1], for a target prompt.

    Raises:
        ImageError: An image cannot be read, or has another aspect ratio than the photograph.
        EmptyMaskError: A mask source finds nothing that may change.
    """
    if isinstance(mask, MaskSource):
        return mask(model, inversion, prompt)
    return drawn_mask(mask, inversion.frame, (inversion.pivot.shape[-2], inversion.pivot.shape[-1]))


def drawn_mask(image: Image.Image | str | os.PathLike[str], frame: Frame, size: tuple[int, int]) -> Mask:
    """An image drawn over the photograph as a mask over the latents' cells, [1, 1, h, w] for `size` (h, w).

    Raises:
        ImageError: It cannot be read, or has another aspect ratio than the photograph.
    """
    return F.interpolate(frame.fit_mask(open_mask(image)), size=size, mode="area")
