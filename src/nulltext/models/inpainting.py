"""A UNet that sees more than latents: where they may change, and what is left of the image elsewhere.

The checkpoints are those of Rombach et al., arXiv 2112.10752, section 4.5, continued from a text-to-image one with
masks over parts of the images and over all of them. Its first layer takes, in this order, the latents, the mask and the
latents of the image with its masked part made grey.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.levels import Prediction
from nulltext.diffusion.steering import AttentionPlan
from nulltext.models.base import Autoencoder, Model
from nulltext.models.unet import UNet
from nulltext.types import Latents, Masks, Times

MASK: Final = "mask"
LEFT: Final = "left"
"""The extras of a conditioning: [B, 1, h, w], 1 where latents may change, and [B, C, h, w], what is left elsewhere."""

Blank = Callable[[int, int], Latents]
"""The latents, [1, C, h, w] for h and w, of an image of which nothing is left."""


@runtime_checkable
class HasInpainting(Protocol):
    """A model whose denoiser may be one of these."""

    @property
    def inpaints(self) -> bool:
        """Whether it is."""
        ...


def inpaints(model: Model) -> bool:
    """Whether a model's denoiser is shown a mask and what is left of the image."""
    return isinstance(model, HasInpainting) and model.inpaints


def showing(conditioning: Conditioning, mask: Masks, left: Latents) -> Conditioning:
    """What a network is told, with what it is shown of an image besides.

    Args:
        conditioning: B rows, or one for all B.
        mask: [B, 1, h, w] 1 where the latents may change, else 0.
        left: [B, C, h, w] the latents of the image whose pixels are 0, grey, there.
    """
    seen = {MASK: mask, LEFT: left}
    whole = conditioning.expand(len(mask))
    return replace(whole, extras={**whole.extras, **{name: each.to(whole.text) for name, each in seen.items()}})


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class InpaintingUNet:
    """A frozen UNet whose conditionings may hold a mask and what is left of an image; see `showing`.

    Where one holds neither, all of the image is masked: the network then draws by the prompt alone, as it has learnt to
    by masks over whole images, and can be inverted and edited like any other.

    Attributes:
        unet: The UNet.
        blank: What is left of an image where all of it is masked.
    """

    unet: UNet
    blank: Blank

    @classmethod
    def ready(cls, unet: UNet, autoencoder: Autoencoder, scale: int) -> "InpaintingUNet":
        """Of a UNet that is ready.

        Args:
            unet: The UNet.
            autoencoder: Its model's.
            scale: Pixels on the side of one latent cell.
        """

        @lru_cache(maxsize=8)
        def blank(height: int, width: int) -> Latents:
            return autoencoder.encode(torch.zeros(1, 3, height * scale, width * scale))

        return cls(unet=unet, blank=blank)

    @property
    def network(self) -> Any:  # noqa: ANN401  diffusers carries no types
        """The ``UNet2DConditionModel``."""
        return self.unet.network

    @property
    def dtype(self) -> torch.dtype:
        """Its precision."""
        return self.unet.dtype

    @property
    def prediction(self) -> Prediction:
        """What it returns."""
        return self.unet.prediction

    def predict(
        self, x: Latents, t: float | Times, conditioning: Conditioning, attention: AttentionPlan = ()
    ) -> Latents:
        """See `nulltext.models.unet.UNet.predict`."""
        told = {name: each for name, each in conditioning.extras.items() if name not in {MASK, LEFT}}
        given = torch.cat([x, *self._seen(x, conditioning)], 1)
        return self.unet.evaluate(given, t, replace(conditioning, extras=told), attention)

    def _seen(self, x: Latents, conditioning: Conditioning) -> tuple[Tensor, Tensor]:
        if MASK in conditioning.extras:
            return conditioning.extras[MASK], conditioning.extras[LEFT]
        left = self.blank(x.shape[-2], x.shape[-1])
        return torch.ones_like(x[:, :1]), left.to(x).expand(len(x), -1, -1, -1)
