"""A ``UNet2DConditionModel`` that is told of an image embedding in the place of a text."""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from nulltext.attention.steering import steered
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.levels import Prediction
from nulltext.diffusion.steering import AttentionPlan
from nulltext.models.frozen import freeze
from nulltext.models.gradients import through
from nulltext.types import Latents, Times


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class ImageUNet:
    """A frozen UNet behind the `Denoiser` protocol. What it is told of an image embedding is its family's.

    Kandinsky 2.2's text is that embedding, as one token. Karlo's are tokens made of it before those of an empty text,
    and its pooled text what is made of it for the time embedding.

    Attributes:
        network: The ``UNet2DConditionModel``; after the noise it returns a variance, which is left aside.
        dtype: Its precision.
        layout: The memory layout of its weights and inputs, see `nulltext.models.layout`.
        prediction: What it returns.
    """

    network: Any
    dtype: torch.dtype
    layout: torch.memory_format
    prediction: Prediction

    @classmethod
    def ready(
        cls,
        network: Any,  # noqa: ANN401  diffusers carries no types
        *,
        device: torch.device,
        dtype: torch.dtype,
        layout: torch.memory_format,
        prediction: Prediction,
        low_memory: bool = False,
    ) -> "ImageUNet":
        """Takes over a network: moves it, sets its precision, and freezes it."""
        freeze(network, device=device, dtype=dtype, layout=layout, low_memory=low_memory)
        return cls(network=network, dtype=dtype, layout=layout, prediction=prediction)

    def predict(
        self, x: Latents, t: float | Times, conditioning: Conditioning, attention: AttentionPlan = ()
    ) -> Latents:
        """The network's raw output, differentiable with respect to the image embedding.

        Args:
            x: [B, C, h, w] latents.
            t: The time given to the network, or one for each of the B.
            conditioning: What it is told, B rows.
            attention: For the B rows, in order: so many, and what is done to their attention.
        """
        channels, x = x.shape[1], x.to(self.dtype).contiguous(memory_format=self.layout)

        def network(text: Tensor) -> Tensor:
            if conditioning.pooled is None:
                return self.network(x, t, None, added_cond_kwargs={"image_embeds": text[:, 0]}).sample[:, :channels]
            beside, seen = conditioning.pooled.to(self.dtype), conditioning.extras["seen"]
            return self.network(x, t, text, class_labels=beside, attention_mask=seen).sample[:, :channels]

        with steered(self.network, attention):
            return through(self.dtype, conditioning.text, network)
