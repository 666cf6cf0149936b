"""MoVQ: diffusers' ``VQModel`` whose decoder is told of the latents at every norm (Zheng et al., arXiv 2209.09002)."""

from typing import final

from torch import Tensor

from nulltext.models.frozen_autoencoder import FrozenAutoencoder
from nulltext.types import Latents, Pixels


@final
class MoVQ(FrozenAutoencoder):
    """A frozen ``VQModel`` as Kandinsky's decoder uses it: latents are neither quantised nor scaled."""

    @property
    def latent_channels(self) -> int:
        """C, the channels of the latents."""
        return self.network.config.vq_embed_dim or self.network.config.latent_channels

    def latents_of(self, pixels: Pixels) -> Tensor:
        """See `FrozenAutoencoder.latents_of`."""
        return self.network.encode(pixels).latents

    def image_of(self, latents: Latents) -> Tensor:
        """See `FrozenAutoencoder.image_of`."""
        return self.network.decode(latents, force_not_quantize=True).sample
