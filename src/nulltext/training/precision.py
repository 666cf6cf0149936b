"""bf16 training that does not lose speed to its normalisation layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend

Module = TypeVar("Module", bound=nn.Module)

FAST_ATTENTION: Final = {"cpu": [SDPBackend.MATH], "cuda": [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]}
"""The fastest attention kernels of a device at 16x16 latents, for `sdpa_kernel`. The backward of the fused bf16 kernel
of the CPU is a quarter of the UNet's step (torch 2.13); plain matrix products make the step 1.17 times faster."""


def autocast(device: torch.device) -> torch.autocast:
    """bf16 autocast for the forward pass of a stage."""
    return torch.autocast(device.type, torch.bfloat16)


def group_norm_in_fp32(module: Module) -> Module:
    """Make every GroupNorm of a module compute in fp32 under autocast, in place.

    The bf16 channels_last backward of `group_norm` takes three times as long as the fp32 one on the CPU (torch 2.13), a
    third of the autoencoder's whole step. Weights and their names stay as they are.
    """
    for layer in module.modules():
        if type(layer) is nn.GroupNorm:
            layer.__class__ = _GroupNorm32
    return module


def linear_weights(module: nn.Module) -> Iterable[Tensor]:
    """The weights of a module's linear layers: the hidden matrices of its transformers."""
    return [layer.weight for layer in module.modules() if isinstance(layer, nn.Linear)]


class _GroupNorm32(nn.GroupNorm):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's own name
        with torch.autocast(input.device.type, enabled=False):
            return functional.group_norm(input.float(), self.num_groups, self.weight, self.bias, self.eps).to(
                input.dtype
            )
