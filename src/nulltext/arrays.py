"""Images that are arrays: of numpy, as scikit-image and matplotlib have them, and of torch, as torchvision has them."""

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nulltext.errors import ImageDecodeError

_CHANNELS: Final = {1: "L", 3: "RGB", 4: "RGBA"}
_COLOURS: Final = 3
_EXPECTED: Final = (
    "expected [height, width], or with 1, 3 or 4 channels last in an array, first in a tensor; whole numbers of 8 "
    "bits, or floating point from 0 to 1"
)


def image_of(source: NDArray[Any] | Tensor) -> Image.Image:
    """An array as an image of 8 bits.

    Args:
        source: [H, W], or [H, W, C] of numpy, [C, H, W] or [1, C, H, W] of torch, with C of 1, 3 or 4: uint8 from 0 to
            255, or floating point from 0 to 1.

    Raises:
        ImageDecodeError: It is of another shape, type or range.
    """
    array = _last(source) if isinstance(source, Tensor) else source
    shape = tuple(source.shape)
    if array.ndim == _COLOURS and array.shape[2] == 1:
        array = array[..., 0]
    channels = 1 if array.ndim == _COLOURS - 1 else array.shape[-1]
    if array.ndim not in {2, 3} or channels not in _CHANNELS or 0 in array.shape:
        raise ImageDecodeError(f"the image is an array of shape {shape}; {_EXPECTED}. Bring its axes in order.")
    return Image.fromarray(np.ascontiguousarray(_bytes(array)), _CHANNELS[channels])


def _last(tensor: Tensor) -> NDArray[Any]:
    """A tensor's channels last; one image of a batch of one."""
    tensor = tensor.detach().cpu()
    if tensor.ndim == 4 and len(tensor) == 1:  # noqa: PLR2004  a batch
        tensor = tensor[0]
    if tensor.dtype in {torch.bfloat16, torch.float16}:  # numpy has no bfloat16
        tensor = tensor.float()
    return (tensor.permute(1, 2, 0) if tensor.ndim == _COLOURS else tensor).numpy()


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageDecodeError(f"the image is an array of {array.dtype}; {_EXPECTED}. Convert it.")
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(array).all() and low >= 0 and high <= 1):
        raise ImageDecodeError(
            f"the image is an array with values from {low:g} to {high:g}; {_EXPECTED}. Of values from -1 to 1, as "
            "diffusion models have them, take (x + 1) / 2."
        )
    return np.round(array * 255).astype(np.uint8)
