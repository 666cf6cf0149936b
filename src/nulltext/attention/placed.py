"""Small constants of a control, such as the mapper of a word swap, on the device of what they are applied to."""

from typing import Any, Final

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_COPIES: Final[Any] = WeakTensorKeyDictionary()
"""Of each constant as long as there is one, by device and type."""


def placed(constant: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A constant as ``constant.to(device, dtype)`` gives it, copied there once.

    A control is asked at every site of every evaluation, and a copy to a GPU waits until that has done all before it.

    Args:
        constant: It must not change afterwards.
        device: Where it is wanted.
        dtype: In what type; its own if None.
    """
    wanted = device, constant.dtype if dtype is None else dtype
    if (constant.device, constant.dtype) == wanted:
        return constant
    copies: dict[tuple[torch.device, torch.dtype], Tensor] = _COPIES.setdefault(constant, {})
    if wanted not in copies:
        copies[wanted] = constant.to(*wanted)
    return copies[wanted]
