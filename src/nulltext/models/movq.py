"""MoVQ: diffusers' ``VQModel`` whose decoder is told of the latents at every norm (Zheng et al., arXiv 2209.09002)."""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from nulltext.checks import check_finite
from nulltext.models.gradients import clamp
from nulltext.models.kl_autoencoder import scale_of
from nulltext.models.offload import Offload
from nulltext.models.quiet import quiet
from nulltext.types import Latents, Pixels


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class MoVQ:
    """A frozen ``VQModel`` as Kandinsky's decoder uses it: latents are neither quantised nor scaled. In float32.

    Attributes:
        network: The ``VQModel``.
        offload: Where it computes.
        layout: The memory layout of its weights and inputs, see `nulltext.models.layout`.
        where: In which model it is, and how that computes, for errors.
    """

    network: Any
    offload: Offload
    layout: torch.memory_format
    where: str

    @classmethod
    def ready(cls, network: Any, offload: Offload, layout: torch.memory_format, where: str) -> "MoVQ":  # noqa: ANN401  the libraries carry no types
        """Takes over a network: puts it where it waits, and freezes it."""
        with quiet():
            network.to(device=offload.waiting, dtype=torch.float32, memory_format=layout)
        network.requires_grad_(requires_grad=False).eval()
        return cls(network=network, offload=offload, layout=layout, where=where)

    @property
    def latent_channels(self) -> int:
        """C, the channels of the latents."""
        return self.network.config.vq_embed_dim or self.network.config.latent_channels

    @property
    def config(self) -> Any:  # noqa: ANN401  diffusers carries no types
        """That of its network."""
        return self.network.config

    @property
    def scale(self) -> int:
        """Pixels on the side of one latent cell."""
        return scale_of(self.network.config)

    def encode(self, pixels: Pixels) -> Latents:
        """[B, C, H / scale, W / scale] latents of images."""
        pixels = pixels.to(self.offload.device, torch.float32).contiguous(memory_format=self.layout)
        with torch.no_grad(), self.offload.in_use(self.network):
            latents: Tensor = self.network.encode(pixels).latents
        return latents.contiguous()

    def decode(self, latents: Latents) -> Pixels:
        """[B, 3, h * scale, w * scale] images of latents, clamped to [-1, 1]; differentiable.

        Raises:
            DivergedError: The images became infinite or not-a-number.
        """
        with self.offload.in_use(self.network, stays=latents.requires_grad):
            decoded: Tensor = self.network.decode(
                latents.contiguous(memory_format=self.layout), force_not_quantize=True
            ).sample
        check_finite("image", decoded, where=self.where)  # clamped, infinity is white
        return clamp(decoded, -1.0, 1.0).contiguous()
