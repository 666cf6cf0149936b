"""diffusers' ``SD3Transformer2DModel`` behind the `Denoiser` protocol."""

from collections.abc import Sequence
from typing import Any, final

import torch

from nulltext.attention.joint import WeightedProcessor
from nulltext.attention.sites import is_joint
from nulltext.attention.steering import steered
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.steering import AttentionPlan
from nulltext.errors import SettingError, UnsupportedPipelineError
from nulltext.models.build import Build
from nulltext.models.frozen import FrozenNetwork
from nulltext.models.gradients import through
from nulltext.types import Latents, Times


@final
class JointTransformer(FrozenNetwork):
    """A frozen transformer in which text and image attend to each other in one softmax."""

    @classmethod
    def counting(cls, network: Any, build: Build, copies: int) -> "JointTransformer":  # noqa: ANN401  diffusers carries no types
        """Takes over a network, see `FrozenNetwork.ready`, for which the last row of the text stands for many alike.

        Args:
            network: The ``SD3Transformer2DModel``.
            build: How the model is made.
            copies: How many.
        """
        ready = cls.ready(network, build)
        if copies > 1:
            for module in filter(is_joint, network.modules()):
                module.set_processor(WeightedProcessor(copies))
        return ready

    def predict(
        self, x: Latents, t: float | Times, conditioning: Conditioning, attention: AttentionPlan = ()
    ) -> Latents:
        """The network's raw output, differentiable with respect to the text embeddings.

        Args:
            x: [B, C, h, w] latents.
            t: The time given to the network, or one for each of the B.
            conditioning: Text embeddings and pooled ones, B rows.
            attention: For the B rows, in order: so many, and what is done to their attention.

        Raises:
            SettingError: The latents are larger than the network has places for, or there are no pooled embeddings.
        """
        self._check(x, conditioning)
        x, text = x.to(self.dtype).contiguous(memory_format=self.layout), conditioning.text
        beside = {
            "timestep": torch.as_tensor(t, dtype=torch.float32, device=x.device).expand(len(x)),
            "pooled_projections": None if conditioning.pooled is None else conditioning.pooled.to(self.dtype),
        }
        with steered(self.network, attention):
            return through(
                self.dtype, text, lambda states: self.network(x, encoder_hidden_states=states, **beside).sample
            )

    def _check(self, x: Latents, conditioning: Conditioning) -> None:
        most, patch = self.network.config.pos_embed_max_size, self.network.config.patch_size
        if max(x.shape[-2:]) > most * patch or any(side % patch for side in x.shape[-2:]):
            raise SettingError(
                f"got latents of {x.shape[-2]} x {x.shape[-1]} cells; the model takes multiples of {patch} up to "
                f"{most * patch}. Take an image of another size."
            )
        if conditioning.pooled is None:
            raise SettingError("got a conditioning without pooled embeddings; expected one that the model embedded.")


def check_fit(network: Any, vae: Any, model: str, *, clips: int, t5: Sequence[int], pooled: int) -> None:  # noqa: ANN401  diffusers carries no types
    """Makes sure that a transformer is a text-to-image checkpoint's, made for its autoencoder and text encoders.

    Args:
        network: Its config.
        vae: The autoencoder's config.
        model: What to call it in errors.
        clips: The width of the embeddings of both CLIPs together.
        t5: That of T5's, if there is one.
        pooled: That of the pooled embeddings of both CLIPs together.

    Raises:
        UnsupportedPipelineError: It is not.
    """
    if not network.in_channels == network.out_channels == vae.latent_channels:
        raise UnsupportedPipelineError(
            f"{model}: the denoiser takes {network.in_channels} channels and gives {network.out_channels}, but latents "
            f"have {vae.latent_channels}; expected a text-to-image checkpoint. Inpainting cannot be used."
        )
    width = network.joint_attention_dim
    if clips > width or any(other != width for other in t5) or pooled != network.pooled_projection_dim:
        raise UnsupportedPipelineError(
            f"{model}: the denoiser expects text embeddings of width {width} and pooled ones of "
            f"{network.pooled_projection_dim}, the text encoders give {[clips, *t5]} and {pooled}; expected a "
            "checkpoint with its own text encoders."
        )
