"""A ``UNet2DConditionModel`` that is told of an image embedding in the place of a text."""

from typing import final

from torch import Tensor

from nulltext.attention.steering import steered
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.steering import AttentionPlan
from nulltext.errors import ModelLoadError, shown
from nulltext.models.frozen import FrozenNetwork
from nulltext.models.gradients import through
from nulltext.types import Latents, Times


@final
class ImageUNet(FrozenNetwork):
    """A frozen UNet behind the `Denoiser` protocol. What it is told of an image embedding is its family's.

    Kandinsky 2.2's text is that embedding, as one token. Karlo's are tokens made of it before those of an empty text,
    and its pooled text what is made of it for the time embedding. After the noise it returns a variance, which is left
    aside.
    """

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


def check_size(size: object, where: str, of: str) -> None:
    """Makes sure that a denoiser's config says for which size it was made, in one number.

    Args:
        size: Its ``sample_size``.
        where: The config, for errors.
        of: What is of that size, for errors.

    Raises:
        ModelLoadError: It does not.
    """
    if not isinstance(size, int) or size < 1:
        raise ModelLoadError(
            f"{where} has sample_size={shown(size)}; expected the side of {of}, such as 64. Correct it, or fetch the "
            "model again."
        )
