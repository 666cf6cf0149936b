"""What a family's denoiser costs, counted on its architecture alone: weights that are not there, and no arithmetic."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from nulltext.models.architectures import ARCHITECTURES, TEXT_LENGTH, Architecture, Name
from nulltext.models.memory import keeping
from nulltext.models.random_weights import network_of

Question = tuple[Tensor, dict[str, Any]]
"""Text embeddings, and what a denoiser is given besides."""

_T5_ROWS: Final = {"SD3Transformer2DModel": 256, "FluxTransformer2DModel": 512}
_CELL = 8
"""Pixels on the side of a latent cell, in all of these."""


@final
@dataclass(frozen=True, kw_only=True)
class Counted:
    """What one evaluation of a denoiser takes, for one image of its family's size.

    Attributes:
        denoiser: Its weights.
        text_encoders: Those of its text encoders.
        autoencoder: Those of its autoencoder.
        side: Of the image, in pixels.
        forward: Floating-point operations of the evaluation.
        backward: Those of the gradient with respect to the text embeddings, the weights being frozen.
        saved: Bytes that are kept between the two, in bfloat16.
    """

    denoiser: int
    text_encoders: int
    autoencoder: int
    side: int
    forward: float
    backward: float
    saved: int


def count(name: Name) -> Counted:
    """Counts an architecture on the meta device, in bfloat16; attention is fused, as it is on a GPU."""
    architecture = ARCHITECTURES[name]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            networks = {part: network_of(path, dict(config)) for part, (path, config) in architecture.networks.items()}
            denoiser = networks[architecture.denoiser].requires_grad_(requires_grad=False).eval()
            forward, backward, saved = _evaluated(denoiser, *_question(denoiser, architecture))
    finally:
        torch.set_default_dtype(before)
    weights = {part: sum(each.numel() for each in network.parameters()) for part, network in networks.items()}
    autoencoder = sum(number for part, number in weights.items() if "vae" in part)
    return Counted(
        denoiser=weights[architecture.denoiser],
        text_encoders=sum(weights.values()) - weights[architecture.denoiser] - autoencoder,
        autoencoder=autoencoder,
        side=architecture.side,
        forward=forward,
        backward=backward,
        saved=saved,
    )


class _Fused(TorchFunctionMode):
    """Attention without its matrix of probabilities, which on the meta device would be computed and kept."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:  # noqa: ANN401  whatever torch calls
        """Calls it, or in attention's place the kernel of a GPU that computes the same."""
        given = kwargs or {}
        if func is not scaled_dot_product_attention:
            return func(*args, **given)
        query, key, value = (*args, *(given[name] for name in ("query", "key", "value")[len(args) :]))[:3]
        fused = torch.ops.aten._scaled_dot_product_efficient_attention  # noqa: SLF001  it has no other name
        return fused(query, key, value, None, compute_log_sumexp=True)[0]


def _evaluated(denoiser: Any, text: Tensor, besides: Mapping[str, Any]) -> tuple[float, float, int]:  # noqa: ANN401  the libraries carry no types
    with FlopCounterMode(display=False) as counter:
        with keeping(denoiser) as kept, _Fused():
            output = denoiser(encoder_hidden_states=text.requires_grad_(), **besides).sample
        forward = counter.get_total_flops()
        output.sum().backward()
    return float(forward), float(counter.get_total_flops() - forward), sum(kept.values())


def _question(denoiser: Any, architecture: Architecture) -> Question:  # noqa: ANN401  diffusers carries no types
    return _QUESTIONS[type(denoiser).__name__](denoiser.config, architecture.side // _CELL)


def _of_unet(config: Any, cells: int) -> Question:  # noqa: ANN401  the libraries carry no types
    besides: dict[str, Any] = {"sample": torch.empty(1, config.in_channels, cells, cells), "timestep": torch.empty(1)}
    if config.addition_embed_type is not None:
        sizes = 6
        pooled = config.projection_class_embeddings_input_dim - sizes * config.addition_time_embed_dim
        besides["added_cond_kwargs"] = {"text_embeds": torch.empty(1, pooled), "time_ids": torch.empty(1, sizes)}
    return torch.empty(1, TEXT_LENGTH, config.cross_attention_dim), besides


def _of_sd3(config: Any, cells: int) -> Question:  # noqa: ANN401  the libraries carry no types
    rows = TEXT_LENGTH + _T5_ROWS["SD3Transformer2DModel"]
    return torch.empty(1, rows, config.joint_attention_dim), {
        "hidden_states": torch.empty(1, config.in_channels, cells, cells),
        "pooled_projections": torch.empty(1, config.pooled_projection_dim),
        "timestep": torch.empty(1),
    }


def _of_flux(config: Any, cells: int) -> Question:  # noqa: ANN401  the libraries carry no types
    rows, tokens = _T5_ROWS["FluxTransformer2DModel"], (cells // 2) ** 2
    return torch.empty(1, rows, config.joint_attention_dim), {
        "hidden_states": torch.empty(1, tokens, config.in_channels),
        "pooled_projections": torch.empty(1, config.pooled_projection_dim),
        "timestep": torch.empty(1),
        "guidance": torch.empty(1),
        "img_ids": torch.empty(tokens, 3),
        "txt_ids": torch.empty(rows, 3),
    }


_QUESTIONS: Final[Mapping[str, Callable[[Any, int], Question]]] = {
    "UNet2DConditionModel": _of_unet,
    "SD3Transformer2DModel": _of_sd3,
    "FluxTransformer2DModel": _of_flux,
}
"""By the class of the denoiser."""
