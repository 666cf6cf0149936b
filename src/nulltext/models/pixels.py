"""What a model of pixels has in an autoencoder's place."""

from dataclasses import dataclass
from typing import final

import torch

from nulltext.checks import check_finite
from nulltext.models.gradients import clamp
from nulltext.types import Latents, Pixels


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class PixelSpace:
    """The latents are the image itself.

    Attributes:
        device: Where the denoiser is.
        where: In which model it is, and how that computes, for errors.
        latent_channels: C.
        scale: Pixels on the side of one latent cell.
        config: There is no network, and so none of its config.
    """

    device: torch.device
    where: str
    latent_channels: int = 3
    scale: int = 1
    config: None = None

    def encode(self, pixels: Pixels) -> Latents:
        """[B, 3, H, W] images as they are."""
        return pixels.to(self.device, torch.float32)

    def decode(self, latents: Latents) -> Pixels:
        """[B, 3, H, W] the same, clamped to [-1, 1]; differentiable.

        Raises:
            DivergedError: They became infinite or not-a-number.
        """
        check_finite("image", latents, where=self.where)  # clamped, infinity is white
        return clamp(latents, -1.0, 1.0)
