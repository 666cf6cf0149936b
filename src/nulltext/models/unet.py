"""diffusers' ``UNet2DConditionModel`` behind the `Denoiser` protocol."""

import json
from typing import Any, Final, final

import torch
from torch import Tensor

from nulltext.attention.steering import steered
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.steering import AttentionPlan
from nulltext.errors import ModelLoadError, UnsupportedPipelineError
from nulltext.models.frozen import FrozenNetwork
from nulltext.models.frozen_autoencoder import scale_of, side_of
from nulltext.models.gradients import through
from nulltext.types import Latents, Times

SIZES: Final = 6
"""The numbers that Stable Diffusion XL is told of sizes: the original's, where it was cropped, the target's."""
_USUAL_SIDE = 512
"""The pixels on a side that Stable Diffusion was made for, where no config says."""


@final
class UNet(FrozenNetwork):
    """A frozen UNet that is told of text, and of its pooled text and sizes where a conditioning has such."""

    def predict(
        self, x: Latents, t: float | Times, conditioning: Conditioning, attention: AttentionPlan = ()
    ) -> Latents:
        """The network's raw output, differentiable with respect to the text embeddings.

        A variance that it was taught to predict as well (Nichol and Dhariwal, arXiv 2102.09672) is left out: it stands
        in the channels behind the first C, and DDIM has no use for it.

        Args:
            x: [B, C, h, w] latents.
            t: The time given to the network, or one for each of the B.
            conditioning: Text embeddings, B rows.
            attention: For the B rows, in order: so many, and what is done to their attention.
        """
        return self.evaluate(x, t, conditioning, attention)[:, : x.shape[1]]  # of some a variance follows

    def evaluate(
        self, given: Tensor, t: float | Times, conditioning: Conditioning, attention: AttentionPlan = ()
    ) -> Latents:
        """As `predict`, of all that the network's first layer takes: latents, or more channels than these."""
        if given.device.type == "cuda" and not isinstance(
            t, Tensor
        ):  # diffusers would copy it there, and wait for that
            t = torch.full((len(given),), float(t), device=given.device)
        given, text = given.to(self.dtype).contiguous(memory_format=self.layout), conditioning.text
        beside = self._beside(conditioning)
        with steered(self.network, attention):
            return through(self.dtype, text, lambda states: self.network(given, t, states, **beside).sample)

    def _beside(self, conditioning: Conditioning) -> dict[str, Any]:
        """What Stable Diffusion XL's is told beside the text; sizes stay exact, which in bfloat16 they would not."""
        if conditioning.pooled is None:
            return {}
        return {"added_cond_kwargs": {"text_embeds": conditioning.pooled.to(self.dtype), **conditioning.extras}}


def check_fit(unet: Any, vae: Any, width: int, model: str, pooled: int | None = None) -> None:  # noqa: ANN401  diffusers carries no types
    """Makes sure that a UNet is a text-to-image or inpainting checkpoint's, made for its autoencoder and text encoder.

    Args:
        unet: Its config.
        vae: The autoencoder's config.
        width: D, of the text embeddings.
        model: What to call it in errors.
        pooled: P, of the pooled text that it is told beside six numbers for sizes; None if it is told of neither.

    Raises:
        UnsupportedPipelineError: It is not.
    """
    if unet.class_embed_type is not None:
        raise UnsupportedPipelineError(
            f"{model}: unet/config.json has class_embed_type={unet.class_embed_type!r}: the denoiser is told of "
            "something besides a prompt; expected a text-to-image checkpoint. Unclip and upscaling cannot be used."
        )
    if unet.in_channels != vae.latent_channels and not is_inpainting(unet, vae):
        raise UnsupportedPipelineError(
            f"{model}: the denoiser takes {unet.in_channels} channels, but latents have {vae.latent_channels}; "
            f"expected as many, or {2 * vae.latent_channels + 1} for inpainting. Depth, instructions and upscaling "
            "cannot be used."
        )
    if unet.cross_attention_dim != width:
        raise UnsupportedPipelineError(
            f"{model}: the denoiser expects text embeddings of width {unet.cross_attention_dim}, the text encoder "
            f"gives {width}; expected a checkpoint with its own text encoder."
        )
    _check_told(unet, pooled, model)


def is_inpainting(unet: Any, vae: Any) -> bool:  # noqa: ANN401  diffusers carries no types
    """Whether a UNet takes a mask and an image's latents besides latents, by its config and the autoencoder's."""
    return unet.in_channels == 2 * vae.latent_channels + 1


def _check_told(unet: Any, pooled: int | None, model: str) -> None:  # noqa: ANN401  diffusers carries no types
    """Makes sure that a UNet is told, beside the text, what its family tells it."""
    expected = None if pooled is None else "text_time"
    if unet.addition_embed_type != expected:
        raise UnsupportedPipelineError(
            f"{model}: unet/config.json has addition_embed_type={json.dumps(unet.addition_embed_type)}; expected "
            f"{json.dumps(expected)}. It is another kind of pipeline's: put in its place the checkpoint's own."
        )
    if pooled is None:
        return
    takes, told = unet.projection_class_embeddings_input_dim, pooled + SIZES * unet.addition_time_embed_dim
    if takes != told:
        raise UnsupportedPipelineError(
            f"{model}: the denoiser takes {takes} numbers of pooled text and sizes, and is told {told}, {pooled} of "
            "them of the text encoder; expected a checkpoint with its own text encoders. A refiner cannot be used."
        )


def latent_size(unet: Any, vae: Any) -> tuple[int, int]:  # noqa: ANN401  diffusers carries no types
    """(height, width) of the latents that a checkpoint was made for; by the autoencoder's config if need be.

    Args:
        unet: The UNet's config.
        vae: The autoencoder's config.

    Raises:
        ModelLoadError: The config says none.
    """
    size: Any = unet.sample_size
    if size is None:
        size = side_of(vae, _USUAL_SIDE) // scale_of(vae)
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:  # noqa: PLR2004  height and width
        raise ModelLoadError(
            f"unet/config.json has sample_size={json.dumps(size)}; expected the side of the latents, such as 64, or "
            "[height, width]. Correct it, or fetch the model again."
        )
    return sides


def halved_by(unet: Any) -> int:  # noqa: ANN401  diffusers carries no types
    """Latent cells on a side of which a UNet makes one, by its config: an odd number of them is not doubled back."""
    return 2 ** (len(unet.block_out_channels) - 1)
