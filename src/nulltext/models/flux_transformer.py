"""diffusers' ``FluxTransformer2DModel`` behind the `Denoiser` protocol."""

from typing import Any, Final, final

import torch
from torch import Tensor
from torch.nn import functional as F

from nulltext.attention.steering import steered
from nulltext.diffusion.conditioning import Conditioning
from nulltext.diffusion.steering import AttentionPlan
from nulltext.errors import SettingError, UnsupportedPipelineError
from nulltext.models.frozen import FrozenNetwork
from nulltext.models.gradients import through
from nulltext.types import Latents, Times

PATCH: Final = 2
"""Latent cells on the side of a token."""
_UNGUIDED: Final = 1.0
"""The guidance scale of a network that is told of none."""


@final
class FluxTransformer(FrozenNetwork):
    """A frozen transformer with streams of text and image, and then with one of both.

    Latents are [B, C, h, w] here as everywhere; its tokens, 2 x 2 cells each, are its own affair.
    """

    def predict(
        self, x: Latents, t: float | Times, conditioning: Conditioning, attention: AttentionPlan = ()
    ) -> Latents:
        """The network's raw output, differentiable with respect to the text embeddings.

        Args:
            x: [B, C, h, w] latents.
            t: The time given to the network, or one for each of the B.
            conditioning: T5's embeddings, CLIP's pooled ones and the guidance scale, B rows.
            attention: For the B rows, in order: so many, and what is done to their attention.

        Raises:
            SettingError: The latents have no whole number of tokens; the conditioning lacks something; or it has a
                guidance scale, and the network was distilled to work without.
        """
        rows, columns = x.shape[-2] // PATCH, x.shape[-1] // PATCH
        beside = self._beside(x, conditioning) | {
            "timestep": torch.as_tensor(t, dtype=torch.float32, device=x.device).expand(len(x)) / 1000,
            "img_ids": _places(rows, columns, x.device),
            "txt_ids": torch.zeros(conditioning.text.shape[1], 3, device=x.device),
        }
        tokens = F.pixel_unshuffle(x.to(self.dtype), PATCH).flatten(2).transpose(1, 2)

        def network(states: Tensor) -> Tensor:
            return self.network(tokens, encoder_hidden_states=states, **beside).sample

        with steered(self.network, attention, text=conditioning.text.shape[1]):
            output = through(self.dtype, conditioning.text, network)
        return F.pixel_shuffle(output.transpose(1, 2).unflatten(2, (rows, columns)), PATCH)

    def _beside(self, x: Latents, conditioning: Conditioning) -> dict[str, Tensor]:
        """Pooled text and guidance."""
        if any(side % PATCH for side in x.shape[-2:]):
            raise SettingError(
                f"got latents of {x.shape[-2]} x {x.shape[-1]} cells; the model takes multiples of {PATCH}. Take an "
                "image of another size."
            )
        if conditioning.pooled is None or not conditioning.distilled:
            raise SettingError(
                "got a conditioning without pooled embeddings or guidance; expected one that the model embedded."
            )
        told, scale = {"pooled_projections": conditioning.pooled.to(self.dtype)}, conditioning.extras["guidance"]
        if self.network.config.guidance_embeds:
            return told | {"guidance": scale}
        if (scale != _UNGUIDED).any():
            raise SettingError(
                f"got a guidance scale of {scale.max().item():g}; {self.model} is distilled to work without guidance: "
                "expected 1, for all branches. Leave the guidance out."
            )
        return told


def _places(rows: int, columns: int, device: torch.device) -> Tensor:
    """[tokens, 3] where each token of an image is: 0, row, column. All of a text are at 0."""
    down, across = torch.arange(rows, device=device), torch.arange(columns, device=device)
    return F.pad(torch.cartesian_prod(down, across).float(), (1, 0))


def check_fit(network: Any, vae: Any, model: str, *, t5: int, pooled: int) -> None:  # noqa: ANN401  the libraries carry no types
    """Makes sure that a transformer is a text-to-image checkpoint's, made for its autoencoder and text encoders.

    Args:
        network: Its config.
        vae: The autoencoder's config.
        model: What to call it in errors.
        t5: The width of T5's embeddings.
        pooled: That of CLIP's pooled ones.

    Raises:
        UnsupportedPipelineError: It is not.
    """
    takes, gives = network.in_channels, network.out_channels or network.in_channels
    token = vae.latent_channels * PATCH**2
    if not takes == gives * network.patch_size**2 == token:
        raise UnsupportedPipelineError(
            f"{model}: the denoiser takes {takes} numbers a token and gives {gives}, but {PATCH} x {PATCH} cells of "
            f"latents have {token}; expected a text-to-image checkpoint. Fill, Canny and Depth cannot be used."
        )
    if t5 != network.joint_attention_dim or pooled != network.pooled_projection_dim:
        raise UnsupportedPipelineError(
            f"{model}: the denoiser expects text embeddings of width {network.joint_attention_dim} and pooled ones of "
            f"{network.pooled_projection_dim}, the text encoders give {t5} and {pooled}; expected a checkpoint with "
            "its own text encoders."
        )
    places = tuple(network.axes_dims_rope)
    if len(places) != 3 or sum(places) != network.attention_head_dim:  # noqa: PLR2004  0, row and column
        raise UnsupportedPipelineError(
            f"{model}: transformer/config.json has axes_dims_rope={list(places)} for heads of width "
            f"{network.attention_head_dim}; expected three numbers of that sum. Fetch the model again."
        )
