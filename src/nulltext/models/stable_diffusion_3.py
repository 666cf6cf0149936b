"""Stable Diffusion 3 and 3.5: Esser et al., arXiv 2403.03206."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import diffusers
import torch
import transformers

from nulltext.errors import ModelLoadError
from nulltext.models import weights
from nulltext.models.base import Autoencoder, ModelIdentity
from nulltext.models.flow_parts import flow_config, read_cutter, ready_t5
from nulltext.models.joint_text import T5_ROWS, JointEncoder
from nulltext.models.joint_transformer import JointTransformer, check_fit
from nulltext.models.kl_autoencoder import KLAutoencoder, check_scaling
from nulltext.models.latent_model import LatentModel
from nulltext.models.layout import layout_for
from nulltext.models.networks import read_network
from nulltext.models.offload import Offload
from nulltext.models.parts import SCHEDULER, check_classes, check_encoder, read_scheduler
from nulltext.models.recommended import Recommended
from nulltext.models.text_encoder import PromptEncoder
from nulltext.models.word_list import TaughtWords

_NETWORKS: Final[Mapping[str, tuple[str, type[Any]]]] = {
    "transformer": ("SD3Transformer2DModel", diffusers.SD3Transformer2DModel),
    "vae": ("AutoencoderKL", diffusers.AutoencoderKL),
    "text_encoder": ("CLIPTextModelWithProjection", transformers.CLIPTextModelWithProjection),
    "text_encoder_2": ("CLIPTextModelWithProjection", transformers.CLIPTextModelWithProjection),
    "text_encoder_3": ("T5EncoderModel", transformers.T5EncoderModel),
}
"""The name of each network's class, and the class."""
_T5: Final = ("text_encoder_3", "tokenizer_3")


@dataclass(frozen=True)
class Parts:
    """What a checkpoint is made of.

    Attributes:
        transformer: ``SD3Transformer2DModel``.
        vae: ``AutoencoderKL``.
        text_encoders: Two ``CLIPTextModelWithProjection`` and, if there is one, a ``T5EncoderModel``.
        tokenizers: One for each of them.
        scheduler_config: The config of a ``FlowMatchEulerDiscreteScheduler``.
    """

    transformer: Any
    vae: Any
    text_encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]
    scheduler_config: Mapping[str, Any]


@final
class StableDiffusion3:
    """The adapter of ``StableDiffusion3Pipeline``, see `nulltext.models.families.Adapter`."""

    @staticmethod
    def read(folder: Path, index: Mapping[str, Any]) -> Parts:
        """The parts of a folder in diffusers' format; without T5 where the folder has neither it nor its tokenizer."""
        there = [part for part in _T5 if (folder / part).is_dir()]
        if len(there) == 1:
            (lacking,) = set(_T5) - set(there)
            raise ModelLoadError(
                f"{folder} is incomplete: it has {there[0]}, but lacks {lacking}. Fetch the model again, or remove "
                f"{there[0]} to do without T5."
            )
        used = [part for part in _NETWORKS if there or part not in _T5]
        check_classes(folder, {part: _NETWORKS[part][0] for part in ("transformer", "vae")})
        for part in used[2:]:
            check_encoder(folder, index, part, _NETWORKS[part][0])
        variant = weights.variant(folder, used)
        tokenizers = tuple(
            read_cutter(folder / part, t5=part in _T5) for part in ("tokenizer", "tokenizer_2", *there[1:])
        )
        transformer, vae, *text_encoders = (
            read_network(_NETWORKS[part][1], folder / part, variant=variant) for part in used
        )
        return Parts(transformer, vae, tuple(text_encoders), tokenizers, read_scheduler(folder))

    @staticmethod
    def from_parts(
        parts: Parts,
        identity: ModelIdentity,
        *,
        device: torch.device,
        dtype: torch.dtype,
        recommended: Recommended | None = None,
        quantised: Autoencoder | None = None,
        word_list: Path | None = None,
        low_memory: bool = False,
    ) -> LatentModel:
        """Takes over the parts, see `nulltext.models.families.Adapter.from_parts`."""
        called, config = identity.id, parts.transformer.config
        clips, t5 = parts.text_encoders[:2], parts.text_encoders[2:]
        check_fit(
            config,
            parts.vae.config,
            called,
            clips=sum(clip.config.hidden_size for clip in clips),
            t5=[each.config.d_model for each in t5],
            pooled=sum(clip.config.projection_dim for clip in clips),
        )
        check_scaling(parts.vae.config, called)
        scheduler = flow_config(parts.scheduler_config, f"{called}/{SCHEDULER}")
        layout, offload = layout_for(device, dtype), Offload(device, low_memory)
        words = None if word_list is None else TaughtWords.read(word_list, parts.tokenizers[0])
        return LatentModel(
            family="StableDiffusion3" if t5 else "StableDiffusion3 without T5",
            identity=identity,
            device=device,
            text=_encoder(parts, offload, called, words, dtype),
            autoencoder=KLAutoencoder.ready(parts.vae, offload, layout, f"in {dtype} with {called}"),
            unet=JointTransformer.ready(
                parts.transformer,
                device=device,
                dtype=dtype,
                layout=layout,
                copies=1 if t5 else T5_ROWS,
                low_memory=low_memory,
            ),
            scheduler_config=scheduler,
            recommended=recommended or Recommended(guidance=7.0),
            quantised=quantised,
            patch=config.patch_size,
        )


def _encoder(
    parts: Parts, offload: Offload, called: str, words: TaughtWords | None, dtype: torch.dtype
) -> JointEncoder:
    """The text encoders."""
    (first, second), (one, two) = parts.text_encoders[:2], parts.tokenizers[:2]
    clips = (
        PromptEncoder.ready(first, one, offload, called, words),
        PromptEncoder.ready(second, two, offload, called, part="text_encoder_2"),
    )
    t5 = None
    if parts.text_encoders[2:]:
        third, tokenizer = parts.text_encoders[2], parts.tokenizers[2]
        t5 = ready_t5(third, tokenizer, offload, called, part="text_encoder_3", rows=T5_ROWS, beside=dtype)
    return JointEncoder.ready(clips, t5, parts.transformer.config.joint_attention_dim)
