"""A denoiser as the published notebook runs it, for comparison."""

import copy
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import nn

from nulltext.attention.uncompiled import uncompiled


def unoptimised(denoiser: nn.Module) -> nn.Module:
    """A copy whose weights ask for gradients too, are laid out as they were stored, and whose attention is unfused.

    Args:
        denoiser: diffusers' ``UNet2DConditionModel``; stays as it is.

    Returns:
        The copy, of the same size in memory.
    """
    with uncompiled(denoiser):
        plain: Any = copy.deepcopy(denoiser)  # diffusers carries no types
    plain.to(memory_format=torch.contiguous_format).requires_grad_(requires_grad=True)
    plain.set_attn_processor(AttnProcessor())
    return plain
