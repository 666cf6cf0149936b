"""Denoisers as they are used: moved, in their precision, and frozen."""

from typing import Any

import torch

from nulltext.models.quiet import quiet


def freeze(
    network: Any,  # noqa: ANN401  diffusers carries no types
    *,
    device: torch.device,
    dtype: torch.dtype,
    layout: torch.memory_format,
    low_memory: bool,
) -> None:
    """Takes over a denoiser's network, in place.

    Args:
        network: One of diffusers'.
        device: Where to compute.
        dtype: Its precision.
        layout: The memory layout of its weights, see `nulltext.models.layout`.
        low_memory: Whether activations are computed again for the gradient.
    """
    with quiet():
        network.to(device=device, dtype=dtype, memory_format=layout)
        if low_memory:
            network.enable_gradient_checkpointing()
    network.requires_grad_(requires_grad=False).eval()
