"""Where masks come from: an image drawn over the photograph, or a method that finds one."""

import os
from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

import torch
from PIL import Image
from torch.nn import functional as F

from nulltext.errors import EmptyMaskError, SettingError
from nulltext.images import Frame, to_pixels
from nulltext.inversion.base import Inversion
from nulltext.mask_images import open_mask
from nulltext.models.base import Model
from nulltext.types import Mask, Masks, Pixels

HALF: Final = 0.5
"""From here on a place of a mask is white."""


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


@runtime_checkable
class HasMask(Protocol):
    """What has a mask among its settings: a blend, or an editor that cannot do without one."""

    @property
    def mask(self) -> AnyMask | None:
        """The mask; None if none is given."""
        ...


def mask_of(model: Model, inversion: Inversion, mask: AnyMask, prompt: str) -> Mask:
    """A mask over the latents' cells, [1, 1, h, w] in [0, 1], for a target prompt.

    Raises:
        ImageError: An image cannot be read, or has another aspect ratio than the photograph.
        EmptyMaskError: A mask source finds nothing that may change.
    """
    if isinstance(mask, MaskSource):
        return mask(model, inversion, prompt)
    return drawn_mask(mask, inversion.frame, _cells(inversion))


def drawn_mask(image: Image.Image | str | os.PathLike[str], frame: Frame, size: tuple[int, int]) -> Mask:
    """An image drawn over the photograph as a mask over the latents' cells, [1, 1, h, w] for `size` (h, w).

    Raises:
        ImageError: It cannot be read, or has another aspect ratio than the photograph.
    """
    return F.interpolate(frame.fit_mask(open_mask(image)), size=size, mode="area")


def pixel_masks(model: Model, inversion: Inversion, mask: AnyMask | None, prompts: Sequence[str], word: str) -> Masks:
    """A mask over the fitted image for each target prompt of an editor that cannot do without one.

    Args:
        model: The model.
        inversion: The inversion.
        mask: What the editor has as its mask.
        prompts: B target prompts.
        word: What stands for the editor.

    Returns:
        [B, 1, H, W] in [0, 1], levels as they were drawn; of a mask source its cells, whole. On the CPU.

    Raises:
        SettingError: There is no mask.
        ImageError: An image cannot be read, or has another aspect ratio than the photograph.
        EmptyMaskError: A mask source finds nothing that may change.
    """
    found = needed_mask(mask, word)
    if not isinstance(found, MaskSource):
        return inversion.frame.fit_mask(open_mask(found)).expand(len(prompts), -1, -1, -1)
    cells = torch.cat([found(model, inversion, prompt) for prompt in prompts])
    return F.interpolate(cells, size=inversion.frame.fitted)


def needed_mask(mask: AnyMask | None, word: str) -> AnyMask:
    """The mask of an editor that cannot do without one.

    Raises:
        SettingError: There is none.
    """
    if mask is None:
        raise SettingError(
            f"got no mask for {word}; expected one. Give an image drawn over the photograph, white where it may "
            "change, or what finds a mask, such as diffedit."
        )
    return mask


def check_not_empty(masks: Masks) -> None:
    """Makes sure that something may change.

    Args:
        masks: [B, 1, h, w] over the latents' cells.

    Raises:
        EmptyMaskError: Nothing may, in one of them.
    """
    height, width = masks.shape[-2:]
    if not (masks > HALF).flatten(1).any(1).all():
        raise EmptyMaskError(
            f"the mask has nothing white in it at {width} x {height}, the model's latents; expected white where "
            "the image may change. Check that it is not the wrong way round, and paint more."
        )


def put_back(pixels: Pixels, inversion: Inversion, masks: Masks) -> Pixels:
    """Edited images with the photograph's own pixels where they may not have changed, on the CPU.

    Args:
        pixels: [B, 3, H, W] in [-1, 1].
        inversion: Of the photograph.
        masks: [B, 1, H, W] in [0, 1]: at 0 the photograph's pixels, at 1 the edit's, between them a mixture.
    """
    return torch.lerp(to_pixels(inversion.image), pixels.cpu(), masks)


def _cells(inversion: Inversion) -> tuple[int, int]:
    return inversion.pivot.shape[-2], inversion.pivot.shape[-1]
